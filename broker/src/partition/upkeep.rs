//! What goes on beside requests: fetchers, proposals to the coordinator, checkpoints, retention,
//! compaction; and the end, when all logs are closed in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use vltava_client::ConnectOptions;
use vltava_config::keys;
use vltava_log::checkpoint::CheckpointError;
use vltava_net::{CancellationToken, Reactors};
use vltava_wire::Str;

use super::dirs::LogDir;
use super::moving::Leftover;
use super::registry::{Partitions, milliseconds};
use super::replica::{Partition, PartitionName, Position};
use super::surroundings::{News, wall_clock_ms};
use crate::controller::Controller;
use crate::replication::alter_isr::AlterIsr;
use crate::replication::fetcher::FetchOptions;
use crate::replication::fetchers::Start;
use crate::replication::link::{InterBrokerLink, LeaderLink};

/// How often topics that flush by time are looked at.
const FLUSH_CHECK: Duration = Duration::from_secs(1);

/// A leader answers within its longest wait; a connection that is silent for so much longer is
/// dead, whatever `replica.socket.timeout.ms` allows beyond that.
const SILENCE_MAX: Duration = Duration::from_secs(5);

impl Partitions {
    /// Starts what goes on beside requests: fetchers on `reactors`, the rest on the runtime that
    /// calls this. It ends with `shutdown`.
    pub fn start(
        self: &Arc<Self>,
        reactors: Arc<Reactors>,
        controller: Arc<dyn Controller>,
        shutdown: &CancellationToken,
    ) {
        let options = ConnectOptions {
            client_id: Str::from(format!("broker-{}-fetcher", self.me)),
            connect_timeout: SILENCE_MAX,
            request_timeout: self.fetch_timeout(),
            ..ConnectOptions::default()
        };
        let listener = self.config.inter_broker_listener();
        let link = InterBrokerLink::new(self.cluster.clone(), listener, options);
        self.start_with(reactors, Arc::new(link), controller, shutdown);
    }

    /// As [`start`](Self::start), over another link.
    pub fn start_with(
        self: &Arc<Self>,
        reactors: Arc<Reactors>,
        link: Arc<dyn LeaderLink>,
        controller: Arc<dyn Controller>,
        shutdown: &CancellationToken,
    ) {
        self.fetchers.start(Start { reactors, link, options: self.fetch_options() });
        let (propose, proposals) = mpsc::unbounded_channel();
        let assigner = Arc::clone(&controller);
        let alter = AlterIsr::new(self.me, self.cluster.clone(), controller, proposals);
        tokio::spawn(alter.run());
        tokio::spawn(Arc::clone(self).keep_assigned(assigner, shutdown.clone()));
        if let Some(news) = self.news.lock().take() {
            tokio::spawn(Arc::clone(self).listen(news, propose, shutdown.clone()));
        }
        let lag = milliseconds(self.config.get(keys::REPLICA_LAG_TIME_MAX_MS));
        self.every(lag / 2, shutdown, |partitions| {
            let now = Instant::now();
            partitions.all().iter().for_each(|partition| partition.check_isr(now));
        });
        self.every(FLUSH_CHECK, shutdown, |partitions| {
            let now = Instant::now();
            partitions.all().iter().for_each(|partition| partition.flush_if_due(now));
        });
        let interval = self.config.get(keys::REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS);
        self.every(milliseconds(interval), shutdown, Self::checkpoint);
        let interval = self.config.get(keys::LOG_RETENTION_CHECK_INTERVAL_MS);
        self.every(milliseconds(interval), shutdown, Self::apply_retention);
        self.cleaner.start(self);
        self.mover.start(self);
    }

    fn fetch_timeout(&self) -> Duration {
        let configured = milliseconds(self.config.get(keys::REPLICA_SOCKET_TIMEOUT_MS));
        let wait = milliseconds(self.config.get(keys::REPLICA_FETCH_WAIT_MAX_MS));
        configured.min(wait + SILENCE_MAX)
    }

    fn fetch_options(&self) -> FetchOptions {
        let cluster = self.cluster.clone();
        FetchOptions {
            me: self.me,
            broker_epoch: Arc::new(move || cluster.broker_epoch()),
            max_wait: milliseconds(self.config.get(keys::REPLICA_FETCH_WAIT_MAX_MS)),
            min_bytes: self.config.get(keys::REPLICA_FETCH_MIN_BYTES),
            max_bytes: self.config.get(keys::REPLICA_FETCH_RESPONSE_MAX_BYTES),
            partition_max_bytes: self.config.get(keys::REPLICA_FETCH_MAX_BYTES),
            tells_high_watermark: self.config.get(keys::REPLICA_SELECTOR_CLASS).is_some(),
            pause_max: milliseconds(self.config.get(keys::REPLICA_FETCH_BACKOFF_MS)),
        }
    }

