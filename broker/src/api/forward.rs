//! Requests that the active coordinator answers: carried to it in an Envelope (KIP-590), so that
//! it learns who asked, and its answer carried back as it is.
//!
//! Where none answers in time, the client is told so (REQUEST_TIMED_OUT), as by Kafka.

mod refused;

use std::sync::Arc;

use vltava_net::{Answer, Frame, Inbound, Reply};
use vltava_wire::header::split_response;
use vltava_wire::{ApiKey, ErrorCode, Message, Request, Str, Writer};

use self::refused::Forwarded;
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
                let answer = told.and_then(|(code, why)| refused::answer(&inbound, code, &why));
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
    R: Forwarded + Send + Sync + 'static,
    R::Response: Send,
{
    let broker = Arc::clone(broker);
    Reply::later(async move {
        let answered = match ask(&broker, &call).await {
            Ok(response) => Ok(response),
            Err(error) => {
                let told = why(&error).map(|(code, why)| call.request.refused(code, &why));
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
