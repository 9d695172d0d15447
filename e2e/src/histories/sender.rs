//! What librdkafka's producers are told of each record.

use std::collections::HashMap;
use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{ProducerContext, ThreadedProducer};

use super::history::{Step, UNTOLD};

/// A producer that notes its acknowledgements.
pub(super) type Sender = ThreadedProducer<Acks>;

/// The acknowledgements of one operation: by value, the offset.
#[derive(Default)]
pub(super) struct Acks(Mutex<HashMap<u64, i64>>);

impl Acks {
    /// Forgets those of the operation before.
    pub(super) fn forget(&self) {
        self.0.lock().expect("no holder panics").clear();
    }

    /// Puts them where they belong.
    pub(super) fn fill(&self, steps: &mut [Step]) {
        let acks = self.0.lock().expect("no holder panics");
        for step in steps {
            if let Step::Send { value, ack, .. } = step {
                *ack = acks.get(value).copied();
            }
        }
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<u64>) {
        if let Ok(message) = result {
            let offset = message.offset().max(UNTOLD);
            self.0.lock().expect("no holder panics").entry(*value).or_insert(offset);
        }
    }
}
