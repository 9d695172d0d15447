//! Fetching: one request in flight for each broker that leads a partition of interest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use vltava_wire::ErrorCode;
use vltava_wire::batch::{BatchError, Batches, Record};
use vltava_wire::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use vltava_wire::messages::{FetchRequest, FetchResponse};

use super::{ConsumedRecord, ConsumerOptions, TopicPartition};
use crate::cluster::{Cluster, chain};
use crate::error::ClientError;

/// The last version of Fetch that names topics; later ones have their ids.
const VERSION_MAX: i16 = 12;

/// How much longer than the broker the client waits for an answer.
const GRACE: Duration = Duration::from_secs(10);

/// The pause after an error that will pass.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes that one batch may decompress into.
const BATCH_MAX: usize = 256 * 1024 * 1024;

/// Where a consumer is in a partition.
#[derive(Clone, Debug, Default)]
struct Position {
    /// The offset to fetch next.
    offset: Option<i64>,
    /// Which of several fetches counts: one that was begun before a seek does not.
    turn: u64,
    /// Whether a fetch is under way.
    busy: bool,
}

/// What a fetch asks of one partition.
#[derive(Clone, Debug)]
struct Want {
    partition: TopicPartition,
    offset: i64,
    turn: u64,
}

/// An answer, or why there is none.
struct Answer {
    wants: Vec<Want>,
    result: Result<FetchResponse, ClientError>,
}

/// The fetches of a consumer.
pub(super) struct Fetches {
    cluster: Cluster,
    max_wait: Duration,
    max_bytes: i32,
    partition_max_bytes: i32,
    positions: BTreeMap<TopicPartition, Position>,
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    last_turn: u64,
}

impl Fetches {
    pub(super) fn new(cluster: Cluster, options: &ConsumerOptions) -> Self {
        Self {
            cluster,
            max_wait: options.fetch_max_wait,
            max_bytes: options.fetch_max_bytes,
            partition_max_bytes: options.partition_max_bytes,
            positions: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
            last_turn: 0,
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.positions.keys()
    }

    pub(super) fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.positions.get(partition)?.offset
    }

    /// Partitions of which no offset is known.
    pub(super) fn without_position(&self) -> Vec<TopicPartition> {
        let unknown = self.positions.iter().filter(|(_, position)| position.offset.is_none());
        unknown.map(|(partition, _)| partition.clone()).collect()
    }

    pub(super) fn add(&mut self, partition: TopicPartition, offset: Option<i64>) {
        self.last_turn += 1;
        let position = Position { offset, turn: self.last_turn, busy: false };
        self.positions.insert(partition, position);
    }

    /// Goes on elsewhere; whether the partition is consumed at all.
    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> bool {
        let consumed = self.positions.contains_key(partition);
        if consumed {
            self.add(partition.clone(), Some(offset));
        }
        consumed
    }

    /// Gives all partitions up. Fetches under way do not count any more.
    pub(super) fn clear(&mut self) {
        self.positions.clear();
        self.under_way = FuturesUnordered::new();
    }

