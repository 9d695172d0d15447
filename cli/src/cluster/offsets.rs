//! Offsets of partitions and of groups, asked for and changed.

use std::collections::BTreeMap;

use vltava_client::ClientError;
use vltava_wire::ErrorCode;
use vltava_wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use vltava_wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use vltava_wire::messages::offset_fetch::OffsetFetchRequestGroup;
use vltava_wire::messages::{
    FindCoordinatorRequest, ListOffsetsRequest, OffsetCommitRequest, OffsetFetchRequest,
};

use crate::cluster::session::{Session, address_of, check};
use crate::cluster::topics;

/// A partition of a topic.
pub(crate) type TopicPartition = (String, i32);

/// The timestamp that stands for the oldest record in ListOffsets.
pub(crate) const EARLIEST: i64 = -2;
/// The timestamp that stands for the end of the log in ListOffsets.
pub(crate) const LATEST: i64 = -1;
/// The last version in which topics are named rather than given by id.
const BY_NAME: i16 = 9;
/// How long the leader may take to answer, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// The broker that coordinates a group.
pub(crate) async fn coordinator(session: &Session, group: &str) -> Result<String, ClientError> {
    let request = FindCoordinatorRequest {
        key: group.into(),
        coordinator_keys: vec![group.into()],
        ..Default::default()
    };
    let answer = session.ask(&request).await?;
    let what = || format!("group {group}");
    match answer.coordinators.into_iter().next() {
        Some(found) => {
            check(what, found.error_code, found.error_message.as_ref())?;
            Ok(format!("{}:{}", found.host, found.port))
        }
        None => {
            check(what, answer.error_code, answer.error_message.as_ref())?;
            Ok(format!("{}:{}", answer.host, answer.port))
        }
    }
}

/// All offsets that a group has committed.
pub(crate) async fn committed(
    session: &Session,
    group: &str,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let coordinator = coordinator(session, group).await?;
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.into(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = session.ask_at(&coordinator, &request, BY_NAME).await?;
    let mut offsets = BTreeMap::new();
    for found in answer.groups {
        check(|| format!("group {group}"), found.error_code, None)?;
        for topic in found.topics {
            for partition in topic.partitions {
                let place = (topic.name.to_string(), partition.partition_index);
                check(|| format!("{}-{}", place.0, place.1), partition.error_code, None)?;
                if partition.committed_offset >= 0 {
                    offsets.insert(place, partition.committed_offset);
                }
            }
        }
    }
    Ok(offsets)
}

/// Commits offsets for a group that has no members.
pub(crate) async fn commit(
    session: &Session,
    group: &str,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
) -> Result<(), ClientError> {
    let coordinator = coordinator(session, group).await?;
    let partition = |(index, offset): (&i32, &i64)| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.into(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: offsets.iter().map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = session.ask_at(&coordinator, &request, BY_NAME).await?;
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        let what = || match partition.error_code {
            ErrorCode::UNKNOWN_MEMBER_ID => format!("group {group} has members; stop them first"),
            _ => format!("{topic}-{}", partition.partition_index),
        };
        check(what, partition.error_code, None)?;
    }
    Ok(())
}

/// The offsets of some partitions at a timestamp, or at [`EARLIEST`] or [`LATEST`].
///
/// A partition without a leader is left out.
pub(crate) async fn listed(
    session: &Session,
    places: &[TopicPartition],
    timestamp: i64,
) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
    let mut names: Vec<String> = places.iter().map(|(topic, _)| topic.clone()).collect();
    names.dedup();
    let metadata = session.metadata(Some(&names)).await?;
    let mut leaders: BTreeMap<String, Vec<TopicPartition>> = BTreeMap::new();
    for topic in topics::sorted(metadata.clone())? {
        for partition in &topic.partitions {
            let place = (topics::name_of(&topic), partition.partition_index);
            if let Some(leader) =
                address_of(&metadata, partition.leader_id).filter(|_| places.contains(&place))
            {
                leaders.entry(leader).or_default().push(place);
            }
        }
    }
    let mut offsets = BTreeMap::new();
    for (leader, places) in leaders {
        let answer = session.ask_at(&leader, &request(&places, timestamp), i16::MAX).await?;
        for topic in answer.topics {
            for partition in topic.partitions {
                let place = (topic.name.to_string(), partition.partition_index);
                check(|| format!("{}-{}", place.0, place.1), partition.error_code, None)?;
                offsets.insert(place, partition.offset);
            }
        }
    }
    Ok(offsets)
}

fn request(places: &[TopicPartition], timestamp: i64) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (name, index) in places {
        let partition =
            ListOffsetsPartition { partition_index: *index, timestamp, ..Default::default() };
        match topics.iter_mut().find(|topic| topic.name == name.as_str()) {
            Some(topic) => topic.partitions.push(partition),
            None => topics
                .push(ListOffsetsTopic { name: name.as_str().into(), partitions: vec![partition] }),
        }
    }
    ListOffsetsRequest { replica_id: -1, topics, timeout_ms: TIMEOUT_MS, ..Default::default() }
}
