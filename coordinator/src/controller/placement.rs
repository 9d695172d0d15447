//! Where new replicas go: leaders spread over all brokers, replicas over racks (KIP-36, KIP-631).
//!
//! Racks take turns, and so do the brokers within a rack. The first replica, which leads, is on an
//! unfenced broker; fenced ones come last in their rack. Every few partitions the order is
//! shuffled, so that followers of one broker are not always the same.

use std::collections::BTreeMap;

use vltava_metadata::Image;
use vltava_wire::{ErrorCode, NodeId, Str};

use super::Failure;
use super::random::Random;

/// Brokers that take turns.
#[derive(Debug, Default)]
struct Turns {
    brokers: Vec<NodeId>,
    /// Who is first for the present partition.
    offset: usize,
    /// How many were taken for it.
    taken: usize,
}

impl Turns {
    fn next(&mut self) -> Option<NodeId> {
        if self.taken >= self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.offset + self.taken) % self.brokers.len()];
        self.taken += 1;
        Some(broker)
    }

    fn next_partition(&mut self) {
        self.taken = 0;
        self.offset = (self.offset + 1) % self.brokers.len().max(1);
    }
}

/// The brokers of one rack.
#[derive(Debug, Default)]
struct Rack {
    unfenced: Turns,
    fenced: Turns,
}

impl Rack {
    fn next(&mut self) -> Option<NodeId> {
        self.unfenced.next().or_else(|| self.fenced.next())
    }
}

/// Places one partition after the other.
#[derive(Debug)]
pub(super) struct Placement<'a> {
    random: &'a mut Random,
    racks: Vec<Rack>,
    total: usize,
    unfenced: usize,
    /// The rack that is first for the next partition.
    offset: usize,
    /// Partitions since the last shuffle.
    placed: usize,
}

impl<'a> Placement<'a> {
    /// Over the brokers that are registered, do not shut down, and are not cordoned.
    pub(super) fn new(image: &Image, random: &'a mut Random) -> Self {
        let mut racks: BTreeMap<Option<&Str>, Rack> = BTreeMap::new();
        let (mut total, mut unfenced) = (0, 0);
        let usable = image.brokers().filter(|broker| !broker.in_controlled_shutdown);
        for broker in usable.filter(|broker| !image.is_cordoned(broker.id)) {
            let rack = racks.entry(broker.rack.as_ref()).or_default();
            total += 1;
            if broker.fenced {
                rack.fenced.brokers.push(broker.id);
            } else {
                unfenced += 1;
                rack.unfenced.brokers.push(broker.id);
            }
        }
        let racks = racks.into_values().collect();
        let mut placement = Self { random, racks, total, unfenced, offset: 0, placed: 0 };
        placement.shuffle();
        placement
    }

    fn shuffle(&mut self) {
        self.random.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            for turns in [&mut rack.unfenced, &mut rack.fenced] {
                self.random.shuffle(&mut turns.brokers);
                turns.offset = 0;
            }
        }
        self.offset = 0;
        self.placed = 0;
    }

    /// The replicas of the next partition, the preferred leader first.
    ///
    /// # Errors
    /// INVALID_REPLICATION_FACTOR if there are too few brokers, or none that could lead.
    pub(super) fn place(&mut self, replication_factor: usize) -> Result<Vec<NodeId>, Failure> {
        let invalid = |message: String| {
            Failure::new(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                format!(
                    "Unable to replicate the partition {replication_factor} time(s): {message}"
                ),
            )
        };
        if replication_factor > self.total {
            return Err(invalid(format!(
                "The target replication factor of {replication_factor} cannot be reached because \
                 only {} broker(s) are registered.",
                self.total
            )));
        }
        if self.unfenced == 0 {
            return Err(invalid("All brokers are currently fenced.".to_owned()));
        }
        if self.placed == self.unfenced {
            self.shuffle();
        }
        let replicas = self.take(replication_factor);
        self.placed += 1;
        self.offset = (self.offset + 1) % self.racks.len();
        for rack in &mut self.racks {
            rack.unfenced.next_partition();
            rack.fenced.next_partition();
        }
        Ok(replicas)
    }

    /// *Invariant:* a broker of the first rack with an unfenced one leads; then one of each other
    /// rack in turn, and from the start again, until there are enough.
    fn take(&mut self, replication_factor: usize) -> Vec<NodeId> {
        let racks = self.racks.len();
        let mut replicas = Vec::with_capacity(replication_factor.min(self.total));
        let order: Vec<usize> = (0..racks).map(|index| (self.offset + index) % racks).collect();
        let mut leading = None;
        for index in &order {
            if let Some(leader) = self.racks[*index].unfenced.next() {
                replicas.push(leader);
                leading = Some(*index);
                break;
            }
        }
        // The leader's rack has had its turn in the first round.
        let mut first_round = true;
        while replicas.len() < replication_factor {
            for index in &order {
                if replicas.len() == replication_factor {
                    break;
                }
                if first_round && leading == Some(*index) {
                    continue;
                }
                replicas.extend(self.racks[*index].next());
            }
            first_round = false;
        }
        replicas
    }
}