    /// Keeps fetches under way and waits for the next answer; for ever, if there is nothing to
    /// fetch. Returns its records, in the order of each partition; there may be none. May be
    /// dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Vec<ConsumedRecord>, ClientError> {
        self.start().await?;
        match self.under_way.next().await {
            Some(answer) => self.answered(answer),
            None => std::future::pending().await,
        }
    }

    /// Starts a fetch at each broker for the partitions of which none is under way.
    async fn start(&mut self) -> Result<(), ClientError> {
        let idle: Vec<Want> = self
            .positions
            .iter()
            .filter(|(_, position)| !position.busy)
            .filter_map(|(partition, position)| {
                let offset = position.offset?;
                Some(Want { partition: partition.clone(), offset, turn: position.turn })
            })
            .collect();
        let mut by_leader: BTreeMap<Option<i32>, Vec<Want>> = BTreeMap::new();
        for want in idle {
            let (topic, partition) = (&want.partition.0, want.partition.1);
            let leader = match self.cluster.leader(topic, partition).await {
                Ok(leader) => Some(leader),
                Err(error) if error.is_retriable() => None,
                Err(error) => return Err(error),
            };
            by_leader.entry(leader).or_default().push(want);
        }
        for (leader, wants) in by_leader {
            for want in &wants {
                if let Some(position) = self.positions.get_mut(&want.partition) {
                    position.busy = true;
                }
            }
            self.under_way.push(Box::pin(self.fetch(leader, wants)));
        }
        Ok(())
    }

    fn fetch(
        &self,
        leader: Option<i32>,
        wants: Vec<Want>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let request = self.request(&wants);
        let (cluster, timeout) = (self.cluster.clone(), self.max_wait + GRACE);
        // One partition stands for all that the same broker leads.
        let first = wants.first().map(|want| want.partition.clone()).unwrap_or_default();
        async move {
            let called = async {
                let Some(leader) = leader else { return Err(no_leader()) };
                let connection = cluster.node(leader).await?;
                let version = connection.version_of::<FetchRequest>(VERSION_MAX)?;
                let response = tokio::select! {
                    response = connection.call_within(version, &request, timeout) => response?,
                    () = cluster.leader_moved(&first.0, first.1, leader) => {
                        return Err(no_leader());
                    }
                };
                ClientError::check(|| "a fetch".to_owned(), response.error_code, None)?;
                Ok(response)
            };
            let result = called.await;
            if result.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            Answer { wants, result }
        }
    }

    fn request(&self, wants: &[Want]) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for Want { partition: (topic, partition), offset, .. } in wants {
            let partition = FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                partition_max_bytes: self.partition_max_bytes,
                ..FetchPartition::default()
            };
            match topics.last_mut().filter(|last| last.topic == topic.as_str()) {
                Some(last) => last.partitions.push(partition),
                None => topics.push(FetchTopic {
                    topic: topic.as_str().into(),
                    partitions: vec![partition],
                    ..FetchTopic::default()
                }),
            }
        }
        FetchRequest {
            max_wait_ms: i32::try_from(self.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 1,
            max_bytes: self.max_bytes,
            topics,
            ..FetchRequest::default()
        }
    }

    fn answered(&mut self, answer: Answer) -> Result<Vec<ConsumedRecord>, ClientError> {
        for want in &answer.wants {
            if let Some(position) = self.current(want) {
                position.busy = false;
            }
        }
        let response = match answer.result {
            Ok(response) => response,
            Err(error) if error.is_retriable() => {
                tracing::debug!("a fetch failed: {}", chain(&error));
                let topics: BTreeSet<&str> =
                    answer.wants.iter().map(|want| want.partition.0.as_str()).collect();
                topics.into_iter().for_each(|topic| self.cluster.forget_topic(topic));
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        for topic in &response.responses {
            for data in &topic.partitions {
                let partition = (String::from(&topic.topic), data.partition_index);
                if let Some(want) = answer.wants.iter().find(|want| want.partition == partition) {
                    self.partition_answered(want, data, &mut records)?;
                }
            }
        }
        Ok(records)
    }

    /// The position that a fetch was for, if it still counts.
    fn current(&mut self, want: &Want) -> Option<&mut Position> {
        self.positions.get_mut(&want.partition).filter(|position| position.turn == want.turn)
    }

    fn partition_answered(
        &mut self,
        want: &Want,
        data: &PartitionData,
        records: &mut Vec<ConsumedRecord>,
    ) -> Result<(), ClientError> {
        let Some(position) = self.current(want) else { return Ok(()) };
        match data.error_code {
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                position.offset = None;
                return Ok(());
            }
            code if code.is_retriable() => {
                self.cluster.forget_topic(&want.partition.0);
                return Ok(());
            }
            code => {
                let what = || format!("{}-{}", want.partition.0, want.partition.1);
                ClientError::check(what, code, None)?;
            }
        }
        let bytes = data.records.clone().unwrap_or_default().into_bytes();
        let next = read(&want.partition, want.offset, &bytes, records).map_err(|source| {
            let (topic, partition) = want.partition.clone();
            ClientError::Batch { topic, partition, source }
        })?;
        position.offset = Some(next);
        Ok(())
    }
}

/// Reads the records from `from` on; returns the offset to fetch next. The last batch of an
/// answer may be cut off.
fn read(
    partition: &TopicPartition,
    from: i64,
    bytes: &Bytes,
    records: &mut Vec<ConsumedRecord>,
) -> Result<i64, BatchError> {
    let topic: Arc<str> = partition.0.as_str().into();
    let mut next = from;
    for batch in Batches::new(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) if error.is_truncated() && next > from => break,
            Err(error) => return Err(error),
        };
        batch.verify_crc()?;
        if !batch.header.is_control() {
            let decoded = batch.records(BATCH_MAX)?;
            for record in &decoded {
                let record = record?;
                if record.offset.get() >= from {
                    records.push(consumed(&topic, partition.1, &record));
                }
            }
        }
        next = next.max(batch.header.last_offset().get() + 1);
    }
    Ok(next)
}

fn consumed(topic: &Arc<str>, partition: i32, record: &Record<'_>) -> ConsumedRecord {
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let headers = record.headers.into_iter();
    ConsumedRecord {
        topic: topic.clone(),
        partition,
        offset: record.offset.get(),
        timestamp: record.timestamp,
        key: copy(record.key),
        value: copy(record.value),
        headers: headers
            .map(|header| (header.key_text().into_owned(), copy(header.value)))
            .collect(),
    }
}

fn no_leader() -> ClientError {
    ClientError::Refused {
        what: "a fetch".to_owned(),
        code: ErrorCode::LEADER_NOT_AVAILABLE,
        message: None,
    }
}

impl fmt::Debug for Fetches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetches").field("positions", &self.positions).finish_non_exhaustive()
    }
}
