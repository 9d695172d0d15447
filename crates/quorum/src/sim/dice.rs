//! Seeded chance: everything that a run leaves to chance is drawn here, in one order.

use crate::jitter::Jitter;

/// The run's only source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Jitter);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // A generator that starts at small seeds gives similar first draws; a step mixes them.
        let mut first = Jitter::new(seed);
        Self(Jitter::new(first.next()))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Whether something happens that does so in `permille` of 1,000 cases.
    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of `items`, or `None` if there are none.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let len = items.len() as u64;
        (len > 0).then(|| items[self.below(len) as usize])
    }
}
