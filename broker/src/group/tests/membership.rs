//! Joining, leaving and failing.

use bytes::Bytes;
use vltava_wire::{ErrorCode, Str};

use super::world::{GROUP, World, consumer, s};
use crate::group::calls::{JoinCall, ListFilter};
use crate::group::config::GroupConfig;
use crate::group::machine::{Event, Reply};

#[test]
fn the_first_members_wait_for_more_and_then_share() {
    let mut world = World::new();
    let (a, join_a) = world.enter("a");
    world.pass(s(2));
    let (b, join_b) = world.enter("b");
    assert_eq!(world.state(), "PreparingRebalance");
    world.pass(s(1));
    // The initial delay is over, but somebody came within it.
    assert_eq!(world.answer(join_a), None);
    world.pass(s(3));
    let (of_a, of_b) = (world.joined(join_a).clone(), world.joined(join_b).clone());
    assert_eq!((of_a.generation_id, of_b.generation_id), (1, 1));
    assert_eq!(of_a.leader, a);
    assert_eq!(of_a.protocol_name.as_deref(), Some("range"));
    assert_eq!(of_a.members.len(), 2, "the leader learns of all members");
    assert!(of_b.members.is_empty(), "the others do not");
    assert_eq!(world.state(), "CompletingRebalance");

    let sync_b = world.sync(&b, 1, &[]);
    assert_eq!(world.answer(sync_b), None, "it waits for the leader");
    let sync_a = world.sync(&a, 1, &[(&a, "0,1"), (&b, "2,3"), ("stranger", "4")]);
    assert_eq!(world.synced(sync_a).assignment, "0,1");
    assert_eq!(world.synced(sync_b).assignment, "2,3");
    assert_eq!(world.synced(sync_b).protocol_type.as_deref(), Some("consumer"));
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::NONE);
    assert_eq!(world.heartbeat(&b, 1), ErrorCode::NONE);
}

#[test]
fn the_initial_delay_ends_at_the_rebalance_timeout_however_many_come() {
    let mut world = World::new();
    let (_, first) = world.enter("m");
    for _ in 0..30 {
        world.pass(s(2));
        world.enter("m");
    }
    assert_eq!(world.joined(first).members.len(), 30, "at 60 seconds the 30th was there");
}

#[test]
fn a_member_that_joins_makes_the_others_rejoin() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    let (b, join_b) = world.enter("b");
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.answer(join_b), None);
    let join_a = world.join(consumer("a", &a));
    assert_eq!(world.joined(join_a).generation_id, 2);
    assert_eq!(world.joined(join_b).generation_id, 2);
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::NONE);
    world.assign(&a, 2, &[a.clone(), b], &["x", "y"]);
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    let (c, join_c) = world.enter("c");
    world.pass(s(20));
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.heartbeat(&ids[1], 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let join_b = world.join(consumer("b", &ids[1]));
    world.pass(s(20));
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::REBALANCE_IN_PROGRESS);
    world.pass(s(20));
    let told = world.joined(join_c).clone();
    assert_eq!(told.generation_id, 2);
    let leader = told.leader;
    assert!(leader == ids[1] || leader == c, "the old leader is out");
    let members = world.joined(if leader == c { join_c } else { join_b }).members.len();
    assert_eq!(members, 2);
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_falls_silent_is_out_after_its_session_timeout() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    for _ in 0..10 {
        world.pass(s(20));
        assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::NONE);
        assert_eq!(world.heartbeat(&ids[1], 1), ErrorCode::NONE);
    }
    world.pass(s(29));
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::NONE);
    world.pass(s(2));
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.heartbeat(&ids[1], 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let join = world.join(consumer("a", &ids[0]));
    assert_eq!(world.joined(join).members.len(), 1);
}

