//! Groups of the new protocol as scenarios (KIP-848).

use vltava_metadata::{Changes, MetadataRecord};
use vltava_wire::messages::consumer_group_heartbeat::TopicPartitions;
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use vltava_wire::records::metadata::{PartitionRecord, TopicRecord};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::consumer_storm::Topics;
use super::world::{GROUP, World, commit_of, s};
use crate::group::calls::{ConsumerHeartbeatCall, FetchCall, ListFilter};
use crate::group::consumer::LEAVE_EPOCH;
use crate::group::machine::{Event, Reply};

fn world() -> World {
    let mut world = World::new();
    world.set_image(Topics::of(&[4]).image());
    world
}

fn joining(member: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["orders-0".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    }
}

fn staying(member: &str, epoch: i32, owned: &[i32]) -> ConsumerGroupHeartbeatRequest {
    let partitions = TopicPartitions { topic_id: Topics::id(0), partitions: owned.to_vec() };
    ConsumerGroupHeartbeatRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        member_epoch: epoch,
        topic_partitions: Some(vec![partitions]),
        ..Default::default()
    }
}

fn beat(
    world: &mut World,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let call = ConsumerHeartbeatCall {
        request,
        version: 1,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        random: 0,
    };
    let token = world.send(|token| Event::ConsumerHeartbeat(token, call));
    match world.answer(token) {
        Some(Reply::ConsumerHeartbeat(response)) => response.clone(),
        other => panic!("{other:?} for an answer to a ConsumerGroupHeartbeat"),
    }
}

fn given(response: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    assert_eq!(response.error_code, ErrorCode::NONE, "{:?}", response.error_message);
    let assignment = response.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

fn state(world: &World) -> Str {
    world.shard.describe_consumer_group(&GROUP.into()).group_state
}

#[test]
fn a_member_gets_everything_and_gives_half_of_it_up_when_another_joins() {
    let mut world = world();
    let first = beat(&mut world, joining("a"));
    assert_eq!((first.member_epoch, given(&first)), (1, Some(vec![0, 1, 2, 3])));
    assert_eq!(state(&world), "Stable");
    let second = beat(&mut world, joining("b"));
    assert_eq!((second.member_epoch, given(&second)), (2, Some(vec![])), "others hold all");
    assert_eq!(state(&world), "Reconciling");
    // The first is told what to keep, and stays in its epoch until it has given up the rest.
    let told = beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    assert_eq!((told.member_epoch, given(&told)), (1, Some(vec![0, 1])));
    let still = beat(&mut world, staying("b", 2, &[]));
    assert_eq!(given(&still), None, "nothing is free yet");
    let done = beat(&mut world, staying("a", 1, &[0, 1]));
    assert_eq!((done.member_epoch, given(&done)), (2, None));
    let free = beat(&mut world, staying("b", 2, &[]));
    assert_eq!((free.member_epoch, given(&free)), (2, Some(vec![2, 3])));
    assert_eq!(state(&world), "Stable");
}

#[test]
fn members_are_given_what_a_new_coordinator_has_once_it_is_committed() {
    let mut world = world();
    world.commits = false;
    let call = |request| ConsumerHeartbeatCall {
        request,
        version: 1,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        random: 0,
    };
    let joined = world.send(|token| Event::ConsumerHeartbeat(token, call(joining("a"))));
    assert_eq!(world.answer(joined), None);
    world.fail_over_to_uncommitted();
    let again = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some(vec!["orders-0".into()]),
        rebalance_timeout_ms: 60_000,
        ..staying("a", 1, &[])
    };
    let again = world.send(|token| Event::ConsumerHeartbeat(token, call(again)));
    assert_eq!(world.answer(again), None, "others may yet find another group in the log");
    world.commit_all();
    let Some(Reply::ConsumerHeartbeat(told)) = world.answer(again) else { panic!("an answer") };
    assert_eq!((told.member_epoch, given(told)), (1, Some(vec![0, 1, 2, 3])));
}

