//! What is answered to requests that no coordinator answers: an error of the request's own form, so
//! that the client keeps its connection and knows whether to come again.

use vltava_net::{Answer, Inbound};
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
use vltava_wire::{ApiKey, ErrorCode, Request, Str};

/// A request that the active coordinator answers.
pub trait Forwarded: Request {
    /// The answer that says of all that is asked that it was not done, and why.
    fn refused(&self, error_code: ErrorCode, why: &Str) -> Self::Response;
}

/// The answer to a request of whatever kind; `None` for one that makes no sense.
pub(super) fn answer(inbound: &Inbound, error_code: ErrorCode, why: &Str) -> Option<Answer> {
    fn of<R: Forwarded>(inbound: &Inbound, error_code: ErrorCode, why: &Str) -> Option<Answer> {
        let request = R::read(inbound.body.clone(), inbound.header.api_version).ok()?;
        Some(Answer::to::<R>(&inbound.header, &request.refused(error_code, why)))
    }
    let of = match inbound.key {
        ApiKey::CreateTopics => of::<CreateTopicsRequest>,
        ApiKey::DeleteTopics => of::<DeleteTopicsRequest>,
        ApiKey::CreatePartitions => of::<CreatePartitionsRequest>,
        ApiKey::ElectLeaders => of::<ElectLeadersRequest>,
        ApiKey::AlterPartitionReassignments => of::<AlterPartitionReassignmentsRequest>,
        ApiKey::ListPartitionReassignments => of::<ListPartitionReassignmentsRequest>,
        ApiKey::DescribeQuorum => of::<DescribeQuorumRequest>,
        ApiKey::UpdateFeatures => of::<UpdateFeaturesRequest>,
        ApiKey::UnregisterBroker => of::<UnregisterBrokerRequest>,
        ApiKey::AddRaftVoter => of::<AddRaftVoterRequest>,
        ApiKey::RemoveRaftVoter => of::<RemoveRaftVoterRequest>,
        _ => return None,
    };
    of(inbound, error_code, why)
}

/// Requests whose answers have one error for all of it.
macro_rules! refused_as_a_whole {
    ($($request:ident => $response:ident),* $(,)?) => {$(
        impl Forwarded for $request {
            fn refused(&self, error_code: ErrorCode, why: &Str) -> $response {
                let error_message = Some(why.clone());
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

impl Forwarded for CreateTopicsRequest {
    fn refused(&self, error_code: ErrorCode, why: &Str) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| CreatableTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message: Some(why.clone()),
            ..Default::default()
        });
        CreateTopicsResponse { topics: topics.collect(), ..Default::default() }
    }
}

impl Forwarded for DeleteTopicsRequest {
    fn refused(&self, error_code: ErrorCode, why: &Str) -> DeleteTopicsResponse {
        let names = self.topic_names.iter().map(|name| (Some(name.clone()), Default::default()));
        let topics = self.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
        let responses = names.chain(topics).map(|(name, topic_id)| DeletableTopicResult {
            name,
            topic_id,
            error_code,
            error_message: Some(why.clone()),
        });
        DeleteTopicsResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Forwarded for CreatePartitionsRequest {
    fn refused(&self, error_code: ErrorCode, why: &Str) -> CreatePartitionsResponse {
        let results = self.topics.iter().map(|topic| CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message: Some(why.clone()),
        });
        CreatePartitionsResponse { results: results.collect(), ..Default::default() }
    }
}

impl Forwarded for ElectLeadersRequest {
    fn refused(&self, error_code: ErrorCode, why: &Str) -> ElectLeadersResponse {
        let failed = |partition_id: &i32| PartitionResult {
            partition_id: *partition_id,
            error_code,
            error_message: Some(why.clone()),
        };
        let topics = self.topic_partitions.iter().flatten().map(|topic| ReplicaElectionResult {
            topic: topic.topic.clone(),
            partition_result: topic.partitions.iter().map(failed).collect(),
        });
        let replica_election_results = topics.collect();
        ElectLeadersResponse { error_code, replica_election_results, ..Default::default() }
    }
}

impl Forwarded for AlterConfigsRequest {
    fn refused(&self, error_code: ErrorCode, why: &Str) -> AlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| AlteredAll {
            error_code,
            error_message: Some(why.clone()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
        AlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Forwarded for IncrementalAlterConfigsRequest {
    fn refused(&self, error_code: ErrorCode, why: &Str) -> IncrementalAlterConfigsResponse {
        let responses = self.resources.iter().map(|resource| AlteredKeys {
            error_code,
            error_message: Some(why.clone()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        });
        IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vltava_net::ConnectionId;
    use vltava_wire::header::{RequestHeader, split_response};
    use vltava_wire::messages::create_topics::CreatableTopic;
    use vltava_wire::{Message, Writer};

    use super::*;

    fn inbound(key: ApiKey, version: i16, body: Bytes) -> Inbound {
        Inbound {
            header: RequestHeader {
                api_key: key.code(),
                api_version: version,
                correlation_id: 5,
                client_id: None,
            },
            key,
            body,
            peer: ([127, 0, 0, 1], 9).into(),
            connection: ConnectionId(1),
            listener: "L".into(),
            received: std::time::Instant::now(),
        }
    }

    #[test]
    fn each_topic_is_told_that_it_was_not_made() {
        let topic = |name| CreatableTopic { name: Str::from_static(name), ..Default::default() };
        let request =
            CreateTopicsRequest { topics: vec![topic("a"), topic("b")], ..Default::default() };
        let mut body = Writer::new();
        request.write(&mut body, 7);
        let inbound = inbound(ApiKey::CreateTopics, 7, body.into_bytes());
        let why = Str::from_static("nobody answered");
        let answer = answer(&inbound, ErrorCode::REQUEST_TIMED_OUT, &why).expect("an answer");
        let Answer::Frame(frame) = answer else { panic!("{answer:?}") };
        let (_, body) = split_response(frame.to_bytes(), ApiKey::CreateTopics, 7).expect("one");
        let response = CreateTopicsResponse::read(body, 7).expect("a response");
        let told: Vec<_> =
            response.topics.iter().map(|it| (it.name.as_str(), it.error_code)).collect();
        let code = ErrorCode::REQUEST_TIMED_OUT;
        assert_eq!(told, [("a", code), ("b", code)]);
        assert_eq!(response.topics[0].error_message.as_deref(), Some("nobody answered"));
    }
}
