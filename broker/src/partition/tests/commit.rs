//! When records count: high watermark, min ISR, flushes, and who may read what.

use std::pin::pin;

use vltava_log::SyncKind;

use super::super::read::OffsetQuery;
use super::*;

#[test]
fn a_record_is_committed_once_it_is_durable_on_every_replica_in_sync() {
    let mut world = World::new(&[1, 2, 3]);
    let appended = world.node(1).append("a").expect("appended");
    let committed = Arc::clone(&world.node(1).partition).committed(appended.end(), LeaderEpoch(1));
    let mut committed = pin!(committed);
    assert!(look(committed.as_mut()).is_pending());

    for id in [2, 3] {
        world.fetch(id).expect("a fetch");
        world.node(id).flush();
        world.fetch(id).expect("the fetch that acknowledges");
    }
    assert_eq!(world.node(1).high_watermark(), 0, "the leader's own disk is not done");
    world.node(1).flush();
    assert_eq!(world.node(1).high_watermark(), 1);
    assert!(matches!(look(committed.as_mut()), Poll::Ready(Ok(()))));
    assert!(!world.node_mut(1).proposes(), "the ISR stays");
}

#[test]
fn a_follower_acknowledges_only_what_it_has_flushed() {
    let world = World::new(&[1, 2]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.fetch(2).expect("a fetch");
    let leader = world.node(1).id;
    let from = world.node(2).partition.fetch_from(leader, LeaderEpoch(1)).expect("follows");
    assert!(!from.is_durable);
    assert_eq!(world.node(2).partition.flush_now(), Some(Offset(1)));
    world.node(2).flush();
    let from = world.node(2).partition.fetch_from(leader, LeaderEpoch(1)).expect("follows");
    assert!(from.is_durable);
    assert_eq!(world.node(1).high_watermark(), 0);
    world.fetch(2).expect("a fetch");
    assert_eq!(world.node(1).high_watermark(), 1);
}

#[test]
fn a_topic_that_does_not_flush_acknowledges_from_memory() {
    let world = World::with(&[1, 2], settings(&[("flush.messages", "9223372036854775807")]));
    world.node(1).append("a").expect("appended");
    world.fetch(2).expect("a fetch");
    world.fetch(2).expect("a fetch");
    assert_eq!(world.node(1).high_watermark(), 1);
    assert_eq!(world.node(1).disk.sync_count(SyncKind::LogFlush), 0);
}

#[test]
fn a_topic_flushes_after_so_many_records() {
    let world =
        World::with(&[1], settings(&[("flush.messages", "3"), ("min.insync.replicas", "1")]));
    for text in ["a", "b"] {
        world.node(1).append(text).expect("appended");
    }
    world.node(1).flush();
    assert_eq!(world.node(1).position().flushed, Offset(0));
    world.node(1).append("c").expect("appended");
    world.node(1).flush();
    assert_eq!(world.node(1).position().flushed, Offset(3));
}

#[test]
fn one_sync_covers_all_that_wait() {
    let world = World::new(&[1, 2]);
    for number in 0..100 {
        world.node(1).append(&number.to_string()).expect("appended");
    }
    world.node(1).flush();
    assert_eq!(world.node(1).disk.sync_count(SyncKind::LogFlush), 1);
    assert_eq!(world.node(1).position().flushed, Offset(100));
}

#[test]
fn with_too_few_in_sync_nothing_is_taken_and_nothing_is_committed() {
    let mut world = World::new(&[1, 2]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.set_isr(&[1]);
    world.tell(&[1]);
    let refused = world.node(1).append("b").unwrap_err();
    assert!(
        matches!(refused, PartitionError::NotEnoughReplicas { in_sync: 1, min_in_sync: 2 }),
        "{refused}"
    );
    assert_eq!(world.node(1).high_watermark(), 0, "not even what was appended before (KIP-966)");
}

#[test]
fn an_acknowledgement_that_lost_its_replicas_says_so() {
    let mut world = World::new(&[1, 2]);
    let appended = world.node(1).append("a").expect("appended");
    world.replicate(&[2]);
    world.node(1).flush();
    assert_eq!(world.node(1).high_watermark(), 1);
    world.set_isr(&[1]);
    world.tell(&[1]);
    let committed = Arc::clone(&world.node(1).partition).committed(appended.end(), LeaderEpoch(1));
    let result = look(pin!(committed).as_mut());
    assert!(
        matches!(result, Poll::Ready(Err(PartitionError::NotEnoughReplicasAfterAppend))),
        "{result:?}"
    );
}

#[test]
fn a_follower_that_catches_up_joins_and_counts_from_the_proposal_on() {
    let mut world = World::new(&[1, 2]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.replicate(&[2]);
    world.replicate(&[3]);
    assert!(world.node_mut(1).proposes());
    world.node(1).append("b").expect("appended");
    world.node(1).flush();
    world.replicate(&[2]);
    assert_eq!(world.node(1).high_watermark(), 1, "3 holds it back before it is committed");
    world.accept();
    assert_eq!(world.node(1).partition.in_sync(), Some((3, 3)));
    world.replicate(&[3]);
    assert_eq!(world.node(1).high_watermark(), 2);
}

#[test]
fn a_follower_of_an_old_registration_is_not_heard() {
    let world = World::new(&[1, 2]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.replicate(&[2]);
    let at = ReadAt {
        offset: Offset(1),
        max_bytes: 1000,
        min_one_batch: true,
        leader_epoch: LeaderEpoch(1),
        last_epoch: LeaderEpoch(1),
        log_start: Offset(0),
        any_replica: false,
    };
    let stale = Reader::Follower { node: NodeId(3), broker_epoch: BrokerEpoch(5) };
    let refused = world.node(1).partition.read(&at, stale, true).unwrap_err();
    assert!(matches!(refused, PartitionError::UnknownReplica(NodeId(3))), "{refused}");
    let stranger = Reader::Follower { node: NodeId(9), broker_epoch: BrokerEpoch(500) };
    let refused = world.node(1).partition.read(&at, stranger, true).unwrap_err();
    assert!(matches!(refused, PartitionError::UnknownReplica(NodeId(9))), "{refused}");
}

#[test]
fn consumers_see_what_is_committed_and_followers_all() {
    let world = World::new(&[1, 2]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.replicate(&[2]);
    world.node(1).append("b").expect("appended");
    let follower = Reader::Follower { node: NodeId(2), broker_epoch: BrokerEpoch(-1) };
    assert_eq!(world.node(1).read(0, Reader::Consumer).expect("read"), ["a"]);
    assert_eq!(world.node(1).read(0, follower).expect("read"), ["a", "b"]);
    assert_eq!(world.node(1).read(2, Reader::Consumer).expect("nothing yet").len(), 0);
    let beyond = world.node(1).read(3, Reader::Consumer).unwrap_err();
    assert!(matches!(beyond, PartitionError::OffsetOutOfRange { .. }), "{beyond}");
    let elsewhere = world.node(2).read(0, Reader::Consumer).unwrap_err();
    assert!(matches!(elsewhere, PartitionError::NotLeader), "{elsewhere}");
}

#[test]
fn an_idempotent_producer_is_answered_with_what_it_wrote_before() {
    let world = World::new(&[1, 2]);
    let first = world.node(1).append_bytes(&mut idempotent("a", 0)).expect("appended");
    world.node(1).append_bytes(&mut idempotent("b", 1)).expect("appended");
    let again = world.node(1).append_bytes(&mut idempotent("a", 0)).expect("a duplicate");
    assert!(again.info.is_duplicate);
    assert_eq!(again.info.base_offset, first.info.base_offset);
    let gap = world.node(1).append_bytes(&mut idempotent("d", 3)).unwrap_err();
    let PartitionError::Append(gap) = gap else { panic!("{gap}") };
    assert!(matches!(*gap, vltava_log::AppendError::OutOfOrderSequence { .. }), "{gap}");
    assert_eq!(world.node(1).all(), ["a", "b"]);
}

#[test]
fn records_are_deleted_everywhere_before_that_is_answered() {
    let world = World::new(&[1, 2, 3]);
    for text in ["a", "b", "c"] {
        world.node(1).append(text).expect("appended");
    }
    world.node(1).flush();
    world.replicate(&[2, 3]);
    let leader = &world.node(1).partition;
    assert_eq!(leader.delete_records(Some(Offset(2))).expect("moved"), Offset(2));
    let everywhere = Arc::clone(leader).deleted_everywhere(Offset(2));
    let mut everywhere = pin!(everywhere);
    assert!(look(everywhere.as_mut()).is_pending());
    world.replicate(&[2]);
    assert!(look(everywhere.as_mut()).is_pending());
    world.replicate(&[3]);
    assert!(matches!(look(everywhere.as_mut()), Poll::Ready(Ok(Offset(2)))));
    assert_eq!(world.node(3).position().log_start, Offset(2));
    let beyond = leader.delete_records(Some(Offset(4))).unwrap_err();
    assert!(matches!(beyond, PartitionError::OffsetOutOfRange { .. }), "{beyond}");
}

#[test]
fn records_of_a_topic_that_is_only_compacted_are_not_deleted() {
    for (policy, deletes) in [("compact", false), ("compact,delete", true)] {
        let topic = [("min.insync.replicas", "1"), ("cleanup.policy", policy)];
        let world = World::with(&[1], settings(&topic));
        world.node(1).append("a").expect("appended");
        world.node(1).flush();
        match world.node(1).partition.delete_records(Some(Offset(1))) {
            Ok(start) => assert!(deletes && start == Offset(1), "{policy}"),
            Err(error) => assert!(matches!(error, PartitionError::KeepsRecords) && !deletes),
        }
        assert_eq!(world.node(1).position().log_start, Offset(i64::from(deletes)), "{policy}");
    }
}

#[test]
fn offsets_are_found_by_time_and_by_name() {
    let world = World::with(&[1], settings(&[("min.insync.replicas", "1")]));
    let now = super::super::surroundings::wall_clock_ms();
    for (text, age) in [("a", 3000), ("b", 1000), ("c", 2000)] {
        let mut builder = BatchBuilder::new(Offset(0));
        builder.append(now - age, None, Some(text.as_bytes()), &[]);
        world.node(1).append_bytes(&mut builder.build()).expect("appended");
    }
    world.node(1).flush();
    let find = |query| {
        let found =
            world.node(1).partition.find_offset(query, Reader::Consumer, LeaderEpoch::UNKNOWN);
        found.expect("leads").map(|found| found.offset.get())
    };
    assert_eq!(find(OffsetQuery::Earliest), Some(0));
    assert_eq!(find(OffsetQuery::Latest), Some(3));
    assert_eq!(find(OffsetQuery::MaxTimestamp), Some(1));
    assert_eq!(find(OffsetQuery::At(now - 2500)), Some(1));
    assert_eq!(find(OffsetQuery::At(now)), None);
}

#[test]
fn requests_of_another_leader_epoch_are_refused() {
    let mut world = World::new(&[1, 2]);
    world.elect(1, &[1, 2]);
    world.tell(&[1]);
    let ask = |epoch| {
        let partition = &world.node(1).partition;
        partition.find_offset(OffsetQuery::Earliest, Reader::Consumer, LeaderEpoch(epoch))
    };
    assert!(ask(2).is_ok());
    assert!(matches!(ask(1), Err(PartitionError::FencedLeaderEpoch { .. })));
    assert!(matches!(ask(3), Err(PartitionError::UnknownLeaderEpoch { .. })));
}

#[test]
fn a_follower_that_dies_before_it_could_join_holds_nothing_back() {
    let mut world = World::new(&[1, 2]);
    world.fetch(3).expect("a fetch that catches up");
    assert!(world.node_mut(1).proposes(), "it may join");
    let leader = Arc::clone(&world.node(1).partition);
    leader.answer_proposal(LeaderEpoch(1), Outcome::Rejected, Instant::now());

    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.fetch(2).expect("a fetch");
    world.node(2).flush();
    world.fetch(2).expect("the fetch that acknowledges");
    assert_eq!(world.node(1).high_watermark(), 0, "it may still join, and waits for the record");

    world.registered.lock().remove(&NodeId(3));
    leader.recheck_followers(&[NodeId(2)]);
    assert_eq!(world.node(1).high_watermark(), 1);
}
