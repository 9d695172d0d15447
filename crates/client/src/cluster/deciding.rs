//! Calls to whoever decides on the metadata, and what is known of one that was made twice.

use std::sync::atomic::{AtomicBool, Ordering};

use vltava_wire::{ErrorCode, Request};

use super::{Cluster, Speaks};
use crate::connection::Connection;
use crate::error::ClientError;

/// What became of a call that may have been made more than once.
#[derive(Debug)]
pub(crate) struct Decided<T> {
    /// The last answer, or why there is none.
    pub(crate) outcome: Result<T, ClientError>,
    /// Whether an attempt before the last one ended undecided, so that it may be what did that
    /// which the last answer says is done already.
    pub(crate) perhaps_before: bool,
}

impl<T> Decided<T> {
    /// Whether the call was refused with this code, perhaps only because it had been carried out.
    pub(crate) fn is_perhaps_done(&self, code: ErrorCode) -> bool {
        let refused = self.outcome.as_ref().is_err_and(|error| error.code() == Some(code));
        self.perhaps_before && refused
    }

    /// Success also where the refusal with this code says that what was to be done is done.
    pub(crate) fn or_done(self, code: ErrorCode) -> Result<(), ClientError> {
        if self.is_perhaps_done(code) { Ok(()) } else { self.outcome.map(drop) }
    }
}

impl Cluster {
    /// Calls the node that decides on the cluster's metadata: any broker, as brokers forward
    /// such requests; among coordinators the active one.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn call_controller<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), ClientError>,
    ) -> Result<R::Response, ClientError> {
        self.decide(request, check).await.outcome
    }

    /// As [`call_controller`](Self::call_controller), for what cannot be done twice: says too
    /// whether the answer may be about what an earlier attempt did.
    pub(crate) async fn decide<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), ClientError>,
    ) -> Decided<R::Response> {
        let undecided = AtomicBool::new(false);
        let (check, told) = (&check, &undecided);
        let outcome = self
            .retry(|| async move {
                let connection = self.deciding().await?;
                let called = connection.call(request).await;
                let checked = called.and_then(|response| check(&response).map(|()| response));
                if let Err(error) = &checked {
                    if error.code() == Some(ErrorCode::NOT_CONTROLLER) {
                        self.inner.view.write().controller = None;
                    }
                    told.fetch_or(error.is_undecided(), Ordering::Relaxed);
                }
                checked
            })
            .await;
        Decided { outcome, perhaps_before: undecided.into_inner() }
    }

    /// A connection to the node that decides on metadata.
    async fn deciding(&self) -> Result<Connection, ClientError> {
        if self.inner.options.speaks == Speaks::Brokers {
            return self.any().await;
        }
        let known = self.inner.view.read().controller;
        if let Some(id) = known
            && let Ok(connection) = self.node(id).await
        {
            return Ok(connection);
        }
        self.describe().await?;
        let id = self.inner.view.read().controller.ok_or_else(|| ClientError::Refused {
            what: "the active coordinator".to_owned(),
            code: ErrorCode::NOT_CONTROLLER,
            message: Some("none is known at the moment".to_owned()),
        })?;
        self.node(id).await
    }
}
