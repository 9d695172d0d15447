//! Links between nodes: slow, lossy, out of order, doubled, cut in one direction or both.

use std::collections::BTreeSet;

use super::dice::Dice;
use crate::event::RequestId;
use crate::message::{Request, Response};

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Request { id: RequestId, request: Request },
    Response { id: RequestId, response: Response },
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    /// Which process of the sending node; an answer reaches only the process that asked.
    pub(crate) from_incarnation: u64,
    pub(crate) to: usize,
    /// Which process an answer is for.
    pub(crate) to_incarnation: Option<u64>,
    pub(crate) message: Message,
}

/// How good the links are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// The shortest and the longest delay, in µs.
    pub(crate) delay_us: (u64, u64),
    /// Of 1,000 messages, how many are lost.
    pub(crate) loss_permille: u64,
    /// Of 1,000 messages, how many come twice.
    pub(crate) doubled_permille: u64,
    /// Of 1,000 messages, how many come much later than the others.
    pub(crate) late_permille: u64,
}

impl Quality {
    /// A local network on a good day.
    pub(crate) const GOOD: Self =
        Self { delay_us: (100, 1_000), loss_permille: 0, doubled_permille: 0, late_permille: 0 };

    /// Some day.
    pub(crate) fn random(dice: &mut Dice) -> Self {
        let slowest = [1_000, 10_000, 50_000, 300_000][dice.below(4) as usize];
        Self {
            delay_us: (100, slowest),
            loss_permille: [0, 0, 10, 50, 200][dice.below(5) as usize],
            doubled_permille: [0, 0, 20, 100][dice.below(4) as usize],
            late_permille: [0, 0, 10, 50][dice.below(4) as usize],
        }
    }
}

/// The links.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) quality: Quality,
    /// Links that are cut, each in one direction.
    cut: BTreeSet<(usize, usize)>,
}

impl Network {
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, cut: BTreeSet::new() }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    pub(crate) fn cut_both(&mut self, one: usize, other: usize) {
        self.cut(one, other);
        self.cut(other, one);
    }

    pub(crate) fn mend(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// After how many µs a message arrives: never, once or twice.
    pub(crate) fn deliveries(&self, from: usize, to: usize, dice: &mut Dice) -> Vec<u64> {
        let Quality { delay_us, loss_permille, doubled_permille, late_permille } = self.quality;
        if self.is_cut(from, to) || dice.chance(loss_permille) {
            return Vec::new();
        }
        let copies = if dice.chance(doubled_permille) { 2 } else { 1 };
        let delay = |dice: &mut Dice| {
            let late = if dice.chance(late_permille) { dice.below(3_000_000) } else { 0 };
            dice.between(delay_us.0, delay_us.1) + late
        };
        (0..copies).map(|_| delay(dice)).collect()
    }
}
