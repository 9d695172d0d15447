//! A member of a group: joins, learns its partitions, says that it lives, commits, leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use vltava_wire::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use vltava_wire::messages::leave_group::MemberIdentity;
use vltava_wire::messages::sync_group::SyncGroupRequestAssignment;
use vltava_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest,
};
use vltava_wire::{ErrorCode, Str};

use super::assign;
use super::{ConsumerOptions, TopicPartition};
use crate::admin::{PartitionOffsets, check_commit, check_group, commit_request};
use crate::cluster::{Cluster, chain};
use crate::error::ClientError;
use crate::membership::{
    decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};

/// How much longer than the coordinator a member waits for a rebalance to end.
const GRACE: Duration = Duration::from_secs(5);

/// How consumers name their protocol.
const PROTOCOL_TYPE: Str = Str::from_static("consumer");

/// What the member must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing: it is a member of the present generation.
    Member,
    /// Join, as the member that it is.
    Rejoin,
    /// Join as a new member: the group has forgotten it.
    Forgotten,
}

/// A member of a group.
#[derive(Debug)]
pub(super) struct Group {
    cluster: Cluster,
    id: String,
    topics: Vec<String>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    heartbeat_interval: Duration,
    instance_id: Option<Str>,
    member: Str,
    generation: i32,
    standing: watch::Sender<Standing>,
    heart: Option<Heart>,
}

/// The task that says that the member lives; it ends with this.
#[derive(Debug)]
struct Heart(AbortHandle);

impl Drop for Heart {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Group {
    pub(super) fn new(
        cluster: Cluster,
        options: &ConsumerOptions,
        id: &str,
        topics: Vec<String>,
    ) -> Self {
        Self {
            cluster,
            id: id.to_owned(),
            topics,
            session_timeout: options.session_timeout,
            rebalance_timeout: options.rebalance_timeout,
            heartbeat_interval: options.heartbeat_interval,
            instance_id: options.instance_id.as_deref().map(Str::from),
            member: Str::default(),
            generation: -1,
            standing: watch::Sender::new(Standing::Forgotten),
            heart: None,
        }
    }

    pub(super) fn must_join(&self) -> bool {
        *self.standing.borrow() != Standing::Member
    }

    /// Waits until the group must be joined anew.
    pub(super) async fn rejoin(&self) {
        let mut standing = self.standing.subscribe();
        // The sender lives as long as this.
        let _ = standing.wait_for(|standing| *standing != Standing::Member).await;
    }

