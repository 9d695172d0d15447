//! DeleteGroups (42): groups without members are deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::delete_groups::DeletableGroupResult;
use vltava_wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use vltava_wire::{ErrorCode, Str};

use super::delete_share_group_offsets::forget;
use crate::api::context::Call;
use crate::group::calls::Deletions;
use crate::server::Broker;

/// Answers when the deletions are stored on all replicas in sync. What the share coordinator keeps
/// of a share group goes before the group, so that nothing is left of it that nobody knows of.
pub async fn handle(broker: &Arc<Broker>, call: Call<DeleteGroupsRequest>) -> Reply {
    let groups = &call.request.groups_names;
    let shares: Vec<Str> = groups.iter().filter(|group| is_share(broker, group)).cloned().collect();
    if shares.is_empty() {
        return broker.groups.delete_groups(groups).map(respond).reply(&call);
    }
    let (broker, groups) = (Arc::clone(broker), groups.clone());
    call.reply_later(async move {
        let mut failed: BTreeMap<Str, ErrorCode> = BTreeMap::new();
        for group in &shares {
            if let Err(code) = forget_states(&broker, group).await {
                failed.insert(group.clone(), code);
            }
        }
        let left: Vec<Str> =
            groups.into_iter().filter(|group| !failed.contains_key(group)).collect();
        let mut outcomes = broker.groups.delete_groups(&left).get().await;
        outcomes.extend(failed);
        respond(outcomes)
    })
}

fn is_share(broker: &Broker, group: &Str) -> bool {
    matches!(broker.groups.share_partitions(group), Ok(Some(_)))
}

/// Has the share coordinator forget all of a group without members.
async fn forget_states(broker: &Broker, group: &Str) -> Result<(), ErrorCode> {
    let Some((known, has_members)) = broker.groups.share_partitions(group)? else { return Ok(()) };
    if has_members {
        return Err(ErrorCode::NON_EMPTY_GROUP);
    }
    let image = broker.cluster.image();
    // Of topics that are gone it forgets by itself.
    for (topic, partitions) in known.into_iter().filter(|(id, _)| image.topic_by_id(*id).is_some())
    {
        forget(broker, group, topic, partitions).await.map_err(|refusal| refusal.code)?;
    }
    Ok(())
}

fn respond(outcomes: Deletions) -> DeleteGroupsResponse {
    let result = |(group_id, error_code)| DeletableGroupResult { group_id, error_code };
    let results = outcomes.into_iter().map(result).collect();
    DeleteGroupsResponse { results, ..Default::default() }
}
