//! How a follower comes to have the leader's log.

use std::time::Duration;

use vltava_quorum::{
    Config, Effect, EpochEndOffset, Event, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, Request, RequestId, Response, SnapshotId, Violation,
};
use vltava_wire::{LeaderEpoch, Offset};

use crate::fixture::{Node, batch, key, leader, log, records, state, voters};

/// Node 1, that follows node 2 in epoch 3, with 5 records of epoch 1 and 3 of epoch 2.
fn follower() -> Node {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5), (2, 3)]), state(2));
    node.follow(3);
    node
}

fn is_fetch(request: &Request) -> Option<()> {
    matches!(request, Request::Fetch(_)).then_some(())
}

fn diverging(epoch: i32, end_offset: i64) -> FetchResponse {
    let diverging = EpochEndOffset { epoch: LeaderEpoch(epoch), end_offset: Offset(end_offset) };
    FetchResponse { diverging_epoch: Some(diverging), ..FetchResponse::default() }
}

#[test]
fn what_was_appended_is_flushed_before_the_next_fetch_acknowledges_it() {
    let mut node = follower();
    let (id, fetch) = node.fetch();
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (Offset(8), LeaderEpoch(2)));
    let high_watermark = Some(Offset(9));
    let records = records(vec![batch(8, 3, 2), batch(10, 3, 1)]);
    node.fetched(id, 3, FetchResponse { records, high_watermark, ..FetchResponse::default() });
    let appended = node.position(|effect| matches!(effect, Effect::AppendFetched { .. }));
    assert!(appended < node.position(|effect| matches!(effect, Effect::Flush(_))));
    assert_eq!(node.committed(), Some(9));
    assert!(node.wait(Duration::from_millis(100)).sent(is_fetch).is_empty());
    node.flushed();
    let (_, fetch) = node.fetch();
    assert_eq!((fetch.fetch_offset, fetch.high_watermark), (Offset(11), Some(Offset(9))));
}

#[test]
fn what_was_found_at_the_start_is_flushed_before_a_fetch_acknowledges_it() {
    let log = log(&[1, 2, 3], &[(1, 5)]);
    let mut node = Node::just_started(Config::new(key(1), 7), log, state(1));
    let rewritten = Effect::PersistQuorumState(state(1));
    assert!(format!("{:?}", node.effects).contains(&format!("{rewritten:?}")));
    node.follow(2);
    let acknowledged = node.wait(Duration::from_millis(100)).sent(|request| match request {
        Request::Fetch(fetch) if fetch.replica == key(1) => Some(fetch.fetch_offset),
        _ => None,
    });
    assert!(acknowledged.iter().all(|(_, offset)| *offset == Offset(0)), "{acknowledged:?}");
    node.flushed().ignore();
    assert_eq!(node.fetch().1.fetch_offset, Offset(5));
}

#[test]
fn records_that_do_not_follow_are_not_appended() {
    for (base_offset, epoch) in [(9, 3), (7, 3), (8, 1), (8, 4)] {
        let mut node = follower();
        let (id, _) = node.fetch();
        let records = records(vec![batch(base_offset, epoch, 1)]);
        node.fetched(id, 3, FetchResponse { records, ..FetchResponse::default() });
        assert!(!node.has(|effect| matches!(effect, Effect::AppendFetched { .. })));
        assert_eq!(node.machine.log().end(), Offset(8));
    }
}

#[test]
fn truncation_follows_the_leaders_epochs() {
    let mut node = follower();
    let (id, _) = node.fetch();
    node.fetched(id, 3, diverging(1, 4));
    assert!(node.has(|effect| matches!(effect, Effect::Truncate { to: Offset(4) })));
    let (_, fetch) = node.fetch();
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (Offset(4), LeaderEpoch(1)));
}

