//! What a node knows in whatever role, and the effects that an event has gathered.

use std::time::Duration;

use vltava_wire::{LeaderEpoch, NodeId, Offset};

use super::{AnswerKind, answer, planted};
use crate::config::Config;
use crate::effect::{Destination, Effect, QuorumState, Violation};
use crate::event::{FlushPoint, RequestId, Token};
use crate::instant::Instant;
use crate::jitter::Jitter;
use crate::log_shape::LogShape;
use crate::message::{LeaderInfo, Request, Response, SnapshotId};
use crate::voter_set::{Endpoint, ReplicaKey};

use super::observer::Discovery;

/// The last epoch that is believed and entered. Whoever says that it is in a later one makes a
/// mistake: nobody could be elected after it.
pub(super) const EPOCH_MAX: LeaderEpoch = LeaderEpoch(i32::MAX - 1);

/// A pause doubles with each failure at most this often.
const BACKOFF_DOUBLINGS_MAX: u32 = 4;

/// A request that was sent and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub(super) id: RequestId,
    pub(super) deadline: Instant,
}

impl InFlight {
    pub(super) fn is(&self, id: RequestId) -> bool {
        self.id == id
    }
}

/// Whether the node still takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    /// A leader that resigns before it stops.
    Stopping,
    Stopped,
    Halted,
}

/// What a node knows in whatever role.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) jitter: Jitter,
    pub(super) state: QuorumState,
    pub(super) log: LogShape,
    pub(super) high_watermark: Option<Offset>,
    /// Where the leader of this epoch said that it listens.
    pub(super) leader_endpoint: Option<Endpoint>,
    pub(super) leading: bool,
    pub(super) running: Running,
    pub(super) role_changes: u64,
    /// Rounds of votes lost in a row.
    pub(super) failed_rounds: u32,
    pub(super) discovery: Discovery,
    /// What is on disk for sure; what the file held at the start may be in the page cache alone.
    persisted: Option<QuorumState>,
    announced: LeaderInfo,
    scheduled: Option<Instant>,
    requests: u64,
    persist: Vec<Effect>,
    send: Vec<Effect>,
    apply: Vec<Effect>,
    flush: bool,
}

impl Core {
    pub(super) fn new(config: Config, state: QuorumState, log: LogShape, now: Instant) -> Self {
        let jitter = Jitter::new(config.seed);
        let high_watermark = log.latest_snapshot().map(|id| id.end_offset);
        let mut core = Self {
            jitter,
            state,
            log,
            high_watermark,
            leader_endpoint: None,
            leading: false,
            running: Running::Yes,
            role_changes: 0,
            failed_rounds: 0,
            discovery: Discovery::new(now),
            persisted: None,
            announced: LeaderInfo::default(),
            scheduled: None,
            requests: 0,
            persist: Vec::new(),
            send: Vec::new(),
            apply: Vec::new(),
            flush: true,
            config,
        };
        #[cfg(feature = "planted")]
        if planted!(core, TrustPageCache) {
            core.log.trust_all();
            core.persisted = Some(state);
        }
        // A crash can leave a log that is newer than the quorum-state file only on a node that
        // never votes; whatever the reason, an epoch that has records has begun.
        let last_epoch = core.log.last_epoch();
        if last_epoch > core.state.epoch {
            core.enter_epoch(last_epoch);
        }
        core
    }

    /// Whether this node votes: id and directory id are in the voter set.
    pub(super) fn is_voter(&self) -> bool {
        self.config.can_vote && self.log.voters().contains(self.config.local)
    }

    /// Whether this node may lead: it votes, or it did so until a change that may not be committed.
    ///
    /// A leader that removed itself may be the only one that has the change in its log. If the
    /// others still need its vote by the set before, nobody but it can be elected (Ongaro's
    /// dissertation, §4.2.2). It resigns once the change is committed.
    pub(super) fn is_electable(&self) -> bool {
        let committed = self.high_watermark.unwrap_or_default();
        let voters = self.log.voters_until(committed);
        self.config.can_vote && voters.into_iter().any(|set| set.contains(self.config.local))
    }

    /// Whether this node may ask for votes.
    pub(super) fn may_stand(&self) -> bool {
        self.is_electable() && self.running == Running::Yes
    }

