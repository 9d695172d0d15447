//! A steady load of numbered records by librdkafka's idempotent producer.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

/// A record that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acked {
    /// The partition that it went to.
    pub partition: i32,
    /// The offset that the broker said.
    pub offset: i64,
    /// Which producer sent it.
    pub producer: u32,
    /// Its number among that producer's records.
    pub sequence: u64,
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Report {
    /// Every acknowledged record.
    pub acked: Vec<Acked>,
    /// Records that were given up, with the reason of each.
    pub failed: Vec<(u64, String)>,
    /// The longest time between two acknowledgements (or from the start to the first).
    pub longest_gap: Duration,
    /// Errors that ended an idempotent producer for good.
    pub fatal: Vec<String>,
}

/// What the delivery callbacks note.
struct Notes {
    id: u32,
    /// Gets what librdkafka says, where that is asked for.
    log: Option<Mutex<File>>,
    report: Mutex<(Report, Instant)>,
}

impl ClientContext for Notes {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(log) = &self.log {
            let at = started().elapsed().as_secs_f64();
            let mut log = log.lock().expect("no holder panics");
            let _ = writeln!(log, "{at:8.3} {facility}: {message}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let KafkaError::Global(RDKafkaErrorCode::Fatal) = error {
            let mut notes = self.report.lock().expect("no holder panics");
            notes.0.fatal.push(reason.to_owned());
        }
    }
}

impl ProducerContext for Notes {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: Box<u64>) {
        let mut notes = self.report.lock().expect("no holder panics");
        let (report, last) = &mut *notes;
        match result {
            Ok(message) => {
                report.longest_gap = report.longest_gap.max(last.elapsed());
                *last = Instant::now();
                report.acked.push(Acked {
                    partition: message.partition(),
                    offset: message.offset(),
                    producer: self.id,
                    sequence: *sequence,
                });
            }
            Err((error, _)) => report.failed.push((*sequence, error.to_string())),
        }
    }
}

/// A producer in a thread of its own.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
    notes: Arc<Mutex<Option<Arc<Notes>>>>,
}

/// How a load produces.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to begin.
    pub bootstrap: String,
    /// What to write to.
    pub topic: String,
    /// The number of this producer.
    pub id: u32,
    /// Records a second.
    pub rate: u32,
    /// Only into this partition; else librdkafka spreads by its sticky partitioner.
    pub partition: Option<i32>,
    /// Settings of librdkafka above its stock ones and `enable.idempotence`.
    pub settings: Vec<(String, String)>,
    /// Where to write what librdkafka says of its connections and retries.
    pub log: Option<PathBuf>,
}

impl Load {
    /// Starts to produce.
    ///
    /// # Errors
    /// Settings that librdkafka does not take.
    pub fn start(options: Options) -> Result<Self, String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &options.bootstrap).set("enable.idempotence", "true");
        for (key, value) in &options.settings {
            config.set(key, value);
        }
        let mut log = None;
        if let Some(path) = &options.log {
            config.set("debug", "broker,eos,metadata").set_log_level(RDKafkaLogLevel::Debug);
            let file =
                File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
            log = Some(Mutex::new(file));
        }
        let report = Mutex::new((Report::default(), Instant::now()));
        let notes = Notes { id: options.id, log, report };
        let producer: ThreadedProducer<Notes> =
            config.create_with_context(notes).map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, shared) = (Arc::clone(&stop), Arc::new(Mutex::new(None)));
        *shared.lock().expect("no holder panics") = Some(Arc::clone(producer.context()));
        let thread = std::thread::spawn(move || produce(&producer, &options, &stopping));
        Ok(Self { stop, thread, notes: shared })
    }

    /// How many records have been acknowledged so far.
    pub fn acked(&self) -> usize {
        let notes = self.notes.lock().expect("no holder panics");
        let report = notes
            .as_ref()
            .map(|notes| notes.report.lock().expect("no holder panics").0.acked.len());
        report.unwrap_or(0)
    }

    /// Forgets the longest gap so far and begins to measure anew.
    pub fn reset_gap(&self) {
        if let Some(notes) = self.notes.lock().expect("no holder panics").as_ref() {
            let mut report = notes.report.lock().expect("no holder panics");
            report.0.longest_gap = Duration::ZERO;
        }
    }

    /// The longest gap since the start or the last reset, the present one included.
    pub fn longest_gap(&self) -> Duration {
        let notes = self.notes.lock().expect("no holder panics");
        let gap = notes.as_ref().map(|notes| {
            let report = notes.report.lock().expect("no holder panics");
            report.0.longest_gap.max(report.1.elapsed())
        });
        gap.unwrap_or_default()
    }

    /// Stops sending, and waits for nothing.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Stops sending, waits for what is on its way, and reports.
    ///
    /// # Errors
    /// If the thread panicked.
    pub fn finish(self) -> Result<Report, String> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the producer's thread panicked".to_owned())
    }
}