#[test]
fn what_is_committed_is_never_cut_off() {
    let mut node = follower();
    let (id, _) = node.fetch();
    let high_watermark = Some(Offset(7));
    node.fetched(id, 3, FetchResponse { high_watermark, ..FetchResponse::default() });
    let (id, _) = node.fetch();
    node.fetched(id, 3, diverging(1, 5));
    let violation = Violation::TruncateCommitted { to: Offset(5), high_watermark: Offset(7) };
    assert!(node.has(|effect| matches!(effect, Effect::Halt(found) if *found == violation)));
    assert!(!node.has(|effect| matches!(effect, Effect::Truncate { .. })));
}

#[test]
fn a_flush_from_before_a_truncation_says_nothing_of_what_came_after() {
    let mut node = follower();
    let (id, _) = node.fetch();
    let written = records(vec![batch(8, 3, 4)]);
    node.fetched(id, 3, FetchResponse { records: written, ..FetchResponse::default() });
    let early = node.flush.take().expect("it wants a flush");
    node.follow(4);
    node.on(Event::Flushed { point: early });
    let (id, _) = node.fetch();
    node.fetched(id, 4, diverging(2, 8));
    let (id, _) = node.fetch();
    let written = records(vec![batch(8, 4, 4)]);
    node.fetched(id, 4, FetchResponse { records: written, ..FetchResponse::default() });
    node.on(Event::Flushed { point: early });
    assert_eq!(node.machine.log().flushed(), Offset(8));
    assert!(node.sent(is_fetch).is_empty());
}

#[test]
fn late_and_doubled_answers_change_nothing() {
    let mut node = follower();
    let (id, _) = node.fetch();
    let answer = |offset| FetchResponse {
        records: records(vec![batch(offset, 3, 1)]),
        ..FetchResponse::default()
    };
    node.fetched(id, 3, answer(8)).flushed();
    node.fetched(id, 3, answer(8));
    node.fetched(RequestId(9_999), 3, answer(9));
    assert_eq!(node.machine.log().end(), Offset(9));
}

#[test]
fn a_snapshot_is_fetched_in_pieces_and_takes_the_logs_place() {
    let mut node = follower();
    let id = SnapshotId { end_offset: Offset(20), epoch: LeaderEpoch(2) };
    let (fetch, _) = node.fetch();
    node.fetched(fetch, 3, FetchResponse { snapshot_id: Some(id), ..FetchResponse::default() });
    for (position, bytes) in [(0, "abcd"), (4, "efgh"), (8, "ij")] {
        let (request, asked) = node.wait_for(snapshot_fetch);
        assert_eq!((asked.snapshot_id, asked.position), (id, position));
        node.ignore();
        let response = FetchSnapshotResponse {
            leader: leader(2, 3),
            snapshot_id: id,
            size: 10,
            position,
            bytes: bytes.into(),
            ..FetchSnapshotResponse::default()
        };
        node.on(Event::Response { id: request, response: Response::FetchSnapshot(response) });
        assert!(node.has(|effect| matches!(effect, Effect::WriteSnapshot { .. })));
    }
    let written = node.position(|effect| matches!(effect, Effect::WriteSnapshot { .. }));
    assert!(written < node.position(|effect| matches!(effect, Effect::InstallSnapshot { .. })));
    assert!(
        node.sent(is_fetch).is_empty(),
        "nothing is fetched while the snapshot is put in place"
    );
    node.on(Event::SnapshotInstalled { id, voters: voters(&[1, 2]) });
    assert_eq!(node.machine.voters(), &voters(&[1, 2]));
    let (_, fetch) = node.fetch();
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (Offset(20), LeaderEpoch(2)));
}

fn snapshot_fetch(request: &Request) -> Option<FetchSnapshotRequest> {
    match request {
        Request::FetchSnapshot(fetch) => Some(fetch.clone()),
        _ => None,
    }
}

#[test]
fn a_leader_that_hangs_is_given_up_after_the_fetch_timeout() {
    let mut node = follower();
    let (id, _) = node.fetch();
    node.fetched(id, 3, FetchResponse::default());
    let is_vote = |request: &Request| matches!(request, Request::Vote(_)).then_some(());
    node.ignore().wait(Duration::from_millis(1_999));
    assert!(node.sent(is_vote).is_empty());
    node.wait(Duration::from_millis(202));
    assert_eq!(node.sent(is_vote).len(), 2);
}
