//! Scenarios of the ISR machine.

use super::*;

const LAG: Duration = Duration::from_secs(30);

struct Scene {
    isr: Isr,
    start: Instant,
    log: LeaderLog,
}

fn committed(isr: &[i32], partition_epoch: i32) -> Committed {
    Committed { isr: isr.iter().copied().map(NodeId).collect(), partition_epoch }
}

impl Scene {
    /// Broker 1 leads replicas 1, 2, 3 from offset 10 on; its log ends at 100.
    fn new(isr: &[i32]) -> Self {
        let start = Instant::now();
        let replicas = [NodeId(1), NodeId(2), NodeId(3)];
        let isr = Isr::new(
            NodeId(1),
            LeaderEpoch(4),
            Offset(10),
            LAG,
            &replicas,
            committed(isr, 7),
            start,
        );
        let log = LeaderLog { end: Offset(100), high_watermark: Offset(50) };
        Self { isr, start, log }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    fn fetch(&mut self, seconds: u64, node: i32, offset: i64) -> Option<Proposal> {
        self.fetch_as(seconds, node, offset, BrokerEpoch(1000), true)
    }

    fn fetch_as(
        &mut self,
        seconds: u64,
        node: i32,
        offset: i64,
        broker_epoch: BrokerEpoch,
        eligible: bool,
    ) -> Option<Proposal> {
        let (node, offset) = (NodeId(node), Offset(offset));
        let fetch = FollowerFetch { node, offset, log_start: Offset(0), broker_epoch, eligible };
        let now = self.at(seconds);
        self.isr.on(Event::Fetched(fetch), self.log, now)
    }

    fn check(&mut self, seconds: u64) -> Option<Proposal> {
        let now = self.at(seconds);
        self.isr.on(Event::Check, self.log, now)
    }

    fn answer(&mut self, outcome: Outcome) {
        let now = self.at(0);
        assert_eq!(self.isr.on(Event::Answered(outcome), self.log, now), None);
    }

    fn acknowledged(&self, seconds: u64) -> Option<Offset> {
        self.acknowledged_if(seconds, |_| true)
    }

    fn acknowledged_if(&self, seconds: u64, is_active: impl Fn(NodeId) -> bool) -> Option<Offset> {
        let own = LeaderOffsets { end: self.log.end, durable: self.log.end };
        self.isr.acknowledged(own, self.at(seconds), |node, _| is_active(node))
    }
}

fn ids(proposal: &Proposal) -> Vec<i32> {
    proposal.isr.iter().map(|(node, _)| node.get()).collect()
}

#[test]
fn a_follower_that_reaches_the_watermark_is_proposed_and_holds_it_at_once() {
    let mut scene = Scene::new(&[1, 2]);
    scene.fetch(0, 2, 100);
    assert_eq!(scene.acknowledged(0), Some(Offset(100)));

    assert_eq!(scene.fetch(0, 3, 49), None, "below the high watermark");
    let proposal = scene.fetch(0, 3, 60).expect("in sync");
    assert_eq!(ids(&proposal), [1, 2, 3]);
    assert_eq!(proposal.isr[2].1, BrokerEpoch(1000));
    assert_eq!((proposal.leader_epoch, proposal.partition_epoch), (LeaderEpoch(4), 7));
    assert_eq!(scene.isr.members().len(), 2, "not committed yet");
    assert_eq!(scene.isr.maximal_len(), 3);
    assert_eq!(scene.acknowledged(0), Some(Offset(60)));

    assert_eq!(scene.fetch(1, 3, 70), None, "one proposal at a time");
    scene.answer(Outcome::Accepted(committed(&[1, 2, 3], 8)));
    assert_eq!(scene.isr.members(), [NodeId(1), NodeId(2), NodeId(3)]);
    assert_eq!(scene.isr.proposal(), None);
}

#[test]
fn a_follower_below_the_start_of_the_epoch_is_not_in_sync() {
    let mut scene = Scene::new(&[1]);
    scene.log.high_watermark = Offset(5);
    assert_eq!(scene.fetch(0, 2, 9), None);
    assert!(scene.fetch(0, 2, 10).is_some());
}

#[test]
fn a_fenced_follower_or_one_of_an_old_registration_does_not_join() {
    let mut scene = Scene::new(&[1]);
    assert_eq!(scene.fetch_as(0, 2, 100, BrokerEpoch(1), false), None);
    assert_eq!(scene.acknowledged(0), Some(Offset(100)), "and holds nothing back");
}

#[test]
fn who_does_not_keep_up_leaves_once_the_coordinator_has_said_so() {
    let mut scene = Scene::new(&[1, 2, 3]);
    scene.fetch(0, 2, 100);
    scene.fetch(0, 3, 20);
    assert_eq!(scene.check(30), None, "a new leader gives its followers time");
    scene.log.end = Offset(200);
    scene.fetch(29, 2, 200);
    let proposal = scene.check(31).expect("3 lags");
    assert_eq!(ids(&proposal), [1, 2]);
    assert_eq!(scene.acknowledged(31), Some(Offset(20)), "3 still counts");

    scene.answer(Outcome::Accepted(committed(&[1, 2], 8)));
    assert_eq!(scene.acknowledged(31), Some(Offset(200)));
}

#[test]
fn a_follower_that_is_always_one_fetch_behind_keeps_up() {
    let mut scene = Scene::new(&[1, 2]);
    for second in 0..120 {
        scene.log.end = Offset(100 + 10 * second as i64);
        scene.fetch(second, 2, 90 + 10 * second as i64);
        assert_eq!(scene.check(second), None, "second {second}");
    }
}

#[test]
fn an_idle_partition_shrinks_nobody_who_has_it_all() {
    let mut scene = Scene::new(&[1, 2]);
    scene.fetch(0, 2, 100);
    assert_eq!(scene.check(3600), None);
}

#[test]
fn a_member_that_was_not_heard_of_since_the_election_holds_the_watermark() {
    let mut scene = Scene::new(&[1, 2, 3]);
    scene.fetch(0, 2, 100);
    assert_eq!(scene.acknowledged(0), None);
}

#[test]
fn a_rejected_proposal_is_made_again_when_there_is_cause() {
    let mut scene = Scene::new(&[1]);
    scene.fetch(0, 2, 100).expect("in sync");
    scene.answer(Outcome::Rejected);
    assert_eq!(scene.isr.maximal_len(), 1);
    assert!(scene.fetch(1, 2, 100).is_some());
}

#[test]
fn a_superseded_proposal_counts_until_the_metadata_log_is_heard() {
    let mut scene = Scene::new(&[1]);
    scene.fetch(0, 2, 60).expect("in sync");
    scene.answer(Outcome::Superseded);
    assert_eq!(scene.isr.maximal_len(), 2);
    let now = scene.at(1);
    scene.isr.on(Event::Committed(committed(&[1], 6)), scene.log, now);
    assert_eq!(scene.isr.maximal_len(), 2, "old news");
    scene.isr.on(Event::Committed(committed(&[1], 9)), scene.log, now);
    assert_eq!(scene.isr.maximal_len(), 1);
    assert_eq!(scene.isr.partition_epoch(), 9);
}

#[test]
fn a_follower_that_chases_a_moving_end_holds_the_watermark_until_it_has_joined() {
    let mut scene = Scene::new(&[1]);
    scene.log.high_watermark = Offset(100);
    scene.fetch(0, 2, 90);
    assert_eq!(scene.acknowledged(0), Some(Offset(100)), "not caught up yet");
    scene.log = LeaderLog { end: Offset(120), high_watermark: Offset(120) };
    assert_eq!(scene.fetch(1, 2, 100), None, "the watermark ran ahead");
    scene.log.end = Offset(140);
    assert_eq!(scene.acknowledged(1), Some(Offset(100)), "but waits now");
    assert!(scene.fetch(2, 2, 120).is_some());
}

#[test]
fn a_new_process_of_a_follower_starts_with_nothing() {
    let mut scene = Scene::new(&[1]);
    scene.log.high_watermark = Offset(100);
    scene.fetch(0, 2, 99);
    scene.fetch_as(1, 2, 0, BrokerEpoch(2000), true);
    assert_eq!(scene.acknowledged(1), Some(Offset(100)), "an empty disk holds nothing back");
}

#[test]
fn the_low_watermark_waits_for_replicas_that_live() {
    let mut scene = Scene::new(&[1, 2, 3]);
    scene.fetch(0, 2, 100);
    assert_eq!(scene.isr.low_watermark(Offset(30), |_| true), None);
    assert_eq!(scene.isr.low_watermark(Offset(30), |node| node == NodeId(2)), Some(Offset(0)));
    assert_eq!(scene.isr.low_watermark(Offset(30), |_| false), Some(Offset(30)));
}

#[test]
fn a_member_that_is_taken_out_holds_nothing_back_until_it_fetches_again() {
    let mut scene = Scene::new(&[1, 2, 3]);
    scene.fetch(1, 2, 100);
    scene.fetch(1, 3, 100);
    scene.log.end = Offset(120);
    scene.fetch(2, 2, 120);
    let now = scene.at(3);
    assert_eq!(scene.acknowledged(3), Some(Offset(100)), "3 is in sync");
    scene.isr.on(Event::Committed(committed(&[1, 2], 8)), scene.log, now);
    assert_eq!(scene.acknowledged(3), Some(Offset(120)), "3 was fenced");
    scene.fetch(4, 3, 110);
    assert_eq!(scene.acknowledged(4), Some(Offset(110)), "3 is back and catching up");
}

#[test]
fn a_follower_that_dies_before_it_has_joined_holds_nothing_back() {
    let mut scene = Scene::new(&[1, 2]);
    scene.fetch(0, 2, 100);
    scene.log.high_watermark = Offset(101);
    scene.fetch(0, 3, 100);
    scene.log.end = Offset(200);
    scene.fetch(1, 2, 200);
    assert_eq!(scene.acknowledged(1), Some(Offset(100)), "it has caught up");
    assert_eq!(scene.acknowledged_if(1, |node| node != NodeId(3)), Some(Offset(200)));
}
