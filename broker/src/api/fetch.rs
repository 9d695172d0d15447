//! Fetch (1): record batches for consumers and followers.
//!
//! What is asked for comes from the request and its [`session`]; a [`pass`] over the partitions
//! finds what can be read. If that is not enough, the request waits until a partition wakes it or
//! its time is over. Only then are bytes read from the files.

pub mod nearest;
pub mod pass;
pub mod records;
pub mod session;

use std::sync::Arc;
use std::time::{Duration, Instant};

use vltava_config::keys;
use vltava_net::{Answer, Charge, Region, Reply};
use vltava_wire::messages::fetch::{FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint};
use vltava_wire::messages::{FetchRequest, FetchResponse};
use vltava_wire::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId};

use self::nearest::Nearest;
use self::pass::{Limits, Pass};
use self::session::{Context, Fetched, Opening, TopicKey};
use crate::api::context::Call;
use crate::api::leaders;
use crate::partition::read::Reader;
use crate::partition::waiter::Wake;
use crate::server::Broker;

/// A consumer that wants to see nothing of open transactions says so by this number.
pub(super) const READ_COMMITTED: i8 = 1;

/// What a consumer gets at once while memory is scarce, or one batch if that is larger.
const SCARCE_BYTES: usize = 64 << 10;

/// The version from which a client knows that it may ask again after KAFKA_STORAGE_ERROR (KIP-112).
const STORAGE_ERROR_SINCE: i16 = 6;

/// The version from which an answer can hint at the leader (KIP-951); fields are older.
const HINTS_SINCE: i16 = 12;

/// Reads for a consumer or a follower, and waits if there is too little.
pub async fn handle(broker: &Arc<Broker>, call: Call<FetchRequest>) -> Reply {
    let request = &call.request;
    let reader = reader(request, call.version());
    let is_follower = matches!(reader, Reader::Follower { .. });
    let opening = Opening::of(request, call.version(), is_follower);
    let opened = broker.partitions.sessions().lock().open(opening, Instant::now());
    let context = match opened {
        Ok(context) => context,
        Err(error_code) => {
            return call.reply(&FetchResponse { error_code, ..FetchResponse::default() });
        }
    };
    let limits = limits(broker, request, call.version(), is_follower);
    let nearest = nearest(broker, &call, reader);
    // A follower's fetch acknowledges what came before: that is noted in the connection's order.
    let pass = Pass::first(&broker.partitions, &context.wanted, reader, limits, nearest.as_ref());
    let fetch = Fetch {
        broker: Arc::clone(broker),
        listener: Arc::clone(&call.listener),
        version: call.version(),
        reader,
        limits,
        context,
        deadline: call.received + Duration::from_millis(request.max_wait_ms.max(0) as u64),
    };
    let header = call.header;
    Reply::later(async move {
        let (response, regions, charge) = fetch.answer(pass).await;
        match Answer::with_regions::<FetchRequest>(&header, &response, regions) {
            Answer::Frame(frame) => Answer::Frame(frame.holding(charge)),
            other => other,
        }
    })
}

fn reader(request: &FetchRequest, version: i16) -> Reader {
    let (id, epoch) = match version {
        15.. => (request.replica_state.replica_id, request.replica_state.replica_epoch),
        _ => (request.replica_id, -1),
    };
    match id {
        0.. => Reader::Follower { node: NodeId(id), broker_epoch: BrokerEpoch(epoch) },
        _ if request.isolation_level == READ_COMMITTED => Reader::CommittedConsumer,
        _ => Reader::Consumer,
    }
}

/// Whether somebody nearer to a consumer could serve it.
fn nearest(broker: &Broker, call: &Call<FetchRequest>, reader: Reader) -> Option<Nearest> {
    let class = broker.config.get(keys::REPLICA_SELECTOR_CLASS)?;
    if !reader.is_consumer() || !nearest::reads_from_followers(call.version()) {
        return None;
    }
    let (image, rack) = (broker.cluster.image(), call.request.rack_id.clone());
    Nearest::of(Some(class.as_str()), image, Arc::clone(&call.listener), broker.id, rack)
}

fn limits(broker: &Broker, request: &FetchRequest, version: i16, is_follower: bool) -> Limits {
    let bytes = |number: i32| usize::try_from(number).unwrap_or(0);
    let own = bytes(broker.config.get(keys::FETCH_MAX_BYTES));
    let max_bytes = bytes(request.max_bytes);
    let max_bytes = if is_follower { max_bytes } else { max_bytes.min(own) };
    let any_replica = nearest::reads_from_followers(version);
    Limits { max_bytes, min_bytes: bytes(request.min_bytes).min(max_bytes), any_replica }
}

/// A request that is being answered.
struct Fetch {
    broker: Arc<Broker>,
    listener: Arc<str>,
    version: i16,
    reader: Reader,
    limits: Limits,
    context: Context,
    deadline: Instant,
}

