//! Requests that the active coordinator answers: carried to it in an Envelope (KIP-590), so that
//! it learns who asked, and its answer carried back as it is.

use std::sync::Arc;

use vltava_net::{Answer, Frame, Inbound, Reply};
use vltava_wire::header::split_response;
use vltava_wire::{Message, Request, Writer};

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
            // Kafka closes here too: no response fits every kind of request, and the client
            // tries again elsewhere.
            Err(error) => Answer::close(format!("{} cannot be forwarded: {error}", inbound.key)),
        }
    })
}

/// Forwards what is left of a request once this broker has looked at it, and completes the answer.
pub fn rest<R>(
    broker: &Arc<Broker>,
    call: Call<R>,
    complete: impl FnOnce(&mut R::Response) + Send + 'static,
) -> Reply
where
    R: Request + Send + Sync + 'static,
    R::Response: Send,
{
    let broker = Arc::clone(broker);
    Reply::later(async move {
        match ask(&broker, &call).await {
            Ok(mut response) => {
                complete(&mut response);
                Answer::to::<R>(&call.header, &response)
            }
            Err(error) => Answer::close(format!("{} cannot be forwarded: {error}", R::KEY)),
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
