//! The one loop that owns everything: the quorum's machine, the controller, log and image.
//!
//! It runs on a thread of its own, so that no fsync stops a socket. Handlers talk to it by
//! [`Message`]s. What the machine wants done is carried out in the order in which it comes,
//! *persist, then send, then apply*, before the next event. The log's fsync alone runs beside the
//! loop: while one is under way all that is appended waits for the next, which covers it at once.

mod commit;
mod effects;
mod flusher;
mod inbox;
mod message;
mod operate;
mod snapshot;
mod start;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use vltava_metadata::{ApplyError, Image, MetadataRecord, ReplayError};
use vltava_net::ConnectionId;
use vltava_quorum::{
    ConfigError, Event, FlushPoint, Instant, Machine, ProposalId, Response, Token, Violation,
};
use vltava_wire::{ErrorCode, NodeId};

use crate::clock::Clock;
use crate::controller::{Controller, Moment};
use crate::peers::Peers;
use crate::status::Status;
use crate::store::{Store, StoreError};

pub(crate) use inbox::{Inbox, Mailbox};
pub(crate) use message::{Decided, Message, PeerEvent, View};
pub(crate) use start::Plan;

use commit::{Leading, Waiting};
use flusher::Flusher;
use snapshot::Snapshots;

/// Messages that are taken in before what they changed is flushed and published.
const MESSAGES_PER_ROUND: usize = 256;

/// A deadline that is missed by more shows that this process stood still.
const STALL_MIN: Duration = Duration::from_millis(100);

/// One step of the loop that takes longer was held up: by the disk, as a rule.
const HELD_UP_MIN: Duration = Duration::from_millis(500);

