//! What follows from a topic's name and its place in the image.

use vltava_metadata::{Image, PartitionRegistration};
use vltava_wire::NodeId;

/// The topic that keeps the groups and their offsets.
pub const GROUP_OFFSETS: &str = "__consumer_offsets";

/// The topic that keeps the transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// The topic that keeps what became of the records of share groups.
pub const SHARE_GROUP_STATE: &str = "__share_group_state";

/// The longest name of a topic, in bytes, so that `NAME-PARTITION` fits into a file name.
pub const NAME_LENGTH_MAX: usize = 249;

/// Whether the brokers themselves write that topic: clients may not, and retention never
/// touches it.
pub fn is_internal(name: &str) -> bool {
    matches!(name, GROUP_OFFSETS | TRANSACTION_STATE | SHARE_GROUP_STATE)
}

/// Whether a topic may have that name: letters, digits, `.`, `_` and `-`; neither `.` nor `..`.
pub fn is_valid_name(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && !matches!(name, "." | "..")
        && name.bytes().all(is_legal)
}

/// Whether a replica's broker is alive, with the log directory that the replica lies in.
pub fn is_replica_online(
    image: &Image,
    partition: &PartitionRegistration,
    replica: NodeId,
) -> bool {
    image.broker(replica).is_some_and(|broker| {
        !broker.fenced && broker.has_online_directory(partition.directory(replica))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_kafka_does() {
        assert!(is_valid_name("orders.eu-1_x"));
        for name in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
            assert!(!is_valid_name(name), "{name:?}");
        }
    }
}
