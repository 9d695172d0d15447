//! What a leader commits, and how it answers.

use std::time::Duration;

use vltava_quorum::{
    BatchShape, Effect, EpochEndOffset, Event, FetchRequest, LogRange, LogShape, ProposalId,
    QuorumState, Request, SnapshotId,
};
use vltava_wire::{ErrorCode, LeaderEpoch, Offset};

use crate::fixture::{Node, batch, fetch, log, state, voters};

/// Node 1, elected in epoch 3, with 5 records of epoch 2 before its own.
fn leader() -> Node {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 2), (2, 3)]), state(2));
    node.elect().ignore();
    node
}

#[test]
fn nothing_is_committed_by_count_before_a_record_of_the_own_epoch() {
    let mut node = leader();
    node.flushed();
    node.ask(Request::Fetch(fetch(2, 3, 5, 2)));
    assert_eq!(node.committed(), None);
    node.ask(Request::Fetch(fetch(2, 3, 8, 3)));
    assert_eq!(node.committed(), Some(8));
}

#[test]
fn the_leaders_own_log_counts_only_once_it_is_flushed() {
    let mut node = leader();
    node.ask(Request::Fetch(fetch(2, 3, 8, 3)));
    assert_eq!(node.committed(), None);
    node.flushed();
    assert_eq!(node.committed(), Some(8));
    node.propose(2);
    node.ask(Request::Fetch(fetch(2, 3, 10, 3)));
    assert_eq!(node.committed(), Some(8));
    node.ask(Request::Fetch(fetch(3, 3, 10, 3)));
    assert_eq!(node.committed(), Some(10), "two others are a majority without it");
}

#[test]
fn an_observers_fetch_commits_nothing() {
    let mut node = leader();
    node.flushed();
    node.ask(Request::Fetch(fetch(7, 3, 8, 3)));
    assert_eq!(node.committed(), None);
    let info = node.machine.describe(node.now).expect("it leads");
    assert_eq!((info.voters.len(), info.observers.len()), (3, 1));
    assert_eq!(info.observers[0].log_end_offset, Some(Offset(8)));
}

#[test]
fn a_fetch_waits_for_records_or_for_news_of_commits() {
    let mut node = leader();
    node.flushed();
    let waiting = node.ask(Request::Fetch(fetch(2, 3, 8, 3)));
    assert!(node.answer(waiting).is_none());
    node.propose(1);
    assert_eq!(node.fetch_answer(waiting).high_watermark, Some(Offset(8)));
    let range = LogRange { from: Offset(8), max_bytes: 1_000 };
    assert!(node.has(|effect| {
        matches!(effect, Effect::RespondFetch { read: Some(read), .. } if *read == range)
    }));
    let known = FetchRequest { high_watermark: Some(Offset(8)), ..fetch(7, 3, 9, 3) };
    let waiting = node.flushed().ask(Request::Fetch(known));
    assert!(node.answer(waiting).is_none());
    node.ask(Request::Fetch(fetch(2, 3, 9, 3)));
    assert_eq!(node.fetch_answer(waiting).high_watermark, Some(Offset(9)));
    let waiting = node.ask(Request::Fetch(fetch(2, 3, 9, 3)));
    node.wait(Duration::from_millis(499));
    assert!(node.answer(waiting).is_none());
    node.wait(Duration::from_millis(1));
    assert!(node.answer(waiting).is_some());
}

