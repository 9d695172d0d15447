//! Numbers that look random, from a seed: placements and topic ids can be repeated in tests.

use vltava_wire::Uuid;

/// A SplitMix64 generator (Steele, Lea, Flood 2014) over each half of the seed.
#[derive(Clone, Debug)]
pub(super) struct Random {
    high: u64,
    low: u64,
}

impl Random {
    pub(super) fn new(seed: u128) -> Self {
        Self { high: (seed >> 64) as u64, low: seed as u64 }
    }

    fn step(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A topic's id.
    pub(super) fn uuid(&mut self) -> Uuid {
        let bits = u128::from(Self::step(&mut self.high)) << 64;
        Uuid::from_random(bits | u128::from(Self::step(&mut self.low)))
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (Self::step(&mut self.low) % bound as u64) as usize
    }

    /// Puts the items into another order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
