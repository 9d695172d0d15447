//! Produce (0): appends batches in the order of the connection, and answers when they are as safe
//! as the producer wants.

mod records;
mod transaction;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use vltava_log::{AppendError, AppendOrigin, Verification};
use vltava_net::{Answer, Reply};
use vltava_wire::batch::Batch;
use vltava_wire::compression::Compression;
use vltava_wire::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use vltava_wire::messages::{ProduceRequest, ProduceResponse};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Str, Uuid};

use self::records::Demands;
use self::transaction::Admissions;
use crate::api::context::Call;
use crate::api::{inflating, leaders};
use crate::error::ToErrorCode;
use crate::metadata::topic::is_internal;
use crate::partition::append::LARGE_APPEND_BYTES;
use crate::partition::recompress::{DECOMPRESSED_MAX, recompress};
use crate::partition::settings::Settings;
use crate::partition::surroundings::wall_clock_ms;
use crate::partition::{Acks, Appended, LeaderAppend, Partition, PartitionError, Unavailable};
use crate::server::Broker;

/// From this version on producers may send Zstandard (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// The client that may write to internal topics, as in Kafka.
const ADMIN_CLIENT: &str = "__admin_client";

/// Records that are looked at by the thread that serves the socket, decompressed, in bytes: half a
/// millisecond.
const INLINE_RECORDS_MAX: usize = 512 << 10;

/// What is answered to batches that no producer makes.
const SENSELESS: [ErrorCode; 3] = [
    ErrorCode::CORRUPT_MESSAGE,
    ErrorCode::INVALID_RECORD,
    ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
];

/// Compressed bytes up to which it is tried whether they are no more records than that.
const INLINE_PACKED_MAX: usize = 64 << 10;

/// How long a producer that waits for this broker's disk alone waits for it, whatever it says: its
/// own timeout is for the replicas, as in Kafka.
const OWN_DISK_WAIT: Duration = Duration::from_secs(30);

/// Why a batch was not appended, as its producer is told.
#[derive(Clone, Debug)]
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    /// Which of its records were the cause.
    record_errors: Vec<BatchIndexAndErrorMessage>,
    /// Where the log starts that did not take them; −1 where that is not told.
    log_start_offset: i64,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, record_errors: Vec::new(), log_start_offset: -1 }
    }
}

impl Refusal {
    fn because(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..code.into() }
    }

    /// Names no more records than are left to name in the answer.
    fn name_at_most(&mut self, left: &mut usize) {
        self.record_errors.truncate(*left);
        self.record_errors.shrink_to_fit();
        *left -= self.record_errors.len();
    }

    /// Says in the log who sent a batch that makes no sense, and why it makes none.
    fn tell(
        &self,
        broker: &Broker,
        call: &Call<ProduceRequest>,
        (name, topic_id, partition): (&Str, Uuid, i32),
    ) {
        if !SENSELESS.contains(&self.code) {
            return;
        }
        let (now, key) = (Instant::now(), (call.peer.ip(), self.code));
        let Some(suppressed) = broker.refused.check(key, now) else { return };
        let topic = match name.is_empty() {
            true => broker.cluster.image().topic_by_id(topic_id).map(|topic| topic.name.detach()),
            false => Some(name.detach()),
        };
        tracing::warn!(
            peer = %call.peer,
            client = ?call.client_id(),
            topic = %topic.unwrap_or_default(),
            partition,
            suppressed = (suppressed > 0).then_some(suppressed),
            "batch refused: {}: {}",
            self.code,
            self.message.as_deref().or(self.first_record()).unwrap_or("it cannot be read")
        );
    }

    /// What is wrong with the first record that is named.
    fn first_record(&self) -> Option<&str> {
        self.record_errors.first()?.batch_index_error_message.as_deref()
    }

    /// Adds where the log starts, as Kafka does unless it is the partition itself that is amiss.
    fn of(self, partition: &Partition) -> Self {
        let is_about_records = ![
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::MESSAGE_TOO_LARGE,
            ErrorCode::RECORD_LIST_TOO_LARGE,
            ErrorCode::CORRUPT_MESSAGE,
            ErrorCode::KAFKA_STORAGE_ERROR,
        ]
        .contains(&self.code);
        match partition.position().filter(|_| is_about_records) {
            Some(position) => Self { log_start_offset: position.log_start.get(), ..self },
            None => self,
        }
    }
}

