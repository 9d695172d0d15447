//! One node's part in the quorum: the role that it plays, what it knows, and how an event becomes
//! effects. The roles themselves are in the files below this one.
//!
//! *Invariants:* the epoch never goes back; within an epoch the vote and the leader never change;
//! a commit is never taken back. All of it rests on the order of [`Core::finish`]: what persists
//! first, then what is sent, then what is applied.

mod core;
mod election;
mod fetch;
mod follower;
mod leader;
mod membership;
mod observer;
mod resigned;
mod snapshot;
mod voters;

use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::config::{Config, ConfigError};
use crate::effect::{Effect, QuorumState};
use crate::event::{Event, RequestId, Token};
use crate::instant::Instant;
use crate::log_shape::LogShape;
use crate::message::{
    FetchResponse, FetchSnapshotResponse, LeaderInfo, QuorumEpochResponse, Request, Response,
    VoteResponse, VoterChangeResponse,
};
use crate::voter_set::{ReplicaKey, VoterSet};

use self::core::{Core, EPOCH_MAX, Running};
use self::election::Election;
use self::follower::Follower;
use self::leader::Leader;
use self::resigned::Resigned;

/// How many changes of role one event can cause: a lone voter goes from unattached to leader.
const ROLES_PER_EVENT_MAX: u32 = 8;

/// Whether a planted bug is in this machine; never, unless built for the simulator's own test.
macro_rules! planted {
    ($core:expr, $bug:ident) => {{
        #[cfg(feature = "planted")]
        let planted = $core.config.planted == Some($crate::planted::Bug::$bug);
        #[cfg(not(feature = "planted"))]
        let planted = false;
        planted
    }};
}
use planted;

/// What a node does in its epoch.
#[derive(Debug)]
enum Role {
    /// Knows no leader that it could follow. A voter waits until `election_at`.
    Unattached { election_at: Instant },
    /// Asks whether it would be elected (KIP-996).
    Prospective(Election),
    /// Asks to be elected.
    Candidate(Election),
    /// Was elected.
    Leader(Box<Leader>),
    /// Fetches from the leader, as a voter or as an observer.
    Follower(Follower),
    /// Led this epoch, and does so no more.
    Resigned(Resigned),
}

/// The role of a node, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    /// A voter that knows no leader.
    Unattached,
    /// A voter that asks for pre-votes.
    Prospective,
    /// A voter that asks for votes.
    Candidate,
    /// The leader.
    Leader,
    /// A voter that fetches from the leader.
    Follower,
    /// A leader that gave up.
    Resigned,
    /// A node that does not vote.
    Observer,
}

/// What the leader knows of one replica (an entry of DescribeQuorum).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaInfo {
    /// Who it is.
    pub key: ReplicaKey,
    /// The end of its flushed log; `None` if it did not fetch in this epoch.
    pub log_end_offset: Option<Offset>,
    /// When it fetched last, on this node's clock.
    pub last_fetch: Option<Instant>,
    /// When it last had all that the leader had, on this node's clock.
    pub last_caught_up: Option<Instant>,
}

/// What the leader knows of the quorum (DescribeQuorum).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumInfo {
    /// Who leads.
    pub leader: NodeId,
    /// Which epoch.
    pub epoch: LeaderEpoch,
    /// Up to where records are committed; `None` until the leader knows.
    pub high_watermark: Option<Offset>,
    /// Those who vote, the leader among them.
    pub voters: Vec<ReplicaInfo>,
    /// All others that fetch.
    pub observers: Vec<ReplicaInfo>,
}

/// One node's part in the quorum. See the crate's text for how to drive it.
#[derive(Debug)]
pub struct Machine {
    core: Core,
    role: Role,
}

impl Machine {
    /// The machine of a node that has `log` on disk and `state` in its `quorum-state` file.
    /// Its first event is [`Event::Tick`].
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(
        config: Config,
        state: QuorumState,
        log: LogShape,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut core = Core::new(config, state, log, now);
        let election_at = now + core.start_wait();
        let mut machine = Self { core, role: Role::Unattached { election_at } };
        if planted!(machine.core, RestartedLeaderLeads) && machine.core.led_before() {
            machine.become_leader(now, Vec::new());
        }
        Ok(machine)
    }

