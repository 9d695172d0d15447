//! ConsumerGroupDescribe (69): the state and the members of groups of the new protocol.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::consumer_group_describe::DescribedGroup;
use vltava_wire::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use vltava_wire::{ErrorCode, Str, operations};

use crate::api::consumer_group_heartbeat;
use crate::api::context::Call;
use crate::server::Broker;

/// Answers at once.
pub async fn handle(broker: &Arc<Broker>, call: Call<ConsumerGroupDescribeRequest>) -> Reply {
    let request = &call.request;
    if !consumer_group_heartbeat::is_served(broker) {
        let refused = request.group_ids.iter().map(|group_id| DescribedGroup {
            error_code: ErrorCode::UNSUPPORTED_VERSION,
            group_id: group_id.clone(),
            ..Default::default()
        });
        let groups = refused.collect();
        return call.reply(&ConsumerGroupDescribeResponse { groups, ..Default::default() });
    }
    let named: Vec<Str> = once(&request.group_ids, |group| group.as_str()).cloned().collect();
    let mut groups = broker.groups.describe_consumer_groups(&named);
    if request.include_authorized_operations {
        let described = groups.iter_mut().filter(|group| group.error_code.is_ok());
        described.for_each(|group| group.authorized_operations = operations::GROUP);
    }
    call.reply(&ConsumerGroupDescribeResponse { groups, ..Default::default() })
}
