//! Offsets that are committed in transactions: when they count, and who may commit them.

use vltava_log::Verification;
use vltava_wire::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use vltava_wire::{ErrorCode, ProducerEpoch, ProducerId, Str};

use super::world::{GROUP, World, commit_of, consumer, s};
use crate::group::calls::{CommitCall, OffsetDeleteCall};
use crate::group::machine::{Event, Reply, Token};
use crate::partition::transactions::TransactionEnd;
use crate::shard::TxnProducer;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A commit in the transaction of a producer.
fn within(producer: i64, call: CommitCall) -> CommitCall {
    let transaction = Some(TxnProducer {
        id: ProducerId(producer),
        epoch: ProducerEpoch(0),
        verification: Verification::Ongoing,
    });
    CommitCall { transaction, ..call }
}

fn alone(producer: i64, topic: &str, offset: i64) -> CommitCall {
    within(producer, commit_of("", -1, topic, offset))
}

fn end(world: &mut World, producer: i64, commits: bool) -> Token {
    let end = TransactionEnd {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        commits,
        coordinator_epoch: 0,
        version: 0,
    };
    world.send(|token| Event::EndTransaction(token, end))
}

/// What one who wants stable offsets is told of partition 0 of a topic.
fn stable(world: &mut World, topic: &str) -> (i64, ErrorCode) {
    let token = world.fetch(GROUP, Some(topic), true);
    match world.answer(token) {
        Some(Reply::Fetch(response)) => {
            let partition = &response.topics[0].partitions[0];
            (partition.committed_offset, partition.error_code)
        }
        other => panic!("{other:?} for an answer to an OffsetFetch"),
    }
}

const UNSTABLE: (i64, ErrorCode) = (-1, ErrorCode::UNSTABLE_OFFSET_COMMIT);

#[test]
fn an_offset_counts_once_its_transaction_is_committed() {
    let mut world = World::new();
    let commit = world.commit(alone(1, "orders", 5));
    assert_eq!(world.committed(commit), ErrorCode::NONE);
    assert_eq!(world.state(), "Empty", "the group is there by it");
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    assert_eq!(stable(&mut world, "orders"), UNSTABLE);
    assert_eq!(stable(&mut world, "others"), (-1, ErrorCode::NONE));
    let ended = end(&mut world, 1, true);
    assert_eq!(world.answer(ended), Some(&Reply::TransactionEnded(ErrorCode::NONE)));
    assert_eq!(stable(&mut world, "orders"), (5, ErrorCode::NONE));
}

#[test]
fn an_offset_of_an_aborted_transaction_never_was() {
    let mut world = World::new();
    world.commit(commit_of("", -1, "orders", 3));
    world.commit(alone(1, "orders", 5));
    assert_eq!(stable(&mut world, "orders"), UNSTABLE);
    end(&mut world, 1, false);
    assert_eq!(stable(&mut world, "orders"), (3, ErrorCode::NONE));
}

#[test]
fn a_new_coordinator_knows_of_open_transactions() {
    for (commits, expected) in [(true, 5), (false, 3)] {
        let mut world = World::new();
        world.commit(commit_of("", -1, "orders", 3));
        world.commit(alone(1, "orders", 5));
        world.fail_over();
        assert_eq!(world.offset_of(GROUP, "orders"), 3);
        assert_eq!(stable(&mut world, "orders"), UNSTABLE);
        end(&mut world, 1, commits);
        assert_eq!(stable(&mut world, "orders"), (expected, ErrorCode::NONE));
        world.fail_over();
        assert_eq!(stable(&mut world, "orders"), (expected, ErrorCode::NONE));
    }
}

#[test]
fn a_marker_that_is_lost_with_its_coordinator_is_written_again() {
    let mut world = World::new();
    world.commit(alone(1, "orders", 5));
    world.commits = false;
    let first = end(&mut world, 1, true);
    assert_eq!(world.answer(first), None);
    assert_eq!(world.offset_of(GROUP, "orders"), -1, "it is not committed");
    world.fail_over_to_committed();
    assert_eq!(stable(&mut world, "orders"), UNSTABLE);
    world.commits = true;
    end(&mut world, 1, true);
    assert_eq!(stable(&mut world, "orders"), (5, ErrorCode::NONE));
    // Once more, as the answer may have been lost: harmless.
    end(&mut world, 1, true);
    assert_eq!(stable(&mut world, "orders"), (5, ErrorCode::NONE));
}