    /// Joins, whatever it takes; returns the partitions of this member.
    pub(super) async fn join(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        self.heart = None;
        loop {
            if *self.standing.borrow() == Standing::Forgotten {
                self.member = Str::default();
            }
            let joined = self.join_once().await;
            match joined {
                Ok(partitions) => {
                    self.standing.send_replace(Standing::Member);
                    self.heart = Some(self.start_heart());
                    return Ok(partitions);
                }
                Err(error) if self.note(&error) => {
                    tracing::debug!(group = self.id, "joining again: {}", chain(&error));
                    tokio::time::sleep(self.cluster.options().backoff_min).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Notes what an error says about this member; whether joining again may help.
    fn note(&self, error: &ClientError) -> bool {
        let standing = standing_after(error);
        if let Some(standing) = standing {
            self.standing.send_replace(standing);
        }
        if error.is_retriable() {
            self.cluster.forget_group_coordinator(&self.id);
        }
        standing.is_some() || error.is_retriable()
    }

    async fn join_once(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        let joined = self.ask_to_join().await?;
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            self.member = joined.member_id.detach();
            self.standing.send_replace(Standing::Rejoin);
        }
        check_group(&self.id, joined.error_code, None)?;
        self.member = joined.member_id.detach();
        self.generation = joined.generation_id;
        let leads = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = match leads {
            true => self.assign(&joined.members).await?,
            false => Vec::new(),
        };
        let protocol = joined.protocol_name.clone();
        self.sync(protocol, assignments).await
    }

    async fn ask_to_join(&self) -> Result<JoinGroupResponse, ClientError> {
        let request = JoinGroupRequest {
            group_id: self.id.as_str().into(),
            session_timeout_ms: millis(self.session_timeout),
            rebalance_timeout_ms: millis(self.rebalance_timeout),
            member_id: self.member.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: PROTOCOL_TYPE,
            protocols: vec![JoinGroupRequestProtocol {
                name: Str::from_static(assign::NAME),
                metadata: encode_subscription(&self.topics),
            }],
            reason: None,
        };
        let coordinator = self.cluster.group_coordinator(&self.id).await?;
        let connection = self.cluster.node(coordinator).await?;
        let version = connection.version_of::<JoinGroupRequest>(i16::MAX)?;
        let timeout = self.rebalance_timeout + GRACE;
        connection.call_within(version, &request, timeout).await
    }

    /// Decides, as the leader, who consumes what.
    async fn assign(
        &self,
        members: &[JoinGroupResponseMember],
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let mut subscriptions = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for member in members {
            let topics = decode_subscription(&member.metadata).map_err(|source| {
                ClientError::Decode { key: vltava_wire::ApiKey::JoinGroup, source }
            })?;
            for topic in &topics {
                counts.insert(topic.clone(), 0);
            }
            subscriptions.insert(String::from(&member.member_id), topics);
        }
        let names: Vec<&str> = counts.keys().map(String::as_str).collect();
        for (name, topic) in self.cluster.describe_topics(&names).await? {
            match topic {
                Ok(topic) => counts.insert(name, topic.partitions.len() as i32),
                Err(error) => {
                    tracing::warn!(group = self.id, "nobody consumes {name}: {error}");
                    counts.remove(&name)
                }
            };
        }
        let assignments = assign::range(&subscriptions, &counts).into_iter();
        let assignment = |(member, partitions): (String, Vec<TopicPartition>)| {
            let assignment = encode_assignment(&partitions);
            SyncGroupRequestAssignment { member_id: member.into(), assignment }
        };
        Ok(assignments.map(assignment).collect())
    }

    /// Learns from the coordinator which partitions are this member's.
    async fn sync(
        &self,
        protocol_name: Option<Str>,
        assignments: Vec<SyncGroupRequestAssignment>,
    ) -> Result<Vec<TopicPartition>, ClientError> {
        let request = SyncGroupRequest {
            group_id: self.id.as_str().into(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name,
            assignments,
        };
        let coordinator = self.cluster.group_coordinator(&self.id).await?;
        let connection = self.cluster.node(coordinator).await?;
        let version = connection.version_of::<SyncGroupRequest>(i16::MAX)?;
        let timeout = self.rebalance_timeout + GRACE;
        let synced = connection.call_within(version, &request, timeout).await?;
        check_group(&self.id, synced.error_code, None)?;
        decode_assignment(&synced.assignment)
            .map_err(|source| ClientError::Decode { key: vltava_wire::ApiKey::SyncGroup, source })
    }

    fn start_heart(&self) -> Heart {
        let request = HeartbeatRequest {
            group_id: self.id.as_str().into(),
            generation_id: self.generation,
            member_id: self.member.clone(),
            group_instance_id: self.instance_id.clone(),
        };
        let beats = beat(
            self.cluster.clone(),
            self.id.clone(),
            request,
            self.heartbeat_interval,
            self.standing.clone(),
        );
        Heart(tokio::spawn(beats).abort_handle())
    }

    /// The offsets that the group has committed.
    pub(super) async fn committed(&self) -> Result<PartitionOffsets, ClientError> {
        self.cluster.group_offsets(&self.id).await
    }

    pub(super) async fn commit(&self, offsets: &PartitionOffsets) -> Result<(), ClientError> {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: self.generation,
            member_id: self.member.clone(),
            group_instance_id: self.instance_id.clone(),
            ..commit_request(&self.id, offsets)
        };
        let request = &request;
        let committed = self
            .cluster
            .retry(|| async move {
                let coordinator = self.cluster.group_coordinator(&self.id).await?;
                let connection = self.cluster.node(coordinator).await?;
                let version = connection.version_of::<OffsetCommitRequest>(9)?;
                let response = connection.call_at(version, request).await?;
                let checked = check_commit(&self.id, &response);
                if checked.as_ref().is_err_and(ClientError::is_retriable) {
                    self.cluster.forget_group_coordinator(&self.id);
                }
                checked
            })
            .await;
        if let Err(error) = &committed
            && let Some(standing) = standing_after(error)
        {
            self.standing.send_replace(standing);
        }
        committed
    }

    /// Leaves the group, if its coordinator can be told. A static member keeps its place: it is
    /// expected to come back (KIP-345).
    pub(super) async fn leave(mut self) {
        self.heart = None;
        if self.member.is_empty() || self.instance_id.is_some() {
            return;
        }
        let request = LeaveGroupRequest {
            group_id: self.id.as_str().into(),
            member_id: self.member.clone(),
            members: vec![MemberIdentity {
                member_id: self.member.clone(),
                ..MemberIdentity::default()
            }],
        };
        let left = async {
            let coordinator = self.cluster.group_coordinator(&self.id).await?;
            self.cluster.node(coordinator).await?.call(&request).await
        };
        if let Err(error) = left.await {
            tracing::debug!(group = self.id, "leaving failed: {}", chain(&error));
        }
    }
}

/// Sends heartbeats until one says that the member must join anew.
async fn beat(
    cluster: Cluster,
    group: String,
    request: HeartbeatRequest,
    interval: Duration,
    standing: watch::Sender<Standing>,
) {
    loop {
        tokio::time::sleep(interval).await;
        let beaten = async {
            let coordinator = cluster.group_coordinator(&group).await?;
            let response = cluster.node(coordinator).await?.call(&request).await?;
            check_group(&group, response.error_code, None)
        };
        let Err(error) = beaten.await else { continue };
        if let Some(after) = standing_after(&error) {
            standing.send_replace(after);
            return;
        }
        tracing::debug!(group, "a heartbeat failed: {}", chain(&error));
        cluster.forget_group_coordinator(&group);
    }
}

/// What a group's answer says about this member, if it does.
fn standing_after(error: &ClientError) -> Option<Standing> {
    match error.code()? {
        ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::MEMBER_ID_REQUIRED => Some(Standing::Rejoin),
        ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => Some(Standing::Forgotten),
        _ => None,
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