impl Fetch {
    /// The answer, what of it lies in files, and the memory that it holds until it was written.
    async fn answer(self, first: Pass) -> (FetchResponse, Vec<Region>, Charge) {
        let (pass, charge) = self.charge(self.enough(first).await);
        let bytes = pass.bytes() as u64;
        let metrics = self.broker.partitions.metrics();
        match self.reader {
            Reader::Consumer | Reader::CommittedConsumer => metrics.bytes_out.inc_by(bytes),
            Reader::Follower { .. } => {
                pass.note_served(Instant::now());
                metrics.replicated_bytes_out.inc_by(bytes)
            }
        };
        let fetched = pass.read(self.reader).await;
        let (response, regions) = self.response(fetched);
        (response, regions, charge)
    }

    /// Charges what is about to be read into memory. Consumers share half of the memory that there
    /// is, so that slow ones keep no producer out; when it is used up they get little at a time.
    fn charge(&self, pass: Pass) -> (Pass, Charge) {
        let budget = self.broker.partitions.budget();
        let shared = budget.limit() / 2;
        let is_consumer = self.reader.is_consumer();
        let after = budget.used().saturating_add(pass.bytes_in_memory());
        if is_consumer && after > shared {
            let max_bytes = SCARCE_BYTES.min(self.limits.max_bytes);
            let pass = pass.again(self.reader, Limits { max_bytes, min_bytes: 0, ..self.limits });
            let bytes = pass.bytes_in_memory();
            return (pass, budget.charge_always(bytes));
        }
        let bytes = pass.bytes_in_memory();
        (pass, budget.charge_always(bytes))
    }

    /// Waits until there is enough to answer with, or the time is over.
    async fn enough(&self, mut pass: Pass) -> Pass {
        if pass.is_enough(self.limits) || self.context.wanted.is_empty() {
            return pass;
        }
        let wake = Wake::default();
        let over = tokio::time::sleep_until(self.deadline.into());
        tokio::pin!(over);
        loop {
            let places = pass.watch(self.reader, &wake);
            // Looked at again, as something may have come before the places were taken.
            pass = pass.again(self.reader, self.limits);
            if pass.is_enough(self.limits) {
                return pass;
            }
            tokio::select! {
                () = wake.notified() => drop(places),
                () = &mut over => return pass.again(self.reader, self.limits),
            }
        }
    }

    fn response(&self, mut fetched: Vec<Fetched>) -> (FetchResponse, Vec<Region>) {
        let sessions = self.broker.partitions.sessions();
        let closed =
            sessions.lock().close(&self.context, &mut fetched, Instant::now(), rand::random);
        let session_id = match closed {
            Ok(id) => id,
            Err(error_code) => {
                return (FetchResponse { error_code, ..FetchResponse::default() }, Vec::new());
            }
        };
        if self.version < STORAGE_ERROR_SINCE {
            for fetched in &mut fetched {
                if fetched.data.error_code == ErrorCode::KAFKA_STORAGE_ERROR {
                    fetched.data.error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                }
            }
        }
        let node_endpoints = match self.version {
            HINTS_SINCE.. => self.hint(&mut fetched),
            _ => Vec::new(),
        };
        let regions = fetched.iter_mut().filter_map(|fetched| fetched.region.take()).collect();
        let responses = by_topic(fetched);
        let response =
            FetchResponse { session_id, responses, node_endpoints, ..FetchResponse::default() };
        (response, regions)
    }

    /// Says who leads what this broker does not, and where they are.
    fn hint(&self, fetched: &mut [Fetched]) -> Vec<NodeEndpoint> {
        let is_misled = |code| {
            code == ErrorCode::NOT_LEADER_OR_FOLLOWER || code == ErrorCode::FENCED_LEADER_EPOCH
        };
        let misled: Vec<_> =
            fetched.iter_mut().filter(|it| is_misled(it.data.error_code)).collect();
        if misled.is_empty() {
            return Vec::new();
        }
        let image = self.broker.cluster.image();
        let mut hinted = Vec::new();
        for fetched in misled {
            let topic = match &fetched.key.topic {
                TopicKey::Id(id) => Some(*id),
                TopicKey::Name(name) => image.topic_id(name),
            };
            let leader = topic.and_then(|id| leaders::leader_of(&image, id, fetched.key.partition));
            if let Some((NodeId(leader_id), LeaderEpoch(leader_epoch))) = leader {
                fetched.data.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
                hinted.push(NodeId(leader_id));
            }
        }
        let endpoints = leaders::endpoints(&image, &self.listener, hinted).into_iter();
        let endpoint = endpoints.map(|it| NodeEndpoint {
            node_id: it.id.get(),
            host: it.host,
            port: it.port,
            rack: it.rack,
        });
        endpoint.collect()
    }
}

/// Groups what belongs to one topic, as far as it lies together.
fn by_topic(fetched: Vec<Fetched>) -> Vec<FetchableTopicResponse> {
    let mut topics: Vec<(TopicKey, FetchableTopicResponse)> = Vec::new();
    for Fetched { key, data, .. } in fetched {
        match topics.last_mut() {
            Some((topic, response)) if *topic == key.topic => response.partitions.push(data),
            _ => {
                let mut response = FetchableTopicResponse::default();
                match &key.topic {
                    TopicKey::Id(id) => response.topic_id = *id,
                    TopicKey::Name(name) => response.topic = name.clone(),
                }
                response.partitions.push(data);
                topics.push((key.topic, response));
            }
        }
    }
    topics.into_iter().map(|(_, response)| response).collect()
}
