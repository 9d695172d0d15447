//! The threads that clean compacted logs, one log after the other, the dirtiest first.
//!
//! A log that cannot be cleaned is said so once, counted, and left alone: it goes on serving.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use vltava_config::{Values, keys};
use vltava_log::{CleanError, CleanStats, LogError, OffsetMap, Stopped, SwapOutcome};
use vltava_net::error_chain;

use super::cleaning::Running;
use super::failure::PartitionError;
use super::registry::{Partitions, milliseconds};
use super::replica::Partition;
use super::surroundings::wall_clock_ms;

/// The longest nap of a thread that holds a rate: how soon it sees that it should stop.
const NAP_MAX: Duration = Duration::from_millis(50);

/// A rate so low that a round would never end is taken for this, in bytes a second.
const RATE_MIN: f64 = 1024.0;

/// What is counted of compaction.
#[derive(Clone, Debug, Default)]
pub struct CleanerMetrics {
    /// Rounds that were completed.
    pub rounds: Counter,
    /// Bytes that were read to be copied.
    pub bytes_read: Counter,
    /// Bytes that were kept of them.
    pub bytes_written: Counter,
    /// Logs that could not be cleaned.
    pub failures: Counter,
    /// The share of dirty bytes of the dirtiest log when it was last looked, 0 to 1.
    pub dirtiest: Gauge<f64, AtomicU64>,
}

/// How the threads work; all of it may change while they do.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CleanerConfig {
    threads: usize,
    backoff: Duration,
    bytes_per_second: f64,
    /// Memory for keys, of all threads together.
    memory_bytes: usize,
    load_factor: f64,
}

impl CleanerConfig {
    fn of(values: &Values) -> Self {
        let number = |number: i64| usize::try_from(number).unwrap_or(0);
        let is_enabled = values.get(keys::LOG_CLEANER_ENABLE);
        let threads = number(values.get(keys::LOG_CLEANER_THREADS).into());
        Self {
            threads: if is_enabled { threads } else { 0 },
            backoff: milliseconds(values.get(keys::LOG_CLEANER_BACKOFF_MS)),
            bytes_per_second: values.get(keys::LOG_CLEANER_IO_MAX_BYTES_PER_SECOND),
            memory_bytes: number(values.get(keys::LOG_CLEANER_DEDUPE_BUFFER_SIZE)),
            load_factor: values.get(keys::LOG_CLEANER_IO_BUFFER_LOAD_FACTOR),
        }
    }
}

#[derive(Debug)]
struct Shift {
    config: CleanerConfig,
    /// Whose logs are cleaned, once that has begun.
    partitions: Option<Weak<Partitions>>,
    threads: Vec<JoinHandle<()>>,
    is_over: bool,
    /// Until when the bytes of before are paid for.
    paid_until: Instant,
}

/// The cleaners of a broker.
#[derive(Debug)]
pub struct Cleaner {
    shift: Mutex<Shift>,
    changed: Condvar,
    /// Held while a log is chosen.
    choosing: Mutex<()>,
    /// What is counted.
    pub metrics: CleanerMetrics,
}

impl Cleaner {
    /// Cleaners that have not begun.
    pub(super) fn new(values: &Values) -> Arc<Self> {
        let shift = Shift {
            config: CleanerConfig::of(values),
            partitions: None,
            threads: Vec::new(),
            is_over: false,
            paid_until: Instant::now(),
        };
        Arc::new(Self {
            shift: Mutex::new(shift),
            changed: Condvar::new(),
            choosing: Mutex::new(()),
            metrics: CleanerMetrics::default(),
        })
    }

    /// Begins to clean the logs of these partitions.
    pub(super) fn start(self: &Arc<Self>, partitions: &Arc<Partitions>) {
        self.shift.lock().partitions = Some(Arc::downgrade(partitions));
        self.man();
    }

    /// Takes over what was configured since.
    pub(super) fn configure(self: &Arc<Self>, values: &Values) {
        let config = CleanerConfig::of(values);
        {
            let mut shift = self.shift.lock();
            if shift.config == config {
                return;
            }
            shift.config = config;
        }
        self.changed.notify_all();
        self.man();
    }

    /// Starts threads that are missing; those that are too many end by themselves.
    fn man(self: &Arc<Self>) {
        let mut shift = self.shift.lock();
        let Some(partitions) = shift.partitions.clone() else { return };
        while shift.threads.len() < shift.config.threads && !shift.is_over {
            let (cleaner, partitions) = (Arc::clone(self), partitions.clone());
            let index = shift.threads.len();
            let thread = std::thread::Builder::new().name(format!("cleaner-{index}"));
            match thread.spawn(move || cleaner.work(index, &partitions)) {
                Ok(thread) => shift.threads.push(thread),
                Err(error) => {
                    tracing::error!(%error, "a cleaner cannot be started: logs grow");
                    return;
                }
            }
        }
    }

    /// Ends the rounds that run, and returns once no thread touches a log any more.
    pub(super) fn stop(&self) {
        let threads = {
            let mut shift = self.shift.lock();
            shift.is_over = true;
            std::mem::take(&mut shift.threads)
        };
        self.changed.notify_all();
        for thread in threads {
            // A panic of a thread has been told of.
            let _ = thread.join();
        }
    }

    fn work(self: Arc<Self>, index: usize, partitions: &Weak<Partitions>) {
        loop {
            let has_cleaned = {
                let Some(partitions) = partitions.upgrade() else { return };
                self.is_wanted(index) && self.clean_dirtiest(&partitions.all())
            };
            let mut shift = self.shift.lock();
            if !has_cleaned && !shift.is_over {
                let backoff = match index < shift.config.threads {
                    true => shift.config.backoff,
                    false => Duration::MAX,
                };
                // More than a year is as good as for ever.
                let backoff = backoff.min(Duration::from_secs(366 * 24 * 3600));
                self.changed.wait_for(&mut shift, backoff.max(NAP_MAX));
            }
            if shift.is_over {
                return;
            }
        }
    }