    /// Whether this node led the epoch that it is in before it was restarted.
    pub(super) fn led_before(&self) -> bool {
        self.state.leader == Some(self.config.local.id)
    }

    /// The voters but for this node.
    pub(super) fn peers(&self) -> Vec<ReplicaKey> {
        self.log.voters().keys().filter(|key| *key != self.config.local).collect()
    }

    /// Where a voter, or the leader, listens.
    pub(super) fn destination(&self, node: NodeId) -> Option<Destination> {
        let told = self.leader_endpoint.as_ref().filter(|_| self.state.leader == Some(node));
        let voter = self.log.voters().get(node);
        let listed = voter.and_then(|voter| voter.endpoint(&self.config.listener_name));
        let endpoint = told.or(listed)?.clone();
        Some(Destination { node: Some(node), endpoint })
    }

    /// What answers say of the leader. A node that led this epoch before it resigned or was
    /// restarted does not name itself.
    pub(super) fn leader_info(&self) -> LeaderInfo {
        let local = self.config.local.id;
        let leader = self.state.leader.filter(|leader| *leader != local || self.leading);
        let endpoint = match leader {
            Some(leader) if leader == local => {
                let name = &self.config.listener_name;
                let named = self.config.endpoints.iter().find(|own| own.name == *name.as_str());
                named.or(self.config.endpoints.first()).cloned()
            }
            Some(leader) => self.destination(leader).map(|destination| destination.endpoint),
            None => None,
        };
        LeaderInfo { epoch: self.state.epoch, leader, endpoint }
    }

    /// Moves on to an epoch; stays in the one that it is in.
    pub(super) fn enter_epoch(&mut self, epoch: LeaderEpoch) {
        if epoch > self.state.epoch {
            self.state = QuorumState { epoch, leader: None, voted: None };
            self.leader_endpoint = None;
        }
    }

    /// Notes who leads the epoch, and where it listens if that was said.
    pub(super) fn learn_leader(&mut self, leader: NodeId, endpoint: Option<Endpoint>) {
        self.state.leader = Some(leader);
        if endpoint.is_some() {
            self.leader_endpoint = endpoint;
        }
    }

    pub(super) fn two_leaders(&mut self, known: NodeId, other: NodeId) {
        self.halt(Violation::TwoLeaders { epoch: self.state.epoch, known, other });
    }

    pub(super) fn halt(&mut self, violation: Violation) {
        self.running = Running::Halted;
        self.persist.clear();
        self.send.clear();
        self.apply = vec![Effect::Halt(violation)];
    }

    pub(super) fn stopped(&mut self) {
        if self.running != Running::Stopped {
            self.running = Running::Stopped;
            self.apply(Effect::Stopped);
        }
    }

    /// How long a voter that just started waits: not at all if nobody could compete with it.
    pub(super) fn start_wait(&mut self) -> Duration {
        let alone = self.log.voters().len() == 1;
        let most = if alone { Duration::ZERO } else { self.config.start_jitter };
        self.jitter.between(Duration::ZERO, most)
    }

    /// How long to wait for a leader, a majority of votes or a new candidate.
    pub(super) fn election_wait(&mut self) -> Duration {
        self.config.election_timeout
            + self.jitter.between(Duration::ZERO, self.config.election_jitter.1)
    }

    /// How long to hear nothing from a leader before looking for another.
    pub(super) fn fetch_wait(&mut self) -> Duration {
        self.config.fetch_timeout
            + self.jitter.between(Duration::ZERO, self.config.election_jitter.1)
    }

    /// A short random wait, so that not all ask for votes at once.
    pub(super) fn short_wait(&mut self) -> Duration {
        let (least, most) = self.config.election_jitter;
        self.jitter.between(least, most)
    }

    /// A random wait that doubles with every round of votes that was lost.
    pub(super) fn round_wait(&mut self) -> Duration {
        let doublings = self.failed_rounds.min(BACKOFF_DOUBLINGS_MAX);
        let (least, most) = self.config.election_jitter;
        let most = (most * 2u32.pow(doublings)).min(self.config.election_timeout.max(most));
        self.jitter.between(least, most)
    }

    /// The pause after `failures` failures of one request in a row.
    pub(super) fn retry_wait(&self, failures: u32) -> Duration {
        self.config.retry_backoff * 2u32.pow(failures.min(BACKOFF_DOUBLINGS_MAX))
    }

