//! A follower's side of replication: fetch, append, flush, fetch again (KIP-595).
//!
//! *Invariant:* the offset of a fetch acknowledges all before it, so a fetch waits until all of
//! the log is on disk. Truncation follows the leader's epochs, never the high watermark.

use std::time::Duration;

use vltava_wire::{ErrorCode, Offset};

use super::core::Core;
use super::follower::{Fetching, Follower};
use super::snapshot::SnapshotFetch;
use super::{Machine, Role, planted};
use crate::effect::Effect;
use crate::event::RequestId;
use crate::instant::Instant;
use crate::message::{EpochEndOffset, FetchRequest, FetchResponse, Records, Request, SnapshotId};

/// Why an answer brings nothing, and the fetch is repeated after a pause.
struct Unusable;

/// What a follower asks for next, and how long the leader may think about it: not at all while
/// this node waits to hear that the leader lives.
fn next_fetch(core: &Core, follower: &Follower) -> (FetchRequest, Duration) {
    let config = &core.config;
    let flushed = follower.has_flushed(core);
    let fetch_offset = if flushed { core.log.end() } else { core.log.flushed() };
    let waits = flushed && follower.hears_leader();
    let max_wait = if waits { config.fetch_max_wait } else { Duration::ZERO };
    let request = FetchRequest {
        replica: config.local,
        epoch: core.state.epoch,
        fetch_offset,
        last_fetched_epoch: core.log.epoch_before(fetch_offset),
        max_wait_ms: max_wait.as_millis() as u32,
        max_bytes: if flushed { config.fetch_max_bytes } else { 0 },
        high_watermark: Some(core.high_watermark.unwrap_or(Offset(-1))),
    };
    (request, max_wait)
}

impl Machine {
    pub(super) fn poll_fetch(&mut self, now: Instant) {
        let Role::Follower(follower) = &mut self.role else { return };
        if let Fetching::InFlight(in_flight) = follower.fetching
            && now >= in_flight.deadline
        {
            follower.fetching = Fetching::Due(now);
        }
        let due = matches!(follower.fetching, Fetching::Due(at) if at <= now);
        if !due || follower.fetch_from(&self.core).is_none_or(|from| now < from) {
            return;
        }
        let core = &mut self.core;
        let Some(to) = core.destination(follower.leader) else {
            follower.fetching = Fetching::Due(now + core.config.election_timeout);
            return;
        };
        let in_flight = if let Some(snapshot) = &follower.snapshot {
            let request = Request::FetchSnapshot(snapshot.request(core));
            core.send(to, request, Duration::ZERO, now)
        } else {
            let (request, max_wait) = next_fetch(core, follower);
            core.send(to, Request::Fetch(request), max_wait, now)
        };
        follower.fetching = Fetching::InFlight(in_flight);
    }

    /// Takes in the answer to a fetch.
    pub(super) fn on_fetched(&mut self, id: RequestId, response: FetchResponse, now: Instant) {
        self.core.discovery_failed(id);
        if !self.claim_fetch(id, now) {
            return;
        }
        if response.error.is_err() || response.leader.epoch != self.core.state.epoch {
            self.fetch_refused(response.error, now);
            return;
        }
        let Role::Follower(follower) = &mut self.role else { return };
        follower.hear(&mut self.core, now);
        let outcome = if let Some(diverging) = response.diverging_epoch {
            self.diverge(diverging)
        } else if let Some(snapshot) = response.snapshot_id {
            self.start_snapshot(snapshot)
        } else {
            self.append_fetched(response)
        };
        if outcome.is_err()
            && let Role::Follower(follower) = &mut self.role
        {
            follower.failures = follower.failures.saturating_add(1);
            follower.fetching = Fetching::Due(now + self.core.retry_wait(follower.failures));
        }
    }

    /// Whether this is the answer that the follower waits for; the next fetch may go out then.
    pub(super) fn claim_fetch(&mut self, id: RequestId, now: Instant) -> bool {
        let Role::Follower(follower) = &mut self.role else { return false };
        let ours = matches!(follower.fetching, Fetching::InFlight(in_flight) if in_flight.is(id));
        if ours {
            follower.fetching = Fetching::Due(now);
        }
        ours
    }

    /// The leader did not answer as a leader.
    pub(super) fn fetch_refused(&mut self, error: ErrorCode, now: Instant) {
        let Role::Follower(follower) = &mut self.role else { return };
        let wait = self.core.retry_wait(follower.failures);
        follower.failures = follower.failures.saturating_add(1);
        follower.fetching = Fetching::Due(now + wait);
        if error == ErrorCode::NOT_LEADER_OR_FOLLOWER {
            self.suspect(now);
        }
    }

    /// Cuts off what the leader does not have.
    fn diverge(&mut self, leader_end: EpochEndOffset) -> Result<(), Unusable> {
        let to = self.core.log.agreed_end(leader_end);
        if to >= self.core.log.end() {
            return Err(Unusable);
        }
        self.core.truncate(to);
        self.core.want_flush();
        Ok(())
    }

    fn append_fetched(&mut self, response: FetchResponse) -> Result<(), Unusable> {
        let Records { batches, .. } = &response.records;
        let caught_up = batches.is_empty();
        if !caught_up {
            let base_offset = self.core.log.end();
            if batches.iter().any(|batch| batch.epoch > self.core.state.epoch) {
                return Err(Unusable);
            }
            self.core.log.append_all(batches).map_err(|_| Unusable)?;
            let records = response.records;
            self.core.write(Effect::AppendFetched { base_offset, records });
            self.core.want_flush();
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.membership.caught_up = caught_up;
        }
        if let Some(high_watermark) = response.high_watermark {
            let unbounded = planted!(self.core, CommitBeyondLog);
            let end = if unbounded { high_watermark } else { self.core.log.end() };
            self.core.commit(high_watermark.min(end));
        }
        Ok(())
    }

    /// The leader says that the records after this node's log are gone.
    fn start_snapshot(&mut self, id: SnapshotId) -> Result<(), Unusable> {
        let held = self.core.log.latest_snapshot();
        let known = self.core.high_watermark.unwrap_or_default();
        if id.end_offset < known || held == Some(id) && self.core.log.end() == id.end_offset {
            return Err(Unusable);
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.snapshot = Some(SnapshotFetch::new(id));
        }
        Ok(())
    }
}
