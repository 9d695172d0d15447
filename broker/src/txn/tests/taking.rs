//! Producers that take a transactional id over, add partitions, and are fenced.

use vltava_wire::ErrorCode;

use super::world::{ID, TIMEOUT_MS, World, at};
use crate::txn::calls::InitCall;
use crate::txn::config::TxnConfig;
use crate::txn::machine::{Event, Reply};
use crate::txn::state::State;

const FENCED: Result<(i64, i16), ErrorCode> = Err(ErrorCode::PRODUCER_FENCED);
const CONCURRENT: Result<(i64, i16), ErrorCode> = Err(ErrorCode::CONCURRENT_TRANSACTIONS);

#[test]
fn each_producer_that_comes_gets_the_next_epoch_and_fences_the_last() {
    for level in [0, 2] {
        let mut world = World::at_level(level);
        assert_eq!(world.init(None), Ok((1001, 0)));
        assert_eq!(world.init(None), Ok((1001, 1)));
        assert_eq!(world.add((1001, 0), 0), ErrorCode::PRODUCER_FENCED);
        assert_eq!(world.end((1001, 0), true), FENCED);
        assert_eq!(world.add((1001, 1), 0), ErrorCode::NONE);
        assert_eq!(world.state(), State::Ongoing);
    }
}

#[test]
fn a_producer_that_goes_on_says_who_it_is() {
    let mut world = World::at_level(2);
    assert_eq!(world.init(None), Ok((1001, 0)));
    assert_eq!(world.init(Some((1001, 0))), Ok((1001, 1)));
    // The answer was lost, and it asks again.
    assert_eq!(world.init(Some((1001, 0))), Ok((1001, 1)));
    assert_eq!(world.init(Some((1001, 1))), Ok((1001, 2)));
    assert_eq!(world.init(Some((1001, 0))), FENCED);
    assert_eq!(world.init(Some((7, 2))), FENCED);
    // Once another one has come, there is no going back.
    assert_eq!(world.init(None), Ok((1001, 3)));
    assert_eq!(world.init(Some((1001, 2))), FENCED);
}

