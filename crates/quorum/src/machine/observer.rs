//! Finding the leader: a node that follows nobody asks one node after the other, by a fetch, who
//! leads (KIP-595, KIP-853). Observers find their leader only so; voters find it so if their voter
//! set is out of date.

use std::time::Duration;

use super::core::{Core, InFlight};
use crate::effect::Destination;
use crate::event::RequestId;
use crate::instant::Instant;
use crate::message::{FetchRequest, Request};

/// The least pause between two questions of an observer.
const OBSERVER_PAUSE: Duration = Duration::from_millis(50);
/// The least pause between two questions of a voter, which has its votes to ask by.
const VOTER_PAUSE: Duration = Duration::from_millis(250);

/// Where the search for the leader stands.
#[derive(Debug)]
pub(super) struct Discovery {
    in_flight: Option<InFlight>,
    next_at: Instant,
    /// When the last question went out.
    asked_at: Option<Instant>,
    /// Counts the questions, so that each goes to another node.
    turn: usize,
}

impl Discovery {
    pub(super) fn new(now: Instant) -> Self {
        Self { in_flight: None, next_at: now, asked_at: None, turn: 0 }
    }
}

impl Core {
    /// Lets the next question go out as soon as the pause allows.
    pub(super) fn discovery_soon(&mut self, now: Instant) {
        let pause = self.discovery_pause();
        let earliest = self.discovery.asked_at.map_or(now, |asked_at| asked_at + pause);
        self.discovery.next_at = earliest.max(now);
        self.discovery.in_flight = None;
    }

    /// Lets votes be asked for first.
    pub(super) fn discovery_later(&mut self, now: Instant) {
        self.discovery.next_at = now + VOTER_PAUSE;
    }

    pub(super) fn discovery_deadline(&self) -> Instant {
        self.discovery.in_flight.map_or(self.discovery.next_at, |in_flight| in_flight.deadline)
    }

    fn discovery_pause(&self) -> Duration {
        let least = if self.is_electable() { VOTER_PAUSE } else { OBSERVER_PAUSE };
        least.max(self.config.retry_backoff)
    }

    /// Asks the next node who leads, if it is time.
    pub(super) fn poll_discovery(&mut self, now: Instant) {
        if self.discovery.in_flight.is_some_and(|in_flight| now < in_flight.deadline)
            || now < self.discovery_deadline()
        {
            return;
        }
        self.discovery.in_flight = None;
        self.discovery.next_at = now + self.discovery_pause();
        let targets = self.discovery_targets();
        if targets.is_empty() {
            return;
        }
        let to = targets[self.discovery.turn % targets.len()].clone();
        self.discovery.turn = self.discovery.turn.wrapping_add(1);
        self.discovery.asked_at = Some(now);
        let request = Request::Fetch(FetchRequest {
            replica: self.config.local,
            epoch: self.state.epoch,
            fetch_offset: self.log.flushed(),
            last_fetched_epoch: self.log.epoch_before(self.log.flushed()),
            max_wait_ms: 0,
            max_bytes: 0,
            high_watermark: None,
        });
        // A node that hangs must not hold up the search.
        let mut in_flight = self.send(to, request, Duration::ZERO, now);
        in_flight.deadline = in_flight.deadline.min(now + self.config.election_timeout);
        self.discovery.in_flight = Some(in_flight);
    }

    /// All whose address is known, each once, but for this node.
    fn discovery_targets(&self) -> Vec<Destination> {
        let mut targets: Vec<Destination> = Vec::new();
        for key in self.peers() {
            targets.extend(self.destination(key.id));
        }
        for endpoint in &self.config.bootstrap {
            let known = |to: &Destination| {
                to.endpoint.host == endpoint.host && to.endpoint.port == endpoint.port
            };
            let own = self.config.endpoints.iter();
            let is_own =
                own.into_iter().any(|own| own.host == endpoint.host && own.port == endpoint.port);
            if !is_own && !targets.iter().any(known) {
                targets.push(Destination { node: None, endpoint: endpoint.clone() });
            }
        }
        targets
    }

    /// Notes that a question was answered, or will not be.
    pub(super) fn discovery_failed(&mut self, id: RequestId) {
        if self.discovery.in_flight.is_some_and(|in_flight| in_flight.is(id)) {
            self.discovery.in_flight = None;
        }
    }
}
