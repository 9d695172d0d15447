//! EndTxn in every state: by the protocol in which each transaction has its own epoch, and by the
//! one before.

use vltava_wire::ErrorCode;

use super::world::{World, at};
use crate::txn::machine::Event;
use crate::txn::state::State;

type Verdict = Result<(i64, i16), ErrorCode>;

const FENCED: Verdict = Err(ErrorCode::PRODUCER_FENCED);
const INVALID: Verdict = Err(ErrorCode::INVALID_TXN_STATE);
const CONCURRENT: Verdict = Err(ErrorCode::CONCURRENT_TRANSACTIONS);
const DONE: Verdict = Ok((9, 5));
/// It is decided now; the producer goes on in the next epoch.
const DECIDED: Verdict = Ok((9, 6));

fn outcome(level: i16, state: State, epoch: i16, commits: bool) -> (Verdict, State) {
    let mut world = World::at_level(level);
    world.put(state, 9, 5);
    let verdict = world.end((9, epoch), commits);
    (verdict, world.state())
}

#[test]
fn with_an_epoch_for_each_transaction_the_epoch_says_what_a_retry_is() {
    use State::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    // Abort as a retry, abort in the present epoch, commit as a retry, commit in the present one.
    let table = [
        (Empty, [FENCED, DECIDED, FENCED, INVALID]),
        (Ongoing, [FENCED, DECIDED, FENCED, DECIDED]),
        (PrepareAbort, [CONCURRENT; 4]),
        (PrepareCommit, [CONCURRENT; 4]),
        (CompleteAbort, [DONE, DECIDED, INVALID, INVALID]),
        (CompleteCommit, [INVALID, DECIDED, DONE, INVALID]),
    ];
    for (state, verdicts) in table {
        let cases = [(4, false), (5, false), (4, true), (5, true)];
        for ((epoch, commits), verdict) in cases.into_iter().zip(verdicts) {
            let (told, now) = outcome(2, state, epoch, commits);
            assert_eq!(told, verdict, "{state:?}, epoch {epoch}, commits {commits}");
            let decided = match (verdict, commits, state) {
                (DECIDED, true, _) => PrepareCommit,
                // There is no partition to be told.
                (DECIDED, false, Empty | CompleteCommit | CompleteAbort) => CompleteAbort,
                (DECIDED, false, _) => PrepareAbort,
                _ => state,
            };
            assert_eq!(now, decided, "{state:?}, epoch {epoch}, commits {commits}");
        }
        let other = match state {
            PrepareAbort | PrepareCommit => CONCURRENT,
            _ => FENCED,
        };
        for epoch in [3, 6] {
            assert_eq!(outcome(2, state, epoch, false).0, other, "{state:?}, epoch {epoch}");
            assert_eq!(outcome(2, state, epoch, true).0, other, "{state:?}, epoch {epoch}");
        }
    }
}

#[test]
fn before_the_state_says_what_a_retry_is() {
    use State::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    let done = Ok((-1, -1));
    let table = [
        (Empty, [INVALID, INVALID]),
        (Ongoing, [done, done]),
        (PrepareAbort, [CONCURRENT, INVALID]),
        (PrepareCommit, [INVALID, CONCURRENT]),
        (CompleteAbort, [Ok((9, 5)), INVALID]),
        (CompleteCommit, [INVALID, Ok((9, 5))]),
    ];
    for (state, verdicts) in table {
        for (commits, verdict) in [false, true].into_iter().zip(verdicts) {
            assert_eq!(outcome(0, state, 5, commits).0, verdict, "{state:?}, commits {commits}");
            for epoch in [4, 6] {
                assert_eq!(outcome(0, state, epoch, commits).0, FENCED, "{state:?}");
            }
        }
    }
}

#[test]
fn other_producers_are_told_that_the_id_is_not_theirs() {
    for level in [0, 2] {
        for state in [State::Empty, State::Ongoing, State::PrepareCommit, State::CompleteAbort] {
            let mut world = World::at_level(level);
            world.put(state, 9, 5);
            // While it ends, it may be the one that goes on under another id.
            let foreign = |may_be_next| match may_be_next && state.is_prepared() {
                true => ErrorCode::CONCURRENT_TRANSACTIONS,
                false => ErrorCode::INVALID_PRODUCER_ID_MAPPING,
            };
            assert_eq!(world.end((8, 5), true), Err(foreign(level == 2)));
            assert_eq!(world.add((8, 5), 0), foreign(true));
            let call = world.partitions((8, 5), &[0]);
            assert_eq!(world.shard.verify(&call), Err(foreign(false)));
        }
    }
}

