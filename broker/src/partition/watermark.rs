//! How far a partition's records are committed: the high watermark.

use vltava_wire::Offset;

/// What decides about a leader's high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The high watermark so far.
    pub current: Offset,
    /// The least offset that the leader and the replicas that it waits for have; `None` while one
    /// of them has not been heard of.
    pub acknowledged: Option<Offset>,
    /// How many members the committed ISR has.
    pub in_sync: usize,
    /// The effective min ISR.
    pub min_in_sync: usize,
}

impl Progress {
    /// The high watermark now. It never goes back, and stands while fewer replicas are in sync
    /// than there must be: else records could be committed that an election may lose (KIP-966).
    pub fn high_watermark(self) -> Offset {
        match self.acknowledged {
            Some(offset) if self.in_sync >= self.min_in_sync => self.current.max(offset),
            _ => self.current,
        }
    }
}

/// How many replicas must be in sync: a topic with fewer replicas than `min.insync.replicas` needs
/// all that it has.
pub fn effective_min_in_sync(min_insync_replicas: i32, replicas: usize) -> usize {
    usize::try_from(min_insync_replicas).unwrap_or(1).clamp(1, replicas.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(current: i64, acknowledged: i64, in_sync: usize) -> Progress {
        Progress {
            current: Offset(current),
            acknowledged: Some(Offset(acknowledged)),
            in_sync,
            min_in_sync: 2,
        }
    }

    #[test]
    fn what_enough_replicas_have_is_committed() {
        assert_eq!(progress(5, 9, 2).high_watermark(), Offset(9));
        assert_eq!(progress(5, 9, 3).high_watermark(), Offset(9));
    }

    #[test]
    fn below_min_isr_nothing_is_committed() {
        assert_eq!(progress(5, 9, 1).high_watermark(), Offset(5));
    }

    #[test]
    fn the_watermark_never_goes_back() {
        assert_eq!(progress(5, 3, 3).high_watermark(), Offset(5));
    }

    #[test]
    fn a_replica_that_was_not_heard_of_holds_it() {
        let silent = Progress { acknowledged: None, ..progress(5, 9, 3) };
        assert_eq!(silent.high_watermark(), Offset(5));
    }

    #[test]
    fn a_topic_with_few_replicas_needs_all_that_it_has() {
        assert_eq!(effective_min_in_sync(2, 1), 1);
        assert_eq!(effective_min_in_sync(2, 3), 2);
        assert_eq!(effective_min_in_sync(1, 3), 1);
        assert_eq!(effective_min_in_sync(5, 3), 3);
        assert_eq!(effective_min_in_sync(-1, 3), 1);
    }
}
