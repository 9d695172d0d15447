//! ShareAcknowledge (79): members of share groups say what became of records.

pub mod batches;

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use vltava_net::Reply;
use vltava_wire::messages::share_acknowledge::{
    LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareAcknowledgeTopicResponse,
};
use vltava_wire::messages::{ShareAcknowledgeRequest, ShareAcknowledgeResponse};
use vltava_wire::{ErrorCode, NodeId, Str, Uuid};

use self::batches::{Told, check};
use crate::api::context::Call;
use crate::api::leaders::{self, LeaderEndpoint};
use crate::api::share_group_heartbeat;
use crate::server::Broker;
use crate::share::coordinator::machine::Refusal;
use crate::share::coordinator::record::ShareKey;
use crate::share::partition::Acknowledged;
use crate::share::session::Who;

/// The longest id of a member: Java's UUIDs as texts have as many characters.
const MEMBER_ID_MAX: usize = 36;

/// The first version that knows of more time for records (KIP-1222).
pub const RENEWS_SINCE: i16 = 2;

/// Who sends a request.
///
/// # Errors
/// INVALID_REQUEST, with what is wrong.
pub fn who(group: Option<&Str>, member: Option<&Str>) -> Result<Who, &'static str> {
    let group =
        group.filter(|group| !group.is_empty()).ok_or("Invalid group id in the request.")?;
    let fits = |member: &&Str| !member.is_empty() && member.len() <= MEMBER_ID_MAX;
    let member = member.filter(fits).ok_or("Invalid member id in the request.")?;
    Ok(Who { group: group.clone(), member: member.clone() })
}

/// What becomes of the acknowledgements for one partition.
pub struct Acknowledging {
    /// The partition.
    pub partition: (Uuid, i32),
    /// When it is stored.
    pub outcome: BoxFuture<'static, Acknowledged>,
}

/// Takes in what a member says of a partition's records. It is taken in before this returns, in the
/// order of the connection; the outcome comes later.
pub fn acknowledge(
    broker: &Arc<Broker>,
    who: &Who,
    partition: (Uuid, i32),
    told: &[Told<'_>],
    renews: bool,
    version: i16,
) -> Acknowledging {
    let key = ShareKey { group: who.group.clone(), topic: partition.0, partition: partition.1 };
    let taken = check(told, renews, version).and_then(|batches| {
        let driver = broker.shares.partition(&key)?;
        Ok(driver.acknowledge(&who.member, &batches))
    });
    let outcome: BoxFuture<'static, Acknowledged> = match taken {
        Ok(outcome) => Box::pin(outcome),
        Err(refusal) => Box::pin(async move { Err(refusal) }),
    };
    Acknowledging { partition, outcome }
}

/// The text that goes with a refusal, if there is more to say than its code.
pub fn message(refusal: Refusal) -> Option<Str> {
    refusal.message.map(Str::from_static)
}

/// Who leads partitions that this broker does not, for answers that say so.
pub fn leader_hint(
    broker: &Broker,
    listener: &str,
    code: ErrorCode,
    partition: (Uuid, i32),
) -> Option<(NodeId, i32, Vec<LeaderEndpoint>)> {
    let misled = [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::FENCED_LEADER_EPOCH];
    if !misled.contains(&code) {
        return None;
    }
    let image = broker.cluster.image();
    let (leader, epoch) = leaders::leader_of(&image, partition.0, partition.1)?;
    Some((leader, epoch.get(), leaders::endpoints(&image, listener, vec![leader])))
}

/// Answers when what is acknowledged is stored.
pub async fn handle(broker: &Arc<Broker>, call: Call<ShareAcknowledgeRequest>) -> Reply {
    let request = &call.request;
    let refused = |error_code, message: Option<&'static str>| ShareAcknowledgeResponse {
        error_code,
        error_message: message.map(Str::from_static),
        ..Default::default()
    };
    if !share_group_heartbeat::is_served(broker) {
        return call.reply(&refused(ErrorCode::UNSUPPORTED_VERSION, None));
    }
    let who = match who(request.group_id.as_ref(), request.member_id.as_ref()) {
        Ok(who) => who,
        Err(what) => return call.reply(&refused(ErrorCode::INVALID_REQUEST, Some(what))),
    };
    let ends = match broker.shares.acknowledge_session(&who, request.share_session_epoch) {
        Ok(ends) => ends,
        Err(code) => return call.reply(&refused(code, None)),
    };
    let mut under_way = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let batches = partition.acknowledgement_batches.iter();
            let told: Vec<Told<'_>> = batches
                .map(|batch| Told {
                    first: batch.first_offset,
                    last: batch.last_offset,
                    kinds: &batch.acknowledge_types,
                })
                .collect();
            let at = (topic.topic_id, partition.partition_index);
            let renews = request.is_renew_ack;
            under_way.push(acknowledge(broker, &who, at, &told, renews, call.version()));
        }
    }
    if ends {
        // What is being stored stays with its member until it is; the rest goes back at once.
        broker.shares.release(&who);
    }
    let (broker, listener) = (Arc::clone(broker), Arc::clone(&call.listener));
    call.reply_later(async move {
        let outcomes =
            under_way.into_iter().map(|one| async move { (one.partition, one.outcome.await) });
        let outcomes = join_all(outcomes).await;
        respond(&broker, &listener, &who, outcomes)
    })
}

fn respond(
    broker: &Broker,
    listener: &str,
    who: &Who,
    outcomes: Vec<((Uuid, i32), Acknowledged)>,
) -> ShareAcknowledgeResponse {
    let mut response = ShareAcknowledgeResponse {
        acquisition_lock_timeout_ms: broker.shares.lock_duration_ms(&who.group),
        ..Default::default()
    };
    for (partition, outcome) in outcomes {
        let mut data = PartitionData { partition_index: partition.1, ..Default::default() };
        if let Err(refusal) = outcome {
            data.error_code = refusal.code;
            data.error_message = message(refusal);
            if let Some((id, epoch, ends)) = leader_hint(broker, listener, refusal.code, partition)
            {
                data.current_leader = LeaderIdAndEpoch { leader_id: id.get(), leader_epoch: epoch };
                response.node_endpoints.extend(ends.into_iter().map(|end| NodeEndpoint {
                    node_id: end.id.get(),
                    host: end.host,
                    port: end.port,
                    rack: end.rack,
                }));
            }
        }
        match response.responses.last_mut() {
            Some(topic) if topic.topic_id == partition.0 => topic.partitions.push(data),
            _ => response.responses.push(ShareAcknowledgeTopicResponse {
                topic_id: partition.0,
                partitions: vec![data],
            }),
        }
    }
    response.node_endpoints.sort_by_key(|end| end.node_id);
    response.node_endpoints.dedup_by_key(|end| end.node_id);
    response
}
