//! DeleteShareGroupOffsets (92): a share group without members forgets topics.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use vltava_net::Reply;
use vltava_wire::messages::delete_share_group_offsets::DeleteShareGroupOffsetsResponseTopic;
use vltava_wire::messages::{DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsResponse};
use vltava_wire::{ErrorCode, Str, Uuid};

use crate::api::context::Call;
use crate::api::share_group_heartbeat;
use crate::group::{ShareOutcome, ShareTask};
use crate::server::Broker;
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::Refusal;
use crate::share::coordinator::record::ShareKey;
use crate::share::persister::AskShareCoordinator;

const NOTHING_TO_DELETE: &str = "There is no offset information to delete.";

/// A topic that is to be forgotten: its name, and either its id and partitions or why not.
type Asked = (Str, Result<(Uuid, BTreeSet<i32>), (ErrorCode, Option<Str>)>);

fn refused(error_code: ErrorCode, message: Option<Str>) -> DeleteShareGroupOffsetsResponse {
    DeleteShareGroupOffsetsResponse { error_code, error_message: message, ..Default::default() }
}

/// Answers when the share coordinator has forgotten all of it.
pub async fn handle(broker: &Arc<Broker>, call: Call<DeleteShareGroupOffsetsRequest>) -> Reply {
    let request = &call.request;
    if !share_group_heartbeat::is_served(broker) {
        return call.reply(&refused(ErrorCode::UNSUPPORTED_VERSION, None));
    }
    let group = request.group_id.detach();
    if group.is_empty() {
        return call.reply(&refused(ErrorCode::INVALID_GROUP_ID, None));
    }
    let known = match broker.groups.share_partitions(&group) {
        Ok(known) => known.map(|(known, _)| known).unwrap_or_default(),
        Err(code) => return call.reply(&refused(code, None)),
    };
    let image = broker.cluster.image();
    let topic = |name: &Str| -> Asked {
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        let found = match image.topic_id(name) {
            None => Err((unknown, None)),
            Some(id) => match known.get(&id) {
                None => Err((unknown, Some(Str::from_static(NOTHING_TO_DELETE)))),
                Some(partitions) => Ok((id, partitions.clone())),
            },
        };
        (name.detach(), found)
    };
    let asked: Vec<Asked> = request.topics.iter().map(|it| topic(&it.topic_name)).collect();
    let ids = asked.iter().filter_map(|(_, found)| found.as_ref().ok().map(|(id, _)| *id));
    let task = ShareTask::Delete(ids.collect());
    let begun = broker.groups.begin_share_task(group.clone(), task);
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        match begun.get().await {
            Ok(_) => delete(&broker, group, asked).await,
            Err((code, message)) => refused(code, message),
        }
    })
}

/// Has the share coordinator forget share-partitions of one topic.
pub async fn forget(
    broker: &Broker,
    group: &Str,
    topic: Uuid,
    partitions: BTreeSet<i32>,
) -> Result<(), Refusal> {
    let asks = partitions.into_iter().map(|partition| {
        let key = ShareKey { group: group.clone(), topic, partition };
        broker.shares.persister.ask(key, Ask::Delete)
    });
    let answers = join_all(asks).await;
    answers.into_iter().try_for_each(|answer| answer.map(|_| ()))
}

async fn delete(
    broker: &Arc<Broker>,
    group: Str,
    asked: Vec<Asked>,
) -> DeleteShareGroupOffsetsResponse {
    let mut outcome = ShareOutcome { group: group.clone(), ..Default::default() };
    let mut responses = Vec::new();
    for (topic_name, found) in asked {
        let (topic_id, failed) = match found {
            Err(failed) => (Uuid::ZERO, Some(failed)),
            Ok((id, partitions)) => {
                let forgotten = forget(broker, &group, id, partitions).await;
                if forgotten.is_ok() {
                    outcome.deleted.insert(id);
                }
                (id, forgotten.err().map(|refusal| (refusal.code, refusal.text())))
            }
        };
        let (error_code, error_message) = match failed {
            Some((code, message)) => (code, message),
            None => (ErrorCode::NONE, None),
        };
        responses.push(DeleteShareGroupOffsetsResponseTopic {
            topic_name,
            topic_id,
            error_code,
            error_message,
        });
    }
    broker.groups.note_share_outcome(outcome);
    DeleteShareGroupOffsetsResponse { responses, ..Default::default() }
}
