//! Requests that the active coordinator answers: carried to it in an Envelope (KIP-590), so that
//! it learns who asked, and its answer carried back as it is.

use std::sync::Arc;

use vltava_net::{Answer, Frame, Inbound, Reply};
use vltava_wire::Writer;

use crate::server::Broker;

/// Forwards a request as it came; its version is one that the coordinator serves as well.
pub async fn handle(broker: Arc<Broker>, inbound: Inbound) -> Reply {
    Reply::later(async move {
        match broker.coordinators.forward(&inbound).await {
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
