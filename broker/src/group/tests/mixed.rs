//! Groups with members of both protocols as scenarios: how they come to be, live and end (KIP-848,
//! "Migration").

mod clients;
mod storm;

use bytes::Bytes;
use vltava_wire::records::group::ConsumerProtocolAssignment;
use vltava_wire::{ErrorCode, Str};

use super::consumer_storm::Topics;
use super::world::{GROUP, World, commit_of, s};
use crate::group::calls::{FetchCall, JoinCall, ListFilter, SyncCall};
use crate::group::config::{ConsumerConfig, GroupConfig, MigrationPolicy};
use crate::group::consumer::{LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use crate::group::desk::Token;
use crate::group::machine::{Event, Reply};
use clients::{Classic, Modern, Owned, TOPIC, assignment, read, subscription, written};

fn config(migration: MigrationPolicy) -> GroupConfig {
    let consumer = ConsumerConfig { migration, ..ConsumerConfig::default() };
    GroupConfig { consumer, ..GroupConfig::default() }
}

fn world_with(config: GroupConfig) -> World {
    let mut world = World::with(config);
    world.set_image(Topics::of(&[4]).image());
    world
}

fn world() -> World {
    world_with(GroupConfig::default())
}

/// Classic members in the next generation of a classic group, each with its partitions.
fn assign(world: &mut World, members: &mut [Classic], given: &[&[i32]]) {
    let tokens: Vec<Token> = members.iter_mut().map(|member| member.ask(world)).collect();
    world.pass(s(6));
    let leader = world.joined(tokens[0]).leader.clone();
    for (member, token) in members.iter_mut().zip(tokens) {
        let response = world.joined(token);
        assert_eq!(response.error_code, ErrorCode::NONE);
        (member.id, member.generation) = (response.member_id.clone(), response.generation_id);
    }
    let assignments: Vec<(Str, Bytes)> =
        members.iter().zip(given).map(|(it, given)| (it.id.clone(), assignment(given))).collect();
    let calls = members.iter().map(|member| match member.id == leader {
        true => SyncCall { assignments: assignments.clone(), ..member.sync_call() },
        false => member.sync_call(),
    });
    let calls: Vec<SyncCall> = calls.collect();
    let send = |call| world.send(|token| Event::Sync(token, call));
    let tokens: Vec<Token> = calls.into_iter().map(send).collect();
    for (member, token) in members.iter_mut().zip(tokens) {
        assert_eq!(world.synced(token).error_code, ErrorCode::NONE);
        member.owned = read(&world.synced(token).assignment);
    }
}

/// The first generation of two classic members.
fn two(world: &mut World) -> [Classic; 2] {
    let mut members = [Classic::new("a"), Classic::new("b")];
    assign(world, &mut members, &[&[0, 1], &[2, 3]]);
    members
}

/// What ConsumerGroupDescribe shows of members: their types and epochs, by id.
fn shown(world: &World) -> Vec<(Str, i8, i32)> {
    let described = world.shard.describe_consumer_group(&GROUP.into());
    assert_eq!(described.error_code, ErrorCode::NONE, "{:?}", described.error_message);
    let members = described.members.into_iter();
    members.map(|it| (it.member_id, it.member_type, it.member_epoch)).collect()
}

fn is_classic(world: &World) -> bool {
    world.shard.describe(&GROUP.into(), 6).error_code.is_ok()
}

/// The types of records that were written from there on, as Kafka numbers them, negative where
/// they are taken back.
fn kinds(world: &World, from: usize) -> Vec<i16> {
    let kind = |record: &crate::group::record::Record| {
        let kind = i16::from_be_bytes([record.key[0], record.key[1]]);
        if record.value.is_some() { kind } else { -kind }
    };
    world.log[from..].iter().map(kind).collect()
}

fn all_once(owned: &[&Owned]) {
    let mut partitions: Vec<i32> = owned.iter().flat_map(|own| own.iter().copied()).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2, 3], "{owned:?}");
}

