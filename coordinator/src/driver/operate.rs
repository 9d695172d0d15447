//! Messages, one after the other; and decisions on their way into the log.

use vltava_metadata::MetadataRecord;
use vltava_quorum::{Event, ProposalId, Request, Token};
use vltava_wire::{ErrorCode, NodeId, Offset};

use super::commit::Waiting;
use super::message::{Decided, Message, PeerEvent, View};
use super::{Asker, Driver, DriverError};
use crate::controller::Failure;

impl Driver {
    /// Takes one message in.
    pub(super) fn take_in(&mut self, message: Message) -> Result<(), DriverError> {
        match message {
            Message::Quorum { connection, request, answer } => {
                if let Some(caller) = caller(&request) {
                    self.callers.insert(connection, caller);
                }
                if answer.is_closed() && !is_news(&request) {
                    return Ok(());
                }
                let token = Token(self.next_token);
                self.next_token += 1;
                self.askers.insert(token, Asker { connection, answer });
                self.step(Event::Request { token, request })
            }
            Message::Operate(operation) => {
                let moment = self.moment();
                let decided = operation(&mut self.controller, moment);
                self.carry_through(decided).map(|_| ())
            }
            Message::Spoke { connection, broker, epoch } => {
                self.controller.spoke(connection, broker, epoch);
                Ok(())
            }
            Message::Closed(connection) => self.connection_closed(connection),
            Message::Peer(event) => self.step(match event {
                PeerEvent::Answered { id, response } => Event::Response { id, response: *response },
                PeerEvent::Failed { id } => Event::RequestFailed { id },
                PeerEvent::Lost { peer } => Event::ConnectionLost { peer },
            }),
            Message::Inspect(question) => {
                let Self { machine, clock, .. } = self;
                question(&View { machine, clock: *clock });
                Ok(())
            }
            Message::Flushed { result, point } => {
                self.flusher.done();
                self.store.complete_flush(result).map_err(DriverError::Store)?;
                self.step(Event::Flushed { point })
            }
            Message::SnapshotWritten { id, outcome } => self.snapshot_written(id, outcome),
            Message::Stop => {
                self.stopping = true;
                self.step(Event::Stop)
            }
        }
    }

    fn connection_closed(
        &mut self,
        connection: vltava_net::ConnectionId,
    ) -> Result<(), DriverError> {
        self.controller.closed(connection, self.clock.now());
        let dropped: Vec<Token> = self
            .askers
            .iter()
            .filter(|(_, asker)| asker.connection == connection)
            .map(|(token, _)| *token)
            .collect();
        for token in dropped {
            self.askers.remove(&token);
            self.step(Event::RequestDropped { token })?;
        }
        if let Some(peer) = self.callers.remove(&connection) {
            self.step(Event::ConnectionLost { peer })?;
        }
        Ok(())
    }

    /// Proposes what was decided, and lets the waiter wait until it is committed.
    ///
    /// Even a decision without records waits for all that was appended before it: it may have been
    /// made upon that. Returns whether it was appended.
    pub(super) fn carry_through(&mut self, decided: Decided) -> Result<bool, DriverError> {
        let Decided { batches, happenings, waiter } = decided;
        if let Err(failure) = self.append_all(batches)? {
            if let Some(waiter) = waiter {
                waiter(Err(failure));
            }
            return Ok(false);
        }
        for happening in happenings {
            if happening.is_grave() {
                tracing::warn!("{happening}");
            } else {
                tracing::info!("{happening}");
            }
        }
        let Some(waiter) = waiter else { return Ok(true) };
        let after = self.machine.log().end();
        let committed = self.machine.high_watermark().unwrap_or(Offset::ZERO);
        if committed >= after {
            waiter(Ok(()));
        } else {
            self.waiting.push_back(Waiting { after, waiter });
        }
        Ok(true)
    }

    fn append_all(
        &mut self,
        batches: Result<Vec<Vec<MetadataRecord>>, Failure>,
    ) -> Result<Result<(), Failure>, DriverError> {
        let batches = match batches {
            Ok(batches) => batches,
            Err(failure) => return Ok(Err(failure)),
        };
        for batch in batches {
            if let Err(code) = self.propose(batch)? {
                return Ok(Err(Failure::new(code, "")));
            }
        }
        Ok(Ok(()))
    }

    /// Appends one batch of records, if this node leads still.
    fn propose(
        &mut self,
        records: Vec<MetadataRecord>,
    ) -> Result<Result<(), ErrorCode>, DriverError> {
        let Some(leading) = &self.leading else { return Ok(Err(ErrorCode::NOT_CONTROLLER)) };
        let epoch = leading.epoch;
        let proposal = ProposalId(self.next_proposal);
        self.next_proposal += 1;
        let count = u32::try_from(records.len()).expect("decisions are bounded far below");
        self.proposing = Some((proposal, records));
        self.rejected = None;
        self.step(Event::Propose { proposal, epoch, records: count })?;
        let appended = self.proposing.take().is_none();
        Ok(match self.rejected.take() {
            None if appended => Ok(()),
            code => Err(code.unwrap_or(ErrorCode::NOT_CONTROLLER)),
        })
    }
}

/// Whether a request says something of the quorum even if its sender is gone. The others ask for
/// something that nobody wants any more.
fn is_news(request: &Request) -> bool {
    matches!(request, Request::Vote(_) | Request::BeginQuorumEpoch(_) | Request::EndQuorumEpoch(_))
}

/// Which node sends a request, where the request says so.
fn caller(request: &Request) -> Option<NodeId> {
    let id = match request {
        Request::Vote(vote) => vote.candidate.id,
        Request::BeginQuorumEpoch(begin) => begin.leader,
        Request::EndQuorumEpoch(end) => end.leader,
        Request::Fetch(fetch) => fetch.replica.id,
        Request::FetchSnapshot(fetch) => fetch.replica.id,
        Request::AddVoter(_) | Request::RemoveVoter(_) | Request::UpdateVoter(_) => return None,
    };
    (id.get() >= 0).then_some(id)
}
