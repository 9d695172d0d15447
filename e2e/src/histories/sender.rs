//! What librdkafka's producers are told of each record.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

use super::history::{Step, UNTOLD};

/// A producer that notes its acknowledgements.
pub(super) type Sender = ThreadedProducer<Acks>;

/// Waits until of so many records something has become, and librdkafka has let go of them: a flush
/// of rust-rdkafka that finds something in flight waits 100 ms at once.
pub(super) fn wait_for(sender: &Sender, count: usize, limit: Duration) {
    let start = Instant::now();
    sender.context().wait_for(count, limit);
    while sender.in_flight_count() > 0 && start.elapsed() < limit {
        std::thread::yield_now();
    }
}

/// What became of the records of one operation.
#[derive(Default)]
struct Told {
    /// By value, the offset of what was acknowledged.
    acks: HashMap<u64, i64>,
    /// How many records were acknowledged or given up.
    count: usize,
}

/// What librdkafka says of the records of one operation.
#[derive(Default)]
pub(super) struct Acks {
    told: Mutex<Told>,
    more: Condvar,
}

impl Acks {
    /// Forgets those of the operation before.
    pub(super) fn forget(&self) {
        *self.told.lock().expect("no holder panics") = Told::default();
    }

    /// Waits until so many records were acknowledged or given up, or the time is over.
    fn wait_for(&self, count: usize, limit: Duration) {
        let told = self.told.lock().expect("no holder panics");
        let waits = |told: &mut Told| told.count < count;
        drop(self.more.wait_timeout_while(told, limit, waits).expect("no holder panics"));
    }

    /// Puts them where they belong.
    pub(super) fn fill(&self, steps: &mut [Step]) {
        let told = self.told.lock().expect("no holder panics");
        for step in steps {
            if let Step::Send { value, ack, .. } = step {
                *ack = told.acks.get(value).copied();
            }
        }
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<u64>) {
        let mut told = self.told.lock().expect("no holder panics");
        told.count += 1;
        if let Ok(message) = result {
            told.acks.entry(*value).or_insert(message.offset().max(UNTOLD));
        }
        self.more.notify_all();
    }
}