    /// Takes in one event, and says what is to be done about it, in order.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        if self.core.running == Running::Halted {
            return Vec::new();
        }
        self.handle(event, now);
        self.poll(now);
        let next = self.next_deadline();
        self.core.finish(next)
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            // The driver's timer is spent, even if it rang early.
            Event::Tick => self.core.forget_schedule(),
            Event::Request { token, request } => self.on_request(token, request, now),
            Event::RequestDropped { token } => self.on_request_dropped(token),
            Event::Response { id, response } => self.on_response(id, response, now),
            Event::RequestFailed { id } => self.on_request_failed(id, now),
            Event::ConnectionLost { peer } => self.on_connection_lost(peer, now),
            Event::Propose { proposal, epoch, records } => {
                self.on_propose(proposal, epoch, records)
            }
            Event::Flushed { point } => self.core.flushed(point),
            Event::SnapshotTaken { id } => self.core.snapshot_taken(id),
            Event::LogStartMoved { snapshot } => self.core.log.move_start(snapshot),
            Event::SnapshotInstalled { id, voters } => self.on_snapshot_installed(id, voters),
            Event::SnapshotRejected { id } => self.on_snapshot_rejected(id, now),
            Event::Resign { epoch } => self.on_resign(epoch, now),
            Event::Stop => self.on_stop(now),
        }
    }

    fn on_request(&mut self, token: Token, request: Request, now: Instant) {
        match request {
            Request::Vote(vote) => self.on_vote(token, &vote, now),
            Request::BeginQuorumEpoch(begin) => self.on_begin_epoch(token, begin, now),
            Request::EndQuorumEpoch(end) => self.on_end_epoch(token, &end, now),
            Request::Fetch(fetch) => self.on_fetch(token, fetch, now),
            Request::FetchSnapshot(fetch) => self.on_fetch_snapshot(token, &fetch, now),
            Request::AddVoter(add) => self.on_add_voter(token, add, now),
            Request::RemoveVoter(remove) => self.on_remove_voter(token, &remove, now),
            Request::UpdateVoter(update) => self.on_update_voter(token, update, now),
        }
    }

    fn on_response(&mut self, id: RequestId, response: Response, now: Instant) {
        let granted = matches!(&response, Response::Vote(vote) if vote.granted);
        if !granted || response.leader().epoch > self.core.state.epoch {
            self.observe(response.leader(), now);
        }
        match response {
            Response::Vote(vote) => self.on_ballot(id, &vote, now),
            Response::Fetch(fetch) => self.on_fetched(id, fetch, now),
            Response::FetchSnapshot(fetch) => self.on_snapshot_fetched(id, fetch, now),
            Response::BeginQuorumEpoch(answer) => self.on_begin_answered(id, answer.error, now),
            Response::EndQuorumEpoch(_) => self.on_end_answered(id),
            Response::AddVoter(_) | Response::RemoveVoter(_) | Response::UpdateVoter(_) => {
                self.on_membership_answered(id);
            }
        }
    }

    fn on_request_failed(&mut self, id: RequestId, now: Instant) {
        match &mut self.role {
            Role::Prospective(election) | Role::Candidate(election) => {
                election.failed(id, now + self.core.config.retry_backoff);
            }
            Role::Leader(leader) => leader.begin_failed(id, &self.core, now),
            Role::Follower(_) => self.on_fetch_failed(id, now),
            Role::Resigned(resigned) => resigned.failed(id, now + self.core.config.retry_backoff),
            Role::Unattached { .. } => {}
        }
        self.core.discovery_failed(id);
    }

    /// Learns of an epoch or a leader from somebody else's answer.
    fn observe(&mut self, info: &LeaderInfo, now: Instant) {
        let known = &self.core.state;
        let leader = info.leader.filter(|leader| *leader != self.core.config.local.id);
        if info.epoch < known.epoch || info.epoch > EPOCH_MAX {
            return;
        }
        if info.epoch > known.epoch {
            match leader {
                Some(leader) => {
                    self.become_follower(info.epoch, leader, info.endpoint.clone(), now)
                }
                None => self.become_unattached(info.epoch, now),
            }
            return;
        }
        let Some(leader) = leader else { return };
        match (known.leader, &mut self.role) {
            (Some(known), _) if known != leader => self.core.two_leaders(known, leader),
            (None, _) | (Some(_), Role::Unattached { .. }) => {
                self.become_follower(info.epoch, leader, info.endpoint.clone(), now);
            }
            // Where the leader listens by the voter set may be out of date; what others say is
            // tried while it does not answer.
            (Some(_), Role::Follower(follower)) if follower.hears_leader() => {}
            _ => self.core.learn_leader(leader, info.endpoint.clone()),
        }
    }

    /// Enters an epoch without a known leader, or leaves a role in this one.
    fn become_unattached(&mut self, epoch: LeaderEpoch, now: Instant) {
        self.leave_role(now);
        self.core.enter_epoch(epoch);
        let election_at = now + self.core.election_wait();
        self.role = Role::Unattached { election_at };
    }

    /// Tells those who wait for the leader that it is one no more.
    fn leave_role(&mut self, now: Instant) {
        self.core.role_changes += 1;
        self.core.discovery_soon(now);
        let left = std::mem::replace(&mut self.role, Role::Unattached { election_at: now });
        if let Role::Leader(leader) = left {
            self.core.leading = false;
            leader.abandon(&mut self.core);
        }
    }

    /// Does all that is due.
    fn poll(&mut self, now: Instant) {
        // Whoever made a leader that stops leave its role knows what it wanted to tell.
        if self.core.running == Running::Stopping && !matches!(self.role, Role::Resigned(_)) {
            self.core.stopped();
        }
        for _ in 0..ROLES_PER_EVENT_MAX {
            if matches!(self.core.running, Running::Stopped | Running::Halted) {
                return;
            }
            let before = self.core.role_changes;
            match &self.role {
                Role::Unattached { .. } => self.poll_unattached(now),
                Role::Prospective(_) | Role::Candidate(_) => self.poll_election(now),
                Role::Leader(_) => self.poll_leader(now),
                Role::Follower(_) => self.poll_follower(now),
                Role::Resigned(_) => self.poll_resigned(now),
            }
            if self.core.role_changes == before {
                return;
            }
        }
    }

    fn poll_unattached(&mut self, now: Instant) {
        let Role::Unattached { election_at } = self.role else { return };
        if self.core.may_stand() && now >= election_at {
            self.become_prospective(now);
            return;
        }
        self.core.poll_discovery(now);
    }

    fn next_deadline(&self) -> Option<Instant> {
        if matches!(self.core.running, Running::Stopped | Running::Halted) {
            return None;
        }
        match &self.role {
            Role::Unattached { election_at } => {
                let election_at = self.core.may_stand().then_some(*election_at);
                earliest([election_at, Some(self.core.discovery_deadline())])
            }
            Role::Prospective(election) => {
                earliest([election.next_deadline(), Some(self.core.discovery_deadline())])
            }
            Role::Candidate(election) => election.next_deadline(),
            Role::Leader(leader) => leader.next_deadline(&self.core),
            Role::Follower(follower) => follower.next_deadline(&self.core),
            Role::Resigned(resigned) => resigned.next_deadline(),
        }
    }

    fn on_request_dropped(&mut self, token: Token) {
        if let Role::Leader(leader) = &mut self.role {
            leader.forget(token);
        }
    }

    fn on_stop(&mut self, now: Instant) {
        match self.role {
            Role::Leader(_) => {
                self.core.running = Running::Stopping;
                self.resign(now);
            }
            _ => self.core.stopped(),
        }
    }

    /// Who this node is.
    pub fn local(&self) -> ReplicaKey {
        self.core.config.local
    }

    /// What this node does.
    pub fn role(&self) -> RoleName {
        let voter = self.core.is_voter();
        match self.role {
            Role::Leader(_) => RoleName::Leader,
            Role::Resigned(_) => RoleName::Resigned,
            Role::Prospective(_) => RoleName::Prospective,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Unattached { .. } if voter => RoleName::Unattached,
            Role::Follower(_) if voter => RoleName::Follower,
            Role::Unattached { .. } | Role::Follower(_) => RoleName::Observer,
        }
    }

    /// The epoch, its leader and where it listens, as far as this node knows.
    pub fn leader(&self) -> LeaderInfo {
        self.core.leader_info()
    }

    /// What the `quorum-state` file holds.
    pub fn quorum_state(&self) -> QuorumState {
        self.core.state
    }

    /// Up to where records are committed, as far as this node knows.
    pub fn high_watermark(&self) -> Option<Offset> {
        self.core.high_watermark
    }

    /// The shape of this node's log.
    pub fn log(&self) -> &LogShape {
        &self.core.log
    }

    /// The voters as of the end of this node's log.
    pub fn voters(&self) -> &VoterSet {
        self.core.log.voters()
    }

    /// What DescribeQuorum tells; `None` if this node does not lead.
    pub fn describe(&self, now: Instant) -> Option<QuorumInfo> {
        match &self.role {
            Role::Leader(leader) => Some(leader.describe(&self.core, now)),
            _ => None,
        }
    }
}

