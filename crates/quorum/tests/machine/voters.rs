//! Changing the voters, one at a time.

use std::time::Duration;

use vltava_quorum::{
    AddVoterRequest, BatchShape, Config, ControlRecord, ENDPOINTS_MAX, Effect, Endpoint, Event,
    FetchResponse, LogShape, QuorumState, RemoveVoterRequest, ReplicaKey, Request, Response,
    RoleName, Token, UpdateVoterRequest, Voter, VoterSet,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Uuid};

use crate::fixture::{Node, batch, endpoint, fetch, key, log, records, state, voter, voters};

/// Node 1, that leads 2 and 3 in epoch 1 and has committed the first three records.
fn leader() -> Node {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    node.elect().flushed();
    node.ask(Request::Fetch(fetch(2, 1, 3, 1)));
    node.ignore();
    node
}

fn add(id: i32) -> Request {
    Request::AddVoter(AddVoterRequest {
        voter: voter(id),
        timeout_ms: 1_000,
        ack_when_committed: true,
    })
}

fn remove(key: ReplicaKey) -> Request {
    Request::RemoveVoter(RemoveVoterRequest { voter: key })
}

fn outcome(node: &Node, token: Token) -> Option<ErrorCode> {
    match node.answer(token)? {
        Response::AddVoter(answer)
        | Response::RemoveVoter(answer)
        | Response::UpdateVoter(answer) => Some(answer.error),
        other => panic!("no change of voters: {other:?}"),
    }
}

#[test]
fn a_voter_is_added_once_it_has_caught_up_and_told_so_once_it_is_committed() {
    let mut node = leader();
    let token = node.ask(add(4));
    node.ask(Request::Fetch(fetch(4, 1, 0, 0)));
    assert_eq!(node.machine.voters().len(), 3);
    node.ask(Request::Fetch(fetch(4, 1, 3, 1)));
    assert_eq!(node.machine.voters(), &voters(&[1, 2, 3, 4]));
    assert_eq!(outcome(&node, token), None);
    node.flushed();
    node.ask(Request::Fetch(fetch(2, 1, 4, 1)));
    assert_eq!(outcome(&node, token), None, "two of four are no majority");
    node.ask(Request::Fetch(fetch(4, 1, 4, 1)));
    assert_eq!(outcome(&node, token), Some(ErrorCode::NONE));
}

#[test]
fn a_voter_that_stays_behind_is_not_added() {
    let mut node = leader();
    let token = node.ask(add(4));
    node.ask(Request::Fetch(fetch(4, 1, 0, 0)));
    node.wait(Duration::from_secs(1));
    assert_eq!(outcome(&node, token), Some(ErrorCode::REQUEST_TIMED_OUT));
    assert_eq!(node.machine.voters().len(), 3);
}

#[test]
fn a_voter_that_never_comes_holds_other_changes_up_for_a_request_timeout_at_most() {
    let mut node = leader();
    let token = node.ask(Request::AddVoter(AddVoterRequest {
        voter: voter(4),
        timeout_ms: u32::MAX,
        ack_when_committed: true,
    }));
    let request_timeout = Config::new(key(1), 7).request_timeout;
    node.wait(request_timeout - Duration::from_millis(1));
    let early = node.ask(remove(key(3)));
    assert_eq!(outcome(&node, early), Some(ErrorCode::REQUEST_TIMED_OUT));
    assert_eq!(outcome(&node, token), None);
    node.wait(Duration::from_millis(1));
    assert_eq!(outcome(&node, token), Some(ErrorCode::REQUEST_TIMED_OUT));
    node.ask(remove(key(3)));
    assert_eq!(node.machine.voters(), &voters(&[1, 2]));
}

#[test]
fn the_voters_change_one_at_a_time() {
    let mut node = leader();
    node.ask(remove(key(3)));
    assert_eq!(node.machine.voters(), &voters(&[1, 2]));
    let second = node.ask(remove(key(2)));
    assert_eq!(outcome(&node, second), Some(ErrorCode::REQUEST_TIMED_OUT));
}

#[test]
fn the_voters_do_not_change_before_a_record_of_the_epoch_is_committed() {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    let token = node.elect().ask(remove(key(3)));
    assert_eq!(outcome(&node, token), Some(ErrorCode::REQUEST_TIMED_OUT));
}

#[test]
fn who_is_unknown_or_known_already_is_refused() {
    let mut node = leader();
    let token = node.ask(add(2));
    assert_eq!(outcome(&node, token), Some(ErrorCode::DUPLICATE_VOTER));
    let token = node.ask(remove(ReplicaKey::new(NodeId(2), Uuid(1))));
    assert_eq!(outcome(&node, token), Some(ErrorCode::VOTER_NOT_FOUND));
    let update = UpdateVoterRequest { epoch: LeaderEpoch(1), voter: voter(5) };
    let token = node.ask(Request::UpdateVoter(update));
    assert_eq!(outcome(&node, token), Some(ErrorCode::VOTER_NOT_FOUND));
}

#[test]
fn a_leader_that_is_removed_leads_until_that_is_committed() {
    let mut node = leader();
    let token = node.ask(remove(key(1)));
    node.flushed();
    node.ask(Request::Fetch(fetch(2, 1, 4, 1)));
    assert_eq!(node.machine.role(), RoleName::Leader, "its own log does not count any more");
    node.ask(Request::Fetch(fetch(3, 1, 4, 1)));
    assert_eq!(outcome(&node, token), Some(ErrorCode::NONE));
    assert_eq!(node.machine.role(), RoleName::Resigned);
    assert!(node.has(|effect| matches!(effect, Effect::LostLeadership { .. })));
    node.ignore().wait(Duration::from_secs(5));
    assert!(node.sent(|request| matches!(request, Request::Vote(_)).then_some(())).is_empty());
}

