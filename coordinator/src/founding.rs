//! Who founds a quorum: a node on an empty folder is a founder only if its folder is older than the
//! quorum.
//!
//! The founders' list gives each founder the directory id by which the others know it. A founder
//! that lost its disk would take that id again, with an empty log, and could help to elect a leader
//! that lacks what it once acknowledged. So a node on an empty folder neither votes nor fetches
//! before it has seen each other founder *fresh*, which is to say in epoch 0: nobody votes in that.
//! Had this node been a voter before, somebody would have voted with it since, and would not be
//! fresh. Who meets a founder that is not, takes a random id and observes, as without the list.
//!
//! Founders ask each other by what a voter without a leader sends anyway, a pre-vote (KIP-996): who
//! asks for one in epoch 0 with an empty log is fresh itself. The one that is asked remembers that,
//! durably, before it answers. So by the time at which a founder has been answered by all, each of
//! them has seen it fresh, and may start to vote later than it, as long as it keeps its folder.
//!
//! *Invariants:* a pure machine; what [`asked`](Founding::asked) says is to be remembered is on
//! disk before it is answered.

mod meeting;

use std::collections::{BTreeMap, BTreeSet};

use vltava_quorum::{ReplicaKey, VoteRequest, VoteResponse};
use vltava_wire::{LeaderEpoch, NodeId, Offset};

pub(crate) use meeting::settle;

/// Another founder.
#[derive(Clone, Copy, Debug)]
struct Other {
    key: ReplicaKey,
    /// Whether it was seen fresh; this is remembered.
    met: bool,
    /// Whether it has seen this node fresh, or has no need to.
    settled: bool,
}

/// What is known so far.
#[derive(Debug)]
pub(crate) struct Founding {
    local: ReplicaKey,
    others: BTreeMap<NodeId, Other>,
    /// A founder that is not fresh, and was not while this folder existed.
    elder: Option<NodeId>,
}

/// What becomes of a node on an empty folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// That is not known yet.
    Waits,
    /// It is the founder that the list names.
    Founds,
    /// It is somebody new: this one voted when its folder did not exist.
    Joins { elder: NodeId },
}

/// What a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A fresh founder asks. If it was not seen before, this is to be remembered first.
    ByFounder { new: bool },
    /// Whatever it is, it is not answered here.
    Otherwise,
}

impl Founding {
    /// A node that has seen `met` fresh.
    pub(crate) fn new(
        local: ReplicaKey,
        others: impl IntoIterator<Item = ReplicaKey>,
        met: &BTreeSet<NodeId>,
    ) -> Self {
        let other = |key: ReplicaKey| Other { key, met: met.contains(&key.id), settled: false };
        let others = others.into_iter().map(|key| (key.id, other(key))).collect();
        Self { local, others, elder: None }
    }

    /// Takes a request in.
    pub(crate) fn asked(&mut self, request: &VoteRequest) -> Asked {
        let log = (request.last_epoch, request.end_offset);
        let is_fresh = request.epoch == LeaderEpoch(0) && log == (LeaderEpoch(0), Offset::ZERO);
        let founder = self.others.get_mut(&request.candidate.id);
        match founder.filter(|founder| founder.key == request.candidate) {
            Some(founder) if is_fresh && request.pre_vote && request.voter == self.local => {
                Asked::ByFounder { new: !std::mem::replace(&mut founder.met, true) }
            }
            Some(_) if request.epoch > LeaderEpoch(0) => {
                self.is_beyond(request.candidate.id);
                Asked::Otherwise
            }
            _ => Asked::Otherwise,
        }
    }

    /// A founder is in an epoch in which one votes. If this node was there before, it needs no more
    /// from this one.
    fn is_beyond(&mut self, founder: NodeId) {
        match self.others.get_mut(&founder) {
            Some(other) if other.met => other.settled = true,
            Some(_) => self.elder = Some(founder),
            None => {}
        }
    }

    /// What a founder is asked.
    pub(crate) fn question(&self, founder: NodeId) -> Option<VoteRequest> {
        let other = self.others.get(&founder)?;
        Some(VoteRequest {
            voter: other.key,
            candidate: self.local,
            epoch: LeaderEpoch(0),
            last_epoch: LeaderEpoch(0),
            end_offset: Offset::ZERO,
            pre_vote: true,
        })
    }

    /// Takes an answer in.
    pub(crate) fn answered(&mut self, by: NodeId, answer: &VoteResponse) {
        let Some(other) = self.others.get_mut(&by) else { return };
        match answer.leader.epoch {
            LeaderEpoch(0) if answer.error.is_ok() => other.settled = true,
            LeaderEpoch(1..) => {
                self.is_beyond(by);
                // The leader may have died since; it votes all the same.
                answer.leader.leader.into_iter().for_each(|leader| self.is_beyond(leader));
            }
            // Another node, or another list.
            _ => {}
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.elder {
            // Once all are settled, nothing that comes later changes that.
            _ if self.awaited().next().is_none() => Verdict::Founds,
            Some(elder) => Verdict::Joins { elder },
            None => Verdict::Waits,
        }
    }

    /// The founders that are waited for.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = NodeId> {
        self.others.values().filter(|other| !other.settled).map(|other| other.key.id)
    }

    /// Those that were seen fresh.
    pub(crate) fn met(&self) -> BTreeSet<NodeId> {
        self.others.values().filter(|other| other.met).map(|other| other.key.id).collect()
    }
}

#[cfg(test)]
mod tests;