/// One partition of a request, and what became of it.
struct Entry {
    topic: usize,
    index: i32,
    result: Result<(Arc<Partition>, Appended), Refusal>,
}

/// Appends what a producer sent, and waits as it wishes.
pub async fn handle(broker: &Arc<Broker>, mut call: Call<ProduceRequest>) -> Reply {
    let topics = std::mem::take(&mut call.request.topic_data);
    let request = Produce {
        broker,
        version: call.version(),
        acks: Acks::from_wire(call.request.acks),
        transactional: call.request.transactional_id.is_some(),
        may_write_internal: call.header.client_id.as_deref() == Some(ADMIN_CLIENT),
    };
    let admissions = match &call.request.transactional_id {
        Some(id) => request.admit(id, &topics).await,
        None => Admissions::default(),
    };
    let mut names = Vec::with_capacity(topics.len());
    let mut entries = Vec::new();
    let mut nameable = records::NAMED_MAX;
    for topic in topics {
        for partition in topic.partition_data {
            let mut result = match admissions.of((names.len(), partition.index)) {
                Ok(verification) => {
                    let (name, id, index) = (&topic.name, topic.topic_id, partition.index);
                    request.append((name, id, index), partition.records, verification).await
                }
                Err(refusal) => Err(refusal),
            };
            let metrics = broker.partitions.metrics();
            match &mut result {
                Ok((_, appended)) => {
                    metrics.batches_in.inc();
                    metrics.bytes_in.inc_by(appended.info.bytes as u64);
                }
                Err(refusal) => {
                    metrics.failed_appends.inc();
                    refusal.tell(broker, &call, (&topic.name, topic.topic_id, partition.index));
                    refusal.name_at_most(&mut nameable);
                }
            }
            entries.push(Entry { topic: names.len(), index: partition.index, result });
        }
        names.push((topic.name.detach(), topic.topic_id));
    }
    let acks = request.acks;
    if acks == Some(Acks::None) {
        return Reply::Ready(silent(&entries));
    }
    let timeout = patience(acks, call.request.timeout_ms);
    let (broker, listener) = (Arc::clone(broker), Arc::clone(&call.listener));
    call.reply_later(async move {
        let results = settle(entries, acks, timeout).await;
        response(&broker, &listener, names, results)
    })
}

/// How long records are waited for.
fn patience(acks: Option<Acks>, timeout_ms: i32) -> Duration {
    let timeout = Duration::from_millis(timeout_ms.max(0) as u64);
    if acks == Some(Acks::All) { timeout } else { timeout.max(OWN_DISK_WAIT) }
}

/// A producer that wants no answer learns of an error by its connection's end, as in Kafka.
fn silent(entries: &[Entry]) -> Answer {
    match entries.iter().find_map(|entry| entry.result.as_ref().err()) {
        None => Answer::Silent,
        Some(refusal) => {
            Answer::close(format!("a produce with acks=0 failed with {}", refusal.code))
        }
    }
}

struct Produce<'a> {
    broker: &'a Arc<Broker>,
    version: i16,
    acks: Option<Acks>,
    transactional: bool,
    may_write_internal: bool,
}

