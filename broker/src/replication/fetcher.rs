//! A follower's task for one leader: fetch, append, flush all that was appended at once, and only
//! then fetch again.
//!
//! The next fetch says which offsets this replica has, so it must not go out before they are as
//! durable as their topics want. Where the logs differ the leader says so by epochs, and the
//! follower cuts its own ([`super::truncate`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::mpsc;
use vltava_wire::messages::fetch::{FetchPartition, PartitionData, ReplicaState};
use vltava_wire::messages::{FetchRequest, FetchResponse};
use vltava_wire::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, RecordBytes};

use super::link::{LeaderConnection, LeaderLink, LinkError};
use super::session::{FollowerSession, Key};
use super::throttle::HELD_BACK_FOR;
use super::truncate::EpochEnd;
use crate::partition::append::FromLeader;
use crate::partition::{Partition, PartitionError};

/// The first pause after a failure; it doubles up to the configured one. A follower often hears of
/// a new leader a few milliseconds before that leader does.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

/// How long an answer that is awaited may keep a newly assigned partition waiting.
const NEWCOMER_WAITS: Duration = Duration::from_millis(20);

/// How long a fetch waits for what came before to be durable here.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// An answer of so many bytes is appended away from the threads that serve sockets.
const LARGE_ANSWER_BYTES: usize = 256 << 10;

/// Failures before a line is logged: one or two are usual at an election.
const FAILURES_UNTOLD: u32 = 6;

/// How fetchers fetch.
#[derive(Clone)]
pub struct FetchOptions {
    /// This broker.
    pub me: NodeId,
    /// The epoch of this broker's registration, whenever it is asked for.
    pub broker_epoch: Arc<dyn Fn() -> BrokerEpoch + Send + Sync>,
    /// `replica.fetch.wait.max.ms`.
    pub max_wait: Duration,
    /// `replica.fetch.min.bytes`.
    pub min_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub max_bytes: i32,
    /// `replica.fetch.max.bytes`.
    pub partition_max_bytes: i32,
    /// Whether leaders are to say at once how far records are committed, as consumers may read here
    /// (`replica.selector.class`).
    pub tells_high_watermark: bool,
    /// `replica.fetch.backoff.ms`: the longest pause.
    pub pause_max: Duration,
}

/// What a fetcher is told.
pub enum Command {
    /// Copy these partitions, from where their logs end.
    Follow(Vec<Arc<Partition>>),
    /// Do not copy these any more.
    Leave(Vec<Key>),
    /// The leader may be reached again: do not wait any longer.
    Nudge,
}

/// Pauses that double, each a little random so that followers do not come all at once.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    fn fail(&mut self, max: Duration) {
        let doubled = PAUSE_FIRST.saturating_mul(1 << self.failures.min(16));
        let pause = doubled.min(max).mul_f64(rand::rng().random_range(0.75..1.25));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + pause);
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}

struct Followed {
    partition: Arc<Partition>,
    pause: Pause,
    /// Whether all that the leader had committed was here when it last answered.
    is_level: bool,
}

impl Followed {
    fn new(partition: Arc<Partition>) -> Self {
        Self { partition, pause: Pause::default(), is_level: false }
    }
}

/// What became of one partition of an answer.
type Settled = (Key, Result<IsLevel, Trouble>);

/// Whether a replica has all that its leader has committed.
type IsLevel = bool;

/// Why a partition did not get on.
enum Trouble {
    /// It is not followed any more: whoever knows better has told, or will tell, a fetcher.
    Left,
    /// Try again after a pause.
    Retry(String),
}

/// A follower's task for one leader.
pub struct Fetcher {
    leader: NodeId,
    link: Arc<dyn LeaderLink>,
    options: FetchOptions,
    commands: mpsc::UnboundedReceiver<Command>,
    followed: BTreeMap<Key, Followed>,
    connection: Option<LeaderConnection>,
    session: FollowerSession,
    connecting: Pause,
}

