//! Latencies: of a produce at a steady rate, of one record in flight, of transactions, and from end
//! to end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::Offset;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use vltava_e2e::Outcome;

use crate::produce::Values;
use crate::{client, consume};

/// How long the last records may take.
const FLUSH_MAX: Duration = Duration::from_secs(60);

/// What a latency is measured of: no lingering, so that it is the broker's.
const SETTINGS: &[(&str, &str)] = &[("acks", "all"), ("linger.ms", "0")];

/// Notes how long each record took.
#[derive(Default)]
struct Stopwatch {
    latencies_ms: Mutex<Vec<f64>>,
    failed: Mutex<Option<String>>,
}

impl ClientContext for Stopwatch {}

impl ProducerContext for Stopwatch {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Instant>) {
        let took = sent.elapsed().as_secs_f64() * 1000.0;
        match result {
            Ok(_) => self.latencies_ms.lock().expect("no holder panics").push(took),
            Err((error, _)) => {
                *self.failed.lock().expect("no holder panics") = Some(error.to_string());
            }
        }
    }
}

impl Stopwatch {
    fn read(&self) -> Outcome<Vec<f64>> {
        if let Some(error) = self.failed.lock().expect("no holder panics").take() {
            return Err(format!("a record was not acknowledged: {error}"));
        }
        Ok(std::mem::take(&mut self.latencies_ms.lock().expect("no holder panics")))
    }
}

/// A load of a given rate.
#[derive(Clone, Copy, Debug)]
pub struct Pace<'a> {
    /// To where.
    pub topic: &'a str,
    /// Records a second.
    pub rate: u32,
    /// Bytes of each.
    pub size: usize,
}

/// Produces at a steady rate for that long, or until told to stop; the latencies of all records
/// in ms, from the call that sends one to its acknowledgement.
///
/// # Errors
/// If a record was not acknowledged.
pub fn paced(
    bootstrap: &str,
    pace: Pace<'_>,
    lasts: Duration,
    stop: Option<&AtomicBool>,
) -> Outcome<Vec<f64>> {
    let producer: ThreadedProducer<Stopwatch> = client::config(bootstrap, SETTINGS)
        .create_with_context(Stopwatch::default())
        .map_err(|error| format!("a producer: {error}"))?;
    let values = Values::new(pace.size, false);
    // The first records find out where the leaders are.
    let warm_up = u64::from(pace.rate) / 4;
    let records = (f64::from(pace.rate) * lasts.as_secs_f64()) as u64;
    let start = Instant::now();
    for number in 0..warm_up + records {
        if stop.is_some_and(|stop| stop.load(Ordering::Acquire)) {
            break;
        }
        let due = start + Duration::from_secs_f64(number as f64 / f64::from(pace.rate));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if number == warm_up {
            producer.flush(FLUSH_MAX).map_err(|error| format!("flush: {error}"))?;
            producer.context().read()?;
        }
        let record =
            BaseRecord::<(), [u8], _>::with_opaque_to(pace.topic, Box::new(Instant::now()))
                .payload(values.get(number));
        producer.send(record).map_err(|(error, _)| format!("send: {error}"))?;
    }
    producer.flush(FLUSH_MAX).map_err(|error| format!("flush: {error}"))?;
    producer.context().read()
}

/// Tells the sender that its record was acknowledged, or was not.
struct Bell(Sender<Result<(), KafkaError>>);

impl ClientContext for Bell {}

impl ProducerContext for Bell {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // A sender that has gone wants to hear nothing.
        let _ = self.0.send(outcome);
    }
}

/// One record in flight: the next goes out when the one before was acknowledged.
///
/// # Errors
/// If a record was not acknowledged.
pub fn serial(bootstrap: &str, topic: &str, size: usize, lasts: Duration) -> Outcome<Vec<f64>> {
    let (bell, rung) = mpsc::channel();
    let producer: ThreadedProducer<Bell> = client::config(bootstrap, SETTINGS)
        .create_with_context(Bell(bell))
        .map_err(|error| format!("a producer: {error}"))?;
    let values = Values::new(size, false);
    one_after_another(lasts, |number| {
        let record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(values.get(number));
        producer.send(record).map_err(|(error, _)| format!("send: {error}"))?;
        let acknowledged = rung.recv_timeout(FLUSH_MAX).map_err(|error| error.to_string())?;
        acknowledged.map_err(|error| format!("a record was not acknowledged: {error}"))
    })
}