impl Produce<'_> {
    async fn append(
        &self,
        (name, topic_id, index): (&Str, Uuid, i32),
        records: Option<Bytes>,
        verification: Verification,
    ) -> Result<(Arc<Partition>, Appended), Refusal> {
        let Some(acks) = self.acks else { return Err(ErrorCode::INVALID_REQUIRED_ACKS.into()) };
        let found = self.partition(name, topic_id, index);
        let partition = found.map_err(|error| Refusal::from(error.code()))?;
        if is_internal(&partition.name.topic) && !self.may_write_internal {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
        }
        let records = records.unwrap_or_default();
        let codec = self.check(&records)?;
        match append_to(&partition, records, codec, (acks, verification)).await {
            Ok(appended) => Ok((partition, appended)),
            // Kafka asks who leads before it looks at records.
            Err(_) if !partition.is_led_here() => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER.into()),
            Err(refusal) => Err(refusal.of(&partition)),
        }
    }

    fn partition(
        &self,
        name: &Str,
        topic_id: Uuid,
        index: i32,
    ) -> Result<Arc<Partition>, Unavailable> {
        let partitions = &self.broker.partitions;
        match self.version {
            13.. => partitions.by_id(topic_id, index),
            _ => partitions.by_name(name, index),
        }
    }

    /// Checks what is Kafka's to check of a request before it looks at its bytes.
    fn check(&self, records: &[u8]) -> Result<Compression, Refusal> {
        let invalid = |what: &str| Refusal::because(ErrorCode::INVALID_RECORD, what);
        if records.is_empty() {
            return Err(invalid("a produce request holds one batch for each partition"));
        }
        let batch = Batch::parse(records).map_err(|error| invalid(&error.to_string()))?;
        if batch.bytes.len() < records.len() {
            return Err(invalid("a produce request holds no more than one batch for a partition"));
        }
        let codec = batch.header.compression();
        if codec == Compression::Zstd && self.version < ZSTD_SINCE {
            return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.into());
        }
        if batch.header.is_transactional() && !self.transactional {
            return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED.into());
        }
        Ok(codec)
    }
}

/// One batch on its way into the log of a partition that is led here.
struct Batched {
    partition: Arc<Partition>,
    settings: Settings,
    codec: Compression,
    how: LeaderAppend,
}

impl Batched {
    /// Whether the batch is looked at away from the thread that serves the socket: it is large, or
    /// packs much.
    fn is_large(&self, records: &[u8]) -> bool {
        let packed = self.codec != Compression::None && records.len() > INLINE_PACKED_MAX;
        packed || records.len() >= LARGE_APPEND_BYTES
    }

    /// The batch as it is to be appended; `None` if its records take more than `max` bytes, and
    /// that is less than they may take.
    fn checked(&self, records: Bytes, max: usize) -> Result<Option<Bytes>, Refusal> {
        let demands = Demands::of(&self.settings.log, wall_clock_ms());
        let name = &self.partition.name;
        let Some(records) = records::check(records, &demands, max, name)? else { return Ok(None) };
        let wanted = self.settings.compression.filter(|wanted| wanted.codec != self.codec);
        let Some(wanted) = wanted else { return Ok(Some(records)) };
        let changed = recompress(&records, wanted)
            .map_err(|error| Refusal::because(ErrorCode::CORRUPT_MESSAGE, error.to_string()))?;
        Ok(Some(changed.map_or(records, BytesMut::freeze)))
    }

    fn append(&self, batch: &[u8]) -> Result<Appended, Refusal> {
        self.partition.append_copy(batch, self.how).map_err(|error| refusal(&error))
    }

    /// Checks what was not checked before, and appends it; takes as long as the disk does.
    fn append_slowly(&self, records: Bytes, is_checked: bool) -> Result<Appended, Refusal> {
        let batch = match is_checked {
            true => Some(records),
            false => self.checked(records, DECOMPRESSED_MAX)?,
        };
        // Without a limit below theirs, records are checked or refused.
        self.append(&batch.ok_or(ErrorCode::INVALID_RECORD)?)
    }
}

