//! ShareFetch (78): gives records to members of share groups, and hears what became of others.
//!
//! What is acknowledged along with it is taken in first, in the connection's order. Then the
//! share-partitions of the session are looked through in turn, as long as the member's appetite
//! lasts; if nothing is free the request waits until one of them has something, or its time is
//! over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use vltava_config::keys;
use vltava_net::{Answer, Reply};
use vltava_wire::messages::share_fetch::{
    AcquiredRecords, LeaderIdAndEpoch, NodeEndpoint, PartitionData, ShareFetchableTopicResponse,
};
use vltava_wire::messages::{ShareFetchRequest, ShareFetchResponse};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::share_acknowledge::batches::Told;
use super::share_acknowledge::{Acknowledging, acknowledge, leader_hint, message, who};
use crate::api::context::Call;
use crate::api::share_group_heartbeat;
use crate::partition::waiter::Wake;
use crate::server::Broker;
use crate::share::coordinator::machine::Refusal;
use crate::share::coordinator::record::ShareKey;
use crate::share::partition::machine::Appetite;
use crate::share::partition::{Acknowledged, Driver, Portion};
use crate::share::session::{FINAL_EPOCH, Opened, Opening, Who};

/// A member that may have no more records than it asks for says so by this number (KIP-1206).
const RECORD_LIMIT: i8 = 1;

/// How long one waits who comes while all sessions are taken, in milliseconds, at most.
const LIMIT_WAIT_MS: i32 = 1000;

/// Gives what is free, or waits for it.
pub async fn handle(broker: &Arc<Broker>, call: Call<ShareFetchRequest>) -> Reply {
    let request = &call.request;
    if !share_group_heartbeat::is_served(broker) {
        return call.reply(&refused(ErrorCode::UNSUPPORTED_VERSION, None));
    }
    let who = match checked(request) {
        Ok(who) => who,
        Err(what) => return call.reply(&refused(ErrorCode::INVALID_REQUEST, Some(what))),
    };
    let opened = match broker.shares.open_session(opening(&call, &who)) {
        Ok(opened) => opened,
        Err(ErrorCode::SHARE_SESSION_LIMIT_REACHED) => {
            let wait = request.max_wait_ms.clamp(0, LIMIT_WAIT_MS);
            return call.reply_later(async move {
                tokio::time::sleep(Duration::from_millis(wait.unsigned_abs().into())).await;
                refused(ErrorCode::SHARE_SESSION_LIMIT_REACHED, None)
            });
        }
        Err(code) => return call.reply(&refused(code, None)),
    };
    let under_way = acknowledgements(broker, &call, &who);
    let is_full = matches!(opened, Opened::Full(_));
    let partitions = match opened {
        Opened::Full(partitions) | Opened::Incremental(partitions) => partitions,
        Opened::Ended => {
            broker.shares.release(&who);
            Vec::new()
        }
    };
    let fetch = Fetch::new(broker, &call, who, partitions, is_full);
    let header = call.header;
    Reply::later(async move {
        let (fetched, acknowledged) = tokio::join!(fetch.fetch(), join_all(under_way));
        let budget = Arc::clone(fetch.broker.partitions.budget());
        let bytes = fetched.iter().map(|it| it.portion.records.len()).sum();
        let charge = budget.charge_always(bytes);
        let response = fetch.response(fetched, acknowledged);
        match Answer::to::<ShareFetchRequest>(&header, &response) {
            Answer::Frame(frame) => Answer::Frame(frame.holding(charge)),
            other => other,
        }
    })
}

fn refused(error_code: ErrorCode, message: Option<&'static str>) -> ShareFetchResponse {
    ShareFetchResponse {
        error_code,
        error_message: message.map(Str::from_static),
        ..Default::default()
    }
}

/// Who sends the request, if it makes sense as a whole.
fn checked(request: &ShareFetchRequest) -> Result<Who, &'static str> {
    let who = who(request.group_id.as_ref(), request.member_id.as_ref())?;
    let takes = [request.max_bytes, request.min_bytes, request.max_records, request.max_wait_ms];
    if request.is_renew_ack && takes.iter().any(|number| *number != 0) {
        return Err("A request that renews acknowledgements must fetch nothing.");
    }
    Ok(who)
}

