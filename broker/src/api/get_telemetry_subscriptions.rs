//! GetTelemetrySubscriptions (71): which metrics a client is to push (KIP-714).

use std::sync::Arc;

use vltava_net::{Answer, Reply};
use vltava_wire::messages::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};

use crate::api::context::Call;
use crate::server::Broker;
use crate::telemetry::machine::CODECS;

/// Answers from the subscriptions of the cluster's configuration.
pub async fn handle(broker: &Arc<Broker>, call: Call<GetTelemetrySubscriptionsRequest>) -> Reply {
    let Some(telemetry) = &broker.telemetry else {
        return Answer::close("no collector takes what clients push").into();
    };
    let client = telemetry.client(call.client_id(), call.connection, call.peer);
    let response = match telemetry.ask(&client, call.request.client_instance_id) {
        Ok(told) => GetTelemetrySubscriptionsResponse {
            client_instance_id: told.instance,
            subscription_id: told.subscription,
            accepted_compression_types: CODECS.iter().map(|codec| codec.code()).collect(),
            push_interval_ms: told.interval_ms,
            telemetry_max_bytes: telemetry.bytes_max(),
            delta_temporality: true,
            requested_metrics: told.metrics,
            ..Default::default()
        },
        Err(error_code) => GetTelemetrySubscriptionsResponse { error_code, ..Default::default() },
    };
    call.reply(&response)
}