#[test]
fn a_member_that_waits_for_others_needs_no_heartbeat() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    let join_a = world.join(consumer("a", &ids[0]));
    // b lives, but does not rejoin; a waits for longer than its session timeout.
    for _ in 0..2 {
        world.pass(s(25));
        assert_eq!(world.heartbeat(&ids[1], 1), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert_eq!(world.answer(join_a), None);
    world.pass(s(10));
    assert_eq!(world.joined(join_a).members.len(), 1);
}

#[test]
fn one_that_was_given_an_id_holds_up_the_others_for_its_session_timeout_only() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    let (_, join_b) = world.enter("b");
    let promised = world.join(consumer("c", ""));
    assert_eq!(world.joined(promised).error_code, ErrorCode::MEMBER_ID_REQUIRED);
    let join_a = world.join(consumer("a", &a));
    assert_eq!(world.answer(join_a), None, "c may still come");
    world.pass(s(30));
    assert_eq!(world.joined(join_a).generation_id, 2);
    assert_eq!(world.joined(join_b).generation_id, 2);
    let id = world.joined(promised).member_id.clone();
    let late = world.join(consumer("c", &id));
    assert_eq!(world.joined(late).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn before_version_4_a_new_member_is_let_in_at_once() {
    let mut world = World::new();
    let join = world.join(JoinCall { version: 3, ..consumer("old", "") });
    world.pass(s(3));
    assert_eq!(world.joined(join).generation_id, 1);
    assert!(world.joined(join).leader.starts_with("old-"));
}

#[test]
fn who_has_joined_but_does_not_sync_is_out() {
    let mut world = World::new();
    let (a, join_a) = world.enter("a");
    let (b, _) = world.enter("b");
    world.pass(s(6));
    let leader = world.joined(join_a).leader.clone();
    assert_eq!(leader, a);
    let sync = world.sync(&a, 1, &[(&a, "all")]);
    assert_eq!(world.synced(sync).error_code, ErrorCode::NONE);
    for _ in 0..3 {
        world.pass(s(20));
        world.heartbeat(&a, 1);
        world.heartbeat(&b, 1);
    }
    assert_eq!(world.heartbeat(&b, 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.heartbeat(&a, 1), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_rebalance_interrupts_those_who_wait_for_an_assignment() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    let joins: Vec<_> =
        ["a", "b"].iter().zip(&ids).map(|(client, id)| world.join(consumer(client, id))).collect();
    let leader = world.joined(joins[0]).leader.clone();
    let follower = ids.iter().find(|id| **id != leader).expect("two members").clone();
    let waiting = world.sync(&follower, 2, &[]);
    world.enter("c");
    assert_eq!(world.synced(waiting).error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    let late = world.sync(&leader, 2, &[]);
    assert_eq!(world.synced(late).error_code, ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_join_that_is_repeated_is_answered_alike() {
    let mut world = World::new();
    let (a, first) = world.enter("a");
    world.pass(s(3));
    let again = world.join(consumer("a", &a));
    assert_eq!(world.joined(again), world.joined(first));
    world.assign(&a, 1, std::slice::from_ref(&a), &["all"]);
    let (b, _) = world.enter("b");
    let join = world.join(consumer("a", &a));
    world.assign(&a, 2, &[a.clone(), b.clone()], &["x", "y"]);
    assert_eq!(world.joined(join).generation_id, 2);
    // A follower that joins again with nothing new learns where it stands; the leader, and one
    // with something new, begin a rebalance.
    let follower = world.join(consumer("b", &b));
    assert_eq!(world.joined(follower).generation_id, 2);
    assert_eq!(world.state(), "Stable");
    let changed = JoinCall {
        protocols: vec![("range".into(), Bytes::from_static(b"new"))],
        ..consumer("b", &b)
    };
    let changed = world.join(changed);
    assert_eq!(world.answer(changed), None);
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn the_last_member_leaves_an_empty_group_behind() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    let left = world.leave(&[(&ids[0], None), ("stranger", None), ("", Some("nobody"))]);
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(world.left(left), [ErrorCode::NONE, unknown, unknown]);
    assert_eq!(world.state(), "PreparingRebalance");
    world.commits = false;
    let left = world.leave(&[(&ids[1], None)]);
    assert_eq!(world.answer(left), None, "it is told once the empty group is stored");
    world.commit_all();
    assert_eq!(world.left(left), [ErrorCode::NONE]);
    assert_eq!(world.state(), "Empty");
    let sync = world.sync(&ids[0], 1, &[]);
    assert_eq!(world.synced(sync).error_code, unknown);
}

#[test]
fn leaving_a_group_that_does_not_exist_is_told_member_by_member() {
    let mut world = World::new();
    let left = world.leave(&[("a", None), ("b", Some("x"))]);
    assert_eq!(world.left(left), [ErrorCode::UNKNOWN_MEMBER_ID; 2]);
}

#[test]
fn one_who_leaves_before_it_was_ever_let_in_is_forgotten() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    let promised = world.join(consumer("b", ""));
    let id = world.joined(promised).member_id.clone();
    let left = world.leave(&[(&id, None)]);
    assert_eq!(world.left(left), [ErrorCode::NONE]);
    let join = world.join(consumer("b", &id));
    assert_eq!(world.joined(join).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(a, world.shard.describe(&GROUP.into(), 6).members[0].member_id);
}

#[test]
fn the_protocol_that_most_like_best_among_those_of_all_is_chosen() {
    let mut world = World::new();
    let offering = |client: &str, member: &str, names: &[&str]| JoinCall {
        protocols: names
            .iter()
            .map(|name| (Str::from(*name), Bytes::from(format!("{client}:{name}"))))
            .collect(),
        ..consumer(client, member)
    };
    let offers: [(&str, &[&str]); 3] = [
        ("a", &["sticky", "range", "roundrobin"]),
        ("b", &["range", "roundrobin"]),
        ("c", &["roundrobin", "range", "mine"]),
    ];
    let mut joins = Vec::new();
    for (client, names) in offers {
        let promised = world.join(offering(client, "", names));
        let id = world.joined(promised).member_id.clone();
        joins.push(world.join(offering(client, &id, names)));
    }
    world.pass(s(6));
    let response = world.joined(joins[0]).clone();
    assert_eq!(response.protocol_name.as_deref(), Some("range"));
    assert_eq!(response.members.len(), 3);
    assert!(response.members.iter().all(|member| member.metadata.ends_with(b":range")));

    let inconsistent = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
    for call in [
        offering("d", "", &["mine"]),
        JoinCall { protocol_type: "connect".into(), ..offering("d", "", &["range"]) },
        offering("d", "", &[]),
    ] {
        let join = world.join(call);
        assert_eq!(world.joined(join).error_code, inconsistent);
    }
}

#[test]
fn a_sync_of_another_protocol_or_generation_is_refused() {
    let mut world = World::new();
    let (a, _) = world.enter("a");
    world.pass(s(3));
    for (generation, kind, name, code) in [
        (0, None, None, ErrorCode::ILLEGAL_GENERATION),
        (1, Some("connect"), Some("range"), ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (1, Some("consumer"), Some("sticky"), ErrorCode::INCONSISTENT_GROUP_PROTOCOL),
        (1, Some("consumer"), Some("range"), ErrorCode::NONE),
    ] {
        let call = crate::group::calls::SyncCall {
            group_id: GROUP.into(),
            generation,
            member_id: a.clone(),
            protocol_type: kind.map(Str::from),
            protocol: name.map(Str::from),
            ..Default::default()
        };
        let sync = world.send(|token| Event::Sync(token, call));
        assert_eq!(world.synced(sync).error_code, code, "{generation} {kind:?} {name:?}");
    }
}

#[test]
fn what_no_group_could_accept_is_refused_before_one_is_made() {
    let mut world = World::new();
    let invalid = ErrorCode::INVALID_SESSION_TIMEOUT;
    let protocols = |count: usize, bytes: usize| {
        let protocol = |i| (Str::from(format!("p{i}")), Bytes::from(vec![0; bytes]));
        (0..count).map(protocol).collect::<Vec<_>>()
    };
    for (call, code) in [
        (JoinCall { session_timeout_ms: 5_999, ..consumer("a", "") }, invalid),
        (JoinCall { session_timeout_ms: 1_800_001, ..consumer("a", "") }, invalid),
        (JoinCall { protocols: protocols(65, 1), ..consumer("a", "") }, ErrorCode::INVALID_REQUEST),
        (
            JoinCall { protocols: protocols(1, 1_050_000), ..consumer("a", "") },
            ErrorCode::INVALID_REQUEST,
        ),
        (
            JoinCall { protocols: protocols(9, 1_000_000), ..consumer("a", "") },
            ErrorCode::INVALID_REQUEST,
        ),
        (consumer("a", "some-id"), ErrorCode::UNKNOWN_MEMBER_ID),
    ] {
        let join = world.join(call);
        assert_eq!(world.joined(join).error_code, code);
    }
    assert_eq!(world.state(), "Dead");
    assert_eq!(world.heartbeat("a", 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let long = JoinCall { protocols: protocols(2, 1_000_000), ..consumer("a", "") };
    let join = world.join(long);
    let code = world.joined(join).error_code;
    assert_eq!(code, ErrorCode::MEMBER_ID_REQUIRED, "only one of the two will ever be stored");
}

#[test]
fn a_group_takes_no_more_members_than_it_may() {
    let mut world = World::with(GroupConfig { max_size: 2, ..GroupConfig::default() });
    let ids = world.stable(&["a", "b"]);
    let join = world.join(consumer("c", ""));
    assert_eq!(world.joined(join).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(world.joined(join).member_id, "");
    let again = world.join(consumer("a", &ids[0]));
    let join = world.join(consumer("c", ""));
    assert_eq!(world.joined(join).error_code, ErrorCode::MEMBER_ID_REQUIRED, "b may stay away");
    let third = world.joined(join).member_id.clone();
    let b = world.join(consumer("b", &ids[1]));
    let join = world.join(consumer("c", &third));
    assert_eq!(world.joined(join).error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(world.joined(again).generation_id, 2);
    assert_eq!(world.joined(b).generation_id, 2);
}

#[test]
fn a_group_is_described_and_listed_as_it_is() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    let described = world.shard.describe(&GROUP.into(), 6);
    assert_eq!(described.protocol_type, "consumer");
    assert_eq!(described.protocol_data, "range");
    assert_eq!(described.members[0].member_id, a);
    assert_eq!(described.members[0].client_host, "/127.0.0.1");
    assert_eq!(described.members[0].member_assignment, "a");
    let missing = world.shard.describe(&"other".into(), 6);
    assert_eq!(missing.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(missing.group_state, "Dead");
    let missing = world.shard.describe(&"other".into(), 5);
    assert_eq!((missing.error_code, missing.group_state), (ErrorCode::NONE, "Dead".into()));

    let list = |states: &[&str], types: &[&str]| {
        let text = |of: &[&str]| of.iter().map(|text| Str::from(*text)).collect();
        let filter = ListFilter { states: text(states), types: text(types) };
        world.shard.list(&filter).len()
    };
    assert_eq!(list(&[], &[]), 1);
    assert_eq!(list(&["stable", "Empty"], &["Classic"]), 1);
    assert_eq!(list(&["Empty"], &[]), 0);
    assert_eq!(list(&[], &["consumer"]), 0);
    let listed = world.shard.list(&ListFilter::default()).remove(0);
    assert_eq!((listed.group_state, listed.group_type), ("Stable".into(), "classic".into()));
}

#[test]
fn an_assignment_that_cannot_be_stored_is_made_again() {
    let mut world = World::new();
    let (a, _) = world.enter("a");
    let (b, _) = world.enter("b");
    world.pass(s(6));
    let waiting = world.sync(&b, 1, &[]);
    world.refuses = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let sync = world.sync(&a, 1, &[(&a, "x"), (&b, "y")]);
    let unavailable = ErrorCode::COORDINATOR_NOT_AVAILABLE;
    assert_eq!(world.synced(sync).error_code, unavailable);
    assert_eq!(world.synced(waiting).error_code, unavailable);
    assert_eq!(world.state(), "PreparingRebalance");
    world.refuses = None;
    let join = world.join(consumer("a", &a));
    world.join(consumer("b", &b));
    assert_eq!(world.joined(join).generation_id, 2);
    world.assign(&a, 2, &[a.clone(), b], &["x", "y"]);
}

#[test]
fn a_group_that_cannot_be_stored_is_not_founded_and_who_founds_it_is_told() {
    let mut world = World::new();
    for code in [ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::NOT_COORDINATOR] {
        for call in [
            JoinCall { version: 3, ..consumer("old", "") },
            JoinCall { instance_id: Some("i".into()), ..consumer("static", "") },
        ] {
            world.refuses = Some(code);
            let join = world.join(call);
            assert_eq!(world.joined(join).error_code, code);
            assert_eq!(world.state(), "Dead");
        }
    }
    world.refuses = None;
    let join = world.join(JoinCall { version: 3, ..consumer("old", "") });
    world.pass(s(3));
    assert_eq!(world.joined(join).members.len(), 1);
}

#[test]
fn the_initial_delay_is_not_cut_short_by_one_who_does_not_come_back() {
    let mut world = World::new();
    let (_, join_a) = world.enter("a");
    world.pass(s(1));
    let promised = world.join(JoinCall { session_timeout_ms: 6_000, ..consumer("c", "") });
    assert_eq!(world.joined(promised).error_code, ErrorCode::MEMBER_ID_REQUIRED);
    for _ in 0..2 {
        world.pass(s(1));
        world.enter("b");
        world.pass(s(1));
    }
    // The third part of the delay ends after nine seconds, the promise after seven.
    world.pass(3_500);
    assert_eq!(world.answer(join_a), None);
    world.pass(500);
    assert_eq!(world.joined(join_a).members.len(), 3);
}

#[test]
fn the_initial_delay_is_not_cut_short_by_one_who_has_gone() {
    let config = GroupConfig { new_member_join_timeout_ms: 5_000, ..GroupConfig::default() };
    let mut world = World::with(config);
    let (gone, _) = world.enter("gone");
    world.pass(s(2));
    let (_, join_b) = world.enter("b");
    world.pass(3_500);
    assert_eq!(world.heartbeat(&gone, 0), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.answer(join_b), None, "the second part of the delay ends after six seconds");
    world.pass(500);
    assert_eq!(world.joined(join_b).members.len(), 1);
}

#[test]
fn an_assignment_that_takes_too_long_to_store_is_made_again() {
    let mut world = World::new();
    let (a, _) = world.enter("a");
    world.pass(s(3));
    world.commits = false;
    let sync = world.sync(&a, 1, &[(&a, "x")]);
    world.pass(4_999);
    assert_eq!(world.answer(sync), None);
    world.pass(1);
    assert_eq!(world.synced(sync).error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.state(), "PreparingRebalance");
    world.commits = true;
    world.commit_all();
    assert_eq!(world.state(), "PreparingRebalance", "what comes late changes nothing");
}

#[test]
fn a_broker_that_resigns_tells_all_who_wait() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    let join = world.join(consumer("a", &ids[0]));
    world.commits = false;
    let commit = world.commit(super::world::commit_of(&ids[0], 1, "orders", 5));
    let shard = std::mem::replace(
        &mut world.shard,
        crate::group::machine::Shard::new(GroupConfig::default()),
    );
    let replies = shard.stop();
    assert_eq!(replies.len(), 2);
    for (token, reply) in replies {
        match reply {
            Reply::Join(response) => {
                assert_eq!(token, join);
                assert_eq!(response.error_code, ErrorCode::NOT_COORDINATOR);
            }
            Reply::Commit(response) => {
                assert_eq!(token, commit);
                let code = response.topics[0].partitions[0].error_code;
                assert_eq!(code, ErrorCode::NOT_COORDINATOR);
            }
            other => panic!("{other:?}"),
        }
    }
}
