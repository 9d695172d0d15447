//! Leading an epoch: append, answer fetches, move the high watermark, and make sure that a
//! majority still listens (KIP-595, KIP-1166).
//!
//! *Invariants:* the high watermark is what a majority of the voters has *on disk*, this node's
//! own flushed end among them if it votes; and it moves only to an offset of this epoch, since a
//! record of an older epoch that a majority has can still be truncated (Raft, §5.4.2).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use vltava_wire::{ErrorCode, LeaderEpoch, Offset};

use super::core::{Core, InFlight};
use super::voters::VoterChange;
use super::{AnswerKind, Machine, QuorumInfo, ReplicaInfo, Role, earliest, planted};
use crate::effect::{Effect, LogRange};
use crate::event::{ProposalId, RequestId, Token};
use crate::instant::Instant;
use crate::log_shape::Position;
use crate::message::{
    BatchShape, BeginQuorumEpochRequest, ControlRecord, FetchRequest, FetchResponse, Request,
};
use crate::voter_set::{ReplicaKey, Voter};

/// The most replicas beside the voters that a leader keeps note of. A cluster has fewer brokers;
/// ids that somebody makes up push out only those that were idle the longest.
const OBSERVERS_MAX: usize = 4_096;
/// How long a replica that does not vote is kept note of after its last fetch (as Kafka).
const OBSERVER_IDLE_MAX: Duration = Duration::from_secs(300);
/// The most fetches that wait for records at a time; one more is answered at once.
const PARKED_MAX: usize = 4_096;

/// What the leader knows of another replica.
#[derive(Debug)]
pub(super) struct Replica {
    /// The end of its flushed log; `None` until it fetched in this epoch.
    end_offset: Option<Offset>,
    /// When it last asked for anything, or was first expected to.
    contact: Instant,
    last_fetch: Option<Instant>,
    /// The end of the leader's log at the last fetch.
    end_at_last_fetch: Offset,
    pub(super) last_caught_up: Option<Instant>,
    begin: Option<InFlight>,
    begin_at: Instant,
    begin_failures: u32,
}

impl Replica {
    fn new(now: Instant) -> Self {
        Self {
            end_offset: None,
            contact: now,
            last_fetch: None,
            end_at_last_fetch: Offset::ZERO,
            last_caught_up: None,
            begin: None,
            begin_at: now,
            begin_failures: 0,
        }
    }

    fn fetched(&mut self, from: Offset, end: Offset, now: Instant) {
        if from >= end {
            self.last_caught_up = Some(now);
        } else if from >= self.end_at_last_fetch && self.last_fetch.is_some() {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.end_offset = Some(from);
        self.last_fetch = Some(now);
        self.end_at_last_fetch = end;
    }
}

/// A fetch that has nothing to return yet.
#[derive(Debug)]
struct Parked {
    request: FetchRequest,
    until: Instant,
}

/// The leader of an epoch.
#[derive(Debug)]
pub(super) struct Leader {
    epoch_start_offset: Offset,
    /// When it was elected.
    since: Instant,
    pub(super) replicas: BTreeMap<ReplicaKey, Replica>,
    parked: BTreeMap<Token, Parked>,
    pub(super) change: Option<VoterChange>,
}

impl Leader {
    /// Notes that a replica asked for something.
    pub(super) fn touch(&mut self, core: &Core, key: ReplicaKey, now: Instant) -> &mut Replica {
        if !self.replicas.contains_key(&key) {
            self.forget_idle(core, now);
        }
        let replica = self.replicas.entry(key).or_insert_with(|| Replica::new(now));
        replica.contact = now;
        replica
    }

    /// Makes room for one more replica.
    fn forget_idle(&mut self, core: &Core, now: Instant) {
        let voters = core.log.voters();
        self.replicas.retain(|key, replica| {
            voters.contains(*key) || now - replica.contact < OBSERVER_IDLE_MAX
        });
        if self.replicas.len() >= voters.len() + OBSERVERS_MAX {
            let observers = self.replicas.iter().filter(|(key, _)| !voters.contains(**key));
            let idlest = observers.min_by_key(|(_, replica)| replica.contact).map(|(key, _)| *key);
            idlest.and_then(|key| self.replicas.remove(&key));
        }
    }

    /// Forgets a request whose sender is gone.
    pub(super) fn forget(&mut self, token: Token) {
        self.parked.remove(&token);
        if let Some(change) = &mut self.change {
            change.forget(token);
        }
    }

