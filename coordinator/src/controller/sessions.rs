//! Who was heard from: soft state that is in no record.
//!
//! A broker keeps a heartbeat connection to every coordinator. Its process's death closes them all,
//! so a broker whose last connection here closed, and who opened no other within the grace, is
//! taken for dead long before its session ends. Standbys note the same: when the active coordinator
//! dies together with a broker, the next one knows already. A connection that never was here says
//! nothing, so the death or the restart of a coordinator fences nobody.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use vltava_metadata::Image;
use vltava_net::ConnectionId;
use vltava_quorum::Instant;
use vltava_wire::{BrokerEpoch, NodeId, Offset};

use super::FenceReason;

/// Connections that are noted. Far more than brokers have; who sends heartbeats of brokers that do
/// not exist cannot make this grow.
const CONNECTIONS_MAX: usize = 16 * 1024;

/// Brokers whose connections closed that are noted.
const CLOSED_MAX: usize = 16 * 1024;

/// What the active coordinator knows of a broker.
#[derive(Clone, Copy, Debug)]
struct Contact {
    /// When it was heard from, or when its session was begun.
    last: Instant,
    /// Whether it was heard from in this term.
    heard: bool,
    /// Up to where it has applied the metadata log, as it says.
    metadata_offset: Offset,
    /// Once it is in controlled shutdown: the offset up to which all others must know of it.
    shutdown_offset: Option<Offset>,
    /// Whether it is fenced, but was left in ISRs: it has its session to become unfenced.
    kept_in_sync: bool,
}

/// A broker whose last connection was closed.
#[derive(Clone, Copy, Debug)]
struct Closed {
    epoch: BrokerEpoch,
    at: Instant,
}

/// The soft state.
#[derive(Debug)]
pub(super) struct Sessions {
    timeout: Duration,
    grace: Duration,
    contacts: BTreeMap<NodeId, Contact>,
    connections: HashMap<ConnectionId, (NodeId, BrokerEpoch)>,
    closed: BTreeMap<NodeId, Closed>,
}

impl Sessions {
    pub(super) fn new(timeout: Duration, grace: Duration) -> Self {
        Self {
            timeout,
            grace,
            contacts: BTreeMap::new(),
            connections: HashMap::new(),
            closed: BTreeMap::new(),
        }
    }

    /// Starts a fresh session for every broker; those that have a connection here count as heard.
    pub(super) fn begin_term(&mut self, image: &Image, now: Instant) {
        self.contacts.clear();
        for broker in image.brokers() {
            let heard = self.connections.values().any(|noted| *noted == (broker.id, broker.epoch));
            self.contacts.insert(broker.id, Contact::new(now, heard));
        }
        self.closed.retain(|id, closed| {
            image.broker(*id).is_some_and(|broker| broker.epoch == closed.epoch)
        });
    }

    pub(super) fn end_term(&mut self) {
        self.contacts.clear();
    }

    /// A registration was appended: a new epoch starts a new session, none ends it.
    pub(super) fn registered(&mut self, id: NodeId, epoch: Option<BrokerEpoch>, now: Instant) {
        let Some(epoch) = epoch else {
            self.contacts.remove(&id);
            return;
        };
        self.contacts.entry(id).or_insert_with(|| Contact::new(now, false));
        if self.closed.get(&id).is_some_and(|closed| closed.epoch != epoch) {
            self.closed.remove(&id);
        }
    }

    /// Another process took the broker's place: what is known of the old one is forgotten.
    pub(super) fn restart(&mut self, id: NodeId, now: Instant) {
        self.contacts.insert(id, Contact::new(now, true));
    }