impl Fetcher {
    /// A fetcher that follows nothing yet.
    pub fn new(
        leader: NodeId,
        link: Arc<dyn LeaderLink>,
        options: FetchOptions,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            leader,
            link,
            options,
            commands,
            followed: BTreeMap::new(),
            connection: None,
            session: FollowerSession::default(),
            connecting: Pause::default(),
        }
    }

    /// Follows until nobody can tell it anything any more.
    pub async fn run(mut self) {
        while self.round().await.is_some() {}
    }

    /// One fetch, or one wait; `None` once the commands have ended.
    async fn round(&mut self) -> Option<()> {
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        if self.followed.is_empty() {
            self.disconnect();
            let command = self.commands.recv().await?;
            self.obey(command);
            return Some(());
        }
        let wanted = self.wanted().await;
        if wanted.is_empty() {
            return self.pause_until(self.next_due(Instant::now())).await;
        }
        if self.connection.is_none() {
            self.connect().await;
        }
        if self.connection.is_none() {
            return self.pause_until(self.connecting.until).await;
        }
        self.fetch(wanted).await
    }

    /// Takes a command; says whether it brings something new to fetch.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Follow(partitions) => {
                for partition in partitions {
                    let key = (partition.name.topic_id, partition.name.index);
                    self.followed.insert(key, Followed::new(partition));
                }
                true
            }
            Command::Leave(keys) => {
                for key in keys {
                    self.followed.remove(&key);
                }
                false
            }
            Command::Nudge => {
                self.connecting = Pause::default();
                for followed in self.followed.values_mut() {
                    followed.pause.until = None;
                }
                false
            }
        }
    }

    /// Waits for that time or a command, whichever comes first.
    async fn pause_until(&mut self, until: Option<Instant>) -> Option<()> {
        let until = until.unwrap_or_else(|| Instant::now() + self.options.pause_max);
        tokio::select! {
            command = self.commands.recv() => {
                let command = command?;
                self.obey(command);
            }
            () = tokio::time::sleep_until(until.into()) => {}
        }
        Some(())
    }

    async fn connect(&mut self) {
        if !self.connecting.is_over(Instant::now()) {
            return;
        }
        match self.link.connect(self.leader).await {
            Ok(connection) => {
                if self.connecting.failures > FAILURES_UNTOLD {
                    tracing::info!(leader = self.leader.get(), "the leader can be reached again");
                }
                self.connection = Some(connection);
                self.connecting = Pause::default();
            }
            Err(error) => self.lost(&error),
        }
    }

    fn lost(&mut self, error: &LinkError) {
        if self.connecting.failures == FAILURES_UNTOLD {
            let error = vltava_net::error_chain(error);
            tracing::warn!(leader = self.leader.get(), error, "the leader cannot be fetched from");
        }
        self.disconnect();
        self.connecting.fail(self.options.pause_max);
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.session.reset();
    }

    /// What to fetch and from where, once all that is acknowledged by that is durable.
    async fn wanted(&mut self) -> BTreeMap<Key, FetchPartition> {
        let flushes: Vec<_> = self
            .followed
            .values()
            .filter_map(|it| {
                Some(Arc::clone(&it.partition).durable_here(it.partition.flush_now()?))
            })
            .collect();
        // A log that fails or takes longer is not durable below, and is left out there: one whose
        // disk is full waits for room, and the others do not wait with it.
        let _ = tokio::time::timeout(FLUSH_PATIENCE, futures::future::join_all(flushes)).await;
        let now = Instant::now();
        let mut wanted = BTreeMap::new();
        let mut gone = Vec::new();
        for (key, followed) in &mut self.followed {
            if !followed.pause.is_over(now) {
                continue;
            }
            if !followed.is_level && followed.partition.is_held_back(now) {
                followed.pause.until = Some(now + HELD_BACK_FOR);
                continue;
            }
            match fetch_partition(&followed.partition, self.leader, &self.options) {
                Ok(fetch) => drop(wanted.insert(*key, fetch)),
                Err(PartitionError::NotFollower) => gone.push(*key),
                Err(_) => followed.pause.fail(self.options.pause_max),
            }
        }
        for key in gone {
            self.followed.remove(&key);
        }
        wanted
    }

    fn next_due(&self, now: Instant) -> Option<Instant> {
        let pauses = self.followed.values().filter_map(|it| it.pause.until);
        pauses.filter(|until| *until > now).min()
    }

    async fn fetch(&mut self, wanted: BTreeMap<Key, FetchPartition>) -> Option<()> {
        let now = Instant::now();
        let due = self.next_due(now).map_or(self.options.max_wait, |due| due - now);
        let max_wait = due.min(self.options.max_wait);
        let mut request = FetchRequest {
            replica_id: self.options.me.get(),
            replica_state: ReplicaState {
                replica_id: self.options.me.get(),
                replica_epoch: (self.options.broker_epoch)().get(),
            },
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.options.min_bytes,
            max_bytes: self.options.max_bytes,
            ..FetchRequest::default()
        };
        self.session.fill(&mut request, wanted);
        match self.answer(request).await? {
            Some(Ok(response)) => self.take(response).await,
            Some(Err(error)) => self.lost(&error),
            // The leader still waits for records of what it was asked before; it is asked anew.
            None => self.disconnect(),
        }
        Some(())
    }

    /// Waits for the leader's answer, but not long once there is something new to fetch:
    /// `Some(None)` then. `None` once the commands have ended.
    async fn answer(
        &mut self,
        request: FetchRequest,
    ) -> Option<Option<Result<FetchResponse, LinkError>>> {
        let mut answer = self.connection.as_ref()?.fetch(request);
        let mut give_up: Option<Instant> = None;
        loop {
            let until = give_up.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                answer = &mut answer => return Some(Some(answer)),
                command = self.commands.recv() => {
                    if self.obey(command?) {
                        give_up.get_or_insert(Instant::now() + NEWCOMER_WAITS);
                    }
                }
                () = tokio::time::sleep_until(until.into()), if give_up.is_some() => {
                    return Some(None);
                }
            }
        }
    }

    async fn take(&mut self, response: FetchResponse) {
        self.session.answered(&response);
        if response.error_code.is_err() {
            let leader = self.leader.get();
            tracing::debug!(leader, code = %response.error_code, "a new session");
            return;
        }
        let mut work = Vec::new();
        let (mut bytes, mut stalls) = (0, false);
        for topic in response.responses {
            for data in topic.partitions {
                let key = (topic.topic_id, data.partition_index);
                let followed = self.followed.get(&key).map(|it| Arc::clone(&it.partition));
                let (Some(partition), Some(asked)) = (followed, self.session.asked(&key)) else {
                    continue;
                };
                let len = data.records.as_ref().map_or(0, RecordBytes::len);
                bytes += len;
                stalls |= data.error_code.is_err()
                    || data.diverging_epoch.epoch >= 0
                    || len > 0 && partition.may_stall(len);
                work.push((key, partition, asked.clone(), data));
            }
        }
        let leader = self.leader;
        let settle_all = move || -> Vec<Settled> {
            let settle_one = |(key, partition, asked, data): (_, Arc<Partition>, _, _)| {
                (key, settle(&partition, leader, &asked, data))
            };
            work.into_iter().map(settle_one).collect()
        };
        let settled = if bytes >= LARGE_ANSWER_BYTES || stalls {
            tokio::task::spawn_blocking(settle_all).await.unwrap_or_default()
        } else {
            settle_all()
        };
        for (key, result) in settled {
            self.note(key, result);
        }
    }

    fn note(&mut self, key: Key, result: Result<IsLevel, Trouble>) {
        let Some(followed) = self.followed.get_mut(&key) else { return };
        match result {
            Ok(is_level) => {
                followed.pause = Pause::default();
                followed.is_level = is_level;
            }
            // It is asked for its position before the next fetch, and left out if it has left.
            Err(Trouble::Left) => {}
            Err(Trouble::Retry(reason)) => {
                followed.pause.fail(self.options.pause_max);
                let partition = &followed.partition.name;
                if followed.pause.failures.is_multiple_of(FAILURES_UNTOLD) {
                    tracing::warn!(%partition, leader = self.leader.get(), reason, "cannot follow");
                }
            }
        }
    }
}