#[test]
fn a_fetch_of_another_epoch_is_refused_by_name() {
    let mut node = leader();
    let old = node.ask(Request::Fetch(fetch(2, 2, 5, 2)));
    assert_eq!(node.fetch_answer(old).error, ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(node.fetch_answer(old).leader.epoch, LeaderEpoch(3));
    let new = node.ask(Request::Fetch(fetch(2, 4, 5, 2)));
    assert_eq!(node.fetch_answer(new).error, ErrorCode::UNKNOWN_LEADER_EPOCH);
    let mut other = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    let token = other.follow(1).ask(Request::Fetch(fetch(3, 1, 0, 0)));
    assert_eq!(other.fetch_answer(token).error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(other.fetch_answer(token).leader, crate::fixture::leader(2, 1));
}

#[test]
fn a_follower_with_other_records_is_told_where_they_begin() {
    let mut node = leader();
    for (offset, epoch, agreed) in [(4, 1, (1, 2)), (7, 2, (2, 5))] {
        let token = node.ask(Request::Fetch(fetch(2, 3, offset, epoch)));
        let end = EpochEndOffset { epoch: LeaderEpoch(agreed.0), end_offset: Offset(agreed.1) };
        assert_eq!(node.fetch_answer(token).diverging_epoch, Some(end));
    }
}

#[test]
fn a_follower_behind_the_logs_start_is_told_the_latest_snapshot() {
    let id = SnapshotId { end_offset: Offset(10), epoch: LeaderEpoch(2) };
    let mut shape = LogShape::from_snapshot(id, voters(&[1, 2, 3]));
    shape.restore(&batch(10, 2, 4)).expect("it follows");
    let mut node = Node::new(shape, state(2));
    node.elect().ignore();
    for (offset, epoch) in [(0, 0), (9, 2), (10, 1), (12, 1)] {
        let token = node.ask(Request::Fetch(fetch(2, 3, offset, epoch)));
        assert_eq!(node.fetch_answer(token).snapshot_id, Some(id), "at {offset} of {epoch}");
    }
    let token = node.ask(Request::Fetch(fetch(2, 3, 10, 2)));
    assert_eq!(node.fetch_answer(token).snapshot_id, None);
}

#[test]
fn a_fetch_from_before_all_records_is_refused_also_by_who_has_no_snapshot() {
    // A leader that did not found the quorum, and has the log from its first record on.
    let mut shape = LogShape::empty();
    let founding = BatchShape { voters: Some(voters(&[1, 2, 3])), ..batch(0, 1, 3) };
    shape.restore(&founding).expect("the first");
    let mut node = Node::new(shape, state(1));
    node.elect().flushed().ignore();
    let epoch = node.machine.leader().epoch.get();
    assert_eq!(node.machine.log().latest_snapshot(), None);
    for (offset, last_epoch) in [(-1, 1), (i64::MIN, 1), (-1, 0), (3, -1)] {
        let token = node.ask(Request::Fetch(fetch(2, epoch, offset, last_epoch)));
        let error = node.fetch_answer(token).error;
        assert_eq!(error, ErrorCode::INVALID_REQUEST, "at {offset} of {last_epoch}");
    }
    let token = node.ask(Request::Fetch(fetch(2, -1, 0, 0)));
    assert_eq!(node.fetch_answer(token).error, ErrorCode::INVALID_REQUEST);
    let info = node.machine.describe(node.now).expect("it leads");
    let noted = info.voters.iter().filter(|voter| voter.key != node.machine.local());
    assert!(noted.into_iter().all(|voter| voter.log_end_offset.is_none()), "{info:?}");
    let read = |effect: &Effect| matches!(effect, Effect::RespondFetch { read: Some(_), .. });
    assert!(!node.has(read));
}

#[test]
fn who_does_not_lead_this_epoch_writes_nothing() {
    let mut node = leader();
    let (proposal, epoch) = (ProposalId(1), LeaderEpoch(2));
    node.on(Event::Propose { proposal, epoch, records: 1 });
    assert!(node.has(|effect| matches!(effect, Effect::ProposalRejected { .. })));
    assert!(!node.has(|effect| matches!(effect, Effect::AppendProposal { .. })));
}

#[test]
fn those_who_wait_are_told_when_the_leader_is_one_no_more() {
    let mut node = leader();
    let waiting = node.flushed().ask(Request::Fetch(fetch(3, 3, 8, 3)));
    node.ask(Request::Vote(crate::fixture::vote(2, 4, 3, 8)));
    assert_eq!(node.fetch_answer(waiting).error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert!(node.has(|effect| matches!(effect, Effect::LostLeadership { .. })));
}
