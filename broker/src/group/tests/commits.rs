//! Committing, reading, deleting and forgetting offsets.

use vltava_wire::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::world::{GROUP, World, commit_of, consumer, s};
use crate::group::calls::{CommitCall, FetchCall, OffsetDeleteCall};
use crate::group::machine::{Event, Reply};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn delete(world: &mut World, groups: &[&str]) -> Vec<ErrorCode> {
    let groups = groups.iter().map(|group| Str::from(*group)).collect();
    let token = world.send(|token| Event::DeleteGroups(token, groups));
    match world.answer(token) {
        Some(Reply::Deletions(outcome)) => outcome.iter().map(|(_, code)| *code).collect(),
        other => panic!("{other:?} for an answer to a DeleteGroups"),
    }
}

fn delete_offset(world: &mut World, topic: &str) -> (ErrorCode, Option<ErrorCode>) {
    let call = OffsetDeleteCall {
        group_id: GROUP.into(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        }],
    };
    let token = world.send(|token| Event::DeleteOffsets(token, call));
    match world.answer(token) {
        Some(Reply::OffsetDelete(response)) => {
            let first = response.topics.first();
            (response.error_code, first.map(|topic| topic.partitions[0].error_code))
        }
        other => panic!("{other:?} for an answer to an OffsetDelete"),
    }
}

#[test]
fn a_member_commits_in_its_generation_only() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    for (member, generation, code) in [
        (a.as_str(), 1, ErrorCode::NONE),
        (a.as_str(), 0, ErrorCode::ILLEGAL_GENERATION),
        (a.as_str(), 2, ErrorCode::ILLEGAL_GENERATION),
        (a.as_str(), -1, ErrorCode::ILLEGAL_GENERATION),
        ("stranger", 1, ErrorCode::UNKNOWN_MEMBER_ID),
        // One who manages partitions alone has no business in a group with members.
        ("", -1, ErrorCode::UNKNOWN_MEMBER_ID),
    ] {
        let commit = world.commit(commit_of(member, generation, "orders", 7));
        assert_eq!(world.committed(commit), code, "{member:?} in {generation}");
    }
    assert_eq!(world.offset_of(GROUP, "orders"), 7);
    // While members rejoin, those of the old generation may still commit what they did …
    let (b, _) = world.enter("b");
    let commit = world.commit(commit_of(&a, 1, "orders", 8));
    assert_eq!(world.committed(commit), ErrorCode::NONE);
    // … but once the new generation waits for its assignment, nobody may.
    world.join(consumer("a", &a));
    assert_eq!(world.state(), "CompletingRebalance");
    let commit = world.commit(commit_of(&b, 2, "orders", 9));
    assert_eq!(world.committed(commit), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.offset_of(GROUP, "orders"), 8);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    for offset in 0..10 {
        world.pass(s(29));
        let commit = world.commit(commit_of(&a, 1, "orders", offset));
        assert_eq!(world.committed(commit), ErrorCode::NONE);
    }
}

#[test]
fn one_who_manages_partitions_alone_makes_a_group_by_committing() {
    let mut world = World::new();
    for (version, code) in [(8, ErrorCode::ILLEGAL_GENERATION), (9, ErrorCode::GROUP_ID_NOT_FOUND)]
    {
        let commit = world.commit(CommitCall { version, ..commit_of("", 3, "orders", 1) });
        assert_eq!(world.committed(commit), code, "version {version}");
    }
    assert_eq!(world.state(), "Dead");
    let commit = world.commit(commit_of("", -1, "orders", 1));
    assert_eq!(world.committed(commit), ErrorCode::NONE);
    assert_eq!(world.state(), "Empty");
    let described = world.shard.describe(&GROUP.into(), 6);
    assert_eq!(described.protocol_type, "");
    world.fail_over();
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.offset_of(GROUP, "orders"), 1);
}

