//! Offsets of partitions, and the deletion of records.

use std::collections::BTreeMap;

use vltava_wire::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use vltava_wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use vltava_wire::messages::{DeleteRecordsRequest, ListOffsetsRequest};

use super::{Outcomes, TIMEOUT_MS};
use crate::cluster::Cluster;
use crate::error::ClientError;

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// That of the first record that is there.
    Earliest,
    /// The one that the next record gets, as far as consumers may read.
    Latest,
    /// That of the record with the largest timestamp.
    MaxTimestamp,
    /// That of the first record of that time or later, in ms since 1970; −1 if there is none.
    AtTime(i64),
}

impl OffsetSpec {
    const fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::AtTime(time) => time,
        }
    }

    /// The first version in which it can be asked for.
    const fn version_min(self) -> i16 {
        match self {
            Self::MaxTimestamp => 7,
            Self::Latest | Self::Earliest | Self::AtTime(_) => 1,
        }
    }
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; −1 if there is none.
    pub offset: i64,
    /// The record's timestamp in ms since 1970; −1 if it was not asked for by time.
    pub timestamp: i64,
    /// The epoch of the leader that wrote it; −1 if not known.
    pub leader_epoch: i32,
}

impl Cluster {
    /// An offset of one partition.
    ///
    /// # Errors
    /// If there is no such partition, or its leader does not answer.
    pub async fn list_offset(
        &self,
        topic: &str,
        partition: i32,
        spec: OffsetSpec,
    ) -> Result<ListedOffset, ClientError> {
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: partition,
                    timestamp: spec.timestamp(),
                    ..ListOffsetsPartition::default()
                }],
            }],
            timeout_ms: TIMEOUT_MS,
            ..ListOffsetsRequest::default()
        };
        let request = &request;
        self.at_leader(topic, || async move {
            let connection = self.node(self.leader(topic, partition).await?).await?;
            let version = connection.version_of::<ListOffsetsRequest>(i16::MAX)?;
            if version < spec.version_min() {
                let what = format!("{} cannot tell that offset", connection.address());
                return Err(ClientError::Invalid(what));
            }
            let response = connection.call_at(version, request).await?;
            let found = response.topics.iter().flat_map(|topic| &topic.partitions).next();
            let missing = || ClientError::Invalid(format!("the answer lacks {topic}-{partition}"));
            let found = found.ok_or_else(missing)?;
            ClientError::check(|| format!("{topic}-{partition}"), found.error_code, None)?;
            Ok(ListedOffset {
                offset: found.offset,
                timestamp: found.timestamp,
                leader_epoch: found.leader_epoch,
            })
        })
        .await
    }

    /// The same offset of all partitions of a topic, by index.
    ///
    /// # Errors
    /// As [`list_offset`](Self::list_offset).
    pub async fn list_offsets(
        &self,
        topic: &str,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<i32, ListedOffset>, ClientError> {
        let partitions = self.retry(|| self.topic(topic)).await?;
        let listed = partitions.partitions.iter().map(|partition| async {
            let offset = self.list_offset(topic, partition.index, spec).await?;
            Ok::<_, ClientError>((partition.index, offset))
        });
        Ok(futures::future::try_join_all(listed).await?.into_iter().collect())
    }

    /// Deletes the records before an offset (−1: all that consumers may read); the outcomes are
    /// named `topic-partition` and tell the first offset that is left.
    ///
    /// # Errors
    /// None: each partition has its own outcome.
    pub async fn delete_records(&self, before: &[(&str, i32, i64)]) -> Outcomes<i64> {
        let deletions = before.iter().map(|(topic, partition, offset)| async move {
            let deleted = self.delete_before(topic, *partition, *offset).await;
            (format!("{topic}-{partition}"), deleted)
        });
        futures::future::join_all(deletions).await
    }

    async fn delete_before(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<i64, ClientError> {
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: topic.into(),
                partitions: vec![DeleteRecordsPartition { partition_index: partition, offset }],
            }],
            timeout_ms: TIMEOUT_MS,
        };
        let request = &request;
        self.at_leader(topic, || async move {
            let connection = self.node(self.leader(topic, partition).await?).await?;
            let response = connection.call(request).await?;
            let found = response.topics.iter().flat_map(|topic| &topic.partitions).next();
            let missing = || ClientError::Invalid(format!("the answer lacks {topic}-{partition}"));
            let found = found.ok_or_else(missing)?;
            ClientError::check(|| format!("{topic}-{partition}"), found.error_code, None)?;
            Ok(found.low_watermark)
        })
        .await
    }

    /// Retries what is asked of a leader; forgets the topic when an attempt fails, as the leader
    /// may be another by now.
    async fn at_leader<T, F>(
        &self,
        topic: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.retry(|| {
            let attempt = attempt();
            async move {
                let result = attempt.await;
                if result.as_ref().is_err_and(ClientError::is_retriable) {
                    self.forget_topic(topic);
                }
                result
            }
        })
        .await
    }
}