#[test]
fn a_producer_that_nobody_knows_is_told_so() {
    let mut world = World::at_level(2);
    assert_eq!(world.add((5, 0), 0), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(world.end((5, 0), true), Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
    let call = world.partitions((5, 0), &[0]);
    assert_eq!(world.shard.verify(&call), Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
    // One that says who it is may go on though the coordinator has forgotten it.
    assert_eq!(world.init(Some((5, 3))), Ok((1001, 0)));
    assert_eq!(world.add((5, 0), 0), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
}

#[test]
fn timeouts_have_bounds() {
    let mut world = World::at_level(2);
    for timeout_ms in [0, -1, 900_001] {
        let call = InitCall { id: ID.into(), timeout_ms, expected: None };
        let token = world.send(|token| Event::Init(token, call));
        let refused = Reply::Init(Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT));
        assert_eq!(world.answer(token), Some(&refused));
    }
    assert!(world.shard.stored(ID).is_none());
}

#[test]
fn taking_over_an_open_transaction_aborts_it_first() {
    for (level, epochs) in [(0, [1, 2]), (2, [2, 3])] {
        let mut world = World::at_level(level);
        world.put(State::Ongoing, 9, 0);
        assert_eq!(world.init(None), CONCURRENT);
        assert_eq!(world.state(), State::PrepareAbort);
        assert_eq!(world.stored().producer_epoch, epochs[0], "the marker fences as well");
        let markers = &world.markers[0];
        assert_eq!((markers.producer_epoch, markers.commits), (epochs[0], false));
        assert_eq!(world.init(None), CONCURRENT);
        assert_eq!(
            world.end((9, 0), true).err(),
            Some(match level {
                0 => ErrorCode::PRODUCER_FENCED,
                _ => ErrorCode::CONCURRENT_TRANSACTIONS,
            })
        );
        world.mark_all();
        // Before the other one comes again, too, this one is out.
        assert_eq!(world.end((9, 0), true), FENCED);
        assert_eq!(world.end((9, 0), false), FENCED);
        assert_eq!(world.init(Some((9, 0))), FENCED);
        assert_eq!(world.init(None), Ok((9, epochs[1])));
        assert_eq!(world.add((9, 0), 0), ErrorCode::PRODUCER_FENCED);
        assert_eq!(world.end((9, 0), false), FENCED);
    }
}

#[test]
fn used_up_epochs_bring_a_new_producer_id() {
    const LAST: i16 = i16::MAX - 1;
    let mut world = World::at_level(2);
    world.put(State::CompleteCommit, 9, LAST);
    assert_eq!(world.init(Some((9, LAST))), Ok((1001, 0)));
    assert_eq!(world.stored().previous_producer_id, 9);
    // The answer was lost: the old id is still good for that.
    assert_eq!(world.init(Some((9, LAST))), Ok((1001, 0)));
    assert_eq!(world.add((9, LAST), 0), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    world.put(State::Empty, 9, LAST);
    assert_eq!(world.init(None), Ok((1002, 0)));
}

#[test]
fn a_producer_can_be_fenced_in_its_last_epoch() {
    for (epoch, dies) in [(2, false), (2, true), (1, false), (1, true)] {
        let epoch = i16::MAX - epoch;
        let mut world = World::at_level(2);
        world.put(State::Ongoing, 9, epoch);
        assert_eq!(world.init(None), CONCURRENT);
        assert_eq!(world.stored().producer_epoch, i16::MAX);
        world.mark_all();
        assert_eq!(world.state(), State::CompleteAbort);
        if dies {
            world.fail_over(usize::MAX);
        }
        for commits in [true, false] {
            assert_eq!(world.end((9, epoch), commits), FENCED, "{epoch}, commits {commits}");
        }
        assert_eq!(world.init(Some((9, epoch))), FENCED, "{epoch}");
        assert_eq!(world.init(None), Ok((1001, 0)));
        assert!(world.end((9, epoch), false).is_err(), "it does not get the next one's id");
    }
}

#[test]
fn without_a_producer_id_the_one_who_needs_it_is_told() {
    let mut world = World::at_level(2);
    world.no_ids = Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(world.init(None), Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    assert!(world.shard.stored(ID).is_none());
    world.no_ids = None;
    assert_eq!(world.init(None), Ok((1002, 0)));
}

#[test]
fn nothing_changes_while_something_is_being_stored() {
    let mut world = World::at_level(2);
    world.put(State::Empty, 9, 0);
    world.commits = false;
    let call = world.partitions((9, 0), &[0]);
    let adding = world.send(|token| Event::Add(token, call));
    assert_eq!(world.answer(adding), None);
    assert_eq!(world.add((9, 0), 1), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(world.end((9, 0), true), CONCURRENT);
    assert_eq!(world.init(None), CONCURRENT);
    let call = world.partitions((9, 0), &[0]);
    let verdict = vec![(at("a", 0), ErrorCode::TRANSACTION_ABORTABLE)];
    assert_eq!(world.shard.verify(&call), Ok(verdict), "what is not committed does not hold");
    world.commit_all();
    assert_eq!(world.answer(adding), Some(&Reply::Add(ErrorCode::NONE)));
    assert_eq!(world.shard.verify(&call), Ok(vec![(at("a", 0), ErrorCode::NONE)]));
}

#[test]
fn what_cannot_be_stored_has_not_happened() {
    let mut world = World::at_level(2);
    world.refuses = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.init(None), Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert!(world.shard.stored(ID).is_none(), "an id that nobody got is forgotten");
    world.refuses = None;
    let identity = world.init(None).expect("an id");
    assert_eq!(world.add(identity, 0), ErrorCode::NONE);
    world.refuses = Some(ErrorCode::NOT_COORDINATOR);
    assert_eq!(world.end(identity, true), Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(world.init(None), Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(world.state(), State::Ongoing);
    assert_eq!(world.stored().producer_epoch, identity.1, "no epoch is used up by a failure");
    world.refuses = None;
    assert!(world.end(identity, true).is_ok());
}

#[test]
fn what_takes_too_long_is_answered_and_holds_all_the_same() {
    let mut world = World::at_level(2);
    world.put(State::Ongoing, 9, 4);
    world.commits = false;
    let call = world.ending((9, 4), true);
    let ending = world.send(|token| Event::End(token, call));
    world.pass(30_000);
    let told = Reply::End(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(world.answer(ending), Some(&told));
    assert!(world.markers.is_empty(), "nobody is told before it is certain");
    world.commit_all();
    assert_eq!(world.state(), State::PrepareCommit);
    assert_eq!(world.end((9, 4), true), CONCURRENT, "it is the retry of what is being done");
    world.commits = true;
    world.mark_all();
    assert_eq!(world.end((9, 4), true), Ok((9, 5)));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    for level in [0, 2] {
        let mut world = World::at_level(level);
        let identity = world.init(None).expect("an id");
        assert_eq!(world.add(identity, 0), ErrorCode::NONE);
        world.pass(TIMEOUT_MS as u64 - 1);
        assert_eq!(world.state(), State::Ongoing);
        world.pass(world.config.abort_interval_ms as u64);
        assert_eq!(world.state(), State::CompleteAbort);
        assert_eq!(world.add(identity, 0), ErrorCode::PRODUCER_FENCED);
        for _ in 0..2 {
            for commits in [true, false] {
                assert_eq!(world.end(identity, commits), FENCED, "level {level}, {commits}");
            }
            assert_eq!(world.init(Some(identity)), FENCED);
            world.fail_over(usize::MAX);
        }
        let (_, epoch) = world.init(None).expect("an id");
        assert!(epoch > identity.1 + 1);
    }
}

#[test]
fn the_time_of_a_transaction_goes_on_at_another_coordinator() {
    let mut world = World::at_level(2);
    world.put(State::Ongoing, 9, 0);
    world.pass(TIMEOUT_MS as u64 / 2);
    world.fail_over(1);
    world.pass(TIMEOUT_MS as u64 / 2 + world.config.abort_interval_ms as u64);
    assert_eq!(world.state(), State::PrepareAbort);
    // A clock that went back does not make it longer than it may be.
    let mut world = World::at_level(2);
    world.put(State::Ongoing, 9, 0);
    world.now.wall -= 1_000_000_000;
    world.fail_over(1);
    world.pass(TIMEOUT_MS as u64 + world.config.abort_interval_ms as u64);
    assert_eq!(world.state(), State::PrepareAbort);
}

#[test]
fn ids_that_nobody_uses_are_forgotten_and_no_others() {
    let config = TxnConfig { id_expiration_ms: 10_000_000, ..TxnConfig::default() };
    for state in [State::Empty, State::CompleteCommit, State::CompleteAbort] {
        let mut world = World::with(config.clone(), 2);
        world.put(state, 9, 0);
        world.pass(9_000_000);
        assert!(world.shard.stored(ID).is_some());
        world.pass(10_000_000);
        assert!(world.shard.stored(ID).is_none(), "{state:?}");
        assert_eq!(world.log.last().expect("a tombstone").value, None);
        world.fail_over(usize::MAX);
        assert!(world.shard.stored(ID).is_none());
        assert_eq!(world.init(None), Ok((1001, 0)));
    }
    for state in [State::PrepareCommit, State::PrepareAbort] {
        let mut world = World::with(config.clone(), 2);
        world.put(state, 9, 0);
        world.pass(30_000_000);
        assert_eq!(world.state(), state, "what is decided waits for its partitions for ever");
    }
}