#[test]
fn a_consumer_that_joins_makes_a_consumer_group_of_a_classic_one() {
    let mut world = world();
    let [mut a, mut b] = two(&mut world);
    let (from, mut m) = (world.log.len(), Modern::new("m"));
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    assert_eq!((m.epoch, m.owned.len()), (2, 0), "others hold all");
    let converted = [-2, 5, 5, 3, 7, 7, 6, 8, 8];
    assert_eq!(kinds(&world, from)[..9], converted);
    let mut expected = vec![(a.id.clone(), 0, 1), (b.id.clone(), 0, 1), ("m".into(), 1, 2)];
    expected.sort();
    assert_eq!(shown(&world), expected);
    let classic = world.shard.describe(&GROUP.into(), 6);
    assert_eq!(classic.error_message.as_deref(), Some("Group g is not a classic group."));
    let listed = world.shard.list(&ListFilter::default());
    assert_eq!((&*listed[0].group_type, &*listed[0].group_state), ("consumer", "Reconciling"));
    for member in [&mut a, &mut b] {
        assert_eq!(member.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
        member.settle(&mut world);
    }
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    assert_eq!((a.generation, b.generation, m.epoch), (2, 2, 2));
    all_once(&[&a.owned, &b.owned, &m.owned]);
    assert_eq!(m.owned.len(), 1);
    let listed = world.shard.list(&ListFilter::default());
    assert_eq!((&*listed[0].group_type, &*listed[0].group_state), ("consumer", "Stable"));
}

/// Everything that a roll there and back does, one step each.
fn roll(fail_at: usize) {
    let mut world = world();
    let [mut a, mut b] = two(&mut world);
    let token = world.commit(commit_of(&a.id, 1, TOPIC, 7));
    assert_eq!(world.committed(token), ErrorCode::NONE);
    let mut step = 0;
    let mut next = |world: &mut World| {
        step += 1;
        if step == fail_at {
            world.fail_over();
        }
    };
    let mut m = Modern::new("m");
    next(&mut world);
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    next(&mut world);
    assert_eq!(a.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    next(&mut world);
    assert_eq!(a.join(&mut world), ErrorCode::NONE);
    next(&mut world);
    assert_eq!(a.sync(&mut world), ErrorCode::NONE);
    next(&mut world);
    a.settle(&mut world);
    next(&mut world);
    b.settle(&mut world);
    next(&mut world);
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    all_once(&[&a.owned, &b.owned, &m.owned]);
    next(&mut world);
    b.leave(&mut world);
    next(&mut world);
    a.settle(&mut world);
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    all_once(&[&a.owned, &m.owned]);
    let token = world.commit(commit_of(&a.id, a.generation, TOPIC, 8));
    assert_eq!(world.committed(token), ErrorCode::NONE);
    next(&mut world);
    let epoch = m.epoch;
    m.leave(&mut world, LEAVE_EPOCH);
    next(&mut world);
    assert!(is_classic(&world));
    assert_eq!(a.generation, epoch);
    assert_eq!(world.state(), "PreparingRebalance", "failed at step {fail_at}");
    assert_eq!(a.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    assign(&mut world, std::slice::from_mut(&mut a), &[&[0, 1, 2, 3]]);
    assert_eq!((a.generation, &*world.state()), (epoch + 1, "Stable"));
    world.fail_over();
    assert_eq!(world.offset_of(GROUP, TOPIC), 8);
    assert_eq!((a.beat(&mut world), &*world.state()), (ErrorCode::NONE, "Stable"));
}

#[test]
fn a_roll_there_and_back_survives_the_coordinators_death_at_every_step() {
    for fail_at in 0..=11 {
        roll(fail_at);
    }
}

#[test]
fn who_waits_in_a_classic_group_that_becomes_another_is_told_to_join_again() {
    let mut world = world();
    let [mut a, b] = two(&mut world);
    a.owned.clear();
    let call = JoinCall { protocols: vec![("range".into(), subscription(&a.owned))], ..a.call() };
    let call = JoinCall { protocols: [call.protocols, a.call().protocols].concat(), ..call };
    let joining = world.join(call);
    assert_eq!(world.state(), "PreparingRebalance");
    let mut m = Modern::new("m");
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    assert_eq!(world.joined(joining).error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.joined(joining).member_id, a.id);
    a.settle(&mut world);
    assert_eq!(b.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_group_whose_first_members_have_not_met_yet_becomes_a_consumer_group() {
    let mut world = world();
    let mut a = Classic::new("a");
    let joining = a.ask(&mut world);
    assert_eq!(world.answer(joining), None);
    let mut m = Modern::new("m");
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    assert_eq!(world.joined(joining).error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(m.epoch, 1);
    a.rejoin(&mut world);
    a.settle(&mut world);
    m.beat(&mut world);
    all_once(&[&a.owned, &m.owned]);
}

#[test]
fn policies_say_which_way_groups_may_go() {
    use MigrationPolicy::{Bidirectional, Disabled, Downgrade, Upgrade};
    for (policy, up, down) in [
        (Bidirectional, true, true),
        (Upgrade, true, false),
        (Downgrade, false, true),
        (Disabled, false, false),
    ] {
        let mut world = world_with(config(policy));
        let [a, _] = two(&mut world);
        let refused = Modern::new("m").send(&mut world, 0);
        if up {
            assert_eq!(refused.error_code, ErrorCode::NONE);
        } else {
            assert_eq!(refused.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
            let because = "Cannot upgrade classic group g to consumer group because online \
                           upgrade is disabled.";
            assert_eq!(refused.error_message.as_deref(), Some(because));
            assert_eq!((a.beat(&mut world), &*world.state()), (ErrorCode::NONE, "Stable"));
        }
        // The other way round, from a group that was new from the beginning.
        let mut world = world_with(config(policy));
        let mut m = Modern::new("m");
        assert_eq!(m.beat(&mut world), ErrorCode::NONE);
        let mut c = Classic::new("c");
        assert_eq!(c.join(&mut world), ErrorCode::NONE, "any may join");
        m.leave(&mut world, LEAVE_EPOCH);
        assert_eq!(is_classic(&world), down, "{policy:?}");
        if !down {
            c.settle(&mut world);
            assert_eq!(c.owned.len(), 4);
            assert_eq!(world.shard.describe_consumer_group(&GROUP.into()).group_state, "Stable");
        }
    }
}

/// A classic group whose assignor adds something of its own to assignments.
fn with_user_data(assignor: &str) -> World {
    let mut world = world();
    let protocols = vec![(assignor.into(), subscription(&Owned::new()))];
    let call = JoinCall { protocols, ..Classic::new("a").call() };
    let token = world.join(call.clone());
    let member_id = world.joined(token).member_id.clone();
    let token = world.join(JoinCall { member_id: member_id.clone(), ..call });
    world.pass(s(6));
    let user_data = Some(Bytes::from_static(b"weights"));
    let given = ConsumerProtocolAssignment { user_data, ..Default::default() };
    let call = SyncCall {
        group_id: GROUP.into(),
        generation: world.joined(token).generation_id,
        member_id: member_id.clone(),
        assignments: vec![(member_id, written(&given, 1))],
        ..SyncCall::default()
    };
    world.send(|token| Event::Sync(token, call));
    assert_eq!(world.state(), "Stable");
    world
}

#[test]
fn what_is_no_group_of_consumers_stays_what_it_is() {
    let refusal = |world: &mut World| {
        let refused = Modern::new("m").send(world, 0);
        assert_eq!(refused.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
        assert!(is_classic(world));
        refused.error_message.expect("a reason").to_string()
    };
    let mut connect = world();
    let connects = JoinCall { protocol_type: "connect".into(), ..Classic::new("a").call() };
    let token = connect.join(connects.clone());
    let member_id = connect.joined(token).member_id.clone();
    connect.join(JoinCall { member_id, ..connects });
    let because = refusal(&mut connect);
    assert!(because.ends_with("does not use the consumer embedded protocol."), "{because}");

    let mut malformed = world();
    malformed.stable(&["a"]);
    let because = refusal(&mut malformed);
    assert!(because.ends_with("the embedded consumer protocol is malformed."), "{because}");

    let size = ConsumerConfig { max_size: 1, ..ConsumerConfig::default() };
    let mut large = world_with(GroupConfig { consumer: size, ..GroupConfig::default() });
    two(&mut large);
    let because = refusal(&mut large);
    assert!(because.ends_with("exceeds the consumer group maximum size."), "{because}");

    let mut custom = with_user_data("weighted");
    let because = refusal(&mut custom);
    assert!(because.contains("an unsupported custom assignor is in use. Please"), "{because}");
    let mut sticky = with_user_data("cooperative-sticky");
    assert_eq!(Modern::new("m").beat(&mut sticky), ErrorCode::NONE);
}

#[test]
fn a_group_that_is_too_large_to_be_classic_stays_what_it_is() {
    let mut world = world_with(GroupConfig { max_size: 1, ..GroupConfig::default() });
    let mut m = Modern::new("m");
    m.beat(&mut world);
    let (mut a, mut b) = (Classic::new("a"), Classic::new("b"));
    a.rejoin(&mut world);
    b.rejoin(&mut world);
    m.leave(&mut world, LEAVE_EPOCH);
    assert!(!is_classic(&world));
    // A classic member that leaves makes it small enough.
    b.leave(&mut world);
    assert!(is_classic(&world));
    assert_eq!(a.beat(&mut world), ErrorCode::ILLEGAL_GENERATION, "the group is two epochs on");
}

#[test]
fn classic_members_have_their_own_timeouts() {
    let mut world = world();
    let mut m = Modern::new("m");
    m.beat(&mut world);
    let mut a = Classic::new("a");
    a.rejoin(&mut world);
    // Silent for its own session timeout, which is shorter than the group's.
    world.pass(s(29));
    assert_eq!(shown(&world).len(), 2);
    m.beat(&mut world);
    world.pass(s(2));
    assert_eq!(shown(&world), [("m".into(), 1, 1)], "it has not given up what was not needed");
    assert_eq!(a.beat(&mut world), ErrorCode::UNKNOWN_MEMBER_ID);
    // One that joins and never asks for what it has.
    let mut b = Classic::new("b");
    assert_eq!(b.join(&mut world), ErrorCode::NONE);
    for _ in 0..6 {
        world.pass(s(9));
        m.beat(&mut world);
        b.beat(&mut world);
    }
    assert_eq!(shown(&world).len(), 2);
    world.pass(s(7));
    assert_eq!(shown(&world).len(), 1, "60 s are over");
    // One that is told to join again and does not.
    let mut c = Classic::new("c");
    c.rejoin(&mut world);
    m.beat(&mut world);
    m.beat(&mut world);
    c.settle(&mut world);
    let mut n = Modern::new("n");
    n.beat(&mut world);
    for _ in 0..6 {
        assert_eq!(c.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
        world.pass(s(9));
        m.beat(&mut world);
        n.beat(&mut world);
    }
    assert_eq!(shown(&world).len(), 3);
    world.pass(s(7));
    assert_eq!(shown(&world).len(), 2, "60 s are over");
    assert_eq!(c.beat(&mut world), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn requests_of_the_classic_protocol_are_for_members_that_speak_it() {
    let mut world = world();
    let mut m = Modern::new("m");
    m.beat(&mut world);
    let mut a = Classic::new("a");
    a.rejoin(&mut world);
    assert_eq!(world.heartbeat("m", m.epoch), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.heartbeat("x", 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.heartbeat(&a.id, a.generation - 1), ErrorCode::ILLEGAL_GENERATION);
    let mut sync = |call: SyncCall| {
        let token = world.send(|token| Event::Sync(token, call));
        world.synced(token).error_code
    };
    let other = SyncCall { protocol: Some("range".into()), ..a.sync_call() };
    assert_eq!(sync(other), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let other = SyncCall { protocol_type: Some("connect".into()), ..a.sync_call() };
    assert_eq!(sync(other), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let other = SyncCall { generation: 9, ..a.sync_call() };
    assert_eq!(sync(other), ErrorCode::ILLEGAL_GENERATION);
    let mut code = |call: JoinCall| {
        let token = world.join(call);
        world.joined(token).error_code
    };
    let range = vec![("range".into(), subscription(&Owned::new()))];
    let stranger = JoinCall { protocols: range, ..Classic::new("b").call() };
    assert_eq!(code(stranger), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let garbage = vec![("cooperative-sticky".into(), Bytes::from_static(b"x"))];
    let garbage =
        JoinCall { protocols: garbage, member_id: "b".into(), ..Classic::new("b").call() };
    assert_eq!(code(garbage), ErrorCode::UNKNOWN_SERVER_ERROR);
    let none = JoinCall { protocols: Vec::new(), ..Classic::new("b").call() };
    assert_eq!(code(none), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let token = world.commit(commit_of(&a.id, a.generation + 1, TOPIC, 1));
    assert_eq!(world.committed(token), ErrorCode::ILLEGAL_GENERATION);
    let stale = FetchCall {
        group_id: GROUP.into(),
        member_id: Some(a.id.clone()),
        member_epoch: a.generation + 1,
        ..FetchCall::default()
    };
    let token = world.send(|token| Event::Fetch(token, stale));
    let Some(Reply::Fetch(response)) = world.answer(token) else { panic!("an answer") };
    assert_eq!(response.error_code, ErrorCode::ILLEGAL_GENERATION);
    // An operator may remove members of either kind, static ones by name; others are told.
    let left = world.leave(&[("x", None), (&a.id, None), ("m", None), ("", Some("i"))]);
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(world.left(left), [unknown, ErrorCode::NONE, ErrorCode::NONE, unknown]);
    assert_eq!(world.shard.describe_consumer_group(&GROUP.into()).group_state, "Empty");
}

#[test]
fn static_members_roll_one_by_one_and_keep_what_they_have() {
    let mut world = world();
    let mut members = [Classic::named("a", "i"), Classic::named("b", "j")];
    assign(&mut world, &mut members, &[&[0, 1], &[2, 3]]);
    let [a, mut b] = members;
    // Up: each is replaced by one of the new protocol, in the generation that was.
    let mut up_a = Modern::named("A", "i");
    assert_eq!(up_a.beat(&mut world), ErrorCode::NONE);
    assert_eq!((up_a.epoch, &up_a.owned), (1, &a.owned));
    assert_eq!(a.beat(&mut world), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(b.beat(&mut world), ErrorCode::NONE, "it need not notice");
    world.fail_over();
    let mut up_b = Modern::named("B", "j");
    assert_eq!(up_b.beat(&mut world), ErrorCode::NONE);
    assert_eq!((up_b.epoch, &up_b.owned), (1, &b.owned));
    assert_eq!(shown(&world), [("A".into(), 1, 1), ("B".into(), 1, 1)]);
    // And down: the last one makes the group classic, without a rebalance.
    up_a.leave(&mut world, LEAVE_STATIC_EPOCH);
    let mut down_a = Classic::named("a", "i");
    down_a.rejoin(&mut world);
    assert_eq!((down_a.generation, &down_a.owned), (1, &up_a.owned));
    assert!(!is_classic(&world));
    up_b.leave(&mut world, LEAVE_STATIC_EPOCH);
    b.id = Str::default();
    assert_eq!(b.join(&mut world), ErrorCode::NONE);
    assert_eq!((is_classic(&world), &*world.state()), (true, "Stable"));
    world.fail_over();
    assert_eq!(b.sync(&mut world), ErrorCode::NONE);
    assert_eq!((b.generation, &b.owned), (1, &up_b.owned));
    assert_eq!(down_a.beat(&mut world), ErrorCode::NONE);
    assert_eq!(b.beat(&mut world), ErrorCode::NONE);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_static_member_that_ends_a_group_on_its_way_has_it_rebalance() {
    let mut world = world();
    let mut m = Modern::named("m", "i");
    m.beat(&mut world);
    let (mut a, mut b) = (Classic::new("a"), Classic::new("b"));
    a.rejoin(&mut world);
    m.beat(&mut world);
    m.beat(&mut world);
    a.settle(&mut world);
    // What a is to give up for b is not given up yet.
    b.rejoin(&mut world);
    let mut down = Classic::named("d", "i");
    assert_eq!(down.join(&mut world), ErrorCode::NONE);
    assert_eq!((is_classic(&world), &*world.state()), (true, "PreparingRebalance"));
    assert_eq!(b.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
    let refused = [ErrorCode::REBALANCE_IN_PROGRESS, ErrorCode::ILLEGAL_GENERATION];
    assert!(refused.contains(&down.sync(&mut world)), "nobody gets what another may hold");
}

#[test]
fn what_members_keep_through_a_rebalance_is_theirs_in_a_consumer_group() {
    let mut world = world();
    let [mut a, mut b] = two(&mut world);
    // The second join phase within one rebalance: what the leader gave is withdrawn.
    let joins = [a.ask(&mut world), b.ask(&mut world)];
    joins.iter().for_each(|token| assert!(world.joined(*token).error_code.is_ok()));
    let mut c = Classic::new("c");
    c.ask(&mut world);
    let mut m = Modern::new("m");
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    assert_eq!(m.owned, Owned::new(), "a and b still read everything");
    a.settle_from(ErrorCode::ILLEGAL_GENERATION, &mut world);
    b.settle_from(ErrorCode::ILLEGAL_GENERATION, &mut world);
    c.rejoin(&mut world);
    m.beat(&mut world);
    all_once(&[&a.owned, &b.owned, &c.owned, &m.owned]);
}

#[test]
fn a_consumer_that_is_fenced_or_stays_away_leaves_a_classic_group() {
    let mut world = world();
    let mut m = Modern::named("m", "i");
    m.beat(&mut world);
    let mut a = Classic::new("a");
    a.rejoin(&mut world);
    m.leave(&mut world, LEAVE_STATIC_EPOCH);
    assert!(!is_classic(&world), "it may come back");
    for _ in 0..5 {
        world.pass(s(10));
        a.beat(&mut world);
    }
    assert_eq!((is_classic(&world), &*world.state()), (true, "PreparingRebalance"));
    world.fail_over();
    assert_eq!(world.state(), "PreparingRebalance", "it still owes a rebalance");
    assert_eq!(a.beat(&mut world), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn an_empty_group_changes_its_kind_under_every_policy_and_keeps_its_offsets() {
    let mut world = world_with(config(MigrationPolicy::Disabled));
    let mut m = Modern::new("m");
    m.beat(&mut world);
    let token = world.commit(commit_of("m", 1, TOPIC, 5));
    assert_eq!(world.committed(token), ErrorCode::NONE);
    m.leave(&mut world, LEAVE_EPOCH);
    let mut members = [Classic::new("a")];
    assign(&mut world, &mut members, &[&[0, 1, 2, 3]]);
    world.fail_over();
    assert_eq!((is_classic(&world), world.offset_of(GROUP, TOPIC)), (true, 5));
    members[0].leave(&mut world);
    let mut n = Modern::new("n");
    assert_eq!(n.beat(&mut world), ErrorCode::NONE);
    world.fail_over();
    assert_eq!(world.offset_of(GROUP, TOPIC), 5);
    assert_eq!(shown(&world), [("n".into(), 1, 1)]);
}

#[test]
fn a_change_that_the_log_refuses_has_not_happened() {
    let refused = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let mut world = world();
    let [mut a, mut b] = two(&mut world);
    let mut m = Modern::new("m");
    world.refuses = refused;
    assert_eq!(m.beat(&mut world), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!((is_classic(&world), &*world.state()), (true, "Stable"));
    assert_eq!(a.beat(&mut world), ErrorCode::NONE);
    world.refuses = None;
    assert_eq!(m.beat(&mut world), ErrorCode::NONE);
    a.settle(&mut world);
    b.settle(&mut world);
    m.beat(&mut world);
    // And back.
    world.refuses = refused;
    let told = m.send(&mut world, LEAVE_EPOCH);
    assert_eq!(told.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert!(!is_classic(&world));
    assert_eq!((a.beat(&mut world), m.beat(&mut world)), (ErrorCode::NONE, ErrorCode::NONE));
    all_once(&[&a.owned, &b.owned, &m.owned]);
    // An empty group that was to become a classic one.
    world.refuses = None;
    [&a, &b].iter().for_each(|member| member.leave(&mut world));
    m.leave(&mut world, LEAVE_EPOCH);
    world.refuses = refused;
    assert_eq!(Classic::new("c").join(&mut world), ErrorCode::UNKNOWN_MEMBER_ID);
    assert!(shown(&world).is_empty() && !is_classic(&world));
}
