//! What a handler is given, and how it answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use vltava_net::{Answer, ConnectionId, Inbound, Reply};
use vltava_wire::header::RequestHeader;
use vltava_wire::{DecodeError, Request, Str};

/// A decoded request and where it came from.
#[derive(Debug)]
pub struct Call<R> {
    /// The request itself.
    pub request: R,
    /// Its header, which the answer repeats.
    pub header: RequestHeader,
    /// The name of the listener that it came in by.
    pub listener: Arc<str>,
    /// The address that it came from.
    pub peer: SocketAddr,
    /// The connection that it came by.
    pub connection: ConnectionId,
    /// When its last byte came in.
    pub received: Instant,
}

impl<R: Request> Call<R> {
    /// Decodes the body of a request of this kind.
    ///
    /// # Errors
    /// Whatever makes the body no such request.
    pub fn decode(inbound: Inbound) -> Result<Self, DecodeError> {
        let Inbound { header, body, peer, connection, listener, received, .. } = inbound;
        let request = R::read(body, header.api_version)?;
        Ok(Self { request, header, listener, peer, connection, received })
    }

    /// The version that the client speaks, and that the answer is written in.
    pub fn version(&self) -> i16 {
        self.header.api_version
    }

    /// The client's name for itself; empty if it has none.
    pub fn client_id(&self) -> Str {
        self.header.client_id.clone().unwrap_or_default()
    }

    /// Answers now.
    pub fn reply(&self, response: &R::Response) -> Reply {
        Reply::Ready(Answer::to::<R>(&self.header, response))
    }

    /// Answers when `response` is there; requests behind this one go on being handled.
    pub fn reply_later<F>(&self, response: F) -> Reply
    where
        F: Future<Output = R::Response> + Send + 'static,
        R: 'static,
        R::Response: Send,
    {
        let header = self.header.clone();
        Reply::Later(Box::pin(async move { Answer::to::<R>(&header, &response.await) }))
    }
}