/// How long each of them takes, in ms, of those that begin one after the other: a tenth of the time
/// warms up, and does not count.
fn one_after_another(
    lasts: Duration,
    mut one: impl FnMut(u64) -> Outcome<()>,
) -> Outcome<Vec<f64>> {
    let mut latencies = Vec::new();
    let warm_up = lasts / 10;
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < lasts + warm_up {
        let begun = Instant::now();
        one(number)?;
        number += 1;
        if start.elapsed() > warm_up {
            latencies.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(latencies)
}

/// One transaction after another of one record each, from its begin to the answer to its commit.
/// Where the markers of the one before are not all written yet, librdkafka waits 20 ms and asks
/// again: that is part of it.
///
/// # Errors
/// If one was not committed.
pub fn transactions(
    bootstrap: &str,
    topic: &str,
    size: usize,
    lasts: Duration,
) -> Outcome<Vec<f64>> {
    let failed = |what: &str, error: KafkaError| format!("{what}: {error}");
    let (bell, rung) = mpsc::channel();
    let producer: ThreadedProducer<Bell> = client::config(bootstrap, SETTINGS)
        .set("transactional.id", topic)
        .create_with_context(Bell(bell))
        .map_err(|error| failed("a producer", error))?;
    producer.init_transactions(FLUSH_MAX).map_err(|error| failed("init", error))?;
    let values = Values::new(size, false);
    one_after_another(lasts, |number| {
        producer.begin_transaction().map_err(|error| failed("begin", error))?;
        let record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(values.get(number));
        producer.send(record).map_err(|(error, _)| failed("send", error))?;
        // A commit flushes first, and a flush of rust-rdkafka that finds something in flight waits
        // 100 ms at once.
        let acknowledged = rung.recv_timeout(FLUSH_MAX).map_err(|error| error.to_string())?;
        acknowledged.map_err(|error| failed("a record was not acknowledged", error))?;
        while producer.in_flight_count() > 0 {
            std::thread::yield_now();
        }
        producer.commit_transaction(FLUSH_MAX).map_err(|error| failed("commit", error))
    })
}

/// From the call that sends a record to the call that receives it, at a steady rate.
///
/// # Errors
/// If records do not come.
pub fn end_to_end(
    bootstrap: &str,
    pace: Pace<'_>,
    partitions: i32,
    lasts: Duration,
) -> Outcome<Vec<f64>> {
    let start = Instant::now();
    // From the beginning, which is the end too, as the topic is new: a consumer that looked for the
    // end only after the first records would wait for others.
    let consumer = consume::consumer(bootstrap, pace.topic, partitions, Offset::Beginning, &[])?;
    // Its fetches wait at the brokers once it has polled for a while.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        consumer.poll(Duration::from_millis(100));
    }
    let warm_up = u64::from(pace.rate) / 4;
    let records = (f64::from(pace.rate) * lasts.as_secs_f64()) as u64;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_stamped(bootstrap, pace, warm_up + records, start));
        let mut latencies = Vec::new();
        for number in 0..warm_up + records {
            let message = match consumer.poll(Duration::from_secs(10)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(format!("consuming: {error}")),
                None => return Err(format!("record {number} does not come")),
            };
            let stamp = message.payload().and_then(|value| value.first_chunk::<8>());
            let sent_ns = u64::from_be_bytes(*stamp.ok_or("a record without its time")?);
            if number >= warm_up {
                let took = start.elapsed().saturating_sub(Duration::from_nanos(sent_ns));
                latencies.push(took.as_secs_f64() * 1000.0);
            }
        }
        sender.join().map_err(|_| "the producer panicked".to_owned())??;
        Ok(latencies)
    })
}

/// Sends records that say when they were sent, in ns since `start`.
fn send_stamped(bootstrap: &str, pace: Pace<'_>, records: u64, start: Instant) -> Outcome {
    let producer: ThreadedProducer<Stopwatch> = client::config(bootstrap, SETTINGS)
        .create_with_context(Stopwatch::default())
        .map_err(|error| format!("a producer: {error}"))?;
    let mut value = vec![0; pace.size];
    let first = Instant::now();
    for number in 0..records {
        let due = first + Duration::from_secs_f64(number as f64 / f64::from(pace.rate));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        value[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
        let record =
            BaseRecord::<(), [u8], _>::with_opaque_to(pace.topic, Box::new(now)).payload(&value);
        producer.send(record).map_err(|(error, _)| format!("send: {error}"))?;
    }
    producer.flush(FLUSH_MAX).map_err(|error| format!("flush: {error}"))?;
    producer.context().read().map(drop)
}
