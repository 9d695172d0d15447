//! DescribeConfigs (32): of topics, of this coordinator, and what is set for all nodes.

use std::sync::Arc;

use vltava_config::Role;
use vltava_metadata::configuration::{Describer, dynamic_values};
use vltava_net::{Reply, loggers};
use vltava_wire::messages::DescribeConfigsRequest;

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<DescribeConfigsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let image = &context.news.latest().image;
    let (values, _unusable) = dynamic_values(&context.values, context.node, image);
    let (node, role) = (context.node, Role::Coordinator);
    let describer = Describer { image, node, role, values: &values, loggers: loggers::levels };
    call.answer::<DescribeConfigsRequest>(&describer.answer(&request))
}
