//! What every handler has at hand, and the ways in which it gets its answer from the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;
use vltava_config::Values;
use vltava_net::{Answer, ConnectionId, Inbound, Reply};
use vltava_node::refused::Refusable;
use vltava_quorum::rpc::RpcError;
use vltava_quorum::{Request as QuorumRequest, Response as QuorumResponse};
use vltava_wire::header::RequestHeader;
use vltava_wire::{ApiKey, ErrorCode, NodeId, Request, Str};

use crate::controller::{Controller, Decision, Failure, Moment};
use crate::driver::{Decided, Inbox, Message, View};
use crate::status::News;

/// The node, as handlers see it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) node: NodeId,
    pub(crate) cluster_id: Str,
    pub(crate) values: Values,
    pub(crate) inbox: Inbox,
    pub(crate) news: News,
}

/// The answer to a request of which nothing is done.
pub(crate) fn refuse<R: Refusable>(request: &R, failure: &Failure) -> R::Response {
    request.refused(failure.code, failure.text())
}

/// One request, by whatever way it came.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) header: RequestHeader,
    pub(crate) key: ApiKey,
    pub(crate) body: Bytes,
    pub(crate) connection: ConnectionId,
    pub(crate) listener: Arc<str>,
    /// Set if another coordinator must be asked: whoever forwarded the request learns it.
    pub(crate) not_controller: Arc<AtomicBool>,
}

impl From<Inbound> for Call {
    fn from(inbound: Inbound) -> Self {
        let Inbound { header, key, body, connection, listener, .. } = inbound;
        Self { header, key, body, connection, listener, not_controller: Arc::default() }
    }
}

impl Call {
    /// The request.
    ///
    /// # Errors
    /// The end of the connection, if it makes no sense.
    pub(crate) fn decode<R: Request>(&self) -> Result<R, Answer> {
        R::read(self.body.clone(), self.header.api_version)
            .map_err(|error| Answer::close(format!("a {} request makes no sense: {error}", R::KEY)))
    }

    /// The answer.
    pub(crate) fn answer<R: Request>(&self, response: &R::Response) -> Reply {
        Answer::to::<R>(&self.header, response).into()
    }
}

impl Context {
    /// Has the controller decide, and answers once the decision is committed. What refuses the
    /// request as a whole is answered as `refuse` says.
    pub(crate) fn operate<R: Request + Send + Sync + 'static>(
        &self,
        call: Call,
        request: R,
        decide: impl FnOnce(&R, &mut Controller, Moment) -> Result<Decision<R::Response>, Failure>
        + Send
        + 'static,
        refuse: impl FnOnce(&R, &Failure) -> R::Response + Send + 'static,
    ) -> Reply
    where
        R::Response: Send + Sync + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        let request = Arc::new(request);
        let asked = Arc::clone(&request);
        let decide = move |controller: &mut Controller, moment| decide(&asked, controller, moment);
        let operation = Message::Operate(Decided::operation(answer, decide));
        self.inbox.offer(operation, call.body.len());
        Reply::later(async move {
            let failure = match outcome.await {
                Ok(Ok(response)) => return Answer::to::<R>(&call.header, &response),
                Ok(Err(failure)) => failure,
                // The loop has ended, or too much waits for it: another coordinator takes over.
                Err(_) => Failure::new(ErrorCode::NOT_CONTROLLER, ""),
            };
            if failure.code == ErrorCode::NOT_CONTROLLER {
                call.not_controller.store(true, Ordering::Release);
            }
            Answer::to::<R>(&call.header, &refuse(&request, &failure))
        })
    }

    /// Gives a request to the quorum's machine. One that is not for it is answered as `refuse`
    /// says, with no more than the error.
    pub(crate) fn quorum<R: Request + 'static>(
        &self,
        call: Call,
        request: Result<QuorumRequest, RpcError>,
        to_wire: impl FnOnce(QuorumResponse) -> R::Response + Send + 'static,
        refuse: impl FnOnce(ErrorCode) -> R::Response + Send + 'static,
    ) -> Reply {
        let request = match request {
            Ok(request) => request,
            Err(error) => return call.answer::<R>(&refuse(error.code)),
        };
        let (answer, outcome) = oneshot::channel();
        let connection = call.connection;
        self.inbox.offer(Message::Quorum { connection, request, answer }, call.body.len());
        Reply::later(async move {
            match outcome.await {
                Ok(response) => Answer::to::<R>(&call.header, &to_wire(response)),
                // The loop has ended or stands still; whoever leads now has to be asked.
                Err(_) => Answer::to::<R>(&call.header, &refuse(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
            }
        })
    }

    /// Asks the loop what is, and answers it; with what `unknown` says if the loop does not hear.
    pub(crate) fn inspect<R: Request + 'static>(
        &self,
        call: Call,
        look: impl FnOnce(&View<'_>) -> R::Response + Send + 'static,
        unknown: impl FnOnce() -> R::Response + Send + 'static,
    ) -> Reply
    where
        R::Response: Send + 'static,
    {
        let (answer, outcome) = oneshot::channel();
        let question = Message::Inspect(Box::new(move |view| {
            let _ = answer.send(look(view));
        }));
        self.inbox.offer(question, call.body.len());
        Reply::later(async move {
            let response = outcome.await.unwrap_or_else(|_| unknown());
            Answer::to::<R>(&call.header, &response)
        })
    }
}
