//! A producer: records in, batches out, in order and once.
//!
//! Each partition has its queue and one batch in flight, so that a retry can never overtake what
//! came after. Batches grow while one is in flight, which is what makes that fast enough.

mod identity;
mod queue;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use vltava_wire::compression::Compression;

use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::partitioner::Partitioner;
use identity::Identity;
use queue::{Queue, Queued};

/// What a record costs beside its key, value and headers, in bytes; for bounds only.
const RECORD_OVERHEAD: usize = 32;

/// Which copies must exist before a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// None: nothing is answered.
    None,
    /// The leader's.
    Leader,
    /// Those of all in-sync replicas.
    #[default]
    All,
}

impl Acks {
    const fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How records are sent.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Which copies must exist before a record counts as written.
    pub acks: Acks,
    /// Whether retries leave no duplicates (KIP-98); only with [`Acks::All`].
    pub idempotent: bool,
    /// How long a record waits for others to share its batch.
    pub linger: Duration,
    /// The largest batch, in bytes before compression; a larger record is a batch of its own.
    pub batch_max_bytes: usize,
    /// How batches are compressed.
    pub compression: Compression,
    /// How long a broker may take to answer.
    pub request_timeout: Duration,
    /// How long a record may take with all retries; then it has failed.
    pub delivery_timeout: Duration,
    /// Bytes of records that are not yet delivered; further ones wait.
    pub buffer_max_bytes: usize,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            linger: Duration::from_millis(5),
            batch_max_bytes: 256 * 1024,
            compression: Compression::None,
            request_timeout: Duration::from_secs(30),
            delivery_timeout: Duration::from_secs(120),
            buffer_max_bytes: 32 * 1024 * 1024,
        }
    }
}

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The partition; `None` to have it chosen.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// In ms since 1970; `None` for the present time.
    pub timestamp: Option<i64>,
}

impl NewRecord {
    /// A record of a value only.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record of a key and a value.
    pub fn keyed(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: Some(key.into()), ..Self::value(value) }
    }

    /// Bytes that it takes, roughly.
    fn size(&self) -> usize {
        let of = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + of(value) + 4);
        RECORD_OVERHEAD + of(&self.key) + of(&self.value) + headers.sum::<usize>()
    }
}

/// Where a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// Its offset; `None` if the broker does not say (acks=0, or a duplicate that it dropped).
    pub offset: Option<i64>,
}

/// The outcome of a record, to come. Dropping it does not take the record back.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<Delivered, ClientError>>);

impl Future for Delivery {
    type Output = Result<Delivered, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| {
            outcome.unwrap_or_else(|_| Err(ClientError::Invalid("the producer is gone".into())))
        })
    }
}

/// Writes records. Clones write through the same queues.
///
/// A record's key decides on its partition as in Apache Kafka's Java clients (murmur2). librdkafka
/// does the same only with `partitioner=murmur2_random`; its own default differs.
///
/// Records of one partition are written in the order of [`send`](Self::send). When the last
/// clone is dropped, what is queued is still sent as long as the runtime lives.
#[derive(Clone, Debug)]
pub struct Producer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    partitioner: Partitioner,
    queues: Mutex<HashMap<(String, i32), mpsc::UnboundedSender<Queued>>>,
}

/// What the queues share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) options: ProducerOptions,
    pub(crate) identity: Identity,
    /// The bytes of the buffer that are free.
    free: Arc<Semaphore>,
}

impl Producer {
    /// A producer; nothing is sent before the first record.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if the options contradict each other.
    pub fn new(cluster: Cluster, options: ProducerOptions) -> Result<Self, ClientError> {
        if options.idempotent && options.acks != Acks::All {
            let what = "an idempotent producer needs the acks of all in-sync replicas";
            return Err(ClientError::Invalid(what.to_owned()));
        }
        // The semaphore hands out at most so many at once.
        let buffer_max_bytes = options.buffer_max_bytes.clamp(1, u32::MAX as usize);
        let options = ProducerOptions { buffer_max_bytes, ..options };
        let partitioner = Partitioner::new(options.batch_max_bytes);
        let free = Arc::new(Semaphore::new(options.buffer_max_bytes));
        let shared = Shared { cluster, options, identity: Identity::default(), free };
        let queues = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { shared: Arc::new(shared), partitioner, queues }) })
    }

    /// Queues a record; waits while the buffer is full. The outcome comes later.
    ///
    /// # Errors
    /// If the topic or partition does not exist, or no broker can be asked.
    pub async fn send(&self, topic: &str, record: NewRecord) -> Result<Delivery, ClientError> {
        let Inner { shared, partitioner, .. } = &*self.inner;
        let size = record.size();
        let known = shared.cluster.retry(|| shared.cluster.topic_or_new(topic)).await?;
        let partition = match record.partition {
            Some(index) => known.partition(index).map(|_| index),
            None => partitioner.choose(&known, record.key.as_deref(), size),
        };
        let partition = partition.ok_or_else(|| {
            let given = record.partition.map_or_else(String::new, |index| format!(" {index}"));
            ClientError::Invalid(format!("topic {topic} has no such partition{given}"))
        })?;
        // A record larger than the whole buffer waits for all of it.
        let bytes = size.min(shared.options.buffer_max_bytes) as u32;
        let place = shared.free.clone().acquire_many_owned(bytes).await;
        let (outcome, delivery) = oneshot::channel();
        let queued = Queued {
            timestamp: record.timestamp.unwrap_or_else(now_ms),
            record,
            size,
            since: Instant::now(),
            outcome,
            _place: place.expect("the buffer is never closed"),
        };
        self.queue(topic, partition, queued);
        Ok(Delivery(delivery))
    }

    fn queue(&self, topic: &str, partition: i32, queued: Queued) {
        let mut queues = self.inner.queues.lock();
        let queue = queues.entry((topic.to_owned(), partition)).or_insert_with(|| {
            Queue::start(self.inner.shared.clone(), topic.to_owned(), partition)
        });
        // The queue's task lives as long as its sender; if the runtime is being torn down, the
        // record's outcome is dropped with it, and its delivery says so.
        let _ = queue.send(queued);
    }

    /// Waits until all records that were queued before have an outcome.
    pub async fn flush(&self) {
        let Shared { free, options, .. } = &*self.inner.shared;
        // All of the buffer is free once nothing is on its way.
        let all = free.acquire_many(options.buffer_max_bytes as u32).await;
        drop(all);
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
