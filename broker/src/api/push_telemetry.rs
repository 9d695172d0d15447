//! PushTelemetry (72): a client pushes its metrics (KIP-714).

use std::sync::Arc;

use vltava_net::{Answer, Reply};
use vltava_wire::ErrorCode;
use vltava_wire::messages::{PushTelemetryRequest, PushTelemetryResponse};

use crate::api::context::Call;
use crate::server::Broker;

/// Answers once the push is on its way to the collector.
pub async fn handle(broker: &Arc<Broker>, call: Call<PushTelemetryRequest>) -> Reply {
    let Some(telemetry) = &broker.telemetry else {
        return Answer::close("no collector takes what clients push").into();
    };
    let client = telemetry.client(call.client_id(), call.connection, call.peer);
    let taken = telemetry.push(&client, &call.request);
    let error_code = taken.err().unwrap_or(ErrorCode::NONE);
    call.reply(&PushTelemetryResponse { error_code, ..Default::default() })
}
