//! ConsumerGroupDescribe (69): the state and the members of groups of the new protocol.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};

use crate::api::context::Call;
use crate::api::describe_groups::GROUP_OPERATIONS;
use crate::server::Broker;

/// Answers at once.
pub async fn handle(broker: &Arc<Broker>, call: Call<ConsumerGroupDescribeRequest>) -> Reply {
    let request = &call.request;
    let mut groups = broker.groups.describe_consumer_groups(&request.group_ids);
    if request.include_authorized_operations {
        let described = groups.iter_mut().filter(|group| group.error_code.is_ok());
        described.for_each(|group| group.authorized_operations = GROUP_OPERATIONS);
    }
    call.reply(&ConsumerGroupDescribeResponse { groups, ..Default::default() })
}