#[test]
fn a_refused_commit_leaves_nothing_behind() {
    let mut world = World::new();
    world.refuses = Some(ErrorCode::NOT_COORDINATOR);
    let commit = world.commit(commit_of("", -1, "orders", 1));
    assert_eq!(world.committed(commit), ErrorCode::NOT_COORDINATOR);
    assert_eq!(world.state(), "Dead");
    world.refuses = None;
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
}

#[test]
fn nobody_reads_an_offset_before_it_is_committed() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    world.commit(commit_of(&a, 1, "orders", 1));
    world.commits = false;
    let commit = world.commit(commit_of(&a, 1, "orders", 2));
    assert_eq!(world.answer(commit), None);
    assert_eq!(world.offset_of(GROUP, "orders"), 1);
    let stable = world.fetch(GROUP, Some("orders"), true);
    let all = world.fetch(GROUP, None, true);
    assert_eq!(world.answer(stable), None, "who wants stable offsets waits");
    world.commit_all();
    assert_eq!(world.committed(commit), ErrorCode::NONE);
    assert_eq!((world.fetched(stable), world.fetched(all)), (2, 2));
    assert_eq!(world.offset_of(GROUP, "orders"), 2);
}

#[test]
fn what_a_new_coordinator_may_lose_again_it_tells_nobody() {
    let mut world = World::new();
    world.commit(commit_of("", -1, "orders", 50));
    world.commits = false;
    let unacknowledged = world.commit(commit_of("", -1, "orders", 100));
    assert_eq!(world.answer(unacknowledged), None);
    // The coordinator dies; the next has both, and dies before they are anywhere else.
    world.fail_over_to_uncommitted();
    let asked = [false, true].map(|stable| world.fetch(GROUP, Some("orders"), stable));
    world.pass(4_999);
    assert_eq!(asked.map(|token| world.answer(token).is_some()), [false; 2]);
    // Nobody waits for ever, however few replicas are left.
    world.pass(1);
    for token in asked {
        let Some(Reply::Fetch(response)) = world.answer(token) else { panic!("an answer") };
        assert_eq!(response.error_code, ErrorCode::NOT_COORDINATOR);
    }
    world.fail_over_to_committed();
    assert_eq!(world.offset_of(GROUP, "orders"), 50);
}

#[test]
fn what_a_new_coordinator_has_is_told_once_it_is_committed() {
    let mut world = World::new();
    world.commits = false;
    world.commit(commit_of("", -1, "orders", 100));
    world.fail_over_to_uncommitted();
    let asked = [false, true].map(|stable| world.fetch(GROUP, Some("orders"), stable));
    assert_eq!(asked.map(|token| world.answer(token).is_some()), [false; 2]);
    world.commit_all();
    assert_eq!(asked.map(|token| world.fetched(token)), [100; 2]);
    // From then on who does not ask for stable offsets waits for nothing.
    let later = world.commit(commit_of("", -1, "orders", 101));
    assert_eq!(world.offset_of(GROUP, "orders"), 100);
    world.commit_all();
    assert_eq!(world.committed(later), ErrorCode::NONE);
}

#[test]
fn a_commit_that_takes_too_long_is_told_so_and_takes_effect_late() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    world.commits = false;
    let first = world.commit(commit_of(&a, 1, "orders", 1));
    let stable = world.fetch(GROUP, None, true);
    world.pass(s(3));
    let second = world.commit(commit_of(&a, 1, "orders", 2));
    world.pass(s(2));
    assert_eq!(world.committed(first), ErrorCode::COORDINATOR_NOT_AVAILABLE);
    match world.answer(stable) {
        Some(Reply::Fetch(response)) => {
            // The code that consumers of all ages come again upon.
            assert_eq!(response.error_code, ErrorCode::NOT_COORDINATOR);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.answer(second), None);
    world.commit_all();
    assert_eq!(world.committed(second), ErrorCode::NONE);
    assert_eq!(world.offset_of(GROUP, "orders"), 2);
}

