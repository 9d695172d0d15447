//! Consumer groups: list, describe, their offsets, delete.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::try_join_all;
use vltava_wire::messages::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsResponsePartition,
};
use vltava_wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use vltava_wire::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use vltava_wire::messages::offset_fetch::OffsetFetchRequestGroup;
use vltava_wire::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    DescribeShareGroupOffsetsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetFetchRequest, OffsetFetchResponse, ShareGroupDescribeRequest,
    consumer_group_describe, share_group_describe,
};
use vltava_wire::{ErrorCode, Request, Str};

use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::membership::decode_assignment;

/// The state of a group that is not there.
const DEAD: &str = "Dead";

/// Offsets by topic and partition.
pub type PartitionOffsets = BTreeMap<(String, i32), i64>;

/// A group, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub id: String,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// Its state, as Kafka names it; empty if the cluster is too old to say.
    pub state: String,
    /// `classic`, `consumer`, …; empty if the cluster is too old to say.
    pub kind: String,
}

/// What a group is: which requests its members speak in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// JoinGroup and SyncGroup; also one that does not exist.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer,
    /// ShareGroupHeartbeat (KIP-932).
    Share,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// What it is.
    pub kind: GroupKind,
    /// Its name.
    pub id: String,
    /// Its state, as Kafka names it.
    pub state: String,
    /// `consumer` for consumers, `share` for share groups.
    pub protocol_type: String,
    /// How partitions are assigned, such as `range`.
    pub protocol: String,
    /// The node that coordinates it.
    pub coordinator: i32,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id, given by the coordinator.
    pub id: String,
    /// Its own name, if it is a static member (KIP-345).
    pub instance_id: Option<String>,
    /// How its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// The partitions that it consumes, if it is a consumer.
    pub assignment: Vec<(String, i32)>,
}

