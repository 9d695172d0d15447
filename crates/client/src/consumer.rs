//! A consumer: of partitions that it is given, or as a member of a group.
//!
//! It is driven by [`poll`](Consumer::poll), like Kafka's own: fetches go on in the background,
//! but partitions are taken on and given up only within a poll. Group members speak the classic
//! protocol with the range assignor.

mod assign;
mod fetch;
mod group;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::admin::{OffsetSpec, PartitionOffsets};
use crate::cluster::Cluster;
use crate::error::ClientError;
use fetch::Fetches;
use group::Group;

/// Where a consumer starts in a partition of which it knows no offset, or one that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// At the first record that is there.
    Earliest,
    /// At the next one that is written.
    #[default]
    Latest,
    /// Nowhere: [`Consumer::poll`] fails.
    Fail,
}

/// How records are consumed.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// Where to start without an offset.
    pub auto_offset_reset: AutoOffsetReset,
    /// How often a group member commits, within a poll, what earlier polls returned; `None` to
    /// leave it to [`Consumer::commit`].
    pub auto_commit: Option<Duration>,
    /// How long a broker waits for records before it answers without.
    pub fetch_max_wait: Duration,
    /// Bytes of one answer of a broker, roughly.
    pub fetch_max_bytes: i32,
    /// Bytes of one partition in an answer, roughly.
    pub partition_max_bytes: i32,
    /// Records that one poll returns at most.
    pub poll_max_records: usize,
    /// How long a member may be silent before the group goes on without it.
    pub session_timeout: Duration,
    /// How often a member says that it lives.
    pub heartbeat_interval: Duration,
    /// How long members may take to join once a rebalance has begun.
    pub rebalance_timeout: Duration,
    /// The member's own name, if it is a static one (KIP-345).
    pub instance_id: Option<String>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            auto_offset_reset: AutoOffsetReset::Latest,
            auto_commit: None,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            poll_max_records: 500,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            rebalance_timeout: Duration::from_secs(60),
            instance_id: None,
        }
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    /// The topic.
    pub topic: std::sync::Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// In ms since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order; names that are not UTF-8 have replacements in them.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// A topic and a partition's index.
pub type TopicPartition = (String, i32);

/// Reads records.
#[derive(Debug)]
pub struct Consumer {
    cluster: Cluster,
    options: ConsumerOptions,
    group: Option<Group>,
    fetches: Fetches,
    /// Records that were fetched and not returned.
    buffer: VecDeque<ConsumedRecord>,
    /// By partition: the offset after the last record that a poll returned.
    consumed: BTreeMap<TopicPartition, i64>,
    /// Up to where the application has dealt with records, and has not committed it.
    stored: PartitionOffsets,
    committed_at: Instant,
}

impl Consumer {
    /// A consumer of certain partitions, outside of any group. The offsets say where to start;
    /// `None` leaves it to [`ConsumerOptions::auto_offset_reset`].
    pub fn assigned(
        cluster: Cluster,
        options: ConsumerOptions,
        partitions: impl IntoIterator<Item = (TopicPartition, Option<i64>)>,
    ) -> Self {
        let mut consumer = Self::new(cluster, options, None);
        for (partition, offset) in partitions {
            consumer.fetches.add(partition, offset);
        }
        consumer
    }

    /// A consumer of topics as a member of a group. It joins with the first poll.
    pub fn subscribed(
        cluster: Cluster,
        options: ConsumerOptions,
        group: &str,
        topics: &[&str],
    ) -> Self {
        let topics: BTreeSet<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let own = cluster.with_own_connections();
        let group = Group::new(own, &options, group, topics.into_iter().collect());
        Self::new(cluster, options, Some(group))
    }

    fn new(cluster: Cluster, options: ConsumerOptions, group: Option<Group>) -> Self {
        Self {
            fetches: Fetches::new(cluster.with_own_connections(), &options),
            cluster,
            options,
            group,
            buffer: VecDeque::new(),
            consumed: BTreeMap::new(),
            stored: PartitionOffsets::new(),
            committed_at: Instant::now(),
        }
    }

