//! Where a follower cuts its log when it differs from its leader's: by leader epochs, never by
//! the high watermark (KIP-101, KIP-279, KIP-320).

use vltava_wire::{LeaderEpoch, Offset};

/// An epoch, and the offset after its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Where it ends.
    pub end: Offset,
}

/// Where a follower cuts its log, that ends at `own_end`.
///
/// `leader` is the largest epoch of the leader's not above the follower's last one, and `own` the
/// largest of the follower's not above that. Cutting at an epoch that the leader does not have
/// leaves a log that may still differ: the next fetch then says so again.
pub fn truncation(leader: EpochEnd, own: Option<EpochEnd>, own_end: Offset) -> Offset {
    let shared = match own {
        Some(own) if own.epoch == leader.epoch => own.end.min(leader.end),
        // The leader's epoch is unknown here: the one before it is where both may agree.
        Some(own) => own.end,
        None => leader.end,
    };
    shared.min(own_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(epoch: i32, end: i64) -> EpochEnd {
        EpochEnd { epoch: LeaderEpoch(epoch), end: Offset(end) }
    }

    #[test]
    fn both_know_the_epoch_the_shorter_one_counts() {
        assert_eq!(truncation(end(3, 80), Some(end(3, 90)), Offset(100)), Offset(80));
        assert_eq!(truncation(end(3, 95), Some(end(3, 90)), Offset(100)), Offset(90));
    }

    #[test]
    fn the_follower_lacks_the_epoch_and_goes_back_to_the_one_before() {
        assert_eq!(truncation(end(3, 80), Some(end(2, 40)), Offset(100)), Offset(40));
    }

    #[test]
    fn the_follower_knows_no_epoch_so_low() {
        assert_eq!(truncation(end(1, 30), None, Offset(100)), Offset(30));
    }

    #[test]
    fn a_log_is_never_cut_beyond_its_end() {
        assert_eq!(truncation(end(3, 200), Some(end(3, 150)), Offset(100)), Offset(100));
        assert_eq!(truncation(end(1, 200), None, Offset(100)), Offset(100));
    }

    /// KIP-279's case: leaders change fast, and each appends little that nobody else has.
    #[test]
    fn two_logs_that_differ_in_several_epochs_meet_step_by_step() {
        let leader = [(1, 0), (3, 10), (6, 25)];
        let (leader_end, mut own, mut own_end) = (30, vec![(1, 0), (2, 8), (4, 12), (5, 20)], 24);
        let floor = |log: &[(i32, i64)], end: i64, epoch: i32| {
            let at = log.iter().rposition(|&(e, _)| e <= epoch)?;
            let end = log.get(at + 1).map_or(end, |&(_, start)| start);
            Some(EpochEnd { epoch: LeaderEpoch(log[at].0), end: Offset(end) })
        };
        let mut steps = 0;
        loop {
            let last = own.last().expect("an epoch").0;
            let answer = floor(&leader, leader_end, last).expect("the leader knows epoch 1");
            if answer.epoch == LeaderEpoch(last) && answer.end >= Offset(own_end) {
                break;
            }
            let mine = floor(&own, own_end, answer.epoch.get());
            own_end = truncation(answer, mine, Offset(own_end)).get();
            own.retain(|&(_, start)| start < own_end);
            steps += 1;
            assert!(steps < 10, "it ends");
        }
        assert_eq!((own_end, own), (8, vec![(1, 0)]));
    }
}
