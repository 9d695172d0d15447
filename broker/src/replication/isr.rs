//! Which followers are in sync, as the leader of a partition sees it: a pure machine (KIP-497).
//!
//! A change of the in-sync replicas (ISR) is proposed to the active coordinator and counts once
//! that has committed it. Until then the *maximal* ISR holds the high watermark back: what was
//! committed, and who is about to join. So a record is never acknowledged by fewer replicas than
//! any ISR that may be in force has.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vltava_wire::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

/// What the leader's own log looks like at the moment of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderLog {
    /// The offset after the log's last record.
    pub end: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
}

/// A follower's fetch, as far as replication is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The follower.
    pub node: NodeId,
    /// The offset that it asks for: it has, durably, all before it.
    pub offset: Offset,
    /// Where its log starts.
    pub log_start: Offset,
    /// The epoch of its registration; −1 if it does not say.
    pub broker_epoch: BrokerEpoch,
    /// Whether that registration is the current one and neither fenced nor shutting down
    /// (KIP-841, KIP-903).
    pub eligible: bool,
}

/// What happens to a leader's view of its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A follower fetched.
    Fetched(FollowerFetch),
    /// Time went by: who has not kept up leaves.
    Check,
    /// The metadata log says what the ISR is.
    Committed(Committed),
    /// The coordinator answered the proposal.
    Answered(Outcome),
}

/// An ISR that the coordinator has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its members, the leader among them.
    pub isr: Vec<NodeId>,
    /// How often the partition was changed; a lower one is older news.
    pub partition_epoch: i32,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This is committed now.
    Accepted(Committed),
    /// The coordinator did not do it and never will: propose again when there is cause.
    Rejected,
    /// The coordinator knows something newer, which the metadata log will tell.
    Superseded,
}

/// A new ISR for the coordinator to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The members, each with the registration that fetched; −1 where that is not known.
    pub isr: Vec<(NodeId, BrokerEpoch)>,
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch that the proposal builds upon.
    pub partition_epoch: i32,
}

/// What the leader knows of a follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Follower {
    /// None until the follower has fetched in this leader epoch.
    offset: Option<Offset>,
    log_start: Option<Offset>,
    broker_epoch: Option<BrokerEpoch>,
    /// Whether its registration was current when it last fetched.
    eligible: bool,
    /// The leader's log end when the follower last fetched, and when that was: a follower that
    /// now asks for that offset had caught up then.
    last_fetch: Option<(Offset, Instant)>,
    caught_up: Option<Instant>,
}

impl Follower {
    fn is_caught_up(&self, leader_end: Offset, now: Instant, lag_max: Duration) -> bool {
        self.offset == Some(leader_end)
            || self.caught_up.is_some_and(|at| now.saturating_duration_since(at) <= lag_max)
    }

    fn fetched(&mut self, fetch: &FollowerFetch, leader_end: Offset, now: Instant) {
        if self.broker_epoch.is_some_and(|epoch| epoch != fetch.broker_epoch) {
            // A new process: that the old one had caught up says nothing about this one.
            *self = Self::default();
        }
        if fetch.offset >= leader_end {
            self.caught_up = Some(now);
        } else if let Some((end, at)) = self.last_fetch
            && fetch.offset >= end
        {
            self.caught_up = self.caught_up.max(Some(at));
        }
        let end = self.last_fetch.map_or(leader_end, |(end, _)| end.max(leader_end));
        self.last_fetch = Some((end, now));
        self.offset = Some(fetch.offset);
        self.log_start = Some(fetch.log_start);
        self.broker_epoch = Some(fetch.broker_epoch);
        self.eligible = fetch.eligible;
    }
}

/// What is proposed and not yet committed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pending {
    Expand(NodeId),
    Shrink(Vec<NodeId>),
}

