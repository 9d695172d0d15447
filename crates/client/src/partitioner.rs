//! Which partition a record goes to.
//!
//! A key decides by its murmur2 hash, exactly as Apache Kafka's Java clients do, so that tools
//! and Java applications put a key into the same partition. librdkafka does so only if it is told
//! `partitioner=murmur2_random`: its own default hashes keys by CRC-32 and puts them elsewhere.

use std::collections::HashMap;

use parking_lot::Mutex;
use rand::Rng;

use crate::topic::Topic;

/// Chooses partitions; records without a key stay with one partition for a while, so that they
/// fill a batch (KIP-480).
#[derive(Debug)]
pub(crate) struct Partitioner {
    /// By topic: the present partition, and how many bytes it still gets.
    sticky: Mutex<HashMap<String, (i32, usize)>>,
    /// Bytes that go to one partition before another is chosen.
    stay: usize,
}

impl Partitioner {
    pub(crate) fn new(stay: usize) -> Self {
        Self { sticky: Mutex::default(), stay }
    }

    /// The partition of a record with that key and about so many bytes. `None` if the topic has
    /// no partitions.
    pub(crate) fn choose(&self, topic: &Topic, key: Option<&[u8]>, size: usize) -> Option<i32> {
        let count = i32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)?;
        if let Some(key) = key {
            return Some(partition_of_key(key, count));
        }
        let mut sticky = self.sticky.lock();
        let entry = sticky.get(topic.name.as_str()).copied().filter(|entry| entry.0 < count);
        let (partition, left) = match entry {
            Some((partition, left)) if left > 0 => (partition, left),
            _ => (any_led(topic), self.stay),
        };
        sticky.insert((&topic.name).into(), (partition, left.saturating_sub(size)));
        Some(partition)
    }
}

/// A partition at random, one that has a leader if any has.
fn any_led(topic: &Topic) -> i32 {
    let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
    let led: Vec<i32> = led.map(|partition| partition.index).collect();
    match led.len() {
        0 => rand::rng().random_range(0..topic.partitions.len() as i32),
        count => led[rand::rng().random_range(0..count)],
    }
}

/// The partition of a key among `count`, as Apache Kafka's Java clients choose it (and librdkafka
/// with `partitioner=murmur2_random`).
pub fn partition_of_key(key: &[u8], count: i32) -> i32 {
    (murmur2(key) & i32::MAX as u32) as i32 % count
}

/// MurmurHash2 by Austin Appleby, 32 bits, with the seed that Kafka uses.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Partition;

    /// Values of `org.apache.kafka.common.utils.Utils.murmur2`, as Kafka's own tests list them.
    #[test]
    fn keys_hash_as_in_java() {
        let known: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key) as i32, hash, "{}", String::from_utf8_lossy(key));
        }
    }

    fn topic(partitions: i32) -> Topic {
        let partition = |index| Partition {
            index,
            leader: Some(1),
            leader_epoch: 0,
            replicas: vec![1],
            isr: vec![1],
            offline: Vec::new(),
        };
        Topic {
            name: "orders".into(),
            id: vltava_wire::Uuid::ZERO,
            internal: false,
            partitions: (0..partitions).map(partition).collect(),
        }
    }

    #[test]
    fn records_without_a_key_stay_with_a_partition_for_a_while() {
        let partitioner = Partitioner::new(100);
        let topic = topic(1000);
        let first = partitioner.choose(&topic, None, 60);
        assert_eq!(partitioner.choose(&topic, None, 60), first);
        let others = (0..50).filter(|_| partitioner.choose(&topic, None, 100) != first).count();
        assert!(others > 40, "{others} of 50 went elsewhere");
    }

    #[test]
    fn a_topic_without_partitions_takes_no_record() {
        assert_eq!(Partitioner::new(1).choose(&topic(0), Some(b"key"), 1), None);
    }
}