impl Cluster {
    /// All groups of all brokers, by name.
    ///
    /// # Errors
    /// If a broker does not answer.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        // A broker that cannot be reached may have died: the next try asks those that are left.
        let listings = self.retry(|| async {
            self.metadata(Some(&[]), false).await?;
            try_join_all(self.nodes().into_iter().map(|node| self.groups_of(node.id))).await
        });
        let mut groups: Vec<GroupListing> = listings.await?.into_iter().flatten().collect();
        groups.sort_by(|one, other| one.id.cmp(&other.id));
        groups.dedup_by(|one, other| one.id == other.id);
        Ok(groups)
    }

    async fn groups_of(&self, node: i32) -> Result<Vec<GroupListing>, ClientError> {
        let response = self.node(node).await?.call(&ListGroupsRequest::default()).await?;
        ClientError::check(|| format!("groups of broker {node}"), response.error_code, None)?;
        let listing = |group: &vltava_wire::messages::list_groups::ListedGroup| GroupListing {
            id: (&group.group_id).into(),
            protocol_type: (&group.protocol_type).into(),
            state: (&group.group_state).into(),
            kind: (&group.group_type).into(),
        };
        Ok(response.groups.iter().map(listing).collect())
    }

    /// One group, of whichever kind. A group that does not exist is `Dead` without members.
    ///
    /// # Errors
    /// If its coordinator does not answer.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let classic = self.describe_classic(group).await?;
        if classic.state != DEAD {
            return Ok(classic);
        }
        // That is said of groups of other kinds as well.
        if let Some(found) = self.describe_consumer(group).await? {
            return Ok(found);
        }
        Ok(self.describe_share(group).await?.unwrap_or(classic))
    }

    async fn describe_classic(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroupsRequest {
            groups: vec![group.into()],
            ..DescribeGroupsRequest::default()
        };
        let response = self
            .call_group(group, &request, |response| {
                response.groups.iter().try_for_each(|described| {
                    check_known(group, described.error_code, described.error_message.as_deref())
                })
            })
            .await?;
        let coordinator = self.retry(|| self.group_coordinator(group)).await?;
        let missing = || ClientError::Invalid(format!("the answer lacks group {group}"));
        let described = response.groups.into_iter().next().ok_or_else(missing)?;
        let member =
            |member: vltava_wire::messages::describe_groups::DescribedGroupMember| GroupMember {
                id: (&member.member_id).into(),
                instance_id: member.group_instance_id.as_ref().map(Into::into),
                client_id: (&member.client_id).into(),
                client_host: (&member.client_host).into(),
                assignment: assignment(&member.member_assignment),
            };
        Ok(GroupDescription {
            kind: GroupKind::Classic,
            id: (&described.group_id).into(),
            state: (&described.group_state).into(),
            protocol_type: (&described.protocol_type).into(),
            protocol: (&described.protocol_data).into(),
            coordinator,
            members: described.members.into_iter().map(member).collect(),
        })
    }

    /// A group as it is told by a request that knows its kind alone, and its coordinator; `None`
    /// if it is of another kind, or the cluster too old for it.
    async fn describe_newer<R: Request, G: Clone>(
        &self,
        group: &str,
        request: &R,
        groups: fn(&R::Response) -> &[G],
        outcome: fn(&G) -> (ErrorCode, Option<&str>),
    ) -> Result<Option<(G, i32)>, ClientError> {
        let answer = self.call_group(group, request, |response| {
            groups(response).iter().try_for_each(|described| {
                let (code, message) = outcome(described);
                check_known(group, code, message)
            })
        });
        let Some(answer) = unless_too_old(answer.await)? else { return Ok(None) };
        let found = groups(&answer).iter().find(|found| outcome(found).0.is_ok());
        let Some(found) = found.cloned() else { return Ok(None) };
        let coordinator = self.retry(|| self.group_coordinator(group)).await?;
        Ok(Some((found, coordinator)))
    }

    async fn describe_consumer(
        &self,
        group: &str,
    ) -> Result<Option<GroupDescription>, ClientError> {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![group.into()],
            ..ConsumerGroupDescribeRequest::default()
        };
        let described = self.describe_newer(
            group,
            &request,
            |response| &response.groups,
            |found| (found.error_code, found.error_message.as_deref()),
        );
        let Some((found, coordinator)) = described.await? else { return Ok(None) };
        let member = |member: consumer_group_describe::Member| GroupMember {
            id: (&member.member_id).into(),
            instance_id: member.instance_id.as_ref().map(Into::into),
            client_id: (&member.client_id).into(),
            client_host: (&member.client_host).into(),
            assignment: places(
                member
                    .assignment
                    .topic_partitions
                    .iter()
                    .map(|it| (&it.topic_name, &it.partitions)),
            ),
        };
        Ok(Some(GroupDescription {
            kind: GroupKind::Consumer,
            id: (&found.group_id).into(),
            state: (&found.group_state).into(),
            protocol_type: "consumer".to_owned(),
            protocol: (&found.assignor_name).into(),
            coordinator,
            members: found.members.into_iter().map(member).collect(),
        }))
    }

    async fn describe_share(&self, group: &str) -> Result<Option<GroupDescription>, ClientError> {
        let request = ShareGroupDescribeRequest {
            group_ids: vec![group.into()],
            ..ShareGroupDescribeRequest::default()
        };
        let described = self.describe_newer(
            group,
            &request,
            |response| &response.groups,
            |found| (found.error_code, found.error_message.as_deref()),
        );
        let Some((found, coordinator)) = described.await? else { return Ok(None) };
        let member = |member: share_group_describe::Member| GroupMember {
            id: (&member.member_id).into(),
            instance_id: None,
            client_id: (&member.client_id).into(),
            client_host: (&member.client_host).into(),
            assignment: places(
                member
                    .assignment
                    .topic_partitions
                    .iter()
                    .map(|it| (&it.topic_name, &it.partitions)),
            ),
        };
        Ok(Some(GroupDescription {
            kind: GroupKind::Share,
            id: (&found.group_id).into(),
            state: (&found.group_state).into(),
            protocol_type: "share".to_owned(),
            protocol: (&found.assignor_name).into(),
            coordinator,
            members: found.members.into_iter().map(member).collect(),
        }))
    }

    /// Where a share group begins in each partition of which that is known: what is before has been
    /// dealt with.
    ///
    /// # Errors
    /// If its coordinator does not answer.
    pub async fn share_group_offsets(&self, group: &str) -> Result<PartitionOffsets, ClientError> {
        let asked = DescribeShareGroupOffsetsRequestGroup { group_id: group.into(), topics: None };
        let request = DescribeShareGroupOffsetsRequest { groups: vec![asked] };
        let answer = self.call_group(group, &request, |response| {
            response.groups.iter().try_for_each(|found| {
                check_known(group, found.error_code, found.error_message.as_deref())
            })
        });
        let topics = answer.await?.groups.into_iter().flat_map(|found| found.topics);
        let offsets = topics.flat_map(|topic| {
            let name: String = (&topic.topic_name).into();
            let is_known = |part: &DescribeShareGroupOffsetsResponsePartition| {
                part.error_code.is_ok() && part.start_offset >= 0
            };
            let begun = topic.partitions.into_iter().filter(is_known);
            begun.map(move |part| ((name.clone(), part.partition_index), part.start_offset))
        });
        Ok(offsets.collect())
    }

    /// Deletes a group that has no members, its offsets with it.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND; or its coordinator does not answer.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest { groups_names: vec![group.into()] };
        self.call_group(group, &request, |response| {
            response
                .results
                .iter()
                .try_for_each(|result| check_group(group, result.error_code, None))
        })
        .await
        .map(|_| ())
    }

    /// The offsets that a group has committed.
    ///
    /// # Errors
    /// If its coordinator does not answer.
    pub async fn group_offsets(&self, group: &str) -> Result<PartitionOffsets, ClientError> {
        self.retry(|| async move {
            let id = self.group_coordinator(group).await?;
            let result = self.fetch_offsets(id, group).await;
            if result.as_ref().is_err_and(ClientError::is_retriable) {
                self.forget_group_coordinator(group);
            }
            result
        })
        .await
    }

    async fn fetch_offsets(&self, id: i32, group: &str) -> Result<PartitionOffsets, ClientError> {
        let connection = self.node(id).await?;
        // From version 10 on topics have ids instead of names.
        let version = connection.version_of::<OffsetFetchRequest>(9)?;
        let mut request = OffsetFetchRequest { require_stable: true, ..Default::default() };
        match version {
            0..=7 => (request.group_id, request.topics) = (group.into(), None),
            _ => {
                request.groups = vec![OffsetFetchRequestGroup {
                    group_id: group.into(),
                    topics: None,
                    ..OffsetFetchRequestGroup::default()
                }];
            }
        }
        let response = connection.call_at(version, &request).await?;
        committed(group, &response)
    }

    /// Sets the offsets of a group that has no members.
    ///
    /// # Errors
    /// If the group has members, or its coordinator does not answer.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &PartitionOffsets,
    ) -> Result<(), ClientError> {
        let request = commit_request(group, offsets);
        let request = &request;
        self.retry(|| async move {
            let id = self.group_coordinator(group).await?;
            let committed = async {
                let connection = self.node(id).await?;
                let version = connection.version_of::<OffsetCommitRequest>(9)?;
                check_commit(group, &connection.call_at(version, request).await?)
            };
            let result = committed.await;
            if result.as_ref().is_err_and(ClientError::is_retriable) {
                self.forget_group_coordinator(group);
            }
            result
        })
        .await
    }

    /// Deletes the committed offsets of some partitions.
    ///
    /// # Errors
    /// If members of the group consume them, or its coordinator does not answer.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[(&str, i32)],
    ) -> Result<(), ClientError> {
        let topic = |(topic, partition): &(&str, i32)| OffsetDeleteRequestTopic {
            name: (*topic).into(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: *partition }],
        };
        let request = OffsetDeleteRequest {
            group_id: group.into(),
            topics: partitions.iter().map(topic).collect(),
        };
        self.call_group(group, &request, |response| {
            check_group(group, response.error_code, None)?;
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions
                .into_iter()
                .try_for_each(|partition| check_group(group, partition.error_code, None))
        })
        .await
        .map(|_| ())
    }
}

