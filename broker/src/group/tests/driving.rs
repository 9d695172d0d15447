//! The service over a log in memory: electing, loading, resigning, waiting.

use std::sync::Arc;
use std::time::Duration;

use vltava_metadata::{Changes, Image, MetadataRecord};
use vltava_wire::messages::JoinGroupResponse;
use vltava_wire::records::metadata::{PartitionRecord, TopicRecord};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, PartitionId, Str, Uuid};

use super::world::{GROUP, commit_of, consumer};
use crate::group::calls::{FetchCall, HeartbeatCall, JoinCall, ListFilter};
use crate::group::{GroupConfig, GroupService};
use crate::shard::Answer;
use crate::shard::log::AppendError;
use crate::shard::memory_log::MemoryLog;

/// Longer than anything here takes; a test that waits for it has failed.
const LONG: Duration = Duration::from_secs(30);

fn config() -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: 0,
        min_session_timeout_ms: 1,
        load_buffer_bytes: 100,
        ..GroupConfig::default()
    }
}

/// A service that is elected for the partition of [`GROUP`], in epoch 1.
fn coordinator(log: &Arc<MemoryLog>) -> GroupService {
    let service = GroupService::new(config(), log.clone());
    let partition = service.partition_of(GROUP);
    log.elect(partition, 1);
    service.elected(partition, LeaderEpoch(1));
    service
}

async fn get<R: Send + 'static>(answer: Answer<R>) -> R {
    tokio::time::timeout(LONG, answer.get()).await.expect("an answer")
}

fn fetch_call(stable: bool) -> FetchCall {
    let group_id = GROUP.into();
    FetchCall { group_id, member_epoch: -1, require_stable: stable, ..FetchCall::default() }
}

/// Asks for the group's offset until the group is loaded, as clients do.
async fn offset(service: &GroupService) -> Result<i64, ErrorCode> {
    let ask = async {
        loop {
            let response = get(service.fetch(fetch_call(false))).await;
            match response.error_code {
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => tokio::task::yield_now().await,
                ErrorCode::NONE => {
                    let topic = response.topics.first();
                    return Ok(topic.map_or(-1, |topic| topic.partitions[0].committed_offset));
                }
                code => return Err(code),
            }
        }
    };
    tokio::time::timeout(LONG, ask).await.expect("the group is loaded")
}

async fn commit(service: &GroupService, offset: i64) -> ErrorCode {
    let response = get(service.commit(commit_of("", -1, "orders", offset))).await;
    response.topics[0].partitions[0].error_code
}