fn opening(call: &Call<ShareFetchRequest>, who: &Who) -> Opening {
    let request = &call.request;
    let mut wanted = Vec::new();
    let mut acknowledges = false;
    for topic in &request.topics {
        for partition in &topic.partitions {
            wanted.push((topic.topic_id, partition.partition_index));
            acknowledges |= !partition.acknowledgement_batches.is_empty();
        }
    }
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        topic.partitions.iter().map(move |partition| (topic.topic_id, *partition))
    });
    Opening {
        who: who.clone(),
        epoch: request.share_session_epoch,
        forgotten: forgotten.collect(),
        wanted: if request.share_session_epoch == FINAL_EPOCH { Vec::new() } else { wanted },
        acknowledges,
        connection: call.connection,
    }
}

/// An acknowledgement, when it is stored.
type Outcome = ((Uuid, i32), Acknowledged);

fn acknowledgements(
    broker: &Arc<Broker>,
    call: &Call<ShareFetchRequest>,
    who: &Who,
) -> Vec<impl Future<Output = Outcome> + Send + use<>> {
    let request = &call.request;
    let mut under_way = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let batches = &partition.acknowledgement_batches;
            if batches.is_empty() {
                continue;
            }
            let told: Vec<Told<'_>> = batches
                .iter()
                .map(|batch| Told {
                    first: batch.first_offset,
                    last: batch.last_offset,
                    kinds: &batch.acknowledge_types,
                })
                .collect();
            let at = (topic.topic_id, partition.partition_index);
            let renews = request.is_renew_ack;
            let Acknowledging { partition, outcome } =
                acknowledge(broker, who, at, &told, renews, call.version());
            under_way.push(async move { (partition, outcome.await) });
        }
    }
    under_way
}

/// A share-partition that is served here.
type Served = ((Uuid, i32), Arc<Driver>);

/// What came of one partition.
struct Fetched {
    partition: (Uuid, i32),
    portion: Portion,
    refusal: Option<Refusal>,
}

/// A request that is being answered.
struct Fetch {
    broker: Arc<Broker>,
    listener: Arc<str>,
    who: Who,
    partitions: Vec<(Uuid, i32)>,
    is_full: bool,
    appetite: Appetite,
    max_bytes: usize,
    deadline: Instant,
}

impl Fetch {
    fn new(
        broker: &Arc<Broker>,
        call: &Call<ShareFetchRequest>,
        who: Who,
        partitions: Vec<(Uuid, i32)>,
        is_full: bool,
    ) -> Self {
        let request = &call.request;
        let own = broker.config.get(keys::FETCH_MAX_BYTES);
        Self {
            broker: Arc::clone(broker),
            listener: Arc::clone(&call.listener),
            who: Who { group: who.group.detach(), member: who.member.detach() },
            partitions,
            is_full,
            appetite: Appetite {
                max_records: request.max_records.max(0).into(),
                batch_size: request.batch_size.max(1).into(),
                strict: request.share_acquire_mode == RECORD_LIMIT,
            },
            max_bytes: usize::try_from(request.max_bytes.min(own)).unwrap_or(0),
            deadline: call.received + Duration::from_millis(request.max_wait_ms.max(0) as u64),
        }
    }

    /// The share-partitions of this broker's, and why others cannot be had.
    fn find(&self) -> (Vec<Served>, Vec<Fetched>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for &at in &self.partitions {
            let (topic, partition) = at;
            let key = ShareKey { group: self.who.group.clone(), topic, partition };
            match self.broker.shares.partition(&key) {
                Ok(driver) => found.push((at, driver)),
                Err(refusal) => missing.push(Fetched {
                    partition: at,
                    portion: Portion::default(),
                    refusal: Some(refusal),
                }),
            }
        }
        (found, missing)
    }

    async fn fetch(&self) -> Vec<Fetched> {
        let (found, mut fetched) = self.find();
        if self.appetite.max_records == 0 || found.is_empty() {
            return fetched;
        }
        let drivers = Arc::new(found);
        let wake = Wake::default();
        let over = tokio::time::sleep_until(self.deadline.into());
        tokio::pin!(over);
        loop {
            // Watched before it is looked at, as something may come between.
            let places: Vec<_> =
                drivers.iter().map(|(_, driver)| driver.watch_for_more(&wake)).collect();
            let given = self.give(&drivers).await;
            let is_enough = given.iter().any(|it| it.refusal.is_some() || it.is_something());
            if is_enough || !fetched.is_empty() {
                fetched.extend(given);
                return fetched;
            }
            tokio::select! {
                () = wake.notified() => drop(places),
                () = &mut over => return fetched,
            }
        }
    }

