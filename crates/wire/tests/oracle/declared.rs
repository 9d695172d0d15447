//! Every message that is declared, as lists for a macro of the caller's: `module::{Name …}`.

#![allow(unused_macros, dead_code)]

/// Every request.
macro_rules! requests {
    ($then:ident) => {
        $then! {
            messages::{
                AddOffsetsToTxnRequest AddPartitionsToTxnRequest AddRaftVoterRequest
                AllocateProducerIdsRequest AlterConfigsRequest AlterPartitionReassignmentsRequest
                AlterPartitionRequest AlterReplicaLogDirsRequest AlterShareGroupOffsetsRequest
                ApiVersionsRequest
                AssignReplicasToDirsRequest BeginQuorumEpochRequest BrokerHeartbeatRequest
                BrokerRegistrationRequest ConsumerGroupDescribeRequest
                ConsumerGroupHeartbeatRequest ControllerRegistrationRequest CreatePartitionsRequest
                CreateTopicsRequest DeleteGroupsRequest DeleteRecordsRequest
                DeleteShareGroupOffsetsRequest DeleteShareGroupStateRequest DeleteTopicsRequest
                DescribeClusterRequest DescribeConfigsRequest DescribeGroupsRequest
                DescribeLogDirsRequest DescribeProducersRequest DescribeQuorumRequest
                DescribeShareGroupOffsetsRequest DescribeTopicPartitionsRequest
                DescribeTransactionsRequest ElectLeadersRequest EndQuorumEpochRequest EndTxnRequest
                EnvelopeRequest FetchRequest FetchSnapshotRequest FindCoordinatorRequest
                GetTelemetrySubscriptionsRequest HeartbeatRequest IncrementalAlterConfigsRequest
                InitProducerIdRequest
                InitializeShareGroupStateRequest JoinGroupRequest LeaveGroupRequest
                ListConfigResourcesRequest ListGroupsRequest ListOffsetsRequest
                ListPartitionReassignmentsRequest ListTransactionsRequest MetadataRequest
                OffsetCommitRequest OffsetDeleteRequest OffsetFetchRequest
                OffsetForLeaderEpochRequest ProduceRequest PushTelemetryRequest
                ReadShareGroupStateRequest
                ReadShareGroupStateSummaryRequest RemoveRaftVoterRequest ShareAcknowledgeRequest
                ShareFetchRequest ShareGroupDescribeRequest ShareGroupHeartbeatRequest
                SyncGroupRequest TxnOffsetCommitRequest UnregisterBrokerRequest
                UpdateFeaturesRequest UpdateRaftVoterRequest VoteRequest WriteShareGroupStateRequest
                WriteTxnMarkersRequest
            }
        }
    };
}

/// Every response.
macro_rules! responses {
    ($then:ident) => {
        $then! {
            messages::{
                AddOffsetsToTxnResponse AddPartitionsToTxnResponse AddRaftVoterResponse
                AllocateProducerIdsResponse AlterConfigsResponse
                AlterPartitionReassignmentsResponse AlterPartitionResponse
                AlterReplicaLogDirsResponse
                AlterShareGroupOffsetsResponse ApiVersionsResponse AssignReplicasToDirsResponse
                BeginQuorumEpochResponse BrokerHeartbeatResponse BrokerRegistrationResponse
                ConsumerGroupDescribeResponse ConsumerGroupHeartbeatResponse
                ControllerRegistrationResponse CreatePartitionsResponse CreateTopicsResponse
                DeleteGroupsResponse DeleteRecordsResponse DeleteShareGroupOffsetsResponse
                DeleteShareGroupStateResponse DeleteTopicsResponse DescribeClusterResponse
                DescribeConfigsResponse DescribeGroupsResponse DescribeLogDirsResponse
                DescribeProducersResponse DescribeQuorumResponse DescribeShareGroupOffsetsResponse
                DescribeTopicPartitionsResponse DescribeTransactionsResponse ElectLeadersResponse
                EndQuorumEpochResponse EndTxnResponse EnvelopeResponse FetchResponse
                FetchSnapshotResponse FindCoordinatorResponse
                GetTelemetrySubscriptionsResponse HeartbeatResponse
                IncrementalAlterConfigsResponse InitProducerIdResponse
                InitializeShareGroupStateResponse JoinGroupResponse LeaveGroupResponse
                ListConfigResourcesResponse ListGroupsResponse ListOffsetsResponse
                ListPartitionReassignmentsResponse ListTransactionsResponse MetadataResponse
                OffsetCommitResponse OffsetDeleteResponse OffsetFetchResponse
                OffsetForLeaderEpochResponse ProduceResponse PushTelemetryResponse
                ReadShareGroupStateResponse
                ReadShareGroupStateSummaryResponse RemoveRaftVoterResponse ShareAcknowledgeResponse
                ShareFetchResponse ShareGroupDescribeResponse ShareGroupHeartbeatResponse
                SyncGroupResponse TxnOffsetCommitResponse UnregisterBrokerResponse
                UpdateFeaturesResponse UpdateRaftVoterResponse VoteResponse
                WriteShareGroupStateResponse
                WriteTxnMarkersResponse
            }
        }
    };
}