    /// Does something now and then, on a thread that may block.
    fn every(
        self: &Arc<Self>,
        interval: Duration,
        shutdown: &CancellationToken,
        work: impl Fn(&Self) + Clone + Send + 'static,
    ) {
        let (partitions, shutdown) = (Arc::clone(self), shutdown.clone());
        tokio::spawn(async move {
            let first = tokio::time::Instant::now() + interval;
            let mut ticks = tokio::time::interval_at(first, interval.max(FLUSH_CHECK / 100));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
                let (partitions, work) = (Arc::clone(&partitions), work.clone());
                // A panic of the work has been told of; the next tick tries again.
                let _ = tokio::task::spawn_blocking(move || work(&partitions)).await;
            }
        });
    }

    async fn listen(
        self: Arc<Self>,
        mut news: mpsc::UnboundedReceiver<News>,
        propose: mpsc::UnboundedSender<Arc<Partition>>,
        shutdown: CancellationToken,
    ) {
        while let Some(Some(news)) = shutdown.run_until_cancelled(news.recv()).await {
            match news {
                // The task that takes proposals lives as long as this one.
                News::Proposal(partition) => drop(propose.send(partition)),
                News::DirFailed(id) => self.dir_failed(id),
                News::LogLost => self.assignments.notify_one(),
            }
        }
    }

    fn dir_failed(&self, id: vltava_wire::Uuid) {
        let Some(dir) = self.dirs.iter().find(|dir| dir.id() == id) else { return };
        let reason = dir.failure().unwrap_or("it has failed");
        tracing::error!(dir = %dir.path().display(), reason, "a log directory is out of use");
        for partition in self.all() {
            let moves_to = partition.moving().is_some_and(|it| Arc::ptr_eq(it.to(), dir));
            let lies_there = Arc::ptr_eq(&partition.dir(), dir);
            if moves_to || lies_there {
                partition.end_move(Leftover::Kept);
            }
            if lies_there && Arc::ptr_eq(&partition.dir(), dir) {
                partition.fail(reason);
            }
        }
        self.failed_dirs.send_modify(|failed| failed.push(id));
        self.assignments.notify_one();
    }

    /// Writes down how far the logs of each directory have come, where that has changed.
    pub fn checkpoint(&self) {
        for dir in self.dirs.iter().filter(|dir| dir.failure().is_none()) {
            let collect = || -> Vec<(PartitionName, Position)> {
                let of = |partition: &Arc<Partition>| {
                    Some((partition.name.clone(), partition.position()?))
                };
                let all = self.all();
                all.iter().filter(|it| Arc::ptr_eq(&it.dir(), dir)).filter_map(of).collect()
            };
            let Err(error) = dir.checkpoint(collect) else { continue };
            let reason = vltava_net::error_chain(&error);
            match error {
                CheckpointError::Disk(error) if error.is_sync_failure() => {
                    self.around.fail_dir(dir, &reason);
                }
                _ => tracing::warn!(error = reason, "a checkpoint was not written"),
            }
        }
    }

    /// Deletes segments that retention gives up.
    pub fn apply_retention(&self) {
        let now_ms = wall_clock_ms();
        for partition in self.all() {
            match partition.apply_retention(now_ms) {
                Ok(deleted) if deleted.segments > 0 => tracing::info!(
                    partition = %partition.name, segments = deleted.segments,
                    bytes = deleted.bytes, "old segments were deleted"
                ),
                // A log that cannot be used has said so when it failed.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Ends it all: fetchers stop, waiting requests are told, logs are flushed and closed, and
    /// each directory whose logs all closed is marked as cleanly shut down. Blocks until then.
    pub fn close(&self, broker_epoch: i64) {
        // A log that is closed would be taken for one that is lost.
        self.applying.lock().has_ended = true;
        self.fetchers.stop();
        self.cleaner.stop();
        self.mover.stop();
        drop(self.flushers.lock().take());
        let hosted = self.all();
        hosted.iter().for_each(|partition| partition.end_move(Leftover::Kept));
        // What was found and never assigned is closed as it was, or recovered next time.
        let found = self.found.lock().drain();
        let not_closed: Vec<_> = found
            .into_iter()
            .filter_map(|found| match found.log.map(vltava_log::Log::close) {
                Ok(Ok(_)) => None,
                _ => Some(found.dir.id()),
            })
            .collect();
        for dir in self.dirs.iter().filter(|dir| dir.failure().is_none()) {
            let of_dir: Vec<_> =
                hosted.iter().filter(|partition| Arc::ptr_eq(&partition.dir(), dir)).collect();
            let closed = self.close_logs(dir, &of_dir);
            if let Err(error) = closed.and_then(|complete| match complete {
                true if !not_closed.contains(&dir.id()) => {
                    Ok(dir.mark_clean_shutdown(broker_epoch)?)
                }
                _ => Ok(()),
            }) {
                let (dir, error) = (dir.path().display(), vltava_net::error_chain(&error));
                tracing::error!(%dir, error, "the next start recovers the logs");
            }
        }
    }

    /// Closes the logs of a directory, some at once; whether all of them could be closed.
    fn close_logs(
        &self,
        dir: &LogDir,
        partitions: &[&Arc<Partition>],
    ) -> Result<bool, vltava_log::checkpoint::CheckpointError> {
        let threads = self.cluster.values().get(keys::NUM_RECOVERY_THREADS_PER_DATA_DIR).max(1);
        let (work, closed) = (Mutex::new(partitions.iter()), Mutex::new(Vec::new()));
        let is_complete = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let Some(partition) = work.lock().next() else { break };
                        match close_log(partition) {
                            Some(position) => {
                                closed.lock().push((partition.name.clone(), position))
                            }
                            None => is_complete.store(false, std::sync::atomic::Ordering::Release),
                        }
                    }
                });
            }
        });
        dir.checkpoint(|| closed.into_inner())?;
        Ok(is_complete.into_inner())
    }
}

/// Closes a partition's log; how far it has come, unless that failed.
fn close_log(partition: &Partition) -> Option<Position> {
    let position = partition.position()?;
    match partition.retire()?.close() {
        Ok(end) => Some(Position { flushed: end, log_end: end, ..position }),
        Err(error) => {
            let error = vltava_net::error_chain(&error);
            tracing::error!(partition = %partition.name, error, "a log was not closed");
            None
        }
    }
}
