//! What the share coordinator keeps, whom it fences, and what is left after a crash.

use vltava_wire::Offset;
use vltava_wire::batch::BatchBuilder;

use super::*;
use crate::shard::Loader;

const CONFIG: StateConfig = StateConfig { updates_per_snapshot: 2, write_timeout_ms: 5000 };

fn key() -> ShareKey {
    ShareKey { group: "g".into(), topic: Uuid(7), partition: 1 }
}

fn batch(first: i64, last: i64, state: i8) -> StateBatch {
    StateBatch { first_offset: first, last_offset: last, delivery_state: state, delivery_count: 1 }
}

fn new(state_epoch: i32, leader_epoch: i32, start: i64, batches: &[StateBatch]) -> NewState {
    NewState {
        state_epoch,
        leader_epoch,
        start_offset: start,
        delivery_complete_count: 0,
        batches: batches.to_vec(),
    }
}

/// A machine with a log that it can be read out of again.
struct World {
    machine: ShareStates,
    log: Vec<crate::shard::Record>,
    tokens: u64,
    /// How many appends are committed at once; others wait for `commit`.
    held: Vec<Ticket>,
    holds: bool,
    refuses: bool,
    /// Of the appends to come, that one is refused.
    refuses_nth: Option<usize>,
    now: Now,
}

impl World {
    fn new() -> Self {
        let machine = ShareStates::new(CONFIG);
        let (log, held) = (Vec::new(), Vec::new());
        let now = Now::default();
        let (holds, refuses, refuses_nth) = (false, false, None);
        Self { machine, log, tokens: 0, held, holds, refuses, refuses_nth, now }
    }

    fn refuses_next(&mut self) -> bool {
        let nth = self.refuses_nth;
        self.refuses_nth = nth.and_then(|nth| nth.checked_sub(1));
        self.refuses || nth == Some(0)
    }

    fn feed(&mut self, event: Event) -> Vec<(Token, StateReply)> {
        let mut effects = VecDeque::from([self.machine.on(event, self.now)]);
        let mut replies = Vec::new();
        while let Some(next) = effects.pop_front() {
            for append in next.appends {
                if self.refuses_next() {
                    let code = ErrorCode::NOT_COORDINATOR;
                    let outcome = Outcome::Refused(append.ticket, code);
                    effects.push_back(self.machine.on(outcome.into(), self.now));
                    continue;
                }
                self.log.extend(append.records);
                let written = Outcome::Written(append.ticket).into();
                effects.push_back(self.machine.on(written, self.now));
                self.held.push(append.ticket);
            }
            replies.extend(next.replies);
        }
        if !self.holds {
            replies.extend(self.commit());
        }
        replies
    }

    fn commit(&mut self) -> Vec<(Token, StateReply)> {
        let mut replies = Vec::new();
        for ticket in std::mem::take(&mut self.held) {
            let outcome = Outcome::Committed(ticket).into();
            replies.extend(self.machine.on(outcome, self.now).replies);
        }
        replies
    }

    fn ask(&mut self, event: impl FnOnce(Token) -> Event) -> StateReply {
        self.tokens += 1;
        let token = Token(self.tokens);
        let replies = self.feed(event(token));
        let own = replies.into_iter().find(|(to, _)| *to == token);
        own.expect("it is answered").1
    }

    fn initialize(&mut self, new: NewState) -> StateReply {
        self.ask(|token| Event::Initialize(token, key(), new))
    }

    fn write(&mut self, new: NewState) -> StateReply {
        self.ask(|token| Event::Write(token, key(), new))
    }

    fn read(&mut self, leader_epoch: i32) -> StateReply {
        self.ask(|token| Event::Read(token, key(), leader_epoch))
    }

    /// The process dies; another reads the log.
    fn crash(&mut self) {
        let mut loader = Loader::new(StatesReplay(ShareStates::new(CONFIG)), Offset::ZERO);
        let mut batch = BatchBuilder::new(Offset::ZERO);
        for record in &self.log {
            batch.append(0, Some(&record.key), record.value.as_deref(), &[]);
        }
        loader.take(&batch.build()).expect("our own records");
        self.machine = loader.finish().expect("our own log");
        self.held.clear();
    }
}

fn code(reply: StateReply) -> ErrorCode {
    reply.expect_err("refused").code
}

