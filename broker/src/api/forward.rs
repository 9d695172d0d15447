//! Requests that the active coordinator answers: carried to it in an Envelope (KIP-590), so that
//! it learns who asked, and its answer carried back as it is.
//!
//! Where none answers in time, the client is told so (REQUEST_TIMED_OUT), as by Kafka.

use std::sync::Arc;

use vltava_net::{Answer, Frame, Inbound, Reply};
use vltava_node::refused::Refusable;
use vltava_wire::header::split_response;
use vltava_wire::messages::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteTopicsRequest, DescribeQuorumRequest, ElectLeadersRequest,
    ListPartitionReassignmentsRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest,
};
use vltava_wire::{ApiKey, ErrorCode, Message, Request, Str, Writer};

use crate::api::context::Call;
use crate::controller::ControllerError;
use crate::server::Broker;

/// Forwards a request as it came; its version is one that the coordinator serves as well.
pub async fn handle(broker: Arc<Broker>, inbound: Inbound) -> Reply {
    Reply::later(async move {
        let Inbound { header, body, peer, .. } = &inbound;
        match broker.coordinators.forward(header, body, *peer).await {
            Ok(response) => {
                let mut writer = Writer::new();
                writer.shared(&response);
                Answer::Frame(Frame::new(writer))
            }
            Err(error) => {
                let told = why(&error);
                let answer = told.and_then(|(code, why)| refused(&inbound, code, &why));
                answer.unwrap_or_else(|| Answer::close(closing(inbound.key, &error)))
            }
        }
    })
}

/// What a client is told; nothing of a request that makes no sense to the coordinator, which
/// closes the connection as such requests do.
fn why(error: &ControllerError) -> Option<(ErrorCode, Str)> {
    match error {
        ControllerError::Refused(_) => None,
        error => Some((ErrorCode::REQUEST_TIMED_OUT, error.to_string().into())),
    }
}

/// The answer to a request of whatever kind; `None` for one that makes no sense.
fn refused(inbound: &Inbound, error_code: ErrorCode, why: &Str) -> Option<Answer> {
    fn of<R: Refusable>(inbound: &Inbound, error_code: ErrorCode, why: &Str) -> Option<Answer> {
        let request = R::read(inbound.body.clone(), inbound.header.api_version).ok()?;
        Some(Answer::to::<R>(&inbound.header, &request.refused(error_code, Some(why.clone()))))
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

fn closing(key: ApiKey, error: &ControllerError) -> String {
    format!("{key} cannot be forwarded: {error}")
}

/// Forwards what is left of a request once this broker has looked at it, and completes the answer.
pub fn rest<R>(
    broker: &Arc<Broker>,
    call: Call<R>,
    complete: impl FnOnce(&mut R::Response) + Send + 'static,
) -> Reply
where
    R: Refusable + Send + Sync + 'static,
    R::Response: Send,
{
    let broker = Arc::clone(broker);
    Reply::later(async move {
        let answered = match ask(&broker, &call).await {
            Ok(response) => Ok(response),
            Err(error) => {
                let told = why(&error).map(|(code, why)| call.request.refused(code, Some(why)));
                told.ok_or_else(|| closing(R::KEY, &error))
            }
        };
        match answered {
            Ok(mut response) => {
                complete(&mut response);
                Answer::to::<R>(&call.header, &response)
            }
            Err(reason) => Answer::close(reason),
        }
    })
}

async fn ask<R: Request>(broker: &Broker, call: &Call<R>) -> Result<R::Response, ControllerError> {
    let version = call.version();
    let mut body = Writer::new();
    call.request.write(&mut body, version);
    let body = body.into_bytes();
    let response = broker.coordinators.forward(&call.header, &body, call.peer).await?;
    split_response(response, R::KEY, version)
        .and_then(|(_, body)| R::Response::read(body, version))
        .map_err(|error| ControllerError::Call(error.to_string()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vltava_net::ConnectionId;
    use vltava_wire::header::RequestHeader;
    use vltava_wire::messages::CreateTopicsResponse;
    use vltava_wire::messages::create_topics::CreatableTopic;

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
        let answer = refused(&inbound, ErrorCode::REQUEST_TIMED_OUT, &why).expect("an answer");
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