#[test]
fn text_that_is_too_long_is_refused_partition_by_partition() {
    let mut world = World::new();
    let mut call = commit_of("", -1, "orders", 1);
    let partition = call.topics[0].partitions[0].clone();
    // Counted as Java does: 4,096 letters of two bytes are 4,096, one astral letter is two.
    for (index, text, _) in [
        (1, "é".repeat(4096), ErrorCode::NONE),
        (2, "e".repeat(4097), ErrorCode::OFFSET_METADATA_TOO_LARGE),
        (3, "𝄞".repeat(2049), ErrorCode::OFFSET_METADATA_TOO_LARGE),
    ] {
        let mut partition = partition.clone();
        partition.partition_index = index;
        partition.committed_metadata = Some(text.into());
        call.topics[0].partitions.push(partition);
    }
    let commit = world.commit(call);
    let Some(Reply::Commit(response)) = world.answer(commit) else { panic!("no answer") };
    let codes: Vec<_> =
        response.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
    let too_large = ErrorCode::OFFSET_METADATA_TOO_LARGE;
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::NONE, too_large, too_large]);
    assert_eq!(world.log.len(), 2);
}

#[test]
fn a_group_that_committed_nothing_has_no_offsets() {
    let mut world = World::new();
    assert_eq!(world.offset_of("unheard of", "orders"), -1);
    let all = world.fetch("unheard of", None, false);
    assert_eq!(world.fetched(all), -1);
}

#[test]
fn an_offset_of_another_topic_of_the_same_name_is_none() {
    let mut world = World::new();
    let mut call = commit_of("", -1, "orders", 5);
    call.topics[0].topic_id = Uuid(7);
    world.commit(call);
    let mut fetch = |topic_id| {
        let topic = vltava_wire::messages::offset_fetch::OffsetFetchRequestTopics {
            name: "orders".into(),
            topic_id,
            partition_indexes: vec![0],
        };
        let call = FetchCall {
            group_id: GROUP.into(),
            topics: Some(vec![topic]),
            member_epoch: -1,
            ..FetchCall::default()
        };
        let token = world.send(|token| Event::Fetch(token, call));
        world.fetched(token)
    };
    assert_eq!([fetch(Uuid(7)), fetch(Uuid::ZERO), fetch(Uuid(8))], [5, 5, -1]);
}

#[test]
fn offsets_of_an_empty_group_expire_after_it_has_been_empty_for_long() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    world.commit(commit_of(&a, 1, "orders", 5));
    for _ in 0..(8 * 24 * 60 * 3) {
        world.pass(s(20));
        world.heartbeat(&a, 1);
    }
    assert_eq!(world.offset_of(GROUP, "orders"), 5, "a group in use keeps them");
    world.leave(&[(&a, None)]);
    world.pass(7 * DAY - s(1));
    assert_eq!(world.offset_of(GROUP, "orders"), 5);
    world.pass(s(601));
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    assert_eq!(world.state(), "Dead");
    world.fail_over();
    assert_eq!(world.state(), "Dead", "the log says so, too");
}

#[test]
fn a_stable_group_forgets_topics_that_it_does_not_read_any_more() {
    let mut world = World::new();
    world.commit(commit_of("", -1, "other", 5));
    let a = world.stable(&["a"]).remove(0);
    world.commit(commit_of(&a, 1, "orders", 5));
    for _ in 0..(8 * 24 * 60 * 3) {
        world.pass(s(20));
        world.heartbeat(&a, 1);
    }
    assert_eq!(world.offset_of(GROUP, "orders"), 5);
    assert_eq!(world.offset_of(GROUP, "other"), -1);
}

#[test]
fn offsets_of_one_who_manages_partitions_alone_expire_by_their_commit() {
    let mut world = World::new();
    world.commit(commit_of("", -1, "orders", 5));
    world.pass(4 * DAY);
    world.commit(commit_of("", -1, "other", 5));
    world.pass(4 * DAY);
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    assert_eq!(world.offset_of(GROUP, "other"), 5);
    world.pass(4 * DAY);
    assert_eq!(world.state(), "Dead");
}

