//! DeleteGroups (42): groups without members are deleted.

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::delete_groups::DeletableGroupResult;
use vltava_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

use crate::api::context::Call;
use crate::server::Broker;

/// Answers when the deletions are stored on all replicas in sync.
pub async fn handle(broker: &Arc<Broker>, call: Call<DeleteGroupsRequest>) -> Reply {
    let deleted = broker.groups.delete_groups(&call.request.groups_names);
    let deleted = deleted.map(|outcomes| {
        let result = |(group_id, error_code)| DeletableGroupResult { group_id, error_code };
        let results = outcomes.into_iter().map(result).collect();
        DeleteGroupsResponse { results, ..Default::default() }
    });
    deleted.reply(&call)
}