/// Why the loop ended other than by being told to. The process ends with it.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The configuration of the quorum makes no sense.
    #[error("the quorum's settings cannot be used")]
    Config(#[source] ConfigError),
    /// Something could not be persisted; a failed fsync is never tried again.
    #[error("what must be durable could not be persisted")]
    Store(#[source] StoreError),
    /// Committed records do not build an image.
    #[error("the committed records cannot be applied")]
    Replay(#[source] ReplayError),
    /// A decision does not fit the image that it was made on.
    #[error("a decision does not fit the image")]
    Decision(#[source] ApplyError),
    /// The quorum's protocol was broken by somebody.
    #[error("the quorum cannot go on")]
    Violation(#[source] Violation),
    /// The threads beside the loop could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// Who asked something of the quorum's machine.
#[derive(Debug)]
struct Asker {
    connection: ConnectionId,
    answer: oneshot::Sender<Response>,
}

/// How far the inbox was heard: nobody is taken for silent whose word may wait there.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Messages that had come by `at` and are not taken in yet.
    owed: usize,
    at: Instant,
}

/// The loop's state.
pub(crate) struct Driver {
    clock: Clock,
    machine: Machine,
    controller: Controller,
    store: Store,
    /// Everything that is committed, as far as this node knows.
    committed: Image,
    inbox: Mailbox,
    heard: Heard,
    peers: Peers,
    askers: HashMap<Token, Asker>,
    next_token: u64,
    /// The node at the other end of a connection, where its requests say so.
    callers: HashMap<ConnectionId, NodeId>,
    waiting: VecDeque<Waiting>,
    leading: Option<Leading>,
    next_proposal: u64,
    /// The records that are being proposed at this moment.
    proposing: Option<(ProposalId, Vec<MetadataRecord>)>,
    rejected: Option<ErrorCode>,
    tick_at: Option<Instant>,
    flusher: Flusher,
    flush_wanted: Option<FlushPoint>,
    snapshots: Snapshots,
    /// What must be the machine's next event.
    next_event: Option<Event>,
    status: watch::Sender<Status>,
    stopping: bool,
    stopped: bool,
}

impl Driver {
    /// Runs until it is told to stop, or cannot go on.
    pub(crate) async fn run(mut self) -> Result<(), DriverError> {
        self.step(Event::Tick)?;
        self.end_round()?;
        while !self.stopped {
            let (deadline, asleep_at) = (self.next_deadline(), self.clock.now());
            let message = self.next_message(deadline).await;
            if let Some(deadline) = deadline {
                self.note_stall(deadline.max(asleep_at), STALL_MIN);
            }
            self.take_round(message)?;
            self.end_round()?;
        }
        self.publish();
        self.flusher.finish();
        self.store.close().map_err(DriverError::Store)
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.tick_at, self.controller.next_deadline()].into_iter().flatten().min()
    }

    /// The next message, or `None` once the deadline has come.
    async fn next_message(&mut self, deadline: Option<Instant>) -> Option<Message> {
        let Some(deadline) = deadline else {
            return self.inbox.recv().await;
        };
        let at = tokio::time::Instant::from_std(self.clock.at(deadline));
        tokio::select! {
            biased;
            message = self.inbox.recv() => message,
            () = tokio::time::sleep_until(at) => None,
        }
    }

    /// Nobody is held to the time in which this process stood still, if it did for long: since then
    /// it should have gone on.
    fn note_stall(&mut self, since: Instant, least: Duration) {
        let late = self.clock.now() - since;
        if late >= least {
            tracing::debug!(ms = late.as_millis() as u64, "this process stood still");
            self.controller.stalled(late);
        }
    }

    /// Does one thing, for which the disk may hold the loop up.
    fn take_time<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, DriverError>,
    ) -> Result<T, DriverError> {
        let since = self.clock.now();
        let done = act(self)?;
        self.note_stall(since, HELD_UP_MIN);
        Ok(done)
    }

    /// Takes in a message and those that wait behind it, up to a round's.
    fn take_round(&mut self, first: Option<Message>) -> Result<(), DriverError> {
        let mut next = first;
        for taken in 1.. {
            let Some(message) = next else {
                self.heard = Heard { owed: 0, at: self.clock.now() };
                return Ok(());
            };
            self.take_time(|this| this.take_in(message))?;
            self.heard.owed = self.heard.owed.saturating_sub(1);
            if taken == MESSAGES_PER_ROUND {
                return Ok(());
            }
            next = self.inbox.try_recv();
        }
        Ok(())
    }

    /// Ends a round: what is due, then one flush for all, then the news.
    fn end_round(&mut self) -> Result<(), DriverError> {
        let now = self.clock.now();
        if self.tick_at.is_some_and(|at| at <= now) {
            self.tick_at = None;
            self.take_time(|this| this.step(Event::Tick))?;
        }
        if self.heard.owed == 0 {
            self.do_chores(self.heard.at)?;
            self.heard = Heard { owed: self.inbox.len(), at: self.clock.now() };
        }
        self.take_time(Self::flush_if_wanted)?;
        self.publish();
        Ok(())
    }

    /// Does what is due as of `now`: all that had come by then was taken in. Should a chore take
    /// long, the next ones know of no later time: heartbeats wait meanwhile.
    fn do_chores(&mut self, now: Instant) -> Result<(), DriverError> {
        while !self.stopping {
            let moment = Moment { now, ..self.moment() };
            let Some(decision) = self.controller.next_chore(moment) else { break };
            let chore = Decided::chore(decision);
            if !self.take_time(|this| this.carry_through(chore))? {
                break;
            }
        }
        Ok(())
    }

    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), next_offset: self.machine.log().end() }
    }

    /// Gives the machine an event, and carries out all that follows from it.
    fn step(&mut self, event: Event) -> Result<(), DriverError> {
        let mut next = Some(event);
        while let Some(event) = next {
            for effect in self.machine.on(event, self.clock.now()) {
                self.carry_out(effect)?;
            }
            next = self.next_event.take();
        }
        Ok(())
    }

    fn flush_if_wanted(&mut self) -> Result<(), DriverError> {
        while let Some(point) = self.flush_wanted.take_if(|_| !self.flusher.is_busy()) {
            match self.store.begin_flush().map_err(DriverError::Store)? {
                Some(ticket) => self.flusher.start(ticket, point),
                None => self.step(Event::Flushed { point })?,
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        let status = Status {
            role: self.machine.role(),
            leader: self.machine.leader(),
            is_active: self.controller.is_active(),
            high_watermark: self.machine.high_watermark(),
            log_end_offset: self.store.end(),
            voters: self.machine.voters().clone(),
            image: self.committed.clone(),
        };
        self.status.send_if_modified(|present| {
            let differs = !present.is_same(&status);
            if differs {
                *present = status;
            }
            differs
        });
    }
}

#[cfg(test)]
mod tests;