/// Appends one batch to a partition that is led here.
async fn append_to(
    partition: &Arc<Partition>,
    records: Bytes,
    codec: Compression,
    (acks, verification): (Acks, Verification),
) -> Result<Appended, Refusal> {
    let settings = partition.settings();
    let (size, max) = (records.len(), settings.log.max_message_bytes as usize);
    if size > max {
        // Nothing that is too large is decoded; the log measures what recompression makes of it.
        let error = AppendError::BatchTooLarge { size, max };
        return Err(Refusal::because(error.code(), error.to_string()));
    }
    let leader_epoch = LeaderEpoch::UNKNOWN;
    let how = LeaderAppend { acks, origin: AppendOrigin::Client, verification, leader_epoch };
    let batched = Batched { partition: Arc::clone(partition), settings, codec, how };
    let checked = match batched.is_large(&records) {
        true => None,
        false => batched.checked(records.clone(), INLINE_RECORDS_MAX)?,
    };
    let is_checked = checked.is_some();
    let batch = checked.unwrap_or(records);
    if is_checked && !partition.may_stall(batch.len()) {
        return batched.append(&batch);
    }
    let place = match codec {
        Compression::None => None,
        _ => inflating::place().await,
    };
    // The request's frame goes with the batch: its memory is wanted for the next one.
    let appended = tokio::task::spawn_blocking(move || {
        let _place = place;
        batched.append_slowly(batch, is_checked)
    });
    appended.await.map_err(|_| Refusal::from(ErrorCode::UNKNOWN_SERVER_ERROR))?
}

fn refusal(error: &PartitionError) -> Refusal {
    let code = error.code();
    match error {
        PartitionError::Append(cause) => Refusal::because(code, vltava_net::error_chain(&**cause)),
        PartitionError::DiskFull => Refusal::because(code, "the broker's disk is full"),
        PartitionError::NotEnoughReplicas { .. } => Refusal::because(code, error.to_string()),
        _ => code.into(),
    }
}

/// What is answered for one partition.
struct Outcome {
    topic: usize,
    index: i32,
    partition: Option<Arc<Partition>>,
    appended: Option<Appended>,
    refusal: Option<Refusal>,
}

/// Waits for what was appended, each at most until the time is over.
async fn settle(entries: Vec<Entry>, acks: Option<Acks>, timeout: Duration) -> Vec<Outcome> {
    let mut waits = FuturesUnordered::new();
    let mut outcomes = Vec::with_capacity(entries.len());
    for (at, Entry { topic, index, result }) in entries.into_iter().enumerate() {
        let (partition, appended, refusal) = match result {
            Ok((partition, appended)) => {
                waits.push(wait(at, Arc::clone(&partition), appended, acks));
                let in_time = Refusal::from(ErrorCode::REQUEST_TIMED_OUT);
                (Some(partition), Some(appended), Some(in_time))
            }
            Err(refusal) => (None, None, Some(refusal)),
        };
        outcomes.push(Outcome { topic, index, partition, appended, refusal });
    }
    let all = async {
        while let Some((at, result)) = waits.next().await {
            outcomes[at].refusal = result.err().map(|error| refusal(&error));
        }
    };
    // What has not come by then keeps the code that says so.
    let _ = tokio::time::timeout(timeout, all).await;
    drop(waits);
    outcomes
}

async fn wait(
    at: usize,
    partition: Arc<Partition>,
    appended: Appended,
    acks: Option<Acks>,
) -> (usize, Result<(), PartitionError>) {
    let result = match acks {
        Some(Acks::All) => partition.committed(appended.end(), appended.leader_epoch).await,
        _ => partition.durable_here(appended.end()).await,
    };
    (at, result)
}