/// Sends so many records at once and waits for them; returns what was acknowledged.
///
/// # Errors
/// The first record that was given up.
pub fn produce_some(
    bootstrap: &str,
    topic: &str,
    id: u32,
    partition: i32,
    count: u64,
    acks: &str,
) -> Result<Vec<Acked>, String> {
    let report = Mutex::new((Report::default(), Instant::now()));
    let notes = Notes { id, log: None, report };
    let producer: ThreadedProducer<Notes> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", acks)
        .set("message.timeout.ms", "30000")
        .create_with_context(notes)
        .map_err(|error| error.to_string())?;
    // Records of one producer are told apart by a number that no other call has given.
    let first = Instant::now().duration_since(*started()).as_micros() as u64;
    for sequence in first..first + count {
        let payload = format!("{id}:{sequence}");
        let record = BaseRecord::<(), str, Box<u64>>::with_opaque_to(topic, Box::new(sequence))
            .partition(partition)
            .payload(payload.as_str());
        producer.send(record).map_err(|(error, _)| format!("{topic}: {error}"))?;
    }
    producer.flush(Duration::from_secs(60)).map_err(|error| format!("{topic}: {error}"))?;
    let mut notes = producer.context().report.lock().expect("no holder panics");
    match notes.0.failed.first() {
        Some((_, reason)) => Err(format!("{topic}: {reason}")),
        None => Ok(std::mem::take(&mut notes.0.acked)),
    }
}

fn started() -> &'static Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    STARTED.get_or_init(Instant::now)
}

fn produce(producer: &ThreadedProducer<Notes>, options: &Options, stop: &AtomicBool) -> Report {
    let start = Instant::now();
    let interval = Duration::from_secs(1) / options.rate;
    let mut sequence = 0u64;
    while !stop.load(Ordering::Acquire) {
        let payload = format!("{}:{sequence}", options.id);
        let mut record =
            BaseRecord::<(), str, Box<u64>>::with_opaque_to(&options.topic, Box::new(sequence))
                .payload(payload.as_str());
        if let Some(partition) = options.partition {
            record = record.partition(partition);
        }
        match producer.send(record) {
            Ok(()) => sequence += 1,
            // The local queue is full while a leader is away: the same number goes again.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                std::thread::sleep(interval.max(Duration::from_millis(1)));
                continue;
            }
            Err((error, _)) => {
                let mut notes = producer.context().report.lock().expect("no holder panics");
                notes.0.failed.push((sequence, error.to_string()));
                sequence += 1;
            }
        }
        let due = start + interval.saturating_mul(u32::try_from(sequence).unwrap_or(u32::MAX));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let flushed = producer.flush(Duration::from_secs(120));
    let mut notes = producer.context().report.lock().expect("no holder panics");
    if let Err(error) = flushed {
        notes.0.failed.push((sequence, format!("flush: {error}")));
    }
    std::mem::take(&mut notes.0)
}