    /// The partitions that are consumed at the moment.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.fetches.partitions().cloned().collect()
    }

    /// The offset of the next record that a poll returns, where it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.consumed.get(partition).copied().or_else(|| {
            let buffered = self.buffer.iter().find(|record| is_of(record, partition));
            buffered.map(|record| record.offset).or_else(|| self.fetches.position(partition))
        })
    }

    /// Goes on at another offset of a partition that is consumed.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) {
        self.buffer.retain(|record| !is_of(record, partition));
        if self.fetches.seek(partition, offset) {
            self.consumed.insert(partition.clone(), offset);
        }
    }

    /// Waits for records, up to `timeout`; returns none if none came.
    ///
    /// A group member may wait longer: a rebalance that has begun is carried to its end.
    ///
    /// # Errors
    /// What a retry does not cure: a batch that cannot be read, an offset that is gone with
    /// [`AutoOffsetReset::Fail`], a topic that does not exist where its offsets are asked for.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumedRecord>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            self.keep_up_with_group().await?;
            if !self.buffer.is_empty() {
                return Ok(self.take());
            }
            self.start_positions().await?;
            tokio::select! {
                fetched = self.fetches.next() => self.buffer.extend(fetched?),
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
                () = rejoin(self.group.as_ref()) => {}
            }
        }
    }

    /// Joins the group where that is due, and commits where that is.
    async fn keep_up_with_group(&mut self) -> Result<(), ClientError> {
        let Some(group) = &self.group else { return Ok(()) };
        let joins = group.must_join();
        let due = self
            .options
            .auto_commit
            .is_some_and(|interval| joins || self.committed_at.elapsed() >= interval);
        if due {
            self.committed_at = Instant::now();
            if let Err(error) = self.commit().await {
                tracing::debug!("the commit of consumed offsets failed: {error}");
            }
        }
        if joins {
            // Afterwards these partitions may be others'.
            if let Err(error) = self.commit_stored().await {
                tracing::debug!("the commit of stored offsets failed: {error}");
            }
            self.join().await?;
        }
        Ok(())
    }

    async fn join(&mut self) -> Result<(), ClientError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        self.buffer.clear();
        self.consumed.clear();
        self.fetches.clear();
        let assigned = group.join().await?;
        let committed = group.committed().await?;
        for partition in assigned {
            let offset = committed.get(&partition).copied();
            self.fetches.add(partition, offset);
        }
        Ok(())
    }

    /// Finds out where to start in partitions of which no offset is known.
    async fn start_positions(&mut self) -> Result<(), ClientError> {
        for (topic, partition) in self.fetches.without_position() {
            let spec = match self.options.auto_offset_reset {
                AutoOffsetReset::Earliest => OffsetSpec::Earliest,
                AutoOffsetReset::Latest => OffsetSpec::Latest,
                AutoOffsetReset::Fail => {
                    let what = format!("no offset is known of {topic}-{partition}");
                    return Err(ClientError::Invalid(what));
                }
            };
            let listed = self.cluster.list_offset(&topic, partition, spec).await?;
            self.fetches.seek(&(topic, partition), listed.offset);
        }
        Ok(())
    }

    fn take(&mut self) -> Vec<ConsumedRecord> {
        let count = self.buffer.len().min(self.options.poll_max_records.max(1));
        let records: Vec<ConsumedRecord> = self.buffer.drain(..count).collect();
        for record in &records {
            let partition = (record.topic.to_string(), record.partition);
            self.consumed.insert(partition, record.offset + 1);
        }
        records
    }

    /// Commits what polls have returned, for this group's members to come.
    ///
    /// # Errors
    /// If the consumer is in no group, or the group has gone on without this member: then the
    /// next poll joins it anew.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let offsets: PartitionOffsets =
            self.consumed.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
        self.commit_offsets(&offsets).await
    }

    /// Notes up to where records of a partition are dealt with. It is committed by
    /// [`commit_stored`](Self::commit_stored), and before the group is joined anew, when the
    /// partition may become another member's.
    pub fn store_offset(&mut self, partition: TopicPartition, offset: i64) {
        self.stored.insert(partition, offset);
    }

    /// Whether offsets are stored that are not committed.
    pub fn has_stored(&self) -> bool {
        !self.stored.is_empty()
    }

    /// Commits the offsets that are stored. They are forgotten, also if that fails: the group has
    /// gone on then, and others begin where it was committed before. Where it is cancelled they
    /// stay stored.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_stored(&mut self) -> Result<(), ClientError> {
        if self.stored.is_empty() {
            return Ok(());
        }
        let stored = self.stored.clone();
        let committed = self.commit_offsets(&stored).await;
        self.stored.clear();
        committed
    }

    /// Commits certain offsets: those of the records that would be next.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_offsets(&mut self, offsets: &PartitionOffsets) -> Result<(), ClientError> {
        match &mut self.group {
            Some(_) if offsets.is_empty() => Ok(()),
            Some(group) => group.commit(offsets).await,
            None => Err(ClientError::Invalid("a consumer without a group cannot commit".into())),
        }
    }

    /// Leaves the group, after a last commit if [`ConsumerOptions::auto_commit`] is set. A member
    /// that is only dropped leaves by its session's timeout.
    ///
    /// # Errors
    /// If the commit fails; the group is left all the same.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let committed = match self.options.auto_commit {
            Some(_) if self.group.is_some() => self.commit().await,
            _ => Ok(()),
        };
        if let Some(group) = self.group.take() {
            group.leave().await;
        }
        committed
    }
}

fn is_of(record: &ConsumedRecord, partition: &TopicPartition) -> bool {
    record.partition == partition.1 && *record.topic == *partition.0
}

/// Waits until the group must be joined anew; for ever, if there is none.
async fn rejoin(group: Option<&Group>) {
    match group {
        Some(group) => group.rejoin().await,
        None => std::future::pending().await,
    }
}
