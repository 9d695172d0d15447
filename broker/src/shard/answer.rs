//! An answer that is there, or will be.

use futures::future::BoxFuture;
use futures::{FutureExt, future};
use vltava_net::Reply;
use vltava_wire::Request;

use crate::api::context::Call;

/// The answer to a request that was handled in its turn, but may have to wait.
pub enum Answer<R> {
    /// It is there.
    Now(R),
    /// It comes when the coordinator, or the log, has come so far.
    Later(BoxFuture<'static, R>),
}

impl<R: Send + 'static> Answer<R> {
    /// Answers a call, now or later.
    pub fn reply<Q>(self, call: &Call<Q>) -> Reply
    where
        Q: Request<Response = R> + 'static,
    {
        match self {
            Self::Now(answer) => call.reply(&answer),
            Self::Later(answer) => call.reply_later(answer),
        }
    }

    /// Waits for the answer.
    pub async fn get(self) -> R {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }

    /// Makes another answer of it.
    pub fn map<S: Send + 'static>(self, f: impl FnOnce(R) -> S + Send + 'static) -> Answer<S> {
        match self {
            Self::Now(answer) => Answer::Now(f(answer)),
            Self::Later(answer) => Answer::Later(answer.map(f).boxed()),
        }
    }

    /// All of several answers, in their order.
    pub fn all(answers: Vec<Self>) -> Answer<Vec<R>> {
        if answers.iter().all(|answer| matches!(answer, Self::Now(_))) {
            let now = answers.into_iter().filter_map(|answer| match answer {
                Self::Now(answer) => Some(answer),
                Self::Later(_) => None,
            });
            return Answer::Now(now.collect());
        }
        Answer::Later(future::join_all(answers.into_iter().map(Self::get)).boxed())
    }
}