#[test]
fn partitions_are_added_in_every_state_but_while_it_ends() {
    use State::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
    for level in [0, 2] {
        for state in [Empty, Ongoing, CompleteAbort, CompleteCommit] {
            let mut world = World::at_level(level);
            world.put(state, 9, 5);
            assert_eq!(world.add((9, 5), 7), ErrorCode::NONE);
            assert_eq!(world.state(), Ongoing);
            assert!(world.stored().partitions.contains(&at("a", 7)));
            assert_eq!(world.stored().partitions.len(), 1 + usize::from(state == Ongoing));
            let written = world.log.len();
            assert_eq!(world.add((9, 5), 7), ErrorCode::NONE);
            assert_eq!(world.log.len(), written, "what is known is not stored again");
        }
        for state in [PrepareAbort, PrepareCommit] {
            let mut world = World::at_level(level);
            world.put(state, 9, 5);
            assert_eq!(world.add((9, 5), 7), ErrorCode::CONCURRENT_TRANSACTIONS);
            let call = world.partitions((9, 5), &[0]);
            assert_eq!(world.shard.verify(&call), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
        }
    }
}

#[test]
fn a_commit_is_told_to_every_partition_before_it_is_complete() {
    let mut world = World::at_level(2);
    world.marks = false;
    let identity = world.init(None).expect("an id");
    for index in [0, 1, 2] {
        assert_eq!(world.add(identity, index), ErrorCode::NONE);
    }
    assert_eq!(world.end(identity, true), Ok((identity.0, 1)));
    let markers = world.markers.pop().expect("markers are ordered");
    assert!(markers.commits);
    assert_eq!((markers.producer_id, markers.producer_epoch), (identity.0, 1));
    assert_eq!(markers.partitions.len(), 3);
    let mut marked = crate::txn::machine::Marked {
        id: markers.id.clone(),
        producer_id: markers.producer_id,
        producer_epoch: markers.producer_epoch,
        partitions: vec![at("a", 0), at("a", 2), at("a", 0)],
    };
    world.feed(Event::Marked(marked.clone()));
    assert_eq!(world.state(), State::PrepareCommit);
    // A late word about another transaction counts for nothing.
    marked.producer_epoch = 0;
    marked.partitions = vec![at("a", 1)];
    world.feed(Event::Marked(marked.clone()));
    assert_eq!(world.state(), State::PrepareCommit);
    marked.producer_epoch = 1;
    world.feed(Event::Marked(marked.clone()));
    assert_eq!(world.state(), State::CompleteCommit);
    world.feed(Event::Marked(marked));
    assert_eq!(world.state(), State::CompleteCommit);
    assert!(world.stored().partitions.is_empty());
    assert_eq!(world.add((identity.0, 1), 0), ErrorCode::NONE, "the next one begins");
}

#[test]
fn a_completion_that_cannot_be_stored_is_stored_later() {
    let mut world = World::at_level(2);
    world.put(State::Ongoing, 9, 5);
    assert_eq!(world.end((9, 5), true), Ok((9, 6)));
    world.refuses = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    world.mark_all();
    assert_eq!(world.state(), State::PrepareCommit);
    world.pass(1_000);
    assert_eq!(world.state(), State::PrepareCommit);
    world.refuses = None;
    world.pass(1_000);
    assert_eq!(world.state(), State::CompleteCommit);
    assert!(world.markers.is_empty(), "the markers are not sent again for that");
}

#[test]
fn a_transaction_in_the_last_epoch_goes_on_under_another_id() {
    const LAST: i16 = i16::MAX - 1;
    let mut world = World::at_level(2);
    world.put(State::Ongoing, 9, LAST);
    assert_eq!(world.end((9, LAST), true), Ok((1001, 0)));
    assert_eq!(world.end((9, LAST), true), CONCURRENT, "it is the retry of what is being done");
    let markers = &world.markers[0];
    assert_eq!((markers.producer_id, markers.producer_epoch), (9, i16::MAX));
    // The producer has its answer, and begins the next one while this one is being marked.
    assert_eq!(world.add((1001, 0), 3), ErrorCode::CONCURRENT_TRANSACTIONS);
    let call = world.partitions((1001, 0), &[3]);
    assert_eq!(world.shard.verify(&call), Err(ErrorCode::CONCURRENT_TRANSACTIONS));
    assert_eq!(world.end((1001, 0), false), CONCURRENT);
    assert_eq!(world.init(Some((1001, 0))), CONCURRENT);
    // Another coordinator finds the next id in the log.
    world.fail_over(usize::MAX);
    assert_eq!(world.markers.len(), 1);
    world.mark_all();
    assert_eq!((world.stored().producer_id, world.stored().producer_epoch), (1001, 0));
    assert_eq!(world.end((9, LAST), true), Ok((1001, 0)), "the answer was lost");
    assert_eq!(world.end((9, LAST), false), INVALID);
    assert_eq!(world.add((1001, 0), 3), ErrorCode::NONE);
    let foreign = Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(world.end((9, LAST), true), foreign, "that was another transaction");
}

#[test]
fn a_decision_in_the_log_is_carried_out_by_whoever_comes() {
    for (state, complete) in
        [(State::PrepareCommit, State::CompleteCommit), (State::PrepareAbort, State::CompleteAbort)]
    {
        let mut world = World::at_level(2);
        world.put(state, 9, 5);
        assert_eq!(world.markers.len(), 1);
        assert_eq!(world.markers[0].commits, state == State::PrepareCommit);
        world.mark_all();
        assert_eq!(world.state(), complete);
    }
}