#[test]
fn the_order_of_the_log_decides_between_commits() {
    for fails_over in [false, true] {
        let mut world = World::new();
        world.commit(alone(1, "orders", 5));
        world.commit(alone(2, "orders", 6));
        world.commit(commit_of("", -1, "others", 1));
        world.commit(alone(1, "others", 7));
        world.commit(commit_of("", -1, "others", 8));
        if fails_over {
            world.fail_over();
        }
        end(&mut world, 2, true);
        assert_eq!(stable(&mut world, "orders"), UNSTABLE, "the other one is open");
        end(&mut world, 1, true);
        assert_eq!(stable(&mut world, "orders"), (6, ErrorCode::NONE), "it was stored later");
        assert_eq!(stable(&mut world, "others"), (8, ErrorCode::NONE));
        world.fail_over();
        assert_eq!(stable(&mut world, "orders"), (6, ErrorCode::NONE));
        assert_eq!(stable(&mut world, "others"), (8, ErrorCode::NONE));
    }
}

#[test]
fn a_member_commits_in_its_generation_also_while_others_rejoin() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    for (member, generation, code) in [
        (a.as_str(), 1, ErrorCode::NONE),
        (a.as_str(), 2, ErrorCode::ILLEGAL_GENERATION),
        ("stranger", 1, ErrorCode::UNKNOWN_MEMBER_ID),
        // Producers before KIP-447 say nothing of members.
        ("", -1, ErrorCode::NONE),
    ] {
        let commit = world.commit(within(1, commit_of(member, generation, "orders", 7)));
        assert_eq!(world.committed(commit), code, "{member:?} in {generation}");
    }
    let (b, _) = world.enter("b");
    world.join(consumer("a", &a));
    assert_eq!(world.state(), "CompletingRebalance");
    let commit = world.commit(within(1, commit_of(&b, 2, "orders", 9)));
    assert_eq!(world.committed(commit), ErrorCode::NONE);
    end(&mut world, 1, true);
    assert_eq!(world.offset_of(GROUP, "orders"), 9);
}

#[test]
fn what_a_transaction_holds_open_is_not_forgotten() {
    let mut world = World::new();
    world.commit(commit_of("", -1, "orders", 3));
    world.commit(alone(1, "orders", 5));
    world.pass(8 * DAY);
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.offset_of(GROUP, "orders"), 3);
    end(&mut world, 1, false);
    world.pass(DAY);
    assert_eq!(world.state(), "Dead");
}

#[test]
fn an_offset_that_is_deleted_is_deleted_in_open_transactions_too() {
    for fails_over in [false, true] {
        let mut world = World::new();
        world.commit(alone(1, "orders", 5));
        let call = OffsetDeleteCall {
            group_id: GROUP.into(),
            topics: vec![OffsetDeleteRequestTopic {
                name: "orders".into(),
                partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
            }],
        };
        world.send(|token| Event::DeleteOffsets(token, call));
        if fails_over {
            world.fail_over();
        }
        assert_eq!(stable(&mut world, "orders"), (-1, ErrorCode::NONE));
        end(&mut world, 1, true);
        assert_eq!(stable(&mut world, "orders"), (-1, ErrorCode::NONE));
    }
}

#[test]
fn a_group_that_is_deleted_takes_open_commits_with_it() {
    let mut world = World::new();
    world.commit(alone(1, "orders", 5));
    let token = world.send(|token| Event::DeleteGroups(token, vec![Str::from(GROUP)]));
    assert!(matches!(world.answer(token), Some(Reply::Deletions(_))));
    assert_eq!(world.state(), "Dead");
    end(&mut world, 1, true);
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    world.fail_over();
    assert_eq!(world.state(), "Dead");
}

#[test]
fn a_marker_that_is_refused_ends_nothing() {
    let mut world = World::new();
    world.commit(alone(1, "orders", 5));
    world.refuses = Some(ErrorCode::INVALID_PRODUCER_EPOCH);
    let refused = end(&mut world, 1, true);
    let code = ErrorCode::INVALID_PRODUCER_EPOCH;
    assert_eq!(world.answer(refused), Some(&Reply::TransactionEnded(code)));
    world.refuses = None;
    assert_eq!(stable(&mut world, "orders"), UNSTABLE);
    world.pass(s(1));
}
