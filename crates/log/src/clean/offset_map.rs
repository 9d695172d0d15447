//! The last offset of each key, in bounded memory.

use std::hash::{BuildHasher, RandomState};

use vltava_wire::Offset;

/// Bytes of a slot: 16 of the key's hash, 8 of its offset.
const SLOT_BYTES: usize = 24;

/// The offset of a slot that is free.
const FREE: i64 = -1;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: i64,
}

/// The last offset of each key, as far as the memory goes.
///
/// Of a key only a hash is kept, as in Kafka. Kafka's is MD5, for which two keys of the same hash
/// can be made on purpose, and one of them then takes the other with it. Here it is 128 bits of
/// SipHash under keys that are drawn anew for each map and never leave it, so that a collision can
/// only come by chance: for 100 million keys, once in 10²² maps.
#[derive(Debug)]
pub struct OffsetMap {
    hashers: [RandomState; 2],
    slots: Vec<Slot>,
    slots_max: usize,
    load_factor: f64,
    /// How many keys may be noted.
    keys_max: usize,
    keys: usize,
    /// All records up to here were noted.
    latest: Offset,
}

impl OffsetMap {
    /// An empty map that takes `bytes` of memory at most (`log.cleaner.dedupe.buffer.size`), of
    /// whose slots a share of `load_factor` (0 to 1) may be used.
    pub fn new(bytes: usize, load_factor: f64) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        let slots_max = (bytes / SLOT_BYTES).max(1);
        let (keys_max, latest) = (0, Offset(-1));
        Self { hashers, slots: Vec::new(), slots_max, load_factor, keys_max, keys: 0, latest }
    }

    /// Forgets all keys, and makes room for `records` of them or for as many as it may hold.
    pub(super) fn start(&mut self, records: u64) {
        let share = self.load_factor.clamp(0.01, 1.0);
        let wanted = (records as f64 / share) as usize + 1;
        let size = wanted.min(self.slots_max);
        self.keys = 0;
        self.latest = Offset(-1);
        // One slot stays free, where a search that finds nothing ends.
        self.keys_max = ((size as f64 * share) as usize).min(size.saturating_sub(1)).max(1);
        let free = Slot { hash: [0; 2], offset: FREE };
        self.slots = vec![free; size.max(self.keys_max + 1)];
    }

    /// Gives the memory back.
    pub fn clear(&mut self) {
        self.slots = Vec::new();
        (self.keys, self.keys_max) = (0, 0);
    }

    /// The share of the slots that are used, 0 to 1.
    pub fn utilization(&self) -> f64 {
        self.keys as f64 / self.slots_max as f64
    }

    /// How many keys it can hold at most.
    pub fn capacity(&self) -> usize {
        self.slots_max
    }

    /// All records up to here were noted; −1 if none was.
    pub(super) fn latest(&self) -> Offset {
        self.latest
    }

    /// Notes that all records up to `offset` were noted.
    pub(super) fn reached(&mut self, offset: Offset) {
        self.latest = self.latest.max(offset);
    }

    fn find(&self, key: &[u8]) -> (usize, [u64; 2]) {
        let hash = [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)];
        // The upper half of a product spreads the hash over any number of slots.
        let size = self.slots.len();
        let mut at = ((u128::from(hash[0]) * size as u128) >> 64) as usize;
        while self.slots[at].offset != FREE && self.slots[at].hash != hash {
            at = if at + 1 == size { 0 } else { at + 1 };
        }
        (at, hash)
    }

    /// Notes the offset of a key, which is larger than those noted before; `false` if the memory
    /// is used up.
    #[must_use]
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let (at, hash) = self.find(key);
        if self.slots[at].offset == FREE {
            if self.keys == self.keys_max {
                return false;
            }
            self.keys += 1;
        }
        self.slots[at] = Slot { hash, offset: offset.0 };
        true
    }

    /// The last offset of a key; `None` if it was not noted.
    pub(super) fn get(&self, key: &[u8]) -> Option<Offset> {
        if self.slots.is_empty() {
            return None;
        }
        let offset = self.slots[self.find(key).0].offset;
        (offset != FREE).then_some(Offset(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offset_of_each_key_is_found() {
        let mut map = OffsetMap::new(1 << 20, 0.9);
        map.start(5000);
        for offset in 0..5000i64 {
            assert!(map.put(&(offset % 700).to_be_bytes(), Offset(offset)));
        }
        for key in 0..700i64 {
            let last = (4999 - key) / 700 * 700 + key;
            assert_eq!(map.get(&key.to_be_bytes()), Some(Offset(last)));
        }
        assert_eq!(map.get(b"another"), None);
        map.start(10);
        assert_eq!(map.get(&1i64.to_be_bytes()), None, "a new round knows nothing of the last one");
    }

    #[test]
    fn memory_is_bounded_and_a_full_map_says_so() {
        let mut map = OffsetMap::new(100 * SLOT_BYTES, 0.9);
        map.start(u64::MAX / 4);
        let taken = (0..200i64).take_while(|key| map.put(&key.to_be_bytes(), Offset(*key))).count();
        assert_eq!((taken, map.slots.len()), (90, 100));
        assert!(map.put(&5i64.to_be_bytes(), Offset(300)), "a key that is known takes no memory");
        assert_eq!(map.get(&5i64.to_be_bytes()), Some(Offset(300)));
    }

    #[test]
    fn the_smallest_map_holds_a_key() {
        let mut map = OffsetMap::new(0, 0.0);
        map.start(10);
        assert!(map.put(b"a", Offset(1)));
        assert!(!map.put(b"b", Offset(2)));
        assert_eq!(map.get(b"b"), None);
    }
}