    fn is_wanted(&self, index: usize) -> bool {
        let shift = self.shift.lock();
        !shift.is_over && index < shift.config.threads
    }

    /// Cleans the dirtiest log that is dirty enough; whether there was one.
    pub(super) fn clean_dirtiest(&self, all: &[Arc<Partition>]) -> bool {
        let now_ms = wall_clock_ms();
        let Some((partition, running)) = self.choose(all, now_ms) else { return false };
        let started = Instant::now();
        let outcome = self.clean(partition, now_ms);
        drop(running);
        self.note(partition, started, outcome)
    }

    /// The dirtiest log that is dirty enough; nobody else cleans it while it is `Running`.
    fn choose<'a>(
        &self,
        all: &'a [Arc<Partition>],
        now_ms: i64,
    ) -> Option<(&'a Arc<Partition>, Running<'a>)> {
        let _alone = self.choosing.lock();
        let dirt = |partition: &'a Arc<Partition>| Some((partition, partition.dirt(now_ms)?));
        let mut dirty: Vec<_> = all.iter().filter_map(dirt).collect();
        dirty.sort_by(|a, b| b.1.0.ratio().total_cmp(&a.1.0.ratio()));
        self.metrics.dirtiest.set(dirty.first().map_or(0.0, |(_, (extent, _))| extent.ratio()));
        let due = dirty.iter().filter(|(_, (_, is_due))| *is_due);
        due.map(|(partition, _)| *partition).find_map(|it| Some((it, it.cleaning.begin()?)))
    }

    /// Cleans a log.
    fn clean(&self, partition: &Partition, now_ms: i64) -> Result<CleanStats, CleanError> {
        let Some(mut round) = partition.begin_round(now_ms).map_err(clean_error)? else {
            return Ok(CleanStats::default());
        };
        let CleanerConfig { memory_bytes, threads, load_factor, .. } = self.shift.lock().config;
        let mut map = OffsetMap::new(memory_bytes / threads.max(1), load_factor);
        let pace = &mut |bytes| self.pace(partition, bytes);
        round.map_keys(&mut map, pace)?;
        loop {
            // What is kept is written before the old segments go.
            let room = u64::from(partition.settings().log.segment_bytes);
            if !partition.dir().could_take(room.min(round.extent().total_bytes())) {
                return Err(CleanError::Stopped);
            }
            let Some(cleaned) = round.clean_next(&map, pace)? else { break };
            if partition.swap_in(cleaned).map_err(clean_error)? == SwapOutcome::Stale {
                return Err(CleanError::Stopped);
            }
        }
        partition.note_cleaned(&round)?;
        Ok(round.stats())
    }

    /// Waits until so many bytes more may be read or written.
    fn pace(&self, partition: &Partition, bytes: u64) -> Result<(), Stopped> {
        let paid_until = {
            let mut shift = self.shift.lock();
            let rate = shift.config.bytes_per_second.max(RATE_MIN);
            let cost = Duration::from_secs_f64((bytes as f64 / rate).min(3600.0));
            shift.paid_until = shift.paid_until.max(Instant::now()) + cost;
            shift.paid_until
        };
        loop {
            if partition.cleaning.is_disturbed() || self.shift.lock().is_over {
                return Err(Stopped);
            }
            let owed = paid_until.saturating_duration_since(Instant::now());
            if owed < NAP_MAX / 5 {
                return Ok(());
            }
            std::thread::sleep(owed.min(NAP_MAX));
        }
    }

    /// Tells what became of a round; whether it was one that was worth something.
    fn note(
        &self,
        partition: &Partition,
        started: Instant,
        outcome: Result<CleanStats, CleanError>,
    ) -> bool {
        let error = match outcome {
            Ok(stats) => {
                self.metrics.rounds.inc();
                self.metrics.bytes_read.inc_by(stats.bytes_read);
                self.metrics.bytes_written.inc_by(stats.bytes_written);
                tracing::info!(
                    partition = %partition.name, from = stats.bytes_read, to = stats.bytes_written,
                    segments = stats.segments_before, left = stats.segments_after,
                    ms = started.elapsed().as_millis() as u64, "a log was compacted"
                );
                return stats.bytes_read > 0;
            }
            Err(error) => error,
        };
        // Segments may be deleted while they are read, and so may the whole log be.
        let is_passing = match &error {
            CleanError::Stopped => true,
            CleanError::Log(LogError::Disk(error)) => {
                error.is_full() || error.is_not_found() || has_no_descriptor(&error.source)
            }
            // It has said so where it failed.
            CleanError::Log(LogError::Failed { .. }) => true,
            _ => false,
        };
        if !is_passing && !partition.cleaning.is_disturbed() {
            let reason = error_chain(&error);
            tracing::error!(
                partition = %partition.name, %reason,
                "a log cannot be compacted: it goes on serving, and grows"
            );
            partition.cleaning.give_up(&reason);
            self.metrics.failures.inc();
        }
        false
    }
}

/// Whether the process, or the machine, has as many files open as it may.
fn has_no_descriptor(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// A failure of the replica, as one of its round.
fn clean_error(error: PartitionError) -> CleanError {
    match error {
        PartitionError::Log(error) => match Arc::try_unwrap(error) {
            Ok(error) => error.into(),
            Err(_) => CleanError::Stopped,
        },
        // It is offline, or gone: who made it so has told of it.
        _ => CleanError::Stopped,
    }
}