async fn join(service: &GroupService, call: JoinCall) -> (Str, Answer<JoinGroupResponse>) {
    let promised = get(service.join(call.clone())).await;
    assert_eq!(promised.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    let id = promised.member_id;
    (id.clone(), service.join(JoinCall { member_id: id, ..call }))
}

#[tokio::test]
async fn offsets_survive_a_failover() {
    let log = Arc::new(MemoryLog::default());
    let first = coordinator(&log);
    assert_eq!(offset(&first).await, Ok(-1));
    for committed in 0..50 {
        assert_eq!(commit(&first, committed).await, ErrorCode::NONE);
    }
    let partition = first.partition_of(GROUP);
    first.resigned(partition);
    assert_eq!(offset(&first).await, Err(ErrorCode::NOT_COORDINATOR));

    let second = GroupService::new(config(), log.clone());
    log.elect(partition, 2);
    second.elected(partition, LeaderEpoch(2));
    assert_eq!(offset(&second).await, Ok(49));
    assert_eq!(second.group_count(), 1);
}

#[tokio::test]
async fn the_next_coordinator_tells_what_it_loaded_once_that_is_committed() {
    let log = Arc::new(MemoryLog::default());
    let first = coordinator(&log);
    assert_eq!(offset(&first).await, Ok(-1));
    assert_eq!(commit(&first, 50).await, ErrorCode::NONE);
    log.hold_watermark();
    let committing = first.commit(commit_of("", -1, "orders", 100));
    let partition = first.partition_of(GROUP);
    first.resigned(partition);
    let code = get(committing).await.topics[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::NOT_COORDINATOR);

    let second = GroupService::new(config(), log.clone());
    log.elect(partition, 2);
    second.elected(partition, LeaderEpoch(2));
    let is_loaded = async {
        while second.group_count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, is_loaded).await.expect("the group is loaded");
    let asked = [false, true].map(|stable| second.fetch(fetch_call(stable)));
    assert!(asked.iter().all(|answer| matches!(answer, Answer::Later(_))));
    log.commit_held();
    for answer in asked {
        assert_eq!(get(answer).await.topics[0].partitions[0].committed_offset, 100);
    }
}

#[tokio::test]
async fn while_a_group_is_loaded_clients_come_back_and_members_are_left_in_peace() {
    let log = Arc::new(MemoryLog::default());
    let before = coordinator(&log);
    assert_eq!(offset(&before).await, Ok(-1));
    commit(&before, 1).await;
    log.hold_reads(true);
    let service = coordinator(&log);
    let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
    assert_eq!(commit(&service, 2).await, loading);
    assert_eq!(get(service.fetch(fetch_call(false))).await.error_code, loading);
    assert_eq!(get(service.join(consumer("a", ""))).await.error_code, loading);
    assert_eq!(service.describe(&[GROUP.into()], 6)[0].error_code, loading);
    assert_eq!(service.list(&ListFilter::default()).error_code, loading);
    let call = HeartbeatCall { group_id: GROUP.into(), ..HeartbeatCall::default() };
    assert_eq!(get(service.heartbeat(call)).await.error_code, ErrorCode::NONE);
    log.hold_reads(false);
    assert_eq!(offset(&service).await, Ok(1));
    assert_eq!(service.list(&ListFilter::default()).groups.len(), 1);
}

#[tokio::test]
async fn groups_of_other_partitions_are_not_ours() {
    let log = Arc::new(MemoryLog::default());
    let service = coordinator(&log);
    assert_eq!(offset(&service).await, Ok(-1));
    let other: Str = "another group".into();
    assert_ne!(service.partition_of(&other), service.partition_of(GROUP));
    let call = FetchCall { group_id: other.clone(), ..fetch_call(false) };
    let not_ours = ErrorCode::NOT_COORDINATOR;
    assert_eq!(get(service.fetch(call)).await.error_code, not_ours);
    let deleted = get(service.delete_groups(&[GROUP.into(), other.clone()])).await;
    assert!(deleted.contains(&(GROUP.into(), ErrorCode::GROUP_ID_NOT_FOUND)));
    assert!(deleted.contains(&(other, not_ours)));
    let nameless = JoinCall { group_id: Str::default(), ..consumer("a", "") };
    assert_eq!(get(service.join(nameless)).await.error_code, ErrorCode::INVALID_GROUP_ID);
}

#[tokio::test]
async fn a_commit_is_answered_when_the_watermark_has_passed_it() {
    let log = Arc::new(MemoryLog::default());
    let service = coordinator(&log);
    assert_eq!(offset(&service).await, Ok(-1));
    log.hold_watermark();
    let committing = service.commit(commit_of("", -1, "orders", 7));
    assert!(matches!(committing, Answer::Later(_)));
    let stable = service.fetch(fetch_call(true));
    assert_eq!(offset(&service).await, Ok(-1));
    log.release(Ok(()));
    assert_eq!(get(committing).await.topics[0].partitions[0].error_code, ErrorCode::NONE);
    assert_eq!(get(stable).await.topics[0].partitions[0].committed_offset, 7);
}

#[tokio::test]
async fn what_the_log_refuses_is_told_in_the_coordinators_words() {
    let log = Arc::new(MemoryLog::default());
    let service = coordinator(&log);
    assert_eq!(offset(&service).await, Ok(-1));
    for (error, code) in [
        (AppendError::NotEnoughReplicas, ErrorCode::COORDINATOR_NOT_AVAILABLE),
        (AppendError::NotLeader, ErrorCode::NOT_COORDINATOR),
        (AppendError::Storage("full".into()), ErrorCode::NOT_COORDINATOR),
        (AppendError::TooLarge, ErrorCode::UNKNOWN_SERVER_ERROR),
    ] {
        log.refuse(Some(error));
        assert_eq!(commit(&service, 1).await, code);
    }
    log.refuse(None);
    assert_eq!(commit(&service, 1).await, ErrorCode::NONE);
}

#[tokio::test]
async fn a_leader_that_is_replaced_unnoticed_gives_up_its_groups() {
    let log = Arc::new(MemoryLog::default());
    let service = coordinator(&log);
    assert_eq!(offset(&service).await, Ok(-1));
    log.hold_watermark();
    let committing = service.commit(commit_of("", -1, "orders", 7));
    let (_, joining) = join(&service, consumer("a", "")).await;
    log.release(Err(AppendError::NotLeader));
    let not_ours = ErrorCode::NOT_COORDINATOR;
    assert_eq!(get(committing).await.topics[0].partitions[0].error_code, not_ours);
    let joined = get(joining).await.error_code;
    assert!(joined == not_ours || joined == ErrorCode::NONE, "{joined}");
    assert_eq!(offset(&service).await, Err(not_ours));
}

#[tokio::test]
async fn time_passes_for_members_that_wait() {
    let log = Arc::new(MemoryLog::default());
    let service = coordinator(&log);
    assert_eq!(offset(&service).await, Ok(-1));
    let short = |client: &str| JoinCall {
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 50,
        ..consumer(client, "")
    };
    let (gone, joined) = join(&service, short("gone")).await;
    assert_eq!(get(joined).await.leader, gone);
    // The first member does not come back; the second is let in all the same.
    let (stays, joined) = join(&service, short("stays")).await;
    let joined = get(joined).await;
    assert_eq!(joined.leader, stays);
    assert_eq!(joined.members.len(), 1);
}

#[tokio::test]
async fn members_that_wait_are_told_when_their_coordinator_resigns() {
    let log = Arc::new(MemoryLog::default());
    let service = coordinator(&log);
    assert_eq!(offset(&service).await, Ok(-1));
    let (_, first) = join(&service, consumer("a", "")).await;
    assert_eq!(get(first).await.error_code, ErrorCode::NONE);
    let (_, second) = join(&service, consumer("b", "")).await;
    service.close();
    assert_eq!(get(second).await.error_code, ErrorCode::NOT_COORDINATOR);
}

#[tokio::test]
async fn the_service_follows_the_metadata_log() {
    let log = Arc::new(MemoryLog::default());
    let service = GroupService::new(config(), log.clone());
    let mut image = Image::new("cluster".into());
    let mut changes = Changes::default();
    let topic = |name: &str, topic_id| TopicRecord { name: name.into(), topic_id };
    let led_by = |topic_id, leader| PartitionRecord {
        topic_id,
        partition_id: 0,
        replicas: vec![1, 2],
        isr: vec![1, 2],
        leader,
        leader_epoch: leader,
        ..PartitionRecord::default()
    };
    let records = [
        MetadataRecord::from(topic("__consumer_offsets", Uuid(1))),
        MetadataRecord::from(led_by(Uuid(1), 1)),
        MetadataRecord::from(topic("orders", Uuid(2))),
    ];
    for record in &records {
        image.apply(record, &mut changes).expect("a record that fits");
    }
    log.elect(PartitionId(0), 1);
    service.follow(&image, &changes, NodeId(1));
    assert_eq!(service.partition_of("anything"), PartitionId(0));
    assert_eq!(offset(&service).await, Ok(-1));
    assert_eq!(commit(&service, 5).await, ErrorCode::NONE);

    let mut changes = Changes::default();
    let gone = vltava_wire::records::metadata::RemoveTopicRecord { topic_id: Uuid(2) };
    image.apply(&MetadataRecord::from(gone), &mut changes).expect("a topic that was there");
    service.follow(&image, &changes, NodeId(1));
    let stable = get(service.fetch(fetch_call(true))).await;
    assert!(stable.topics.is_empty(), "what was committed of the topic is forgotten");

    service.follow(&image, &Changes::default(), NodeId(2));
    assert_eq!(offset(&service).await, Err(ErrorCode::NOT_COORDINATOR));

    // Its own topic is deleted and made anew before it looks again.
    service.follow(&image, &Changes::default(), NodeId(1));
    assert_eq!(offset(&service).await, Ok(-1));
    let records = [
        MetadataRecord::from(vltava_wire::records::metadata::RemoveTopicRecord {
            topic_id: Uuid(1),
        }),
        MetadataRecord::from(topic("__consumer_offsets", Uuid(3))),
        MetadataRecord::from(PartitionRecord { leader_epoch: 0, ..led_by(Uuid(3), 1) }),
    ];
    for record in &records {
        image.apply(record, &mut changes).expect("a record that fits");
    }
    log.elect(PartitionId(0), 0);
    service.follow(&image, &changes, NodeId(1));
    assert_eq!(offset(&service).await, Ok(-1));
    assert_eq!(commit(&service, 7).await, ErrorCode::NONE, "by the new topic's first epoch");
}