    /// Notes whether a fenced broker was left in ISRs.
    pub(super) fn keep_in_sync(&mut self, id: NodeId, kept: bool) {
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.kept_in_sync = kept;
        }
    }

    /// Whether a fenced broker was left in ISRs.
    pub(super) fn is_kept_in_sync(&self, id: NodeId) -> bool {
        self.contacts.get(&id).is_some_and(|contact| contact.kept_in_sync)
    }

    /// Notes who speaks on a connection.
    pub(super) fn spoke(&mut self, connection: ConnectionId, id: NodeId, epoch: BrokerEpoch) {
        if self.connections.len() < CONNECTIONS_MAX || self.connections.contains_key(&connection) {
            self.connections.insert(connection, (id, epoch));
        }
        if self.closed.get(&id).is_some_and(|closed| closed.epoch == epoch) {
            self.closed.remove(&id);
        }
    }

    /// Notes that a connection was closed; whether that matters shows once the grace is over.
    pub(super) fn closed(&mut self, connection: ConnectionId, now: Instant) {
        let Some((id, epoch)) = self.connections.remove(&connection) else { return };
        let speaks_still = self.connections.values().any(|noted| *noted == (id, epoch));
        let newer = self.closed.get(&id).is_some_and(|closed| closed.epoch > epoch);
        if speaks_still || newer || self.closed.len() >= CLOSED_MAX {
            return;
        }
        self.closed.insert(id, Closed { epoch, at: now });
    }

    /// A broker was heard from; says whether that is the first time in this term.
    pub(super) fn touch(&mut self, id: NodeId, metadata_offset: Offset, now: Instant) -> bool {
        let contact = self.contacts.entry(id).or_insert_with(|| Contact::new(now, false));
        contact.last = now;
        contact.metadata_offset = metadata_offset;
        !std::mem::replace(&mut contact.heard, true)
    }

    /// Moves everything by a pause in which this process saw nothing.
    pub(super) fn shift(&mut self, pause: Duration) {
        self.contacts.values_mut().for_each(|contact| contact.last = contact.last + pause);
        self.closed.values_mut().for_each(|closed| closed.at = closed.at + pause);
    }

    /// Whether a broker's session lasts: it may live, even if nobody heard from it in this term.
    pub(super) fn lasts(&self, id: NodeId, now: Instant) -> bool {
        let contact = self.contacts.get(&id);
        !self.closed.contains_key(&id)
            && contact.is_some_and(|contact| contact.last + self.timeout > now)
    }

    /// Whether a broker was heard from within its session, in this term, and nothing speaks
    /// against its being alive.
    pub(super) fn is_alive(&self, id: NodeId, now: Instant) -> bool {
        self.lasts(id, now) && self.contacts.get(&id).is_some_and(|contact| contact.heard)
    }

    /// Notes up to where all others must know that a broker shuts down.
    pub(super) fn set_shutdown_offset(&mut self, id: NodeId, offset: Offset) {
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.shutdown_offset = Some(offset);
        }
    }

    /// Up to where all others must know that a broker shuts down, if it does.
    pub(super) fn shutdown_offset(&self, id: NodeId) -> Option<Offset> {
        self.contacts.get(&id).and_then(|contact| contact.shutdown_offset)
    }

    /// Up to where a broker has applied the metadata log.
    pub(super) fn metadata_offset(&self, id: NodeId) -> Offset {
        self.contacts.get(&id).map_or(Offset(-1), |contact| contact.metadata_offset)
    }

    /// The next watched broker that is taken for dead. One that is not registered with the epoch
    /// that its connection had, or that is not watched, is passed over and forgotten.
    pub(super) fn next_lost(
        &mut self,
        now: Instant,
        watched: impl Fn(NodeId) -> bool,
        registered: impl Fn(NodeId) -> Option<BrokerEpoch>,
    ) -> Option<(NodeId, FenceReason)> {
        let over: Vec<(NodeId, BrokerEpoch)> = self
            .closed
            .iter()
            .filter(|(_, closed)| closed.at + self.grace <= now)
            .map(|(id, closed)| (*id, closed.epoch))
            .collect();
        for (id, epoch) in over {
            self.closed.remove(&id);
            let kept = self.is_kept_in_sync(id);
            if (kept || watched(id)) && registered(id) == Some(epoch) {
                self.keep_in_sync(id, false);
                return Some((id, FenceReason::ConnectionClosed));
            }
        }
        let expired = self.contacts.iter_mut().find(|(id, contact)| {
            contact.last + self.timeout <= now && (contact.kept_in_sync || watched(**id))
        });
        let (id, contact) = expired?;
        // Should fencing come to nothing, it is tried again after another session, not at once.
        contact.last = now;
        contact.kept_in_sync = false;
        Some((*id, FenceReason::SessionExpired))
    }

    /// When the next broker may be taken for dead.
    pub(super) fn next_deadline(&self, watched: impl Fn(NodeId) -> bool) -> Option<Instant> {
        let closed = self.closed.values().map(|closed| closed.at + self.grace).min();
        let expired = self
            .contacts
            .iter()
            .filter(|(id, contact)| contact.kept_in_sync || watched(**id))
            .map(|(_, contact)| contact.last + self.timeout)
            .min();
        [closed, expired].into_iter().flatten().min()
    }
}

impl Contact {
    fn new(now: Instant, heard: bool) -> Self {
        Self {
            last: now,
            heard,
            metadata_offset: Offset(-1),
            shutdown_offset: None,
            kept_in_sync: false,
        }
    }
}
