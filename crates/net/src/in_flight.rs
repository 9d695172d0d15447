//! The requests of one connection that are handled and not yet answered, in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use vltava_wire::ApiKey;

use crate::answer::{Answer, Reply};

/// What is remembered of a request until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) key: ApiKey,
    pub(crate) received: Instant,
    /// Bytes of the request's frame.
    pub(crate) bytes: usize,
}

/// Requests in the order in which they came; answers leave in that order.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    slots: VecDeque<(Asked, Option<Answer>)>,
    /// The number of the first slot; the others follow.
    first: u64,
    /// The answers that are waited for; made when the first one is.
    waiting: Option<FuturesUnordered<Numbered>>,
    bytes: usize,
}

/// The answer to the request of a number, to come.
struct Numbered {
    number: u64,
    answer: BoxFuture<'static, Answer>,
}

impl Future for Numbered {
    type Output = (u64, Answer);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<(u64, Answer)> {
        let number = self.number;
        self.answer.as_mut().poll(context).map(|answer| (number, answer))
    }
}

impl InFlight {
    /// How many requests are not answered.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of their frames.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a request behind the others.
    pub(crate) fn push(&mut self, asked: Asked, reply: Reply) {
        let number = self.first + self.slots.len() as u64;
        self.bytes += asked.bytes;
        let answer = match reply {
            Reply::Ready(answer) => Some(answer),
            Reply::Later(answer) => {
                self.waiting.get_or_insert_default().push(Numbered { number, answer });
                None
            }
        };
        self.slots.push_back((asked, answer));
    }

    /// Takes the answer to the oldest request, if it is there.
    pub(crate) fn pop(&mut self) -> Option<(Asked, Answer)> {
        self.slots.front()?.1.as_ref()?;
        let (asked, answer) = self.slots.pop_front()?;
        self.first += 1;
        self.bytes -= asked.bytes;
        answer.map(|answer| (asked, answer))
    }

    /// Whether answers are waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Waits until at least one of the answers that are waited for is there, and takes all that
    /// are. Waits for ever if none is waited for.
    pub(crate) async fn settle(&mut self) {
        poll_fn(|context| self.poll_settle(context)).await;
    }

    /// Takes the answers that are there.
    pub(crate) fn poll_settle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let mut settled = Poll::Pending;
        while let Poll::Ready(Some((number, answer))) = waiting.poll_next_unpin(context) {
            self.slots[(number - self.first) as usize].1 = Some(answer);
            settled = Poll::Ready(());
        }
        settled
    }

    /// Drops the futures of all answers that are waited for.
    pub(crate) fn abandon(&mut self) {
        self.waiting = None;
    }

    /// Drops all requests and their answers.
    pub(crate) fn clear(&mut self) {
        self.abandon();
        self.slots.clear();
        self.bytes = 0;
    }
}