#[test]
fn a_client_of_old_may_say_itself_how_long_to_keep_an_offset() {
    let mut world = World::new();
    let call = CommitCall { retention_ms: 3_600_000, ..commit_of("", -1, "orders", 5) };
    world.commit(call);
    world.fail_over();
    world.pass(3_599_000);
    assert_eq!(world.offset_of(GROUP, "orders"), 5);
    world.pass(s(601));
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    world.commit(commit_of(&a, 1, "orders", 5));
    let answered = delete(&mut world, &[GROUP, "unheard of", GROUP]);
    assert_eq!(answered, [ErrorCode::NON_EMPTY_GROUP, ErrorCode::GROUP_ID_NOT_FOUND]);
    world.leave(&[(&a, None)]);
    assert_eq!(delete(&mut world, &[GROUP]), [ErrorCode::NONE]);
    assert_eq!(world.state(), "Dead");
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    world.fail_over();
    assert_eq!(world.state(), "Dead");
}

#[test]
fn what_is_just_being_committed_is_deleted_with_its_group() {
    let mut world = World::new();
    world.commits = false;
    world.commit(commit_of("", -1, "orders", 5));
    let token = world.send(|token| Event::DeleteGroups(token, vec![GROUP.into()]));
    assert_eq!(world.answer(token), None);
    // Meanwhile somebody makes the group anew.
    world.commit(commit_of("", -1, "other", 6));
    world.commit_all();
    assert_eq!(world.answer(token), Some(&Reply::Deletions(vec![(GROUP.into(), ErrorCode::NONE)])));
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    assert_eq!(world.offset_of(GROUP, "other"), 6);
    world.commits = true;
    world.fail_over();
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    assert_eq!(world.offset_of(GROUP, "other"), 6);
}

#[test]
fn offsets_in_use_are_not_deleted() {
    let mut world = World::new();
    assert_eq!(delete_offset(&mut world, "orders"), (ErrorCode::GROUP_ID_NOT_FOUND, None));
    let a = world.stable(&["a"]).remove(0);
    world.commit(commit_of(&a, 1, "orders", 5));
    world.commit(commit_of(&a, 1, "other", 5));
    let subscribed = Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
    assert_eq!(delete_offset(&mut world, "orders"), (ErrorCode::NONE, subscribed));
    assert_eq!(delete_offset(&mut world, "other"), (ErrorCode::NONE, Some(ErrorCode::NONE)));
    assert_eq!(world.offset_of(GROUP, "orders"), 5);
    assert_eq!(world.offset_of(GROUP, "other"), -1);
    let stored = world.log.len();
    assert_eq!(delete_offset(&mut world, "other"), (ErrorCode::NONE, Some(ErrorCode::NONE)));
    assert_eq!(world.log.len(), stored, "what is not there needs no record");
}

#[test]
fn offsets_of_deleted_topics_are_forgotten() {
    let mut world = World::new();
    world.commit(commit_of("", -1, "orders", 5));
    world.commit(commit_of("", -1, "other", 6));
    world.feed(Event::TopicsDeleted(vec!["orders".into()]));
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
    assert_eq!(world.offset_of(GROUP, "other"), 6);
    world.fail_over();
    assert_eq!(world.offset_of(GROUP, "orders"), -1);
}

#[test]
fn much_that_is_deleted_is_deleted_in_batches() {
    let mut world = World::new();
    for i in 0..300 {
        let topic = format!("{i:0>200}");
        for _ in 0..20 {
            let mut call = commit_of("", -1, &topic, 1);
            call.topics[0].partitions[0].partition_index = i;
            world.commit(call);
        }
    }
    let group: Str = "x".repeat(20_000).into();
    for partition in 0..100 {
        let mut call = CommitCall { group_id: group.clone(), ..commit_of("", -1, "t", 1) };
        call.topics[0].partitions[0].partition_index = partition;
        world.commit(call);
    }
    world.commits = false;
    let token = world.send(|token| Event::DeleteGroups(token, vec![group.clone()]));
    assert!(world.uncommitted.len() > 2, "{}", world.uncommitted.len());
    assert_eq!(world.answer(token), None);
    world.commit_all();
    assert!(world.answer(token).is_some());
    assert_eq!(world.offset_of(&group, "t"), -1);
}