    /// One look at all share-partitions, where it stalls nobody.
    async fn give(&self, drivers: &Arc<Vec<Served>>) -> Vec<Fetched> {
        let (drivers, member) = (Arc::clone(drivers), self.who.member.clone());
        let (mut appetite, mut bytes_left) = (self.appetite, self.max_bytes);
        let look = move || -> Vec<Fetched> {
            let mut fetched = Vec::new();
            for (partition, driver) in drivers.iter() {
                if appetite.max_records <= 0 {
                    break;
                }
                let (portion, refusal) = match driver.give(&member, appetite, bytes_left) {
                    Ok(portion) => (portion, None),
                    Err(refusal) => (Portion::default(), Some(refusal)),
                };
                bytes_left = bytes_left.saturating_sub(portion.records.len());
                let size =
                    |run: &crate::share::partition::machine::Acquired| run.last - run.first + 1;
                appetite.max_records -= portion.acquired.iter().map(size).sum::<i64>();
                fetched.push(Fetched { partition: *partition, portion, refusal });
                if bytes_left == 0 {
                    break;
                }
            }
            fetched
        };
        // A panic has been told of; the member sees an answer without records, and asks again.
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }

    fn response(&self, fetched: Vec<Fetched>, acknowledged: Vec<Outcome>) -> ShareFetchResponse {
        let mut response = ShareFetchResponse {
            acquisition_lock_timeout_ms: self.broker.shares.lock_duration_ms(&self.who.group),
            ..Default::default()
        };
        let mut acknowledged: HashMap<(Uuid, i32), Acknowledged> =
            acknowledged.into_iter().collect();
        let mut answered = Vec::new();
        for one in fetched {
            let acknowledged = acknowledged.remove(&one.partition);
            let is_news = self.is_full || one.is_something() || one.refusal.is_some();
            if is_news || acknowledged.is_some() {
                answered.push((one, acknowledged));
            }
        }
        for (partition, outcome) in acknowledged {
            let one = Fetched { partition, portion: Portion::default(), refusal: None };
            answered.push((one, Some(outcome)));
        }
        answered.sort_by_key(|(one, _)| one.partition);
        for (one, acknowledged) in answered {
            let partition = one.partition;
            let data = self.data(one, acknowledged, &mut response.node_endpoints);
            match response.responses.last_mut() {
                Some(topic) if topic.topic_id == partition.0 => topic.partitions.push(data),
                _ => response.responses.push(ShareFetchableTopicResponse {
                    topic_id: partition.0,
                    partitions: vec![data],
                }),
            }
        }
        response.node_endpoints.sort_by_key(|end| end.node_id);
        response.node_endpoints.dedup_by_key(|end| end.node_id);
        response
    }

    fn data(
        &self,
        fetched: Fetched,
        acknowledged: Option<Acknowledged>,
        endpoints: &mut Vec<NodeEndpoint>,
    ) -> PartitionData {
        let Fetched { partition, portion, refusal } = fetched;
        let mut data = PartitionData { partition_index: partition.1, ..Default::default() };
        let failed = acknowledged.and_then(Result::err);
        if let Some(failed) = failed {
            data.acknowledge_error_code = failed.code;
            data.acknowledge_error_message = message(failed);
        }
        if let Some(refusal) = refusal {
            data.error_code = refusal.code;
            data.error_message = message(refusal);
        }
        for code in refusal.into_iter().chain(failed).map(|refusal| refusal.code) {
            let hint = leader_hint(&self.broker, &self.listener, code, partition);
            let Some((leader, leader_epoch, ends)) = hint else { continue };
            data.current_leader = LeaderIdAndEpoch { leader_id: leader.get(), leader_epoch };
            endpoints.extend(ends.into_iter().map(|end| NodeEndpoint {
                node_id: end.id.get(),
                host: end.host,
                port: end.port,
                rack: end.rack,
            }));
        }
        data.records = portion.records.into();
        let acquired = portion.acquired.iter().map(|run| AcquiredRecords {
            first_offset: run.first,
            last_offset: run.last,
            delivery_count: run.count,
        });
        data.acquired_records = acquired.collect();
        data
    }
}

impl Fetched {
    fn is_something(&self) -> bool {
        !self.portion.acquired.is_empty()
    }
}