#[test]
fn a_share_partition_is_set_read_and_written_and_survives_a_crash() {
    let mut world = World::new();
    assert_eq!(code(world.read(1)), ErrorCode::INVALID_REQUEST, "nobody has set it");
    assert_eq!(code(world.write(new(1, 1, 0, &[]))), ErrorCode::INVALID_REQUEST);
    assert_eq!(world.initialize(new(1, -1, -1, &[])), Ok(None));
    let known = world.read(4).expect("known").expect("set");
    assert_eq!((known.state_epoch, known.start_offset, known.batches.len()), (1, -1, 0));
    for at in 0..5 {
        let batches = [batch(10 * at, 10 * at + 4, 2), batch(10 * at + 5, 10 * at + 9, 0)];
        assert_eq!(world.write(new(1, 4, 0, &batches)), Ok(None));
        let before = world.machine.state(&key()).cloned().expect("set");
        world.crash();
        let after = world.machine.state(&key()).cloned().expect("set");
        assert_eq!(KnownState { created: 0, ..before }, KnownState { created: 0, ..after });
    }
    let known = world.read(4).expect("known").expect("set");
    assert_eq!(known.batches.len(), 10);
    let snapshots = world.log.iter().filter(|record| record.key[..2] == [0, 0]).count();
    assert!(snapshots > 1 && snapshots < world.log.len(), "updates, and at times all of it");
}

#[test]
fn leaders_that_lead_no_more_are_fenced_by_the_read_of_the_next() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    world.read(4).expect("the first leader");
    world.write(new(1, 4, 3, &[])).expect("it writes");
    world.read(5).expect("the second leader");
    assert_eq!(code(world.write(new(1, 4, 9, &[]))), ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(code(world.read(4)), ErrorCode::FENCED_LEADER_EPOCH);
    world.crash();
    assert_eq!(code(world.write(new(1, 4, 9, &[]))), ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(world.read(5).expect("known").expect("set").start_offset, 3);
}

#[test]
fn what_was_meant_for_an_earlier_state_is_fenced() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    world.write(new(1, 4, 0, &[batch(0, 9, 2)])).expect("written");
    world.initialize(new(3, -1, 100, &[])).expect("reset");
    assert_eq!(code(world.write(new(1, 4, 10, &[]))), ErrorCode::FENCED_STATE_EPOCH);
    assert_eq!(code(world.initialize(new(2, -1, 5, &[]))), ErrorCode::FENCED_STATE_EPOCH);
    world.crash();
    let known = world.read(4).expect("known").expect("set");
    assert_eq!((known.state_epoch, known.start_offset, known.batches.len()), (3, 100, 0));
}

#[test]
fn what_a_person_has_set_stays_where_it_is_asked_once_more_that_it_be_known() {
    let mut world = World::new();
    world.initialize(new(1, -1, 100, &[])).expect("set");
    assert_eq!(world.initialize(new(2, -1, -1, &[])), Ok(None));
    let known = world.read(4).expect("known").expect("set");
    assert_eq!((known.state_epoch, known.start_offset), (1, 100));
    assert_eq!(world.write(new(1, 4, 100, &[batch(100, 109, 2)])), Ok(None));
    world.initialize(new(3, -1, 50, &[])).expect("reset");
    assert_eq!(world.read(4).expect("known").expect("set").start_offset, 50);
}

#[test]
fn what_is_deleted_is_not_known_any_more() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    assert_eq!(world.ask(|token| Event::Delete(token, key())), Ok(None));
    assert_eq!(world.ask(|token| Event::Summary(token, key())), Ok(None));
    assert_eq!(world.ask(|token| Event::Delete(token, key())), Ok(None), "twice does no harm");
    world.initialize(new(1, -1, 0, &[])).expect("set anew");
    world.feed(Event::TopicsDeleted(BTreeSet::from([Uuid(7)])));
    world.crash();
    assert_eq!(world.machine.count(), 0);
}

#[test]
fn what_was_written_before_all_is_written_anew_is_not_needed() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    for at in 0..4 {
        world.write(new(1, 4, at, &[batch(at, at, 2)])).expect("written");
    }
    let before = world.machine.state(&key()).map(|known| known.batches.clone());
    let end = world.log.len();
    assert_eq!(world.ask(Event::SnapshotAll), Ok(None));
    world.log.drain(..end);
    world.crash();
    assert_eq!(world.machine.state(&key()).map(|known| known.batches.clone()), before);
}

