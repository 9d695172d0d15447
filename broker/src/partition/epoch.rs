//! Leader epochs in requests: who asks with an old one, or with one that is not known here yet
//! (KIP-320).

use vltava_wire::LeaderEpoch;

/// How the epoch in a request relates to the partition's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochCheck {
    /// The same, or the request names none.
    Current,
    /// The request's is older: who sent it has missed an election. Kafka: `FENCED_LEADER_EPOCH`.
    Fenced,
    /// The request's is newer: this broker has not heard of it. Kafka: `UNKNOWN_LEADER_EPOCH`.
    Unknown,
}

/// Compares a request's epoch, −1 if it names none, with the partition's.
pub fn check_epoch(requested: LeaderEpoch, current: LeaderEpoch) -> EpochCheck {
    if requested == LeaderEpoch::UNKNOWN || requested == current {
        EpochCheck::Current
    } else if requested < current {
        EpochCheck::Fenced
    } else {
        EpochCheck::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_compared_unless_there_is_none() {
        let check = |epoch| check_epoch(LeaderEpoch(epoch), LeaderEpoch(5));
        assert_eq!(check(5), EpochCheck::Current);
        assert_eq!(check(-1), EpochCheck::Current);
        assert_eq!(check(4), EpochCheck::Fenced);
        assert_eq!(check(6), EpochCheck::Unknown);
    }
}
