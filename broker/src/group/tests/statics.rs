//! Static members (KIP-345): they keep their place over a restart, and cannot be impersonated.

use bytes::Bytes;
use vltava_wire::{ErrorCode, Str};

use super::world::{GROUP, World, commit_of, consumer, s};
use crate::group::calls::{CommitCall, JoinCall, SyncCall};
use crate::group::desk::Token;
use crate::group::machine::Event;

fn static_member(name: &str, member: &str) -> JoinCall {
    JoinCall { instance_id: Some(name.into()), ..consumer(name, member) }
}

/// Two static members in the first generation, the leader first.
fn stable(world: &mut World) -> [(&'static str, Str); 2] {
    let joins = ["one", "two"].map(|name| (name, world.join(static_member(name, ""))));
    world.pass(s(6));
    let mut members = joins.map(|(name, token)| (name, world.joined(token).member_id.clone()));
    let leader = world.joined(joins[0].1).leader.clone();
    if members[0].1 != leader {
        members.swap(0, 1);
    }
    let ids = members.clone().map(|(_, id)| id);
    world.assign(&leader, 1, &ids, &["x", "y"]);
    members
}

fn rejoin(world: &mut World, name: &str, version: i16) -> Token {
    world.join(JoinCall { version, ..static_member(name, "") })
}

#[test]
fn a_static_member_needs_no_second_join_to_get_its_id() {
    let mut world = World::new();
    let join = world.join(static_member("one", ""));
    world.pass(s(3));
    assert_eq!(world.joined(join).error_code, ErrorCode::NONE);
    assert!(world.joined(join).member_id.starts_with("one-"));
}

#[test]
fn a_follower_comes_back_and_nobody_else_notices() {
    let mut world = World::new();
    let [(_, leader), (name, old)] = stable(&mut world);
    let join = rejoin(&mut world, name, 9);
    let response = world.joined(join).clone();
    assert_eq!(response.error_code, ErrorCode::NONE);
    assert_eq!((response.generation_id, &response.leader), (1, &leader));
    assert!(!response.skip_assignment, "a follower has no assignment to skip");
    assert_ne!(response.member_id, old);
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.heartbeat(&leader, 1), ErrorCode::NONE);
    let sync = world.sync(&response.member_id, 1, &[]);
    assert_eq!(world.synced(sync).assignment, "y", "it has what it had");
    assert_eq!(world.heartbeat(&old, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.heartbeat_as(&old, Some(name), 1), ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn a_leader_that_comes_back_may_skip_the_assignment_or_believes_not_to_lead() {
    for version in [9, 8] {
        let mut world = World::new();
        let [(name, old), _] = stable(&mut world);
        let join = rejoin(&mut world, name, version);
        let response = world.joined(join).clone();
        match version {
            9 => {
                assert!(response.skip_assignment);
                assert_eq!(response.leader, response.member_id);
                assert_eq!(response.members.len(), 2);
            }
            _ => {
                assert!(!response.skip_assignment);
                assert_eq!(response.leader, old, "an id that is nobody's any more");
                assert!(response.members.is_empty());
            }
        }
        assert_eq!(world.state(), "Stable");
    }
}

#[test]
fn the_new_id_holds_after_a_failover() {
    let mut world = World::new();
    let [_, (name, old)] = stable(&mut world);
    let join = rejoin(&mut world, name, 9);
    let new = world.joined(join).member_id.clone();
    world.fail_over();
    assert_eq!(world.heartbeat_as(&new, Some(name), 1), ErrorCode::NONE);
    assert_eq!(world.heartbeat_as(&old, Some(name), 1), ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn a_new_id_that_cannot_be_stored_is_taken_back() {
    let mut world = World::new();
    let [(leader_name, leader), (name, old)] = stable(&mut world);
    let unavailable = ErrorCode::COORDINATOR_NOT_AVAILABLE;
    world.refuses = Some(unavailable);
    for (name, old) in [(name, old), (leader_name, leader.clone())] {
        let join = rejoin(&mut world, name, 9);
        assert_eq!(world.joined(join).error_code, unavailable);
        assert_eq!(world.joined(join).leader, leader);
        assert_eq!(world.heartbeat_as(&old, Some(name), 1), ErrorCode::NONE);
    }
    assert_eq!(world.state(), "Stable");
    world.refuses = None;
    world.commits = false;
    let join = rejoin(&mut world, leader_name, 9);
    world.pass(s(5));
    assert_eq!(world.joined(join).error_code, unavailable, "nor if it takes too long");
    assert_eq!(world.heartbeat_as(&leader, Some(leader_name), 1), ErrorCode::NONE);
}

#[test]
fn one_that_comes_back_with_another_preference_makes_the_group_choose_again() {
    let mut world = World::new();
    let offering = |name: &str, protocols: [&str; 2]| JoinCall {
        protocols: protocols.map(|protocol| (Str::from(protocol), Bytes::from("data"))).to_vec(),
        ..static_member(name, "")
    };
    let joins = ["one", "two"].map(|name| world.join(offering(name, ["sticky", "range"])));
    world.pass(s(6));
    let leader = world.joined(joins[0]).leader.clone();
    let ids = joins.map(|join| world.joined(join).member_id.clone());
    world.assign(&leader, 1, &ids, &["x", "y"]);
    // With the same preference, but other data: nothing to choose.
    let mut same = offering("one", ["sticky", "range"]);
    same.protocols[0].1 = "other".into();
    let join = world.join(same);
    assert_eq!(world.joined(join).generation_id, 1);
    assert_eq!(world.state(), "Stable");
    let join = world.join(offering("one", ["range", "sticky"]));
    assert_eq!(world.answer(join), None);
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn the_old_owner_of_a_name_is_fenced_wherever_it_shows_up() {
    let mut world = World::new();
    let [_, (name, old)] = stable(&mut world);
    let waiting = world.join(JoinCall {
        protocols: vec![("range".into(), "changed".into())],
        ..static_member(name, &old)
    });
    assert_eq!(world.answer(waiting), None);
    let fenced = ErrorCode::FENCED_INSTANCE_ID;
    rejoin(&mut world, name, 9);
    assert_eq!(world.joined(waiting).error_code, fenced, "the one that waits is told at once");
    let join = world.join(static_member(name, &old));
    assert_eq!(world.joined(join).error_code, fenced);
    let call = SyncCall {
        group_id: GROUP.into(),
        generation: 1,
        member_id: old.clone(),
        instance_id: Some(name.into()),
        ..SyncCall::default()
    };
    let sync = world.send(|token| Event::Sync(token, call));
    assert_eq!(world.synced(sync).error_code, fenced);
    let call = CommitCall { instance_id: Some(name.into()), ..commit_of(&old, 1, "orders", 1) };
    let commit = world.commit(call);
    assert_eq!(world.committed(commit), fenced);
    let left = world.leave(&[(&old, Some(name))]);
    assert_eq!(world.left(left), [fenced]);
}

#[test]
fn a_static_member_that_is_away_is_waited_for_until_its_session_ends() {
    let mut world = World::new();
    let [(leader_name, leader), (name, _)] = stable(&mut world);
    // The rebalance timeout (60 s) passes; the member that is away stays, as it is static, until
    // its session timeout. Here that is the longer one.
    let long = JoinCall { session_timeout_ms: 600_000, ..static_member(name, "") };
    let join = world.join(long);
    let away = world.joined(join).member_id.clone();
    world.sync(&away, 1, &[]);
    world.heartbeat_as(&away, Some(name), 1);
    let join = world.join(static_member(leader_name, &leader));
    world.pass(s(60));
    let response = world.joined(join).clone();
    assert_eq!(response.generation_id, 2);
    assert_eq!(response.members.len(), 2, "the one that is away is assigned to, too");
}

#[test]
fn an_operator_takes_static_members_out_by_name() {
    let mut world = World::new();
    let [(one, _), (two, _)] = stable(&mut world);
    let left = world.leave(&[("", Some(one)), ("", Some(two))]);
    assert_eq!(world.left(left), [ErrorCode::NONE; 2]);
    assert_eq!(world.state(), "Empty");
}

#[test]
fn a_static_member_that_comes_back_while_all_rejoin_takes_part() {
    let mut world = World::new();
    let [(leader_name, leader), (name, old)] = stable(&mut world);
    let join = world.join(static_member(leader_name, &leader));
    assert_eq!(world.answer(join), None);
    let back = rejoin(&mut world, name, 9);
    let response = world.joined(back).clone();
    assert_eq!(response.generation_id, 2);
    assert_ne!(response.member_id, old);
    assert_eq!(world.joined(join).members.len(), 2);
}