/// What to ask for a partition.
fn fetch_partition(
    partition: &Partition,
    leader: NodeId,
    options: &FetchOptions,
) -> Result<FetchPartition, PartitionError> {
    let epoch = partition.leader_epoch();
    let from = partition.fetch_from(leader, epoch)?;
    if !from.is_durable {
        return Err(PartitionError::TimedOut);
    }
    Ok(FetchPartition {
        partition: partition.name.index,
        current_leader_epoch: epoch.get(),
        fetch_offset: from.offset.get(),
        last_fetched_epoch: from.last_epoch.get(),
        log_start_offset: from.log_start.get(),
        high_watermark: match options.tells_high_watermark {
            true => from.high_watermark.get(),
            false => i64::MAX,
        },
        partition_max_bytes: options.partition_max_bytes,
        ..FetchPartition::default()
    })
}

/// Does what a leader's answer for a partition asks for.
fn settle(
    partition: &Partition,
    leader: NodeId,
    asked: &FetchPartition,
    data: PartitionData,
) -> Result<IsLevel, Trouble> {
    let epoch = LeaderEpoch(asked.current_leader_epoch);
    let fetch_offset = Offset(asked.fetch_offset);
    let committed = Offset(data.high_watermark);
    partition.note_fetched(data.records.as_ref().map_or(0, RecordBytes::len), Instant::now());
    let done = match data.error_code {
        ErrorCode::NONE if data.diverging_epoch.epoch >= 0 => {
            let theirs = EpochEnd {
                epoch: LeaderEpoch(data.diverging_epoch.epoch),
                end: Offset(data.diverging_epoch.end_offset),
            };
            partition.truncate_by_epoch(leader, epoch, theirs).map(|_| ())
        }
        ErrorCode::NONE => partition.append_from_leader(&FromLeader {
            leader,
            leader_epoch: epoch,
            fetch_offset,
            records: data.records.unwrap_or_default().into_bytes(),
            high_watermark: Offset(data.high_watermark),
            log_start: Offset(data.log_start_offset),
        }),
        ErrorCode::OFFSET_OUT_OF_RANGE
            if data.log_start_offset > asked.fetch_offset
                || data.log_start_offset >= 0 && asked.log_start_offset == asked.fetch_offset =>
        {
            partition.restart_at(leader, epoch, Offset(data.log_start_offset))
        }
        code => return Err(Trouble::Retry(format!("the leader answers {code}"))),
    };
    match done {
        Ok(()) => Ok(partition.is_level_with(committed)),
        Err(PartitionError::NotFollower) => Err(Trouble::Left),
        Err(error) => Err(Trouble::Retry(vltava_net::error_chain(&error))),
    }
}
