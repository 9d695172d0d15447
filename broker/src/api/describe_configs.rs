//! DescribeConfigs (32): what topics and brokers are set to, and why (KIP-226).

use std::sync::Arc;

use vltava_config::Role;
use vltava_metadata::configuration::Describer;
use vltava_net::{Reply, loggers};
use vltava_wire::messages::DescribeConfigsRequest;

use crate::api::context::Call;
use crate::server::Broker;

/// Answers from the table of keys, the broker's file, and the image.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeConfigsRequest>) -> Reply {
    let (image, values) = (broker.cluster.image(), broker.cluster.values());
    let describer = Describer {
        image: &image,
        node: broker.id,
        role: Role::Broker,
        values: &values,
        loggers: loggers::levels,
    };
    call.reply(&describer.answer(&call.request))
}
