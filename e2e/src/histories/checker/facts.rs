//! What follows from a whole history: where each record is, who saw it, which operations were done.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::histories::history::{Event, Kind, Operation, Step, UNTOLD};

/// A partition and an offset in it.
pub(super) type Place = (i32, i64);

/// The sum of a history.
#[derive(Default)]
pub(super) struct Facts {
    /// Every value that anybody began to send.
    pub(super) begun: HashSet<u64>,
    /// Values of transactions that were aborted.
    pub(super) aborted: HashSet<u64>,
    /// Values that anybody polled.
    pub(super) polled: HashSet<u64>,
    /// Everywhere that a value was acknowledged or polled.
    pub(super) places: HashMap<u64, BTreeSet<Place>>,
    /// Every value that was acknowledged or polled at a place.
    pub(super) values: HashMap<Place, BTreeSet<u64>>,
    /// By partition, the offsets of what is committed and was polled.
    pub(super) visible: BTreeMap<i32, BTreeSet<i64>>,
    /// The highest offset of each partition that anybody polled.
    pub(super) reached: BTreeMap<i32, i64>,
}

impl Facts {
    pub(super) fn of(history: &[Event]) -> Self {
        let mut facts = Self::default();
        for event in history {
            for step in event.operation.steps() {
                facts.take(event, step);
            }
        }
        for (value, places) in &facts.places {
            if facts.polled.contains(value) && !facts.aborted.contains(value) {
                for (partition, offset) in places {
                    facts.visible.entry(*partition).or_default().insert(*offset);
                }
            }
        }
        facts
    }

    fn take(&mut self, event: &Event, step: &Step) {
        match step {
            Step::Send { partition, value, ack } => {
                self.begun.insert(*value);
                if event.kind == Kind::Invoke {
                    return;
                }
                if event.kind == Kind::Fail {
                    self.aborted.insert(*value);
                }
                if let Some(offset) = ack.filter(|offset| *offset != UNTOLD) {
                    self.is_at(*value, (*partition, offset));
                }
            }
            Step::Poll { records, .. } if event.kind != Kind::Invoke => {
                for (partition, offset, value) in records {
                    self.polled.insert(*value);
                    self.is_at(*value, (*partition, *offset));
                    let reached = self.reached.entry(*partition).or_insert(*offset);
                    *reached = (*reached).max(*offset);
                }
            }
            Step::Poll { .. } => {}
        }
    }

    fn is_at(&mut self, value: u64, place: Place) {
        self.places.entry(value).or_default().insert(place);
        self.values.entry(place).or_default().insert(value);
    }

    /// Whether a transaction was committed, as its client was told or as its records show.
    pub(super) fn is_committed(&self, event: &Event) -> bool {
        let is_seen = |step: &Step| match step {
            Step::Send { value, .. } => self.polled.contains(value),
            Step::Poll { .. } => false,
        };
        match event.kind {
            Kind::Ok => true,
            Kind::Info => event.operation.steps().iter().any(is_seen),
            Kind::Invoke | Kind::Fail => false,
        }
    }

    /// Which steps of an operation that ended are in force: all or none of a transaction, what was
    /// acknowledged of others.
    pub(super) fn in_force<'a>(&self, event: &'a Event) -> Vec<&'a Step> {
        let steps = event.operation.steps().iter();
        match &event.operation {
            Operation::Transaction { .. } if self.is_committed(event) => steps.collect(),
            Operation::Plain { .. } if event.kind != Kind::Invoke => {
                let is_acked = |step: &&Step| matches!(step, Step::Send { ack: Some(_), .. });
                steps.filter(is_acked).collect()
            }
            _ => Vec::new(),
        }
    }
}