/// The replicas of one partition, as its leader sees them in one leader epoch.
#[derive(Clone, Debug)]
pub struct Isr {
    me: NodeId,
    leader_epoch: LeaderEpoch,
    /// The leader's log end when its epoch began: who has less may lack committed records.
    epoch_start: Offset,
    lag_max: Duration,
    committed: Committed,
    pending: Option<Pending>,
    followers: BTreeMap<NodeId, Follower>,
}

impl Isr {
    /// The view of a leader that was just elected. Members of the ISR count as caught up now, so
    /// that they have `lag_max` to show it.
    pub fn new(
        me: NodeId,
        leader_epoch: LeaderEpoch,
        epoch_start: Offset,
        lag_max: Duration,
        replicas: &[NodeId],
        committed: Committed,
        now: Instant,
    ) -> Self {
        let mut isr = Self {
            me,
            leader_epoch,
            epoch_start,
            lag_max,
            committed,
            pending: None,
            followers: BTreeMap::new(),
        };
        isr.assign(replicas, now);
        isr
    }

    /// Takes over the assigned replicas: new ones are followers of whom nothing is known yet.
    pub fn assign(&mut self, replicas: &[NodeId], now: Instant) {
        self.followers.retain(|node, _| replicas.contains(node));
        for &node in replicas.iter().filter(|&&node| node != self.me) {
            let in_sync = self.committed.isr.contains(&node);
            self.followers.entry(node).or_insert_with(|| Follower {
                caught_up: in_sync.then_some(now),
                ..Follower::default()
            });
        }
    }

    /// Handles an event; the proposal, if there is one, is to be sent to the coordinator.
    pub fn on(&mut self, event: Event, log: LeaderLog, now: Instant) -> Option<Proposal> {
        match event {
            Event::Fetched(fetch) => self.on_fetch(&fetch, log, now),
            Event::Check => self.on_check(log, now),
            Event::Committed(committed) => self.on_committed(committed),
            Event::Answered(Outcome::Accepted(committed)) => {
                if committed == self.committed {
                    // The coordinator found nothing to change. (The metadata log saying the same
                    // again is no answer: what is pending may still be committed.)
                    self.pending = None;
                }
                self.on_committed(committed)
            }
            Event::Answered(Outcome::Rejected) => {
                self.pending = None;
                None
            }
            // What is pending may have been committed: it counts until the metadata log is heard.
            Event::Answered(Outcome::Superseded) => None,
        }
    }

    fn on_fetch(
        &mut self,
        fetch: &FollowerFetch,
        log: LeaderLog,
        now: Instant,
    ) -> Option<Proposal> {
        let follower = self.followers.get_mut(&fetch.node)?;
        follower.fetched(fetch, log.end, now);
        let in_sync = fetch.offset >= log.high_watermark && fetch.offset >= self.epoch_start;
        let joins = in_sync && fetch.eligible && !self.committed.isr.contains(&fetch.node);
        if !joins || self.pending.is_some() {
            return None;
        }
        self.pending = Some(Pending::Expand(fetch.node));
        self.proposal()
    }

    fn on_check(&mut self, log: LeaderLog, now: Instant) -> Option<Proposal> {
        if self.pending.is_some() {
            return None;
        }
        let lags = |node: &NodeId| {
            let follower = self.followers.get(node);
            !follower.is_some_and(|it| it.is_caught_up(log.end, now, self.lag_max))
        };
        let members = self.committed.isr.iter().filter(|&&node| node != self.me);
        let out: Vec<_> = members.filter(|node| lags(node)).copied().collect();
        if out.is_empty() {
            return None;
        }
        self.pending = Some(Pending::Shrink(out));
        self.proposal()
    }

    fn on_committed(&mut self, committed: Committed) -> Option<Proposal> {
        if committed.partition_epoch > self.committed.partition_epoch {
            let before = std::mem::replace(&mut self.committed, committed);
            self.pending = None;
            // Who was taken out (fenced, most often: dead) holds nothing back until it fetches
            // again, however recently it had caught up.
            for node in before.isr.iter().filter(|node| !self.committed.isr.contains(node)) {
                if let Some(follower) = self.followers.get_mut(node) {
                    follower.eligible = false;
                }
            }
        }
        None
    }

