//! What the loop is told, and by whom.

use tokio::sync::oneshot;
use vltava_log::FlushResult;
use vltava_metadata::{MetadataRecord, SnapshotId};
use vltava_net::ConnectionId;
use vltava_quorum::{FlushPoint, Machine, Request, RequestId, Response};
use vltava_wire::{BrokerEpoch, NodeId};

use crate::clock::Clock;
use crate::controller::{Controller, Decision, Failure, Happening, Moment};
use crate::store::StoreError;

/// Hears once what was decided is committed, or will not be.
pub(crate) type Waiter = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// A decision on its way, its answer put aside.
pub(crate) struct Decided {
    /// What is appended; or why nothing of it can be.
    pub(crate) batches: Result<Vec<Vec<MetadataRecord>>, Failure>,
    pub(crate) happenings: Vec<Happening>,
    /// Who waits; nobody, if the answer was given already.
    pub(crate) waiter: Option<Waiter>,
}

impl Decided {
    /// Nothing is to be done any more.
    pub(crate) fn nothing() -> Self {
        Self { batches: Ok(Vec::new()), happenings: Vec::new(), waiter: None }
    }

    /// A decision that nobody asked for.
    pub(crate) fn chore(decision: Decision<()>) -> Self {
        Self::waited_for(decision, |()| None)
    }

    /// Decides for somebody who waits for the answer, and answers once that is committed. Nothing
    /// is decided for one who has given up, maybe long ago: nobody expects that it is done now.
    pub(crate) fn operation<R, D>(
        answer: oneshot::Sender<Result<R, Failure>>,
        decide: D,
    ) -> Operation
    where
        R: Send + 'static,
        D: FnOnce(&mut Controller, Moment) -> Result<Decision<R>, Failure> + Send + 'static,
    {
        Box::new(move |controller, moment| {
            if answer.is_closed() {
                return Self::nothing();
            }
            let decision = match decide(controller, moment) {
                Ok(decision) => decision,
                Err(failure) => {
                    // Whoever went away meanwhile needs no answer.
                    let _ = answer.send(Err(failure));
                    return Self::nothing();
                }
            };
            Self::waited_for(decision, move |response| {
                Some(Box::new(move |outcome: Result<(), Failure>| {
                    let _ = answer.send(outcome.map(|()| response));
                }))
            })
        })
    }

    /// A decision, and who waits for its answer.
    pub(crate) fn waited_for<R>(
        decision: Decision<R>,
        waiter: impl FnOnce(R) -> Option<Waiter>,
    ) -> Self {
        let batches = decision.batches();
        let batches = batches.map(|all| all.into_iter().map(<[MetadataRecord]>::to_vec).collect());
        let Decision { happenings, response, .. } = decision;
        Self { batches, happenings, waiter: waiter(response) }
    }
}

/// Decides with the controller at hand.
pub(crate) type Operation = Box<dyn FnOnce(&mut Controller, Moment) -> Decided + Send>;

/// What can be looked at from outside of the loop.
pub(crate) struct View<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) clock: Clock,
}

/// What came of a request to another coordinator.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    Answered {
        id: RequestId,
        response: Box<Response>,
    },
    Failed {
        id: RequestId,
    },
    /// A connection to it was closed.
    Lost {
        peer: NodeId,
    },
}

/// What the loop is told.
pub(crate) enum Message {
    /// A request to the quorum's machine.
    Quorum { connection: ConnectionId, request: Request, answer: oneshot::Sender<Response> },
    /// A request to the controller.
    Operate(Operation),
    /// A broker speaks on this connection.
    Spoke { connection: ConnectionId, broker: NodeId, epoch: BrokerEpoch },
    /// A connection was closed.
    Closed(ConnectionId),
    /// Another coordinator answered, or did not.
    Peer(PeerEvent),
    /// A question about what is.
    Inspect(Box<dyn FnOnce(&View<'_>) + Send>),
    /// A flush is done.
    Flushed { result: FlushResult, point: FlushPoint },
    /// A snapshot was written, of so many bytes.
    SnapshotWritten { id: SnapshotId, outcome: Result<u64, StoreError> },
    /// The node shuts down.
    Stop,
}
