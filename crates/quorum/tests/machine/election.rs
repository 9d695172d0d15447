//! Who is elected, by whom, and how soon.

use std::time::Duration;

use vltava_quorum::{
    BeginQuorumEpochRequest, Config, ControlRecord, Effect, EndQuorumEpochRequest, Event,
    FetchResponse, LeaderInfo, QuorumState, Request, Response, RoleName, VoteRequest, VoteResponse,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Uuid};

use crate::fixture::{
    Node, endpoint, fetch, granted, key, leader, log, nobody, state, vote, voters,
};

fn is_vote(request: &Request) -> Option<VoteRequest> {
    match request {
        Request::Vote(vote) => Some(vote.clone()),
        _ => None,
    }
}

#[test]
fn a_lone_voter_leads_at_its_first_event() {
    let mut node = Node::new(log(&[1], &[]), QuorumState::default());
    assert_eq!(node.machine.role(), RoleName::Leader);
    let control = node.effects.iter().find_map(|effect| match effect {
        Effect::AppendControl { records, .. } => Some(records.clone()),
        _ => None,
    });
    let founding = ControlRecord::Voters(voters(&[1]));
    assert!(control.expect("an epoch starts with a record").contains(&founding));
    assert_eq!(node.committed(), None);
    node.flushed();
    assert_eq!(node.committed(), Some(3));
}

#[test]
fn a_fresh_voter_asks_for_pre_votes_without_entering_an_epoch() {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    node.wait(Duration::from_millis(51));
    let asked = node.sent(is_vote);
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|(_, vote)| vote.pre_vote && vote.epoch == LeaderEpoch(0)));
    assert_eq!(node.machine.quorum_state(), QuorumState::default());
}

#[test]
fn a_majority_of_votes_makes_a_leader_and_the_vote_is_on_disk_first() {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    let (id, _) = node.wait_for(is_vote);
    node.ignore();
    let response = Response::Vote(crate::fixture::granted(0));
    node.on(Event::Response { id, response });
    let own_vote = QuorumState { epoch: LeaderEpoch(1), leader: None, voted: Some(key(1)) };
    let persisted = node.position(
        |effect| matches!(effect, Effect::PersistQuorumState(state) if *state == own_vote),
    );
    let sent = node.position(|effect| matches!(effect, Effect::Send { .. }));
    assert!(persisted < sent);
    node.elect();
    assert!(node.has(|effect| matches!(effect, Effect::BecameLeader { .. })));
    let begun = node.sent(|request| match request {
        Request::BeginQuorumEpoch(begin) => Some(begin.voter),
        _ => None,
    });
    assert_eq!(begun.len(), 2);
}

#[test]
fn a_vote_is_given_once_an_epoch_and_is_on_disk_before_it_is_told() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.ignore();
    let token = node.ask(Request::Vote(vote(2, 2, 1, 5)));
    assert!(node.vote_answer(token).granted);
    let persisted = node.position(|effect| matches!(effect, Effect::PersistQuorumState(_)));
    assert!(persisted < node.position(|effect| matches!(effect, Effect::Respond { .. })));
    let token = node.ask(Request::Vote(vote(3, 2, 1, 5)));
    assert!(!node.vote_answer(token).granted);
    let token = node.ask(Request::Vote(vote(2, 2, 1, 5)));
    assert!(node.vote_answer(token).granted);
}

#[test]
fn a_restarted_voter_remembers_its_vote() {
    let voted = QuorumState { epoch: LeaderEpoch(2), leader: None, voted: Some(key(2)) };
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), voted);
    let token = node.ask(Request::Vote(vote(3, 2, 1, 5)));
    assert!(!node.vote_answer(token).granted);
}

#[test]
fn a_candidate_with_a_shorter_log_gets_no_vote() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5), (3, 2)]), state(3));
    for (epoch, last_epoch, end_offset) in [(4, 3, 6), (5, 2, 100)] {
        let token = node.ask(Request::Vote(vote(2, epoch, last_epoch, end_offset)));
        assert!(!node.vote_answer(token).granted);
    }
    let token = node.ask(Request::Vote(vote(2, 6, 3, 7)));
    assert!(node.vote_answer(token).granted);
}

#[test]
fn a_voter_that_lost_its_disk_refuses_what_its_old_self_is_asked() {
    let empty = vltava_quorum::LogShape::empty();
    let config = Config::new(vltava_quorum::ReplicaKey::new(NodeId(1), Uuid(77)), 1);
    let mut node = Node::with(config, empty, QuorumState::default());
    let token = node.ask(Request::Vote(vote(2, 9, 1, 5)));
    let answer = node.vote_answer(token);
    assert_eq!((answer.error, answer.granted), (ErrorCode::INVALID_VOTER_KEY, false));
    assert_eq!(node.machine.quorum_state().epoch, LeaderEpoch(0));
    assert_eq!(node.machine.role(), RoleName::Observer);
    assert!(node.wait(Duration::from_secs(10)).sent(is_vote).is_empty());
}