#[test]
fn unless_every_one_is_written_anew_what_was_written_before_is_needed() {
    let mut world = World::new();
    // Three appends of at most ten.
    for partition in 0..25 {
        let key = ShareKey { partition, ..key() };
        let set = Event::Initialize(Token(1000), key, new(1, -1, i64::from(partition), &[]));
        assert_eq!(world.feed(set).len(), 1);
    }
    let before = world.machine.states.clone();
    for refused in 0..3 {
        world.refuses_nth = Some(refused);
        assert_eq!(code(world.ask(Event::SnapshotAll)), ErrorCode::NOT_COORDINATOR, "{refused}");
        assert!(world.machine.pending.is_empty(), "nothing is left behind");
        let taken_back = |(key, known): (&ShareKey, &KnownState)| before[key] == *known;
        let old = world.machine.states.iter().filter(|it| taken_back(*it)).count();
        assert_eq!(old, if refused < 2 { 10 } else { 5 }, "as if {refused} had never been");
        world.machine.states.clone_from(&before);
    }
    let end = world.log.len();
    assert_eq!(world.ask(Event::SnapshotAll), Ok(None));
    world.log.drain(..end);
    world.crash();
    assert_eq!(world.machine.count(), 25);
}

#[test]
fn large_snapshots_are_appended_one_by_one() {
    let mut world = World::new();
    let many: Vec<StateBatch> = (0..14_000).map(|at| batch(at, at, (at % 2) as i8)).collect();
    for partition in 0..3 {
        let key = ShareKey { partition, ..key() };
        world.feed(Event::Initialize(Token(1000), key.clone(), new(1, -1, 0, &[])));
        world.feed(Event::Write(Token(1001), key, new(1, 1, 0, &many)));
    }
    let appends = world.machine.on(Event::SnapshotAll(Token(1)), world.now).appends;
    assert_eq!(appends.len(), 3);
}

#[test]
fn answers_wait_for_what_they_rest_on() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    world.read(4).expect("the leader");
    world.holds = true;
    let write = Event::Write(Token(100), key(), new(1, 4, 5, &[]));
    assert_eq!(world.feed(write), []);
    assert_eq!(world.feed(Event::Read(Token(101), key(), 4)), [], "it is not committed yet");
    let told = world.commit();
    assert_eq!(told.iter().map(|(token, _)| token.0).collect::<Vec<_>>(), [100, 101]);
    let known = told[1].1.clone().expect("known").expect("set");
    assert_eq!(known.start_offset, 5);
}

#[test]
fn what_the_next_coordinator_loads_is_told_once_it_is_committed() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    world.read(4).expect("the leader");
    world.holds = true;
    assert_eq!(world.feed(Event::Write(Token(100), key(), new(1, 4, 5, &[]))), []);
    // The coordinator dies, and the next one has its record, which may yet be lost.
    world.crash();
    let inherited = world.machine.inherit(world.now).expect("it counts as an append");
    world.held.push(inherited);
    assert_eq!(world.feed(Event::Read(Token(101), key(), 4)), []);
    assert_eq!(world.feed(Event::Summary(Token(102), key())), []);
    let told = world.commit();
    assert_eq!(told.iter().map(|(token, _)| token.0).collect::<Vec<_>>(), [101, 102]);
    for (_, reply) in told {
        assert_eq!(reply.expect("known").expect("set").start_offset, 5);
    }
}

#[test]
fn who_waits_too_long_is_told_so_and_what_is_refused_never_happened() {
    let mut world = World::new();
    world.initialize(new(1, -1, 0, &[])).expect("set");
    world.holds = true;
    assert_eq!(world.feed(Event::Write(Token(100), key(), new(1, 4, 5, &[]))), []);
    world.now.mono = 5000;
    assert_eq!(world.machine.next_deadline(), Some(5000));
    let late = world.feed(Event::Outcome(Outcome::Tick));
    assert_eq!(late.len(), 1);
    assert_eq!(code(late[0].1.clone()), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.machine.next_deadline(), None);
    world.commit();
    world.holds = false;
    world.refuses = true;
    assert_eq!(code(world.write(new(1, 4, 9, &[]))), ErrorCode::NOT_COORDINATOR);
    assert_eq!(code(world.initialize(new(2, -1, 9, &[]))), ErrorCode::NOT_COORDINATOR);
    assert_eq!(world.machine.state(&key()).map(|known| known.start_offset), Some(5));
}