/// As [`check_group`], but that there is no such group, of this kind, is an answer.
fn check_known(group: &str, code: ErrorCode, message: Option<&str>) -> Result<(), ClientError> {
    match code {
        ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => Ok(()),
        code => check_group(group, code, message),
    }
}

/// The answer, unless the cluster is too old to know such a request.
fn unless_too_old<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Err(ClientError::UnsupportedVersion { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

fn places<'a>(topics: impl Iterator<Item = (&'a Str, &'a Vec<i32>)>) -> Vec<(String, i32)> {
    let of = |(name, indexes): (&'a Str, &'a Vec<i32>)| {
        indexes.iter().map(move |index| (name.into(), *index))
    };
    topics.flat_map(of).collect()
}

pub(crate) fn check_group(
    group: &str,
    code: ErrorCode,
    message: Option<&str>,
) -> Result<(), ClientError> {
    ClientError::check(|| format!("group {group}"), code, message)
}

/// The offsets in an answer, of whichever version; −1 means that none is committed.
pub(crate) fn committed(
    group: &str,
    response: &OffsetFetchResponse,
) -> Result<PartitionOffsets, ClientError> {
    check_group(group, response.error_code, None)?;
    let old = response.topics.iter().flat_map(|topic| {
        let name = &topic.name;
        let of = move |part: &vltava_wire::messages::offset_fetch::OffsetFetchResponsePartition| {
            (name, part.partition_index, part.committed_offset, part.error_code)
        };
        topic.partitions.iter().map(of)
    });
    for group_of in &response.groups {
        check_group(group, group_of.error_code, None)?;
    }
    let topics = response.groups.iter().flat_map(|group| &group.topics);
    let new = topics.flat_map(|topic| {
        let name = &topic.name;
        let of =
            move |part: &vltava_wire::messages::offset_fetch::OffsetFetchResponsePartitions| {
                (name, part.partition_index, part.committed_offset, part.error_code)
            };
        topic.partitions.iter().map(of)
    });
    let mut offsets = PartitionOffsets::new();
    for (topic, partition, offset, code) in old.chain(new) {
        ClientError::check(|| format!("offset of {topic}-{partition}"), code, None)?;
        if offset >= 0 {
            offsets.insert((topic.into(), partition), offset);
        }
    }
    Ok(offsets)
}

/// A commit from outside of the group's generations.
pub(crate) fn commit_request(group: &str, offsets: &PartitionOffsets) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for ((topic, partition), offset) in offsets {
        let entry = OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            committed_metadata: Some(Str::default()),
            ..OffsetCommitRequestPartition::default()
        };
        match topics.last_mut().filter(|last| last.name == topic.as_str()) {
            Some(last) => last.partitions.push(entry),
            None => topics.push(OffsetCommitRequestTopic {
                name: topic.as_str().into(),
                partitions: vec![entry],
                ..OffsetCommitRequestTopic::default()
            }),
        }
    }
    OffsetCommitRequest { group_id: group.into(), topics, ..OffsetCommitRequest::default() }
}

pub(crate) fn check_commit(
    group: &str,
    response: &OffsetCommitResponse,
) -> Result<(), ClientError> {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.into_iter().try_for_each(|part| check_group(group, part.error_code, None))
}

/// The partitions of a member; none, if the bytes are not a consumer's.
fn assignment(bytes: &Bytes) -> Vec<(String, i32)> {
    decode_assignment(bytes).unwrap_or_default()
}