    /// The proposal that waits for an answer; what is sent again after a failure.
    pub fn proposal(&self) -> Option<Proposal> {
        let mut isr = self.committed.isr.clone();
        match self.pending.as_ref()? {
            Pending::Expand(node) => isr.push(*node),
            Pending::Shrink(out) => isr.retain(|node| !out.contains(node)),
        }
        let epoch = |node| {
            let follower = self.followers.get(&node);
            let epoch = follower.and_then(|it| it.broker_epoch).unwrap_or(BrokerEpoch(-1));
            (node, epoch)
        };
        Some(Proposal {
            isr: isr.into_iter().map(epoch).collect(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.committed.partition_epoch,
        })
    }

    /// The committed members.
    pub fn members(&self) -> &[NodeId] {
        &self.committed.isr
    }

    /// The committed followers that have the record of that offset, or are the next to have it,
    /// each with the end of its log. Who is not in sync may lag for ever, and is none.
    pub fn followers_at(&self, offset: Offset) -> Vec<(NodeId, Offset)> {
        let members = self.members().iter();
        members
            .filter_map(|node| {
                let follower = self.followers.get(node)?;
                let (end, start) = (follower.offset?, follower.log_start?);
                (start <= offset && offset <= end).then_some((*node, end))
            })
            .collect()
    }

    /// The partition epoch of the committed members.
    pub fn partition_epoch(&self) -> i32 {
        self.committed.partition_epoch
    }

    /// How many members the maximal ISR has: the committed ones and who is about to join.
    pub fn maximal_len(&self) -> usize {
        self.committed.isr.len() + usize::from(matches!(self.pending, Some(Pending::Expand(_))))
    }

    /// How many replicas are assigned, the leader included.
    pub fn replicas(&self) -> usize {
        self.followers.len() + 1
    }

    /// The least offset that a follower which the high watermark waits for has; `own` is the
    /// leader's. `None` if one has not fetched yet.
    ///
    /// The watermark waits for the maximal ISR, and for a follower that has caught up and may
    /// join, as `is_active` says of its registration now: else it could run ahead of that
    /// follower for ever.
    pub fn acknowledged(
        &self,
        own: LeaderOffsets,
        now: Instant,
        is_active: impl Fn(NodeId, BrokerEpoch) -> bool,
    ) -> Option<Offset> {
        let mut least = own.durable;
        for (node, follower) in &self.followers {
            let member =
                self.committed.isr.contains(node) || self.pending == Some(Pending::Expand(*node));
            let joins = || {
                follower.eligible
                    && follower.is_caught_up(own.end, now, self.lag_max)
                    && follower.broker_epoch.is_some_and(|epoch| is_active(*node, epoch))
            };
            if member || joins() {
                least = least.min(follower.offset?);
            }
        }
        Some(least)
    }

    /// The least log start of the replicas for which `is_alive`, beginning with the leader's own;
    /// `None` if one has not told its own yet (KIP-107).
    pub fn low_watermark(&self, own: Offset, is_alive: impl Fn(NodeId) -> bool) -> Option<Offset> {
        let mut alive = self.followers.iter().filter(|(node, _)| is_alive(**node));
        alive.try_fold(own, |least, (_, follower)| Some(least.min(follower.log_start?)))
    }

    /// Whether a broker is one of the partition's replicas.
    pub fn is_replica(&self, node: NodeId) -> bool {
        node == self.me || self.followers.contains_key(&node)
    }
}

/// How far the leader's own log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderOffsets {
    /// The offset after the last record.
    pub end: Offset,
    /// The offset that the leader vouches for: what it has flushed, or its end where the topic
    /// does not flush.
    pub durable: Offset,
}

#[cfg(test)]
#[path = "isr/tests.rs"]
mod tests;
