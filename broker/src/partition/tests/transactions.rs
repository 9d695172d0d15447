//! Transactions on three replicas: what may be read when, and what survives elections.

use futures::FutureExt;
use vltava_wire::batch::BatchBuilder;

use super::super::read::{OffsetQuery, ReadAt, Readable};
use super::super::transactions::TransactionEnd;
use super::super::waiter::Wake;
use super::*;

fn transactional(text: &str, id: i64, sequence: i32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Offset(0)).transactional().producer(
        ProducerId(id),
        ProducerEpoch(0),
        sequence,
    );
    let now = super::super::surroundings::wall_clock_ms();
    builder.append(now, None, Some(text.as_bytes()), &[]);
    builder.build().to_vec()
}

fn end(id: i64, commits: bool) -> TransactionEnd {
    TransactionEnd {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(0),
        commits,
        coordinator_epoch: 4,
        version: 0,
    }
}

fn at(offset: i64) -> ReadAt {
    ReadAt {
        offset: Offset(offset),
        max_bytes: 1 << 20,
        min_one_batch: true,
        leader_epoch: LeaderEpoch::UNKNOWN,
        last_epoch: LeaderEpoch::UNKNOWN,
        log_start: Offset(0),
        any_replica: false,
    }
}

fn committed(node: &Node, offset: i64) -> Readable {
    node.partition.read(&at(offset), Reader::CommittedConsumer, false).expect("read")
}

fn latest(node: &Node, reader: Reader) -> i64 {
    let found = node.partition.find_offset(OffsetQuery::Latest, reader, LeaderEpoch::UNKNOWN);
    found.expect("an offset").expect("an offset").offset.get()
}

#[test]
fn who_reads_what_is_committed_waits_for_the_marker_to_be_committed() {
    let world = World::new(&[1, 2, 3]);
    let leader = world.node(1);
    leader.append("before").expect("append");
    leader.append_bytes(&mut transactional("open", 7, 0)).expect("append");
    leader.append("after").expect("append");
    leader.flush();
    world.replicate(&[2, 3]);
    assert_eq!(leader.read(0, Reader::Consumer).expect("read"), ["before", "open", "after"]);
    assert_eq!(leader.read(0, Reader::CommittedConsumer).expect("read"), ["before"]);
    assert_eq!(latest(leader, Reader::Consumer), 3);
    assert_eq!(latest(leader, Reader::CommittedConsumer), 1);
    let wake = Wake::default();
    let _place = leader.partition.watch(&at(1), Reader::CommittedConsumer, &wake);
    leader.partition.end_transaction(&end(7, true)).expect("append");
    leader.flush();
    assert!(wake.notified().now_or_never().is_none(), "the marker is on one replica only");
    assert_eq!(committed(leader, 1).last_stable, Offset(1));
    world.replicate(&[2, 3]);
    assert!(wake.notified().now_or_never().is_some());
    assert_eq!(leader.high_watermark(), 4);
    assert_eq!(committed(leader, 1).last_stable, Offset(4));
    assert_eq!(committed(leader, 0).aborted, []);
}

#[test]
fn a_new_leader_knows_what_was_aborted_and_what_is_open() {
    let mut world = World::new(&[1, 2, 3]);
    for (sequence, text) in ["a", "b"].iter().enumerate() {
        world.node(1).append_bytes(&mut transactional(text, 7, sequence as i32)).expect("append");
    }
    world.node(1).append_bytes(&mut transactional("c", 8, 0)).expect("append");
    world.node(1).partition.end_transaction(&end(7, false)).expect("append");
    world.node(1).flush();
    world.replicate(&[2, 3]);
    world.power_cut(2);
    world.elect(2, &[2, 3]);
    world.tell(&[2, 3]);
    world.node(2).flush();
    world.replicate(&[3]);
    let leader = world.node(2);
    let readable = committed(leader, 0);
    assert_eq!((readable.high_watermark, readable.last_stable), (Offset(4), Offset(2)));
    let aborted = &readable.aborted[0];
    assert_eq!((aborted.producer_id, aborted.first_offset), (ProducerId(7), Offset(0)));
    assert!(leader.partition.has_ongoing_transaction(ProducerId(8), ProducerEpoch(0)).expect("ok"));
    let zombie = TransactionEnd { coordinator_epoch: 3, ..end(7, true) };
    assert!(matches!(leader.partition.end_transaction(&zombie), Err(PartitionError::Append(_))));
    leader.partition.end_transaction(&end(8, true)).expect("append");
    leader.flush();
    world.replicate(&[3]);
    assert_eq!(committed(leader, 0).last_stable, Offset(5));
    let producers = leader.partition.producers().expect("online");
    let open: Vec<_> = producers.iter().map(|it| it.current_txn_first_offset).collect();
    assert_eq!(open, [None, None]);
}

#[test]
fn a_transaction_that_an_election_lost_is_not_waited_for() {
    let mut world = World::new(&[1, 2, 3]);
    world.node(1).append("a").expect("append");
    world.node(1).flush();
    world.replicate(&[2, 3]);
    world.node(1).append_bytes(&mut transactional("lost", 7, 0)).expect("append");
    world.node(1).flush();
    world.elect(2, &[2, 3]);
    world.tell(&[2, 3, 1]);
    world.node(2).append("b").expect("append");
    world.node(2).flush();
    world.replicate(&[3, 1]);
    for id in [1, 2, 3] {
        let producers = world.node(id).partition.producers().expect("online");
        assert_eq!(producers, [], "on broker {id}");
    }
    assert_eq!(committed(world.node(2), 0).last_stable, Offset(2));
}
