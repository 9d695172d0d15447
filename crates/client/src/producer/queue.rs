//! The records of one partition: gathered into batches, sent one batch at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use vltava_wire::batch::{BATCH_OVERHEAD, BatchBuilder, HeaderPair, sequence_after};
use vltava_wire::messages::ProduceRequest;
use vltava_wire::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use vltava_wire::{ErrorCode, Offset};

use super::identity::ProducerIdentity;
use super::{Acks, Delivered, NewRecord, Shared};
use crate::error::ClientError;

/// The last version of Produce that names topics; later ones have their ids.
const VERSION_MAX: i16 = 12;

/// How much longer than the broker the client waits for an answer.
const GRACE: Duration = Duration::from_secs(1);

/// A record that waits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(super) record: NewRecord,
    pub(super) timestamp: i64,
    pub(super) size: usize,
    pub(super) since: Instant,
    pub(super) outcome: oneshot::Sender<Result<Delivered, ClientError>>,
    pub(super) _place: OwnedSemaphorePermit,
}

/// One partition's queue.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    topic: String,
    partition: i32,
    records: mpsc::UnboundedReceiver<Queued>,
    /// A record that did not fit into the last batch.
    carried: Option<Queued>,
    /// Under which id batches were numbered last, and the next number.
    numbered: Option<(ProducerIdentity, i32)>,
}

impl Queue {
    /// Starts the task of a queue; it ends when the sender is dropped and all is sent.
    pub(crate) fn start(
        shared: Arc<Shared>,
        topic: String,
        partition: i32,
    ) -> mpsc::UnboundedSender<Queued> {
        let (sender, records) = mpsc::unbounded_channel();
        let queue = Self { shared, topic, partition, records, carried: None, numbered: None };
        tokio::spawn(queue.run());
        sender
    }

    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            let outcome = self.deliver(&batch).await;
            let mut offset = outcome.as_ref().ok().copied().flatten();
            for queued in batch {
                let delivered = Delivered { partition: self.partition, offset };
                // Who does not wait for the outcome does not get it.
                let _ = queued.outcome.send(outcome.clone().map(|_| delivered));
                offset = offset.map(|offset| offset + 1);
            }
        }
    }

    /// The records of the next batch: at least one; more, as long as they fit and the first has
    /// not waited for its time.
    async fn gather(&mut self) -> Option<Vec<Queued>> {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => self.records.recv().await?,
        };
        let options = &self.shared.options;
        let deadline = first.since + options.linger;
        let mut size = BATCH_OVERHEAD + first.size;
        let mut batch = vec![first];
        loop {
            let next = match self.records.try_recv() {
                Ok(next) => Ok(Some(next)),
                Err(_) => tokio::time::timeout_at(deadline, self.records.recv()).await,
            };
            // Its time is up, or the producer is gone and no other record will come.
            let Ok(Some(next)) = next else { return Some(batch) };
            if size + next.size > options.batch_max_bytes {
                self.carried = Some(next);
                return Some(batch);
            }
            size += next.size;
            batch.push(next);
        }
    }

    /// Sends a batch until it is written or its time is up; returns its first offset.
    async fn deliver(&mut self, batch: &[Queued]) -> Result<Option<i64>, ClientError> {
        let deadline = batch[0].since + self.shared.options.delivery_timeout;
        let left = deadline.saturating_duration_since(Instant::now());
        let shared = self.shared.clone();
        let identity = match shared.options.idempotent {
            true => Some(shared.identity.get(&shared.cluster).await?),
            false => None,
        };
        let bytes = self.encode(batch, identity);
        let (this, bytes) = (&*self, &bytes);
        let sent = shared.cluster.retry_within(left, || this.attempt(bytes)).await;
        match (identity, &sent) {
            (Some(identity), Ok(_)) => {
                let (_, sequence) = self.numbered.unwrap_or((identity, 0));
                let next = sequence_after(sequence, batch.len() as i32);
                self.numbered = Some((identity, next));
            }
            (Some(identity), Err(_)) => shared.identity.give_up(identity).await,
            (None, _) => {}
        }
        sent
    }

    /// A batch's bytes. A retry sends the same ones, so that the broker knows them again.
    fn encode(&mut self, batch: &[Queued], identity: Option<ProducerIdentity>) -> Bytes {
        let mut builder =
            BatchBuilder::new(Offset::ZERO).compression(self.shared.options.compression);
        if let Some(identity) = identity {
            let sequence = match self.numbered {
                Some((numbered, sequence)) if numbered == identity => sequence,
                _ => 0,
            };
            self.numbered = Some((identity, sequence));
            builder = builder.producer(identity.id, identity.epoch, sequence);
        }
        for Queued { record, timestamp, .. } in batch {
            let headers: Vec<HeaderPair<'_>> =
                record.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append(*timestamp, key, value, &headers);
        }
        builder.build().freeze()
    }

    /// Sends a batch to the partition's leader once.
    async fn attempt(&self, bytes: &Bytes) -> Result<Option<i64>, ClientError> {
        let sent = self.attempt_at_leader(bytes).await;
        if sent.as_ref().is_err_and(ClientError::is_retriable) {
            self.shared.cluster.forget_topic(&self.topic);
        }
        sent
    }

    async fn attempt_at_leader(&self, bytes: &Bytes) -> Result<Option<i64>, ClientError> {
        let Shared { cluster, options, .. } = &*self.shared;
        let leader = cluster.leader(&self.topic, self.partition).await?;
        let connection = cluster.node(leader).await?;
        let version = connection.version_of::<ProduceRequest>(VERSION_MAX)?;
        let request = ProduceRequest {
            transactional_id: None,
            acks: options.acks.number(),
            timeout_ms: i32::try_from(options.request_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data: vec![TopicProduceData {
                name: self.topic.as_str().into(),
                partition_data: vec![PartitionProduceData {
                    index: self.partition,
                    records: Some(bytes.clone()),
                }],
                ..TopicProduceData::default()
            }],
        };
        if options.acks == Acks::None {
            return connection.tell(version, &request).map(|()| None);
        }
        let timeout = options.request_timeout + GRACE;
        let response = tokio::select! {
            response = connection.call_within(version, &request, timeout) => response?,
            () = cluster.leader_moved(&self.topic, self.partition, leader) => {
                let what = format!("{}-{}", self.topic, self.partition);
                let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                return Err(ClientError::Refused { what, code, message: None });
            }
        };
        let answer = response.responses.iter().flat_map(|topic| &topic.partition_responses).next();
        let what = || format!("{}-{}", self.topic, self.partition);
        let missing = || ClientError::Invalid(format!("the answer lacks {}", what()));
        let answer: &PartitionProduceResponse = answer.ok_or_else(missing)?;
        match answer.error_code {
            // It was written by an earlier attempt, too long ago for the broker to know where.
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Ok(None),
            code => {
                ClientError::check(what, code, answer.error_message.as_deref())?;
                Ok((answer.base_offset >= 0).then_some(answer.base_offset))
            }
        }
    }
}
