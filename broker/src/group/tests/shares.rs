//! Share groups as scenarios (KIP-932).

use std::collections::{BTreeMap, BTreeSet};

use vltava_wire::messages::{ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse};
use vltava_wire::{ErrorCode, Str};

use super::consumer_storm::Topics;
use super::world::{GROUP, World, commit_of, consumer, s};
use crate::group::calls::{ListFilter, ShareHeartbeatCall};
use crate::group::machine::{Event, Reply};
use crate::group::share::{ShareOutcome, ShareTask};
use crate::group::sharing::TaskReply;

fn world() -> World {
    let mut world = World::new();
    world.set_image(Topics::of(&[4]).image());
    world
}

fn joining(member: &str) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        subscribed_topic_names: Some(vec!["orders-0".into()]),
        ..Default::default()
    }
}

fn staying(member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
    ShareGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: epoch,
        ..Default::default()
    }
}

fn beat(world: &mut World, request: ShareGroupHeartbeatRequest) -> ShareGroupHeartbeatResponse {
    let call =
        ShareHeartbeatCall { request, client_id: "c".into(), client_host: "/127.0.0.1".into() };
    let token = world.send(|token| Event::ShareHeartbeat(token, call));
    match world.answer(token) {
        Some(Reply::ShareHeartbeat(response)) => response.clone(),
        other => panic!("{other:?} for an answer to a ShareGroupHeartbeat"),
    }
}