#[test]
fn a_broker_never_votes_whatever_the_voter_set_says() {
    let config = Config { can_vote: false, ..Config::new(key(1), 1) };
    let mut node = Node::with(config, log(&[1, 2, 3], &[]), QuorumState::default());
    let token = node.ask(Request::Vote(vote(2, 1, 0, 0)));
    assert!(!node.vote_answer(token).granted);
    assert!(node.wait(Duration::from_secs(10)).sent(is_vote).is_empty());
}

#[test]
fn a_follower_refuses_pre_votes_while_it_hears_its_leader() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.follow(2);
    let pre_vote = Request::Vote(VoteRequest { pre_vote: true, ..vote(3, 2, 1, 5) });
    let token = node.ask(pre_vote.clone());
    assert!(node.vote_answer(token).granted, "it has not heard of the leader yet");
    let (id, _) = node.fetch();
    node.fetched(id, 2, FetchResponse::default());
    let token = node.ask(pre_vote.clone());
    assert!(!node.vote_answer(token).granted);
    node.on(Event::ConnectionLost { peer: NodeId(2) });
    let token = node.ask(pre_vote);
    assert!(node.vote_answer(token).granted);
    assert_eq!(node.machine.quorum_state().voted, None);
}

#[test]
fn a_lost_connection_to_the_leader_leads_to_pre_votes_within_200_ms() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.follow(2);
    let (id, _) = node.fetch();
    node.fetched(id, 2, FetchResponse::default());
    node.ignore().on(Event::ConnectionLost { peer: NodeId(3) });
    assert!(node.wait(Duration::from_millis(300)).sent(is_vote).is_empty());
    node.on(Event::ConnectionLost { peer: NodeId(2) });
    assert!(node.wait(Duration::from_millis(49)).sent(is_vote).is_empty());
    assert_eq!(node.wait(Duration::from_millis(152)).sent(is_vote).len(), 2);
}

#[test]
fn a_refused_pre_vote_sends_the_node_back_to_its_leader() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.follow(2);
    node.on(Event::ConnectionLost { peer: NodeId(2) });
    node.wait(Duration::from_millis(201));
    for (id, _) in node.sent(is_vote) {
        let response =
            VoteResponse { error: ErrorCode::NONE, leader: leader(2, 2), granted: false };
        node.on(Event::Response { id, response: Response::Vote(response) });
    }
    assert_eq!(node.machine.role(), RoleName::Follower);
    assert_eq!(node.machine.leader(), leader(2, 2));
    let (id, _) = node.fetch();
    node.fetched(id, 2, FetchResponse::default());
    node.ignore().wait(Duration::from_millis(1_500));
    assert!(node.sent(is_vote).is_empty(), "the leader answered");
}

#[test]
fn a_restarted_leader_does_not_lead_its_old_epoch() {
    let led = QuorumState { epoch: LeaderEpoch(4), leader: Some(NodeId(1)), voted: Some(key(1)) };
    let mut node = Node::new(log(&[1, 2, 3], &[(4, 5)]), led);
    assert_eq!(node.machine.leader(), nobody(4));
    let token = node.ask(Request::Fetch(fetch(2, 4, 5, 4)));
    assert_eq!(node.fetch_answer(token).error, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    node.elect();
    assert_eq!(node.machine.leader().epoch, LeaderEpoch(5));
}

#[test]
fn a_leader_that_stops_names_the_longest_log_first_and_waits_to_be_heard() {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    node.elect().flushed();
    node.ask(Request::Fetch(fetch(3, 1, 3, 1)));
    node.ignore().on(Event::Stop);
    let told = node.sent(|request| match request {
        Request::EndQuorumEpoch(end) => Some(end.preferred_candidates.clone()),
        _ => None,
    });
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(_, preferred)| *preferred == [key(3), key(2)]));
    assert!(!node.has(|effect| matches!(effect, Effect::Stopped)));
    for (id, _) in told {
        let response =
            vltava_quorum::QuorumEpochResponse { error: ErrorCode::NONE, leader: nobody(1) };
        node.on(Event::Response { id, response: Response::EndQuorumEpoch(response) });
    }
    assert!(node.has(|effect| matches!(effect, Effect::Stopped)));
    assert!(node.ignore().wait(Duration::from_secs(5)).effects.is_empty());
}

#[test]
fn a_leader_that_stops_has_stopped_once_another_leads() {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    node.elect().flushed().on(Event::Stop);
    node.follow(2);
    assert!(node.has(|effect| matches!(effect, Effect::Stopped)));
}

#[test]
fn the_preferred_candidate_stands_at_once() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    node.follow(2).ignore();
    node.ask(Request::EndQuorumEpoch(EndQuorumEpochRequest {
        leader: NodeId(2),
        epoch: LeaderEpoch(2),
        preferred_candidates: vec![key(1), key(3)],
        endpoints: vec![endpoint(2)],
    }));
    assert_eq!(node.sent(is_vote).len(), 2);
}