#[test]
fn a_voter_set_counts_when_it_is_appended_and_no_more_when_it_is_truncated() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.follow(2);
    let (id, _) = node.fetch();
    let change = BatchShape { voters: Some(voters(&[2, 3])), ..batch(5, 2, 1) };
    let response = FetchResponse { records: records(vec![change]), ..FetchResponse::default() };
    node.fetched(id, 2, response).flushed();
    assert_eq!(node.machine.role(), RoleName::Observer);
    node.follow(3);
    let (id, _) = node.fetch();
    let diverging =
        vltava_quorum::EpochEndOffset { epoch: LeaderEpoch(1), end_offset: vltava_wire::Offset(5) };
    let response = FetchResponse { diverging_epoch: Some(diverging), ..FetchResponse::default() };
    node.fetched(id, 3, response);
    assert_eq!(node.machine.voters(), &voters(&[1, 2, 3]));
    assert_eq!(node.machine.role(), RoleName::Follower);
}

#[test]
fn a_leader_that_removed_itself_may_stand_until_that_is_committed() {
    let mut shape = log(&[1, 2, 3], &[(1, 5)]);
    let removal = BatchShape { voters: Some(voters(&[2, 3])), ..batch(5, 1, 1) };
    shape.restore(&removal).expect("it follows");
    let mut node = Node::new(shape, state(1));
    let asked = node.wait_for(|request| match request {
        Request::Vote(vote) => Some(vote.voter),
        _ => None,
    });
    assert!([key(2), key(3)].contains(&asked.1));
    node.elect();
    assert_eq!(node.machine.role(), RoleName::Leader);
}

#[test]
fn a_follower_tells_its_leader_where_it_listens_now() {
    let moved = Voter::new(key(1), vec![endpoint(11)]);
    let config = Config { endpoints: moved.endpoints.clone(), ..Config::new(key(1), 7) };
    let mut node = Node::with(config, log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.follow(2);
    let (id, _) = node.fetch();
    node.fetched(id, 2, FetchResponse::default());
    let (_, update) = node.wait_for(|request| match request {
        Request::UpdateVoter(update) => Some(update.clone()),
        _ => None,
    });
    assert_eq!(update, UpdateVoterRequest { epoch: LeaderEpoch(2), voter: moved });
}

#[test]
fn a_leader_that_listens_elsewhere_writes_so_when_its_epoch_begins() {
    let moved = Voter::new(key(1), vec![endpoint(11)]);
    let config = Config { endpoints: moved.endpoints.clone(), ..Config::new(key(1), 7) };
    let mut node = Node::with(config, log(&[1, 2, 3], &[]), QuorumState::default());
    node.elect();
    let expected = ControlRecord::Voters(voters(&[2, 3]).with(moved));
    assert!(node.has(|effect| {
        matches!(effect, Effect::AppendControl { records, .. } if records.contains(&expected))
    }));
}

#[test]
fn a_voter_with_a_new_disk_has_its_old_self_removed_and_joins() {
    let local = ReplicaKey::new(NodeId(1), Uuid(77));
    let config = Config {
        auto_join: true,
        endpoints: vec![endpoint(1)],
        bootstrap: vec![endpoint(2)],
        ..Config::new(local, 7)
    };
    let mut node = Node::with(config, LogShape::empty(), QuorumState::default());
    node.follow(2);
    let (id, _) = node.fetch();
    let join = |voters: VoterSet, base_offset| {
        let batch = BatchShape { voters: Some(voters), ..batch(base_offset, 2, 1) };
        FetchResponse { records: records(vec![batch]), ..FetchResponse::default() }
    };
    node.fetched(id, 2, join(voters(&[1, 2, 3]), 0)).flushed();
    let (id, _) = node.fetch();
    node.fetched(id, 2, FetchResponse::default());
    let (removal, old) = node.wait_for(|request| match request {
        Request::RemoveVoter(remove) => Some(remove.voter),
        _ => None,
    });
    assert_eq!(old, key(1));
    node.on(Event::RequestFailed { id: removal });
    let (id, _) = node.fetch();
    node.fetched(id, 2, join(voters(&[2, 3]), 1)).flushed();
    let (id, _) = node.fetch();
    node.fetched(id, 2, FetchResponse::default());
    let (_, new) = node.wait_for(|request| match request {
        Request::AddVoter(add) => Some(add.voter.key),
        _ => None,
    });
    assert_eq!(new, local);
}

#[test]
fn voters_say_within_bounds_where_they_listen() {
    let mut node = leader();
    let with = |id: i32, endpoints: Vec<Endpoint>| Voter { endpoints, ..voter(id) };
    let long = Endpoint { host: "h".repeat(256).into(), ..endpoint(4) };
    let table = [vec![], vec![endpoint(4); ENDPOINTS_MAX + 1], vec![endpoint(4), long]];
    for endpoints in table {
        let added = node.ask(Request::AddVoter(AddVoterRequest {
            voter: with(4, endpoints.clone()),
            timeout_ms: 1_000,
            ack_when_committed: true,
        }));
        assert_eq!(outcome(&node, added), Some(ErrorCode::INVALID_REQUEST), "{endpoints:?}");
        let updated = node.ask(Request::UpdateVoter(UpdateVoterRequest {
            epoch: LeaderEpoch(1),
            voter: with(3, endpoints.clone()),
        }));
        assert_eq!(outcome(&node, updated), Some(ErrorCode::INVALID_REQUEST), "{endpoints:?}");
    }
    assert_eq!(node.machine.voters(), &voters(&[1, 2, 3]));
}
