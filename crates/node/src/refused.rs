//! What is answered to requests of which nothing was done: an error of the request's own form, so
//! that the client keeps its connection and knows whether to come again. Coordinators say so of
//! what they refuse as a whole, and brokers of what no coordinator answers.

use vltava_wire::messages::alter_configs::AlterConfigsResourceResponse as AlteredAll;
use vltava_wire::messages::create_partitions::CreatePartitionsTopicResult;
use vltava_wire::messages::create_topics::CreatableTopicResult;
use vltava_wire::messages::delete_topics::DeletableTopicResult;
use vltava_wire::messages::elect_leaders::{PartitionResult, ReplicaElectionResult};
use vltava_wire::messages::incremental_alter_configs::AlterConfigsResourceResponse as AlteredKeys;
use vltava_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, AlterConfigsRequest, AlterConfigsResponse,
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    ElectLeadersRequest, ElectLeadersResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse, UpdateFeaturesRequest,
    UpdateFeaturesResponse,
};
use vltava_wire::{ErrorCode, Request, Str};

/// A request that the active coordinator answers.
pub trait Refusable: Request {
    /// The answer that says of all that is asked that it was not done, and why.
    fn refused(&self, error_code: ErrorCode, error_message: Option<Str>) -> Self::Response;
}

/// Requests whose answers have one error for all of it.
macro_rules! refused_as_a_whole {
    ($($request:ident => $response:ident),* $(,)?) => {$(
        impl Refusable for $request {
            fn refused(&self, error_code: ErrorCode, error_message: Option<Str>) -> $response {
                $response { error_code, error_message, ..Default::default() }
            }
        }
    )*};
}

refused_as_a_whole! {
    AddRaftVoterRequest => AddRaftVoterResponse,
    AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse,
    DescribeQuorumRequest => DescribeQuorumResponse,
    ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse,
    RemoveRaftVoterRequest => RemoveRaftVoterResponse,
    UnregisterBrokerRequest => UnregisterBrokerResponse,
    UpdateFeaturesRequest => UpdateFeaturesResponse,
}

impl Refusable for CreateTopicsRequest {
    fn refused(&self, error_code: ErrorCode, error_message: Option<Str>) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| CreatableTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message: error_message.clone(),
            ..Default::default()
        });
        CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
    }
}

impl Refusable for DeleteTopicsRequest {
    fn refused(&self, error_code: ErrorCode, error_message: Option<Str>) -> DeleteTopicsResponse {
        let names = self.topic_names.iter().map(|name| (Some(name.clone()), Default::default()));
        let topics = self.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
        let responses = names.chain(topics).map(|(name, topic_id)| DeletableTopicResult {
            name,
            topic_id,
            error_code,
            error_message: error_message.clone(),
        });
        DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Refusable for CreatePartitionsRequest {
    fn refused(
        &self,
        error_code: ErrorCode,
        error_message: Option<Str>,
    ) -> CreatePartitionsResponse {
        let results = self.topics.iter().map(|topic| CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message: error_message.clone(),
        });
        CreatePartitionsResponse { results: results.collect(), ..Default::default() }
    }
}

impl Refusable for ElectLeadersRequest {
    fn refused(&self, error_code: ErrorCode, error_message: Option<Str>) -> ElectLeadersResponse {
        let failed = |partition_id: &i32| PartitionResult {
            partition_id: *partition_id,
            error_code,
            error_message: error_message.clone(),
        };
        let topics = self.topic_partitions.iter().flatten().map(|topic| ReplicaElectionResult {
            topic: topic.topic.clone(),
            partition_result: topic.partitions.iter().map(failed).collect(),
        });
        let replica_election_results = topics.collect();
        ElectLeadersResponse { error_code, replica_election_results, ..Default::default() }
    }
}

impl Refusable for AlterConfigsRequest {
    fn refused(&self, error_code: ErrorCode, error_message: Option<Str>) -> AlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| AlteredAll {
            error_code,
            error_message: error_message.clone(),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
        AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Refusable for IncrementalAlterConfigsRequest {
    fn refused(
        &self,
        error_code: ErrorCode,
        error_message: Option<Str>,
    ) -> IncrementalAlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| AlteredKeys {
            error_code,
            error_message: error_message.clone(),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
        IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    }
}