#[test]
fn epochs_fence_and_an_answer_may_be_lost() {
    let mut world = world();
    beat(&mut world, joining("a"));
    beat(&mut world, joining("b"));
    beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    beat(&mut world, staying("a", 1, &[0, 1]));
    // It is in epoch 2 by now, and has not heard of it.
    let again = beat(&mut world, staying("a", 1, &[0, 1]));
    assert_eq!((again.error_code, again.member_epoch), (ErrorCode::NONE, 2));
    let ahead = beat(&mut world, staying("a", 3, &[0, 1]));
    assert_eq!(ahead.error_code, ErrorCode::FENCED_MEMBER_EPOCH);
    let behind = beat(&mut world, staying("a", 1, &[0, 3]));
    assert_eq!(behind.error_code, ErrorCode::FENCED_MEMBER_EPOCH, "it owns what it must not");
    let stranger = beat(&mut world, staying("x", 1, &[]));
    assert_eq!(stranger.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn who_does_not_give_up_in_time_or_is_silent_is_out() {
    let mut world = world();
    beat(&mut world, joining("a"));
    beat(&mut world, joining("b"));
    beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    for _ in 0..11 {
        world.pass(s(5));
        beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
        beat(&mut world, staying("b", 2, &[]));
    }
    world.pass(s(6));
    let fenced = beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    assert_eq!(fenced.error_code, ErrorCode::UNKNOWN_MEMBER_ID, "60 s are over");
    let all = beat(&mut world, staying("b", 2, &[]));
    assert_eq!(given(&all), Some(vec![0, 1, 2, 3]));
    world.pass(s(46));
    assert_eq!(state(&world), "Empty", "the other was silent");
}

#[test]
fn who_has_to_give_up_more_before_it_has_moved_on_has_the_whole_time_for_it() {
    let mut world = world();
    beat(&mut world, joining("a"));
    beat(&mut world, joining("b"));
    let told = beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    assert_eq!((told.member_epoch, given(&told)), (1, Some(vec![0, 1])));
    for member in ["c", "d"] {
        beat(&mut world, joining(member));
    }
    world.pass(s(40));
    // It has given up two, and by now it is to give up one more, in the same epoch.
    let told = beat(&mut world, staying("a", 1, &[0, 1]));
    assert_eq!((told.member_epoch, given(&told).map(|own| own.len())), (1, Some(1)));
    world.pass(s(40));
    assert_eq!(beat(&mut world, staying("a", 1, &[0, 1])).error_code, ErrorCode::NONE);
    world.pass(s(21));
    let fenced = beat(&mut world, staying("a", 1, &[0, 1]));
    assert_eq!(fenced.error_code, ErrorCode::UNKNOWN_MEMBER_ID, "60 s are over");
}

#[test]
fn a_static_member_that_comes_back_keeps_its_partitions() {
    let mut world = world();
    let named =
        |member| ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..joining(member) };
    beat(&mut world, named("a"));
    let thief = beat(&mut world, named("b"));
    assert_eq!(thief.error_code, ErrorCode::UNRELEASED_INSTANCE_ID);
    let away = ConsumerGroupHeartbeatRequest {
        member_epoch: -2,
        instance_id: Some("i".into()),
        ..staying("a", -2, &[])
    };
    assert_eq!(beat(&mut world, away).member_epoch, -2);
    world.fail_over();
    let back = beat(&mut world, named("b"));
    assert_eq!((back.member_epoch, given(&back)), (1, Some(vec![0, 1, 2, 3])));
    let old =
        ConsumerGroupHeartbeatRequest { instance_id: Some("i".into()), ..staying("a", 1, &[]) };
    assert_eq!(beat(&mut world, old).error_code, ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn a_regular_expression_follows_the_topics_and_a_bad_one_is_refused() {
    let mut world = world();
    let by_regex = |regex: &str| ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(regex.into()),
        ..joining("a")
    };
    let bad = beat(&mut world, by_regex("orders-("));
    assert_eq!(bad.error_code, ErrorCode::INVALID_REGULAR_EXPRESSION);
    let first = beat(&mut world, by_regex("orders-.*"));
    assert_eq!(given(&first).map(|own| own.len()), Some(4));
    world.set_image(Topics::of(&[4, 2]).image());
    let more = beat(&mut world, staying("a", first.member_epoch, &[0, 1, 2, 3]));
    assert_eq!(given(&more).map(|own| own.len()), Some(6));
}

#[test]
fn a_regular_expression_may_mean_topics_of_the_cluster_itself() {
    let mut world = world();
    let (topic_id, name) = (Uuid(7), "__consumer_offsets".into());
    let mut image = Topics::of(&[4]).image();
    let topic = TopicRecord { name, topic_id };
    let partition = PartitionRecord { topic_id, ..PartitionRecord::default() };
    for record in [MetadataRecord::from(topic), partition.into()] {
        image.apply(&record, &mut Changes::default()).expect("a record that fits");
    }
    world.set_image(image);
    let first = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("__consumer.*".into()),
        ..joining("a")
    };
    assert_eq!(given(&beat(&mut world, first)).map(|own| own.len()), Some(1));
}

#[test]
fn many_groups_that_never_committed_are_deleted_in_batches_that_fit() {
    let mut world = world();
    let groups: Vec<Str> = (0..40).map(|i| format!("{i:0>20000}").into()).collect();
    for group_id in &groups {
        let group =
            |request| ConsumerGroupHeartbeatRequest { group_id: group_id.clone(), ..request };
        beat(&mut world, group(joining("a")));
        beat(&mut world, group(staying("a", -1, &[])));
    }
    world.commits = false;
    let token = world.send(|token| Event::DeleteGroups(token, groups));
    assert!(world.uncommitted.len() > 2, "{}", world.uncommitted.len());
    assert_eq!(world.answer(token), None);
    world.commit_all();
    let Some(Reply::Deletions(outcome)) = world.answer(token) else { panic!("an answer") };
    assert!(outcome.iter().all(|(_, code)| code.is_ok()));
}

#[test]
fn commits_and_fetches_are_for_members_in_their_epoch() {
    let mut world = world();
    beat(&mut world, joining("a"));
    let code = |world: &mut World, member: &str, epoch| {
        let token = world.commit(commit_of(member, epoch, "orders-0", 7));
        world.committed(token)
    };
    assert_eq!(code(&mut world, "a", 1), ErrorCode::NONE);
    assert_eq!(code(&mut world, "a", 2), ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(code(&mut world, "x", 1), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code(&mut world, "", -1), ErrorCode::UNKNOWN_MEMBER_ID, "the group has members");
    assert_eq!(world.offset_of(GROUP, "orders-0"), 7);
    let stale = FetchCall {
        group_id: GROUP.into(),
        member_id: Some("a".into()),
        member_epoch: 5,
        ..FetchCall::default()
    };
    let token = world.send(|token| Event::Fetch(token, stale));
    let Some(Reply::Fetch(response)) = world.answer(token) else { panic!("an answer") };
    assert_eq!(response.error_code, ErrorCode::STALE_MEMBER_EPOCH);
    world.fail_over();
    assert_eq!(world.offset_of(GROUP, "orders-0"), 7, "what was committed outlives the broker");
}

#[test]
fn a_group_is_listed_by_its_kind_and_deleted_when_it_is_empty() {
    let mut world = world();
    beat(&mut world, joining("a"));
    let filter = ListFilter { types: vec!["Consumer".into()], ..ListFilter::default() };
    let listed = world.shard.list(&filter);
    assert_eq!((&*listed[0].group_type, &*listed[0].group_state), ("consumer", "Stable"));
    let classic = world.shard.describe(&GROUP.into(), 6);
    assert_eq!(classic.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    let delete = |world: &mut World| {
        let token = world.send(|token| Event::DeleteGroups(token, vec![GROUP.into()]));
        match world.answer(token) {
            Some(Reply::Deletions(outcome)) => outcome[0].1,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(&mut world), ErrorCode::NON_EMPTY_GROUP);
    beat(&mut world, staying("a", -1, &[]));
    assert_eq!(delete(&mut world), ErrorCode::NONE);
    world.fail_over();
    assert_eq!(delete(&mut world), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn an_empty_classic_group_gives_way_and_keeps_its_offsets() {
    let mut world = world();
    let ids = world.stable(&["c"]);
    let token = world.commit(commit_of(&ids[0], 1, "orders-0", 9));
    assert_eq!(world.committed(token), ErrorCode::NONE);
    let token = world.leave(&[(&ids[0], None)]);
    assert_eq!(world.left(token), [ErrorCode::NONE]);
    assert_eq!(given(&beat(&mut world, joining("a"))), Some(vec![0, 1, 2, 3]));
    world.fail_over();
    assert_eq!(state(&world), "Stable");
    assert_eq!(world.offset_of(GROUP, "orders-0"), 9);
}

#[test]
fn an_empty_group_gives_way_to_a_classic_one() {
    let mut world = world();
    assert_eq!(given(&beat(&mut world, joining("a"))), Some(vec![0, 1, 2, 3]));
    assert_eq!(beat(&mut world, staying("a", LEAVE_EPOCH, &[])).error_code, ErrorCode::NONE);
    world.stable(&["c"]);
    world.fail_over();
    let gone = world.shard.describe_consumer_group(&GROUP.into());
    assert_eq!(gone.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(world.shard.describe(&GROUP.into(), 6).error_code, ErrorCode::NONE);
}

#[test]
fn what_the_log_refuses_has_not_happened() {
    let mut world = world();
    world.refuses = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let refused = beat(&mut world, joining("a"));
    assert_eq!(refused.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let nothing = world.shard.describe_consumer_group(&GROUP.into());
    assert_eq!(nothing.error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    world.refuses = None;
    assert_eq!(beat(&mut world, joining("a")).member_epoch, 1);
    // Nor has the group seen topics that it could not store.
    world.set_image(Topics::of(&[6]).image());
    world.refuses = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    let refused = beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    assert_eq!(refused.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    world.refuses = None;
    let told = beat(&mut world, staying("a", 1, &[0, 1, 2, 3]));
    assert_eq!(given(&told), Some(vec![0, 1, 2, 3, 4, 5]));
}
