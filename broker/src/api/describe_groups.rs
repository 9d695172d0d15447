//! DescribeGroups (15): the state and the members of groups.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::named::once;
use vltava_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use vltava_wire::{Str, operations};

use crate::api::context::Call;
use crate::server::Broker;

/// Answers at once.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeGroupsRequest>) -> Reply {
    let request = &call.request;
    let named: Vec<Str> = once(&request.groups, |group| group.as_str()).cloned().collect();
    let mut groups = broker.groups.describe(&named, call.version());
    if request.include_authorized_operations {
        let described = groups.iter_mut().filter(|group| group.error_code.is_ok());
        described.for_each(|group| group.authorized_operations = operations::GROUP);
    }
    call.reply(&DescribeGroupsResponse { groups, ..Default::default() })
}