#[test]
fn a_leader_that_no_majority_hears_resigns() {
    let mut node = Node::new(log(&[1, 2, 3], &[]), QuorumState::default());
    node.elect().flushed().ignore();
    for _ in 0..4 {
        node.ask(Request::Fetch(fetch(2, 1, 3, 1)));
        node.wait(Duration::from_secs(1));
    }
    assert_eq!(node.machine.role(), RoleName::Leader);
    node.wait(Duration::from_millis(2_001));
    assert!(node.has(|effect| matches!(effect, Effect::LostLeadership { .. })));
}

#[test]
fn an_observer_asks_one_after_the_other_and_follows_who_they_name() {
    let config = Config {
        can_vote: false,
        bootstrap: vec![endpoint(2), endpoint(3)],
        ..Config::new(key(9), 1)
    };
    let mut node = Node::with(config, vltava_quorum::LogShape::empty(), QuorumState::default());
    let (first, _) = node.fetch();
    node.on(Event::RequestFailed { id: first });
    let (second, _) = node.fetch();
    let error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    let response = FetchResponse { error, leader: leader(2, 4), ..FetchResponse::default() };
    node.on(Event::Response { id: second, response: Response::Fetch(response) });
    let to = node.effects.iter().find_map(|effect| match effect {
        Effect::Send { to, .. } => Some(to.clone()),
        _ => None,
    });
    assert_eq!(to.expect("it fetches").endpoint, endpoint(2));
    assert_eq!(node.machine.leader(), leader(2, 4));
}

#[test]
fn hearing_of_a_leader_that_cannot_be_found_does_not_put_off_the_election() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(4));
    let leader = LeaderInfo { endpoint: None, ..leader(9, 4) };
    let mut answered = 0;
    for _ in 0..40 {
        node.wait(Duration::from_millis(100));
        let asked = node.sent(|request| matches!(request, Request::Fetch(_)).then_some(()));
        for (id, ()) in asked {
            let error = ErrorCode::NOT_LEADER_OR_FOLLOWER;
            let leader = leader.clone();
            let response = FetchResponse { error, leader, ..FetchResponse::default() };
            node.on(Event::Response { id, response: Response::Fetch(response) });
            answered += 1;
        }
        if answered > 0 && !node.sent(is_vote).is_empty() && node.machine.leader() == leader {
            return;
        }
        node.effects.retain(|effect| !matches!(effect, Effect::Send { .. }));
    }
    panic!("no vote was asked for within four seconds, {answered} answers");
}

/// Tells node 1 of an epoch by whatever there is, and returns how the requests were answered.
fn tell_of(node: &mut Node, epoch: i32) -> Vec<ErrorCode> {
    let (leader_id, epoch) = (NodeId(2), LeaderEpoch(epoch));
    let requests = [
        Request::Vote(vote(2, epoch.get(), 1, 5)),
        Request::Vote(VoteRequest { pre_vote: true, ..vote(3, epoch.get(), 1, 5) }),
        Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
            voter: key(1),
            leader: leader_id,
            epoch,
            endpoints: vec![endpoint(2)],
        }),
        Request::EndQuorumEpoch(EndQuorumEpochRequest {
            leader: leader_id,
            epoch,
            preferred_candidates: Vec::new(),
            endpoints: vec![endpoint(2)],
        }),
    ];
    let tokens: Vec<_> = requests.into_iter().map(|request| node.ask(request)).collect();
    let error = |token| match node.answer(token) {
        Some(Response::Vote(answer)) => answer.error,
        Some(Response::BeginQuorumEpoch(answer) | Response::EndQuorumEpoch(answer)) => answer.error,
        other => panic!("{other:?}"),
    };
    tokens.into_iter().map(error).collect()
}

#[test]
fn an_epoch_after_which_there_is_none_is_not_believed() {
    let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), state(1));
    assert_eq!(tell_of(&mut node, i32::MAX), [ErrorCode::INVALID_REQUEST; 4]);
    let (id, _) = node.wait_for(is_vote);
    let nonsense = VoteResponse { granted: false, leader: leader(3, i32::MAX), ..granted(1) };
    node.on(Event::Response { id, response: Response::Vote(nonsense) });
    assert_eq!(node.machine.quorum_state().epoch, LeaderEpoch(1));
    node.elect();
    assert_eq!(node.machine.leader().epoch, LeaderEpoch(2));
}

#[test]
fn who_is_in_the_last_epoch_keeps_its_vote_and_stands_no_more() {
    for last in [i32::MAX - 1, i32::MAX] {
        let voted = QuorumState { epoch: LeaderEpoch(last), leader: None, voted: Some(key(2)) };
        let mut node = Node::new(log(&[1, 2, 3], &[(1, 5)]), voted);
        for _ in 0..20 {
            node.wait(Duration::from_millis(100));
            for (id, asked) in node.sent(is_vote) {
                assert!(asked.pre_vote, "{asked:?}");
                node.on(Event::Response { id, response: Response::Vote(granted(last)) });
            }
            node.ignore();
        }
        assert_eq!(node.machine.quorum_state(), voted);
    }
}
