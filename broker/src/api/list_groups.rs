//! ListGroups (16): the groups that this broker coordinates.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::ListGroupsRequest;

use crate::api::context::Call;
use crate::group::calls::ListFilter;
use crate::server::Broker;

/// Answers at once.
pub async fn handle(broker: &Arc<Broker>, call: Call<ListGroupsRequest>) -> Reply {
    let filter = ListFilter {
        states: call.request.states_filter.clone(),
        types: call.request.types_filter.clone(),
    };
    call.reply(&broker.groups.list(&filter))
}
