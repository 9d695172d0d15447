//! DescribeGroups (15): the state and the members of groups.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use crate::api::context::Call;
use crate::server::Broker;

/// The operations that there are on a group, as bits of their numbers: read (3), delete (6),
/// describe (8), describe configs (10), alter configs (11). Without rules, everybody may do all.
pub(super) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Answers at once.
pub async fn handle(broker: &Arc<Broker>, call: Call<DescribeGroupsRequest>) -> Reply {
    let request = &call.request;
    let mut groups = broker.groups.describe(&request.groups, call.version());
    if request.include_authorized_operations {
        let described = groups.iter_mut().filter(|group| group.error_code.is_ok());
        described.for_each(|group| group.authorized_operations = GROUP_OPERATIONS);
    }
    call.reply(&DescribeGroupsResponse { groups, ..Default::default() })
}