    /// Answers all who wait, as this node leads no more.
    pub(super) fn abandon(self, core: &mut Core) {
        for token in self.parked.into_keys() {
            core.answer(token, AnswerKind::Fetch, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        if let Some(change) = self.change {
            change.answer(core, ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        core.apply(Effect::LostLeadership { epoch: core.state.epoch });
    }

    /// Whether a record of this epoch is committed. Only then does the leader know the high
    /// watermark, and only then may it change the voters (Ongaro's correction of 2015).
    pub(super) fn is_established(&self, core: &Core) -> bool {
        core.high_watermark.is_some_and(|committed| committed > self.epoch_start_offset)
    }

    /// Up to where a majority of the voters has the log on disk.
    fn majority_end(&self, core: &Core) -> Option<Offset> {
        let own = if planted!(core, CommitUnflushed) { core.log.end() } else { core.log.flushed() };
        let voters = core.log.voters();
        let mut ends: Vec<Option<Offset>> = voters
            .keys()
            .map(|key| match self.replicas.get(&key) {
                _ if key == core.config.local => Some(own),
                Some(replica) => replica.end_offset,
                None => None,
            })
            .collect();
        ends.sort_by_key(|end| Reverse(*end));
        let majority = voters.majority() - usize::from(planted!(core, MinorityCommits));
        ends.get(majority.max(1) - 1).copied().flatten()
    }

    fn advance(&self, core: &mut Core) {
        let Some(end) = self.majority_end(core) else { return };
        if end > self.epoch_start_offset || planted!(core, CommitOlderEpoch) {
            core.commit(end);
        }
    }

    /// Answers each waiting fetch that has waited long enough, or has something to return.
    fn answer_parked(&mut self, core: &mut Core, now: Instant) {
        let end = core.log.end();
        let committed = core.high_watermark.filter(|_| self.is_established(core));
        let ready: Vec<Token> = self
            .parked
            .iter()
            .filter(|(_, parked)| {
                let known = parked.request.high_watermark;
                let news = known.is_some_and(|known| committed > Some(known));
                news || parked.request.fetch_offset < end || now >= parked.until
            })
            .map(|(token, _)| *token)
            .collect();
        for token in ready {
            if let Some(parked) = self.parked.remove(&token) {
                self.answer_fetch(core, token, &parked.request);
            }
        }
    }

    fn answer_fetch(&self, core: &mut Core, token: Token, request: &FetchRequest) {
        let response = self.fetch_response(core);
        let FetchRequest { fetch_offset: from, max_bytes, .. } = *request;
        let read = (from < core.log.end()).then_some(LogRange { from, max_bytes });
        core.reply(Effect::RespondFetch { token, response, read });
    }

    fn fetch_response(&self, core: &Core) -> FetchResponse {
        FetchResponse {
            leader: core.leader_info(),
            high_watermark: core.high_watermark.filter(|_| self.is_established(core)),
            log_start_offset: core.log.start(),
            ..FetchResponse::default()
        }
    }

    /// Makes itself known to voters that do not fetch.
    fn announce(&mut self, core: &mut Core, now: Instant) {
        for key in core.peers() {
            let replica = self.replicas.entry(key).or_insert_with(|| Replica::new(now));
            if replica.begin.is_some_and(|in_flight| now >= in_flight.deadline) {
                replica.begin = None;
                replica.begin_at = now;
            }
            let pause = core.config.fetch_timeout / 2;
            if let Some(fetched) = replica.last_fetch.filter(|at| now < *at + pause) {
                replica.begin_at = replica.begin_at.max(fetched + pause);
            }
            if replica.begin.is_some() || now < replica.begin_at {
                continue;
            }
            let Some(to) = core.destination(key.id) else {
                replica.begin_at = now + pause;
                continue;
            };
            let request = Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
                voter: key,
                leader: core.config.local.id,
                epoch: core.state.epoch,
                endpoints: core.config.endpoints.clone(),
            });
            replica.begin = Some(core.send(to, request, Duration::ZERO, now));
        }
    }

    pub(super) fn begin_failed(&mut self, id: RequestId, core: &Core, now: Instant) {
        self.begin_done(id, |replica| {
            let wait = core.retry_wait(replica.begin_failures);
            replica.begin_failures = replica.begin_failures.saturating_add(1);
            replica.begin_at = now + wait;
        });
    }

    fn begin_done(&mut self, id: RequestId, note: impl FnOnce(&mut Replica)) {
        let mut replicas = self.replicas.values_mut();
        let asked = replicas.find(|replica| replica.begin.is_some_and(|begin| begin.is(id)));
        if let Some(replica) = asked {
            replica.begin = None;
            note(replica);
        }
    }

    /// When this leader must resign, unless more voters ask for something before; `None` if it
    /// needs nobody.
    fn quorum_lost_at(&self, core: &Core) -> Option<Instant> {
        let voters = core.log.voters();
        let others = voters.majority() - usize::from(voters.contains(core.config.local));
        let mut contacts: Vec<Instant> = core
            .peers()
            .iter()
            .map(|key| self.replicas.get(key).map_or(self.since, |replica| replica.contact))
            .collect();
        contacts.sort_by_key(|contact| Reverse(*contact));
        let weakest = contacts.get(others.checked_sub(1)?)?;
        Some(*weakest + core.config.fetch_timeout * 3 / 2)
    }

    /// The other voters, the one with the longest log first.
    pub(super) fn successors(&self, core: &Core) -> Vec<ReplicaKey> {
        let mut peers = core.peers();
        let end = |key: &ReplicaKey| self.replicas.get(key).and_then(|replica| replica.end_offset);
        peers.sort_by_key(|key| Reverse(end(key)));
        peers
    }

    pub(super) fn next_deadline(&self, core: &Core) -> Option<Instant> {
        let parked = self.parked.values().map(|parked| Some(parked.until));
        let begins = core.peers().into_iter().map(|key| {
            let replica = self.replicas.get(&key)?;
            Some(replica.begin.map_or(replica.begin_at, |in_flight| in_flight.deadline))
        });
        let change = self.change.as_ref().map(VoterChange::deadline);
        earliest(parked.chain(begins).chain([change, self.quorum_lost_at(core)]))
    }

    pub(super) fn describe(&self, core: &Core, now: Instant) -> QuorumInfo {
        let info = |key: ReplicaKey| {
            let replica = self.replicas.get(&key);
            ReplicaInfo {
                key,
                log_end_offset: replica.and_then(|replica| replica.end_offset),
                last_fetch: replica.and_then(|replica| replica.last_fetch),
                last_caught_up: replica.and_then(|replica| replica.last_caught_up),
            }
        };
        let local = ReplicaInfo {
            key: core.config.local,
            log_end_offset: Some(core.log.end()),
            last_fetch: Some(now),
            last_caught_up: Some(now),
        };
        let voters = core.log.voters();
        let with_local = |key| if key == local.key { local.clone() } else { info(key) };
        let observers = self.replicas.iter().filter(|(key, replica)| {
            !voters.contains(**key) && now - replica.contact < OBSERVER_IDLE_MAX
        });
        QuorumInfo {
            leader: core.config.local.id,
            epoch: core.state.epoch,
            high_watermark: core.high_watermark.filter(|_| self.is_established(core)),
            voters: voters.keys().map(with_local).collect(),
            observers: observers.map(|(key, _)| info(*key)).collect(),
        }
    }
}

impl Core {
    /// Appends a control batch of this node's epoch.
    pub(super) fn append_control(&mut self, records: Vec<ControlRecord>) {
        let voters = records.iter().rev().find_map(|record| match record {
            ControlRecord::Voters(voters) => Some(voters.clone()),
            _ => None,
        });
        let base_offset = self.append_shape(records.len() as i64, voters);
        let epoch = self.state.epoch;
        self.write(Effect::AppendControl { base_offset, epoch, records });
    }

    fn append_shape(&mut self, records: i64, voters: Option<crate::VoterSet>) -> Offset {
        let base_offset = self.log.end();
        let last_offset = base_offset + (records - 1);
        let batch = BatchShape { base_offset, last_offset, epoch: self.state.epoch, voters };
        self.log.append(&batch).expect("a leader's epoch is the highest in its log");
        self.want_flush();
        base_offset
    }
}

impl Machine {
    /// Leads the epoch for which a majority voted.
    pub(super) fn become_leader(&mut self, now: Instant, granting_voters: Vec<ReplicaKey>) {
        self.leave_role(now);
        let core = &mut self.core;
        let local = core.config.local;
        core.state.leader = Some(local.id);
        core.leading = true;
        core.failed_rounds = 0;
        let epoch_start_offset = core.log.end();
        let voters: Vec<ReplicaKey> = core.log.voters().keys().collect();
        self.role = Role::Leader(Box::new(Leader {
            epoch_start_offset,
            since: now,
            replicas: voters
                .iter()
                .filter(|key| **key != local)
                .map(|key| (*key, Replica::new(now)))
                .collect(),
            parked: BTreeMap::new(),
            change: None,
        }));
        let change = ControlRecord::LeaderChange { leader: local.id, voters, granting_voters };
        let mut records = vec![change];
        records.extend(core.founding_records());
        core.append_control(records);
        let epoch = core.state.epoch;
        core.apply(Effect::BecameLeader { epoch, epoch_start_offset });
    }

    /// Puts the records of the driver into the log.
    pub(super) fn on_propose(&mut self, proposal: ProposalId, epoch: LeaderEpoch, records: u32) {
        let error = match &self.role {
            Role::Leader(_) if epoch != self.core.state.epoch => ErrorCode::FENCED_LEADER_EPOCH,
            Role::Leader(_) if records == 0 => ErrorCode::INVALID_REQUEST,
            Role::Leader(_) => ErrorCode::NONE,
            _ => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        };
        if error.is_err() {
            self.core.apply(Effect::ProposalRejected { proposal, error });
            return;
        }
        let base_offset = self.core.append_shape(i64::from(records), None);
        self.core.write(Effect::AppendProposal { proposal, base_offset, epoch, records });
    }

    /// Whether a request that only a leader answers can be answered here.
    pub(super) fn check_leader_request(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        let known = self.core.state.epoch;
        match self.role {
            _ if epoch < known => Err(ErrorCode::FENCED_LEADER_EPOCH),
            _ if epoch > known => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            Role::Leader(_) => Ok(()),
            _ => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        }
    }

    /// Takes in a fetch: its offset tells what the replica has on disk.
    pub(super) fn on_fetch(&mut self, token: Token, request: FetchRequest, now: Instant) {
        let own = request.replica == self.core.config.local;
        let epochs = [request.epoch, request.last_fetched_epoch];
        let negative = request.replica.id.get() < 0
            || request.fetch_offset < Offset::ZERO
            || epochs.iter().any(|epoch| epoch.get() < 0);
        let checked = match own || negative {
            true => Err(ErrorCode::INVALID_REQUEST),
            false => self.check_leader_request(request.epoch),
        };
        if let Err(error) = checked {
            self.core.answer(token, AnswerKind::Fetch, error);
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let core = &mut self.core;
        let from = request.fetch_offset;
        let mut position = core.log.locate(from, request.last_fetched_epoch);
        if planted!(core, SkipDivergenceCheck) && from >= core.log.start() && from <= core.log.end()
        {
            position = Position::Valid;
        }
        let replica = leader.touch(core, request.replica, now);
        let mut response = FetchResponse::default();
        match position {
            Position::Valid => {
                replica.fetched(from, core.log.end(), now);
                leader.park(core, token, request, now);
                return;
            }
            Position::Diverging(end) => response.diverging_epoch = Some(end),
            Position::Snapshot(id) => response.snapshot_id = Some(id),
        }
        let FetchResponse { diverging_epoch, snapshot_id, .. } = response;
        let response =
            FetchResponse { diverging_epoch, snapshot_id, ..leader.fetch_response(core) };
        core.reply(Effect::RespondFetch { token, response, read: None });
    }

    pub(super) fn on_begin_answered(&mut self, id: RequestId, error: ErrorCode, now: Instant) {
        let Role::Leader(leader) = &mut self.role else { return };
        let pause = self.core.config.fetch_timeout / 2;
        let wait = if error.is_ok() { pause } else { self.core.config.fetch_timeout };
        leader.begin_done(id, |replica| {
            replica.begin_failures = 0;
            replica.begin_at = now + wait;
        });
    }

    pub(super) fn poll_leader(&mut self, now: Instant) {
        let Role::Leader(leader) = &mut self.role else { return };
        let core = &mut self.core;
        leader.poll_change(core, now);
        leader.advance(core);
        leader.poll_change(core, now);
        leader.answer_parked(core, now);
        leader.announce(core, now);
        let committed = core.log.voters_offset() < core.high_watermark;
        let removed = !core.log.voters().contains(core.config.local);
        if removed && committed && leader.is_established(core) {
            self.resign(now);
        } else if leader.quorum_lost_at(core).is_some_and(|lost_at| now >= lost_at) {
            self.become_resigned(Vec::new(), now);
        }
    }
}

impl Leader {
    /// Keeps a fetch until there is something to return, or for as long as its sender waits. A
    /// replica waits once: an older fetch of its is answered.
    fn park(&mut self, core: &mut Core, token: Token, request: FetchRequest, now: Instant) {
        let mut parked = self.parked.iter();
        let older = parked.find(|(_, parked)| parked.request.replica == request.replica);
        if let Some(older) = older.map(|(token, _)| *token)
            && let Some(parked) = self.parked.remove(&older)
        {
            self.answer_fetch(core, older, &parked.request);
        }
        let full = self.parked.len() >= PARKED_MAX;
        let wait = if full { 0 } else { u64::from(request.max_wait_ms) };
        let wait = Duration::from_millis(wait).min(core.config.fetch_timeout / 2);
        self.parked.insert(token, Parked { request, until: now + wait });
    }

    /// The voter as the leader would have it in the set.
    pub(super) fn knows(&self, voter: &Voter) -> Option<&Replica> {
        self.replicas.get(&voter.key)
    }
}

impl Replica {
    /// Whether it fetched lately, and then had all that the leader had a short time before.
    pub(super) fn is_caught_up(&self, within: Duration, now: Instant) -> bool {
        let recent = |at: Option<Instant>| at.is_some_and(|at| now - at <= within);
        recent(self.last_fetch) && recent(self.last_caught_up)
    }
}