    /// Sends a request; `extra` is how long its receiver may keep it on purpose.
    pub(super) fn send(
        &mut self,
        to: Destination,
        request: Request,
        extra: Duration,
        now: Instant,
    ) -> InFlight {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.send.push(Effect::Send { id, to, request });
        InFlight { id, deadline: now + self.config.request_timeout + extra }
    }

    pub(super) fn respond(&mut self, token: Token, response: Response) {
        self.send.push(Effect::Respond { token, response });
    }

    /// Answers with an outcome and what this node knows of the leader.
    pub(super) fn answer(&mut self, token: Token, kind: AnswerKind, error: vltava_wire::ErrorCode) {
        let response = answer(kind, error, self.leader_info());
        self.respond(token, response);
    }

    /// Queues an effect that answers, but not by [`Effect::Respond`].
    pub(super) fn reply(&mut self, effect: Effect) {
        self.send.push(effect);
    }

    pub(super) fn write(&mut self, effect: Effect) {
        self.persist.push(effect);
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        self.apply.push(effect);
    }

    /// Wants the log on disk, as it is at the end of this event.
    pub(super) fn want_flush(&mut self) {
        self.flush = true;
    }

    pub(super) fn flushed(&mut self, point: FlushPoint) {
        #[cfg(feature = "planted")]
        if planted!(self, StaleFlush) {
            self.log.flushed_whenever(point);
            return;
        }
        self.log.flushed_to(point);
    }

    /// Moves the high watermark forward; it never goes back.
    pub(super) fn commit(&mut self, high_watermark: Offset) {
        if self.high_watermark.is_none_or(|known| known < high_watermark) {
            self.high_watermark = Some(high_watermark);
            self.apply(Effect::Committed { high_watermark });
        }
    }

    /// Cuts the log at `to`, unless that would lose what is committed.
    pub(super) fn truncate(&mut self, to: Offset) {
        let committed = self.high_watermark.unwrap_or_default().max(self.log.start());
        if to < committed {
            self.halt(Violation::TruncateCommitted { to, high_watermark: committed });
            return;
        }
        self.cut(to);
    }

    fn cut(&mut self, to: Offset) {
        #[cfg(feature = "planted")]
        if planted!(self, KeepTruncatedVoters) {
            self.log.truncate_keeping_voters(to);
            self.write(Effect::Truncate { to });
            return;
        }
        self.log.truncate(to);
        self.write(Effect::Truncate { to });
    }

    /// Cuts the log at the high watermark, as Kafka did before KIP-101.
    #[cfg(feature = "planted")]
    pub(super) fn truncate_to_high_watermark(&mut self) {
        let to = self.high_watermark.unwrap_or_default().max(self.log.start());
        if to < self.log.end() {
            self.cut(to);
        }
    }

    pub(super) fn snapshot_taken(&mut self, id: SnapshotId) {
        if self.high_watermark.is_some_and(|committed| id.end_offset <= committed) {
            self.log.snapshot_taken(id);
        }
    }

    /// Has the next deadline told to the driver again.
    pub(super) fn forget_schedule(&mut self) {
        self.scheduled = None;
    }

    /// The effects of one event, in the order in which they are to be carried out.
    pub(super) fn finish(&mut self, next: Option<Instant>) -> Vec<Effect> {
        let mut effects = Vec::with_capacity(self.persist.len() + self.send.len() + 4);
        if self.running == Running::Halted {
            return std::mem::take(&mut self.apply);
        }
        if self.persisted != Some(self.state) {
            let forget = planted!(self, VoteWithoutPersisting) && self.state.leader.is_none();
            if !forget {
                effects.push(Effect::PersistQuorumState(self.state));
                self.persisted = Some(self.state);
            }
        }
        effects.append(&mut self.persist);
        if std::mem::take(&mut self.flush) && self.log.flushed() < self.log.end() {
            effects.push(Effect::Flush(self.log.flush_point()));
        }
        effects.append(&mut self.send);
        let leader = self.leader_info();
        if leader != self.announced {
            self.announced = leader.clone();
            effects.push(Effect::LeaderChanged(leader));
        }
        effects.append(&mut self.apply);
        if let Some(at) = next.filter(|at| Some(*at) != self.scheduled) {
            effects.push(Effect::ScheduleTick(at));
        }
        self.scheduled = next;
        effects
    }
}