/// The first of several moments.
fn earliest(moments: impl IntoIterator<Item = Option<Instant>>) -> Option<Instant> {
    moments.into_iter().flatten().min()
}

/// An answer of one kind that carries an outcome and nothing else.
fn answer(kind: AnswerKind, error: ErrorCode, leader: LeaderInfo) -> Response {
    match kind {
        AnswerKind::Vote => Response::Vote(VoteResponse { error, leader, granted: false }),
        AnswerKind::Begin => Response::BeginQuorumEpoch(QuorumEpochResponse { error, leader }),
        AnswerKind::End => Response::EndQuorumEpoch(QuorumEpochResponse { error, leader }),
        AnswerKind::Fetch => {
            Response::Fetch(FetchResponse { error, leader, ..FetchResponse::default() })
        }
        AnswerKind::FetchSnapshot => Response::FetchSnapshot(FetchSnapshotResponse {
            error,
            leader,
            ..FetchSnapshotResponse::default()
        }),
        AnswerKind::Add => Response::AddVoter(VoterChangeResponse { error, leader }),
        AnswerKind::Remove => Response::RemoveVoter(VoterChangeResponse { error, leader }),
        AnswerKind::Update => Response::UpdateVoter(VoterChangeResponse { error, leader }),
    }
}

/// A request's kind, where only its answer matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerKind {
    Vote,
    Begin,
    End,
    Fetch,
    FetchSnapshot,
    Add,
    Remove,
    Update,
}
