//! The cluster as a whole: its nodes, its quorum, its disks, what is moved.

use vltava_wire::messages::alter_partition_reassignments::{
    ReassignablePartition, ReassignableTopic,
};
use vltava_wire::messages::describe_log_dirs::DescribeLogDirsTopic;
use vltava_wire::messages::describe_quorum::{PartitionData, TopicData};
use vltava_wire::messages::{
    AlterPartitionReassignmentsRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeQuorumRequest, DescribeQuorumResponse, ListPartitionReassignmentsRequest,
    UnregisterBrokerRequest,
};
use vltava_wire::{ErrorCode, Str};

use super::TIMEOUT_MS;
use crate::cluster::Cluster;
use crate::error::ClientError;

/// The topic of the metadata log (KIP-595).
const METADATA_TOPIC: Str = Str::from_static("__cluster_metadata");

/// A log directory of a broker.
#[derive(Clone, Debug)]
pub struct LogDir {
    /// The broker.
    pub node: i32,
    /// The directory.
    pub path: Str,
    /// Why it is not in use, if it is not.
    pub error: Option<ErrorCode>,
    /// Bytes of its file system; −1 if not known.
    pub total_bytes: i64,
    /// Bytes that are free there; −1 if not known.
    pub usable_bytes: i64,
    /// What lies in it.
    pub topics: Vec<DescribeLogDirsTopic>,
}

/// A partition whose replicas move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Its topic.
    pub topic: Str,
    /// Its index within the topic.
    pub partition: i32,
    /// All that hold it now, or are to.
    pub replicas: Vec<i32>,
    /// Those that are to hold it.
    pub adding: Vec<i32>,
    /// Those that are to hold it no more.
    pub removing: Vec<i32>,
}

impl Cluster {
    /// The nodes of the cluster, fenced ones included where the cluster shows them.
    ///
    /// # Errors
    /// If no node answers.
    pub async fn describe_cluster(&self) -> Result<DescribeClusterResponse, ClientError> {
        self.retry(|| self.describe()).await
    }

    /// The metadata quorum: leader, voters, observers, how far each is.
    ///
    /// # Errors
    /// If no node answers that knows.
    pub async fn describe_quorum(&self) -> Result<DescribeQuorumResponse, ClientError> {
        let request = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: METADATA_TOPIC,
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let what = || "the quorum".to_owned();
        self.call_controller(&request, |response| {
            ClientError::check(what, response.error_code, response.error_message.as_deref())?;
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.into_iter().try_for_each(|partition| {
                ClientError::check(what, partition.error_code, partition.error_message.as_deref())
            })
        })
        .await
    }

    /// The log directories of one broker.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn describe_log_dirs(&self, node: i32) -> Result<Vec<LogDir>, ClientError> {
        let request = DescribeLogDirsRequest { topics: None };
        let request = &request;
        let response = self
            .retry(|| async move {
                let response = self.node(node).await?.call(request).await?;
                let what = || format!("log directories of broker {node}");
                ClientError::check(what, response.error_code, None).map(|()| response)
            })
            .await?;
        let dirs = response.results.into_iter().map(|dir| LogDir {
            node,
            path: dir.log_dir,
            error: dir.error_code.is_err().then_some(dir.error_code),
            total_bytes: dir.total_bytes,
            usable_bytes: dir.usable_bytes,
            topics: dir.topics,
        });
        Ok(dirs.collect())
    }

    /// Takes a broker that is gone for good off the cluster's books.
    ///
    /// # Errors
    /// If there is no such broker, or no node answers. That it went by an attempt of this call
    /// whose answer was lost is success.
    pub async fn unregister_broker(&self, broker_id: i32) -> Result<(), ClientError> {
        let request = UnregisterBrokerRequest { broker_id };
        self.decide(&request, |response| {
            let message = response.error_message.as_deref();
            ClientError::check(|| format!("broker {broker_id}"), response.error_code, message)
        })
        .await
        .or_done(ErrorCode::BROKER_ID_NOT_REGISTERED)
    }

    /// All partitions whose replicas move.
    ///
    /// # Errors
    /// If no node answers that knows.
    pub async fn list_reassignments(&self) -> Result<Vec<Reassignment>, ClientError> {
        let request = ListPartitionReassignmentsRequest { timeout_ms: TIMEOUT_MS, topics: None };
        let response = self
            .call_controller(&request, |response| {
                let message = response.error_message.as_deref();
                ClientError::check(|| "reassignments".to_owned(), response.error_code, message)
            })
            .await?;
        let moves = response.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partitions.into_iter().map(move |partition| Reassignment {
                topic: name.clone(),
                partition: partition.partition_index,
                replicas: partition.replicas,
                adding: partition.adding_replicas,
                removing: partition.removing_replicas,
            })
        });
        Ok(moves.collect())
    }

    /// Moves a partition to other brokers; `None` stops a move that goes on.
    ///
    /// # Errors
    /// If the move is refused, or no node answers. Success means that it has begun.
    pub async fn reassign_partition(
        &self,
        topic: &str,
        partition: i32,
        replicas: Option<Vec<i32>>,
    ) -> Result<(), ClientError> {
        let stops = replicas.is_none();
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: TIMEOUT_MS,
            topics: vec![ReassignableTopic {
                name: topic.into(),
                partitions: vec![ReassignablePartition { partition_index: partition, replicas }],
            }],
            ..AlterPartitionReassignmentsRequest::default()
        };
        let what = || format!("{topic}-{partition}");
        let decided = self.decide(&request, |response| {
            ClientError::check(what, response.error_code, response.error_message.as_deref())?;
            let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            partitions.into_iter().try_for_each(|result| {
                ClientError::check(what, result.error_code, result.error_message.as_deref())
            })
        });
        match decided.await {
            decided if stops => decided.or_done(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
            decided => decided.outcome.map(drop),
        }
    }
}