/// Records that the `kafka-protocol` crate has, too.
macro_rules! shared_records {
    ($then:ident) => {
        $then! {
            group::{
                ConsumerProtocolSubscription ConsumerProtocolAssignment
            }
            principal::{
                DefaultPrincipalData
            }
            raft::{
                EndTxnMarker KRaftVersionRecord LeaderChangeMessage SnapshotFooterRecord
                SnapshotHeaderRecord VotersRecord
            }
        }
    };
}

/// Records that only Apache Kafka itself can be held against.
macro_rules! own_records {
    ($then:ident) => {
        $then! {
            metadata::{
                RegisterBrokerRecord UnregisterBrokerRecord BrokerRegistrationChangeRecord
                RegisterControllerRecord TopicRecord RemoveTopicRecord PartitionRecord
                PartitionChangeRecord ConfigRecord FeatureLevelRecord ProducerIdsRecord
                ClearElrRecord NoOpRecord
            }
            group::{
                OffsetCommitKey OffsetCommitValue GroupMetadataKey GroupMetadataValue
            }
            consumer_group::{
                ConsumerGroupMetadataKey ConsumerGroupMetadataValue
                ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue
                ConsumerGroupTargetAssignmentMetadataKey
                ConsumerGroupTargetAssignmentMetadataValue
                ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue
                ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue
                ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue
            }
            share_group::{
                ShareGroupMemberMetadataKey ShareGroupMemberMetadataValue
                ShareGroupMetadataKey ShareGroupMetadataValue
                ShareGroupTargetAssignmentMetadataKey ShareGroupTargetAssignmentMetadataValue
                ShareGroupTargetAssignmentMemberKey ShareGroupTargetAssignmentMemberValue
                ShareGroupCurrentMemberAssignmentKey ShareGroupCurrentMemberAssignmentValue
                ShareGroupStatePartitionMetadataKey ShareGroupStatePartitionMetadataValue
            }
            share_state::{
                ShareSnapshotKey ShareSnapshotValue ShareUpdateKey ShareUpdateValue
            }
            producer_snapshot::{
                ProducerSnapshot
            }
            transaction::{
                TransactionLogKey TransactionLogValue
            }
        }
    };
}

/// Versions that the `kafka-protocol` crate lacks: message, first and last version, why. They are
/// held against bytes of Apache Kafka instead (`tests/kafka_golden.rs`).
pub(crate) const LACKING: &[(&str, i16, i16, &str)] = &[
    ("AddRaftVoterRequest", 1, 1, "the crate ends at version 0"),
    ("AddRaftVoterResponse", 1, 1, "the crate ends at version 0"),
    ("InitProducerIdRequest", 6, 6, "the crate ends at version 5"),
    ("ListOffsetsRequest", 11, 11, "the crate ends at version 10"),
    ("ListOffsetsResponse", 11, 11, "the crate ends at version 10"),
    ("OffsetCommitRequest", 10, 10, "the crate ends at version 9"),
    ("OffsetFetchRequest", 10, 10, "the crate ends at version 9"),
    ("WriteTxnMarkersRequest", 2, 2, "the crate ends at version 1"),
    ("WriteTxnMarkersResponse", 2, 2, "the crate ends at version 1"),
    ("DescribeShareGroupOffsetsRequest", 1, 1, "the crate ends at version 0"),
    ("DescribeShareGroupOffsetsResponse", 1, 1, "the crate ends at version 0"),
    ("ReadShareGroupStateSummaryRequest", 1, 1, "the crate ends at version 0"),
    ("ReadShareGroupStateSummaryResponse", 1, 1, "the crate ends at version 0"),
    ("ShareAcknowledgeRequest", 2, 2, "the crate ends at version 1"),
    ("ShareAcknowledgeResponse", 2, 2, "the crate ends at version 1"),
    ("ShareFetchRequest", 2, 2, "the crate ends at version 1"),
    ("ShareFetchResponse", 2, 2, "the crate ends at version 1"),
    ("WriteShareGroupStateRequest", 1, 1, "the crate ends at version 0"),
    ("WriteShareGroupStateResponse", 1, 1, "the crate ends at version 0"),
    ("LeaderChangeMessage", 0, 1, SHADOWED),
    ("VotersRecord", 0, 0, SHADOWED),
];

const SHADOWED: &str = "the crate takes the field `version` for the version to decode by";

/// Whether the `kafka-protocol` crate lacks that version.
pub(crate) fn is_lacking(name: &str, version: i16) -> bool {
    LACKING
        .iter()
        .any(|(lacking, min, max, _)| *lacking == name && (*min..=*max).contains(&version))
}