fn given(response: &ShareGroupHeartbeatResponse) -> Option<Vec<i32>> {
    assert_eq!(response.error_code, ErrorCode::NONE, "{:?}", response.error_message);
    let assignment = response.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

/// The share coordinator does all that it was asked for.
fn initialize(world: &mut World) {
    for order in std::mem::take(&mut world.orders) {
        let outcome = ShareOutcome {
            group: order.group,
            initialized: order.initialize,
            deleted: BTreeSet::new(),
        };
        world.feed(Event::ShareOutcome(outcome));
    }
}

fn task(world: &mut World, task: ShareTask) -> TaskReply {
    let token = world.send(|token| Event::ShareTask(token, GROUP.into(), task));
    match world.answer(token) {
        Some(Reply::ShareTask(reply)) => reply.clone(),
        other => panic!("{other:?} for an answer to a task"),
    }
}

fn known(world: &World) -> Vec<i32> {
    let (known, _) = world.shard.share_partitions(&GROUP.into()).expect("a share group");
    known.into_values().flatten().collect()
}

#[test]
fn partitions_are_assigned_once_the_share_coordinator_knows_them_and_are_shared() {
    let mut world = world();
    let first = beat(&mut world, joining("a"));
    assert_eq!(given(&first), Some(vec![]), "nothing is known yet");
    assert_eq!(world.orders.len(), 1);
    initialize(&mut world);
    let told = beat(&mut world, staying("a", first.member_epoch));
    assert_eq!(given(&told), Some(vec![0, 1, 2, 3]));
    assert!(told.member_epoch > first.member_epoch);
    assert_eq!(given(&beat(&mut world, staying("a", told.member_epoch))), None, "no news");
    assert_eq!(world.orders, [], "all is known");
    let second = beat(&mut world, joining("b"));
    let first = beat(&mut world, staying("a", told.member_epoch));
    let all = [given(&first), given(&second)].map(|it| it.expect("an assignment"));
    assert_eq!(all.concat().into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(all.each_ref().map(Vec::len), [2, 2]);
    let described = world.shard.describe_share_group(&GROUP.into());
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Stable", 2));
}

#[test]
fn a_group_is_what_its_records_say() {
    let mut world = world();
    let epoch = beat(&mut world, joining("a")).member_epoch;
    initialize(&mut world);
    let told = beat(&mut world, staying("a", epoch));
    let before = world.shard.describe_share_group(&GROUP.into());
    world.fail_over();
    assert_eq!(world.shard.describe_share_group(&GROUP.into()), before);
    assert_eq!(given(&beat(&mut world, staying("a", told.member_epoch))), None);
    assert_eq!(world.orders, [], "what is known is not asked for again");
    // What was asked for and not answered is asked for again by the next coordinator.
    world.set_image(Topics::of(&[6]).image());
    beat(&mut world, staying("a", told.member_epoch));
    assert_eq!(std::mem::take(&mut world.orders).len(), 1);
    world.fail_over();
    let before = known(&world).len();
    beat(&mut world, staying("a", told.member_epoch + 1));
    assert_eq!((before, world.orders.len()), (6, 1));
}

#[test]
fn members_leave_by_their_will_or_when_nothing_is_heard_of_them() {
    let mut world = world();
    for member in ["a", "b"] {
        beat(&mut world, joining(member));
    }
    assert_eq!(beat(&mut world, staying("a", -1)).member_epoch, -1);
    world.pass(s(46));
    let described = world.shard.describe_share_group(&GROUP.into());
    assert_eq!((described.group_state.as_str(), described.members.len()), ("Empty", 0));
    let gone = beat(&mut world, staying("b", 1));
    assert_eq!(gone.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut world = world();
    let refused = |world: &mut World, request| beat(world, request).error_code;
    let nameless = ShareGroupHeartbeatRequest { member_id: "".into(), ..joining("a") };
    assert_eq!(refused(&mut world, nameless), ErrorCode::INVALID_REQUEST);
    let aimless = ShareGroupHeartbeatRequest { subscribed_topic_names: None, ..joining("a") };
    assert_eq!(refused(&mut world, aimless), ErrorCode::INVALID_REQUEST);
    assert_eq!(refused(&mut world, staying("a", -3)), ErrorCode::INVALID_REQUEST);
    assert_eq!(refused(&mut world, staying("a", 1)), ErrorCode::GROUP_ID_NOT_FOUND);
    let epoch = beat(&mut world, joining("a")).member_epoch;
    assert_eq!(refused(&mut world, staying("a", epoch + 1)), ErrorCode::FENCED_MEMBER_EPOCH);
    // An id belongs to a group of one kind.
    let classic = world.join(consumer("c", ""));
    assert_eq!(world.joined(classic).error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let mut other = self::world();
    other.commit(commit_of("", -1, "orders-0", 1));
    assert_eq!(refused(&mut other, joining("a")), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn what_the_log_refuses_never_happened() {
    let mut world = world();
    world.refuses = Some(ErrorCode::NOT_COORDINATOR);
    assert_eq!(beat(&mut world, joining("a")).error_code, ErrorCode::NOT_COORDINATOR);
    assert_eq!(world.shard.group_count(), 0);
    world.refuses = None;
    beat(&mut world, joining("a"));
    let before = world.shard.describe_share_group(&GROUP.into());
    world.refuses = Some(ErrorCode::NOT_COORDINATOR);
    beat(&mut world, joining("b"));
    assert_eq!(world.shard.describe_share_group(&GROUP.into()), before);
    world.set_image(Topics::of(&[6]).image());
    beat(&mut world, staying("a", 1));
    assert_eq!(world.shard.describe_share_group(&GROUP.into()), before);
    world.refuses = None;
    beat(&mut world, staying("a", 1));
    let epoch = world.shard.describe_share_group(&GROUP.into()).group_epoch;
    assert!(epoch > before.group_epoch, "it sees topics that it could not store before");
}

#[test]
fn share_groups_are_listed_and_deleted_when_they_are_empty() {
    let mut world = world();
    beat(&mut world, joining("a"));
    let list = |world: &World, kind: &str| {
        let filter = ListFilter { types: vec![Str::from(kind)], ..Default::default() };
        world.shard.list(&filter).len()
    };
    assert_eq!((list(&world, "share"), list(&world, "classic")), (1, 0));
    let delete = |world: &mut World| {
        let token = world.send(|token| Event::DeleteGroups(token, vec![GROUP.into()]));
        match world.answer(token) {
            Some(Reply::Deletions(outcomes)) => outcomes[0].1,
            other => panic!("{other:?} for an answer to a DeleteGroups"),
        }
    };
    assert_eq!(delete(&mut world), ErrorCode::NON_EMPTY_GROUP);
    beat(&mut world, staying("a", -1));
    assert_eq!(delete(&mut world), ErrorCode::NONE);
    assert_eq!(list(&world, "share"), 0);
    world.fail_over();
    assert_eq!(world.shard.group_count(), 0, "nothing of it is left in the log");
}

#[test]
fn a_group_without_members_goes_on_elsewhere_or_forgets_topics() {
    let mut world = world();
    beat(&mut world, joining("a"));
    initialize(&mut world);
    let alter = ShareTask::Alter(BTreeMap::from([(Topics::id(0), BTreeSet::from([1, 2]))]));
    let refused = task(&mut world, alter.clone()).expect_err("it has members");
    assert_eq!(refused.0, ErrorCode::NON_EMPTY_GROUP);
    beat(&mut world, staying("a", -1));
    let before = world.shard.describe_share_group(&GROUP.into()).group_epoch;
    let epoch = task(&mut world, alter).expect("it is empty");
    assert!(epoch > before, "what was meant for the state before is fenced");
    assert_eq!(known(&world), [0, 1, 2, 3],);
    let forget = ShareTask::Delete(BTreeSet::from([Topics::id(0)]));
    task(&mut world, forget).expect("it is empty");
    assert!(known(&world).is_empty());
    let outcome = ShareOutcome {
        group: GROUP.into(),
        deleted: BTreeSet::from([Topics::id(0)]),
        ..Default::default()
    };
    world.feed(Event::ShareOutcome(outcome));
    world.fail_over();
    assert!(known(&world).is_empty());
    let unknown = world
        .send(|token| Event::ShareTask(token, "other".into(), ShareTask::Delete(BTreeSet::new())));
    let Some(Reply::ShareTask(Err((code, _)))) = world.answer(unknown) else {
        panic!("it is refused");
    };
    assert_eq!(*code, ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn a_group_may_be_told_where_to_begin_before_it_has_members() {
    let mut world = world();
    let alter = ShareTask::Alter(BTreeMap::from([(Topics::id(0), BTreeSet::from([1, 2]))]));
    world.refuses = Some(ErrorCode::NOT_COORDINATOR);
    task(&mut world, alter.clone()).expect_err("the log refuses it");
    assert_eq!(world.shard.group_count(), 0, "it never happened");
    world.refuses = None;
    let nowhere = task(&mut world, ShareTask::Alter(BTreeMap::new()));
    assert_eq!(nowhere.expect_err("there is nothing to begin").0, ErrorCode::GROUP_ID_NOT_FOUND);
    task(&mut world, alter.clone()).expect("it is made");
    world.fail_over();
    assert_eq!(known(&world), [1, 2]);
    assert_eq!(world.shard.describe_share_group(&GROUP.into()).group_state.as_str(), "Empty");
    let mut other = self::world();
    other.commit(commit_of("", -1, "orders-0", 1));
    let refused = task(&mut other, alter).expect_err("it is no share group");
    assert_eq!(refused.0, ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn topics_that_are_gone_are_forgotten() {
    let mut world = world();
    beat(&mut world, joining("a"));
    initialize(&mut world);
    assert_eq!(known(&world).len(), 4);
    world.feed(Event::TopicsDeleted(vec!["orders-0".into()]));
    assert!(known(&world).is_empty());
    world.fail_over();
    assert!(known(&world).is_empty());
}
