//! Producing as fast as it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use vltava_e2e::Outcome;

use crate::client;

/// How long everything that was sent may take to be acknowledged at the end.
const FLUSH_MAX: Duration = Duration::from_secs(300);

/// What is produced.
#[derive(Clone, Copy, Debug)]
pub struct Flood<'a> {
    /// To where.
    pub topic: &'a str,
    /// How many records.
    pub records: u64,
    /// How large each is, in bytes.
    pub size: usize,
    /// Keys go from 0 to this number, if there are any.
    pub keys: Option<u64>,
    /// Whether the records are text that shrinks about four times, or do not shrink at all.
    pub shrinks: bool,
    /// Settings of librdkafka above its stock ones and `acks=all`.
    pub settings: &'a [(&'a str, &'a str)],
}

impl<'a> Flood<'a> {
    /// Records of one KiB that do not shrink, without keys, by stock settings.
    pub fn of_kib(topic: &'a str, bytes: u64) -> Self {
        Self { topic, records: bytes / 1024, size: 1024, keys: None, shrinks: false, settings: &[] }
    }

    /// All bytes of values.
    pub fn bytes(&self) -> f64 {
        self.records as f64 * self.size as f64
    }
}

#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

/// Counts what was acknowledged.
#[derive(Clone, Default)]
struct Counter(Arc<Counts>);

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.0.delivered } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Produces all of it, and returns when the last record was acknowledged.
///
/// # Errors
/// If a record was not acknowledged.
pub fn flood(bootstrap: &str, flood: &Flood<'_>) -> Outcome {
    let counter = Counter::default();
    let producer: ThreadedProducer<Counter> = client::config(bootstrap, &[("acks", "all")])
        .extend(flood.settings)
        .create_with_context(counter.clone())
        .map_err(|error| format!("a producer: {error}"))?;
    let values = Values::new(flood.size, flood.shrinks);
    let mut key = String::new();
    for number in 0..flood.records {
        let mut record = BaseRecord::<str, [u8]>::to(flood.topic).payload(values.get(number));
        if let Some(keys) = flood.keys {
            use std::fmt::Write;
            key.clear();
            let _ = write!(key, "{}", number % keys);
            record = record.key(&key);
        }
        send(&producer, record)?;
    }
    producer.flush(FLUSH_MAX).map_err(|error| format!("flush: {error}"))?;
    let failed = counter.0.failed.load(Ordering::Relaxed);
    let delivered = counter.0.delivered.load(Ordering::Relaxed);
    if failed > 0 || delivered < flood.records {
        return Err(format!("{delivered} records of {} were acknowledged", flood.records));
    }
    Ok(())
}

/// Sends one record, and waits while librdkafka's queue is full.
fn send<'a>(
    producer: &ThreadedProducer<Counter>,
    mut record: BaseRecord<'a, str, [u8]>,
) -> Outcome {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(format!("send: {error}")),
        }
    }
}

/// The same load by several producers at once, each with its share of it.
///
/// # Errors
/// What one of them met.
pub fn flood_by_many(bootstrap: &str, producers: usize, whole: &Flood<'_>) -> Outcome {
    let share = Flood { records: whole.records / producers as u64, ..*whole };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..producers).map(|_| scope.spawn(|| flood(bootstrap, &share))).collect();
        let mut outcome = Ok(());
        for thread in threads {
            outcome = outcome.and(thread.join().map_err(|_| "a producer panicked".to_owned())?);
        }
        outcome
    })
}

/// Values of one size, cut from one buffer at changing places.
pub struct Values {
    buffer: Vec<u8>,
    size: usize,
}

impl Values {
    /// How many different values there are.
    const DIFFERENT: usize = 4096;

    /// Values of that size.
    pub fn new(size: usize, shrinks: bool) -> Self {
        // A linear congruential generator: the same bytes in each run, and on each side.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        let length = size + Self::DIFFERENT;
        let mut buffer = Vec::with_capacity(length);
        while buffer.len() < length {
            if shrinks {
                let field = format!("\"field-{}\":\"value {}\",", next() % 16, next());
                buffer.extend_from_slice(field.as_bytes());
            } else {
                buffer.push(next());
            }
        }
        Self { buffer, size }
    }

    /// The value of a record.
    pub fn get(&self, number: u64) -> &[u8] {
        let at = (number.wrapping_mul(97) % Self::DIFFERENT as u64) as usize;
        &self.buffer[at..at + self.size]
    }
}

/// More settings for a client.
trait Extend {
    fn extend(self, settings: &[(&str, &str)]) -> Self;
}

impl Extend for rdkafka::ClientConfig {
    fn extend(mut self, settings: &[(&str, &str)]) -> Self {
        for (key, value) in settings {
            self.set(*key, *value);
        }
        self
    }
}