fn response(
    broker: &Broker,
    listener: &str,
    names: Vec<(Str, Uuid)>,
    outcomes: Vec<Outcome>,
) -> ProduceResponse {
    let image = broker.cluster.image();
    let named = |(name, topic_id)| TopicProduceResponse { name, topic_id, ..Default::default() };
    let mut responses: Vec<_> = names.into_iter().map(named).collect();
    let mut hinted = Vec::new();
    for outcome in outcomes {
        let topic = &mut responses[outcome.topic];
        let index = outcome.index;
        let partition_id = outcome.partition.as_ref().map(|partition| partition.name.topic_id);
        let mut answer = partition_response(outcome);
        if answer.error_code == ErrorCode::NOT_LEADER_OR_FOLLOWER {
            let id = match partition_id {
                Some(id) => Some(id),
                None if !topic.topic_id.is_zero() => Some(topic.topic_id),
                None => image.topic_id(&topic.name),
            };
            let leader = id.and_then(|id| leaders::leader_of(&image, id, index));
            if let Some((NodeId(leader_id), LeaderEpoch(leader_epoch))) = leader {
                answer.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
                hinted.push(NodeId(leader_id));
            }
        }
        topic.partition_responses.push(answer);
    }
    let endpoints = leaders::endpoints(&image, listener, hinted).into_iter();
    let node_endpoints = endpoints.map(|it| NodeEndpoint {
        node_id: it.id.get(),
        host: it.host,
        port: it.port,
        rack: it.rack,
    });
    ProduceResponse { responses, throttle_time_ms: 0, node_endpoints: node_endpoints.collect() }
}

fn partition_response(outcome: Outcome) -> PartitionProduceResponse {
    let refused = PartitionProduceResponse {
        index: outcome.index,
        base_offset: -1,
        ..PartitionProduceResponse::default()
    };
    match (outcome.refusal, outcome.appended) {
        (Some(refusal), _) => PartitionProduceResponse {
            error_code: refusal.code,
            error_message: refusal.message.map(Str::from),
            record_errors: refusal.record_errors,
            log_start_offset: refusal.log_start_offset,
            ..refused
        },
        // What waited for is not before the records of which it is a retry.
        (None, Some(appended)) if appended.info.is_old => {
            PartitionProduceResponse { error_code: ErrorCode::DUPLICATE_SEQUENCE_NUMBER, ..refused }
        }
        (None, Some(appended)) => PartitionProduceResponse {
            base_offset: appended.info.base_offset.get(),
            log_append_time_ms: appended.info.log_append_time.unwrap_or(-1),
            log_start_offset: appended.info.log_start_offset.get(),
            ..refused
        },
        (None, None) => refused,
    }
}

#[cfg(test)]
mod tests {
    use vltava_log::AppendInfo;
    use vltava_wire::Offset;

    use super::*;

    #[test]
    fn a_retry_of_old_records_is_told_that_they_are_there_and_not_where() {
        let info = AppendInfo {
            base_offset: Offset(-1),
            last_offset: Offset(7),
            log_append_time: None,
            log_start_offset: Offset(0),
            bytes: 0,
            is_duplicate: true,
            is_old: true,
        };
        let answer = |info| {
            let appended = Some(Appended { info, leader_epoch: LeaderEpoch(1) });
            let outcome = Outcome { topic: 0, index: 3, partition: None, appended, refusal: None };
            let answer = partition_response(outcome);
            (answer.error_code, answer.base_offset)
        };
        assert_eq!(answer(info), (ErrorCode::DUPLICATE_SEQUENCE_NUMBER, -1));
        let known = AppendInfo { base_offset: Offset(6), is_old: false, ..info };
        assert_eq!(answer(known), (ErrorCode::NONE, 6));
    }

    #[test]
    fn only_who_waits_for_replicas_names_the_time() {
        let patience = |acks, timeout_ms| patience(Some(acks), timeout_ms).as_millis();
        assert_eq!(patience(Acks::All, 0), 0);
        assert_eq!(patience(Acks::All, 1_500), 1_500);
        assert_eq!(patience(Acks::Leader, 0), 30_000);
        assert_eq!(patience(Acks::Leader, 60_000), 60_000);
    }

    #[test]
    fn a_request_s_batches_share_the_records_that_can_be_named() {
        let named = |count: usize| {
            let record_errors = vec![BatchIndexAndErrorMessage::default(); count];
            Refusal { record_errors, ..ErrorCode::INVALID_RECORD.into() }
        };
        let mut left = 10;
        let counts = [7, 5, 2].map(|count| {
            let mut refusal = named(count);
            refusal.name_at_most(&mut left);
            refusal.record_errors.len()
        });
        assert_eq!((counts, left), ([7, 3, 0], 0));
    }
}
