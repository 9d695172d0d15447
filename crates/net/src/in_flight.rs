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
    /// Bytes of the answers in `slots`: they are there, and wait for older ones.
    ready: usize,
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

    /// Bytes of their frames, and of the answers that are there.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.ready
    }

    /// Adds a request behind the others.
    pub(crate) fn push(&mut self, asked: Asked, reply: Reply) {
        let number = self.first + self.slots.len() as u64;
        self.bytes += asked.bytes;
        let answer = match reply {
            Reply::Ready(answer) => {
                self.ready += answer.bytes();
                Some(answer)
            }
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
        self.ready -= answer.as_ref().map_or(0, Answer::bytes);
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
            self.ready += answer.bytes();
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
        (self.bytes, self.ready) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use vltava_wire::Writer;

    use super::*;
    use crate::answer::Frame;

    fn answer(bytes: usize) -> Answer {
        let mut writer = Writer::new();
        writer.raw(&vec![0; bytes]);
        Answer::Frame(Frame::new(writer))
    }

    fn asked(bytes: usize) -> Asked {
        Asked { key: ApiKey::Fetch, received: Instant::now(), bytes }
    }

    #[test]
    fn answers_count_from_when_they_are_there_until_their_turn_comes() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut in_flight = InFlight::default();
        in_flight.push(asked(1), Reply::later(async { told.await.expect("it is told") }));
        in_flight.push(asked(2), Reply::Ready(answer(100)));
        in_flight.push(asked(4), Reply::later(async { answer(1_000) }));
        assert_eq!(in_flight.bytes(), 107);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(in_flight.poll_settle(&mut context).is_ready());
        assert_eq!(in_flight.bytes(), 1_107);
        assert!(in_flight.pop().is_none(), "the oldest has no answer");
        tell.send(answer(10_000)).expect("it is waited for");
        assert!(in_flight.poll_settle(&mut context).is_ready());
        for left in [1_106, 1_004, 0] {
            assert!(in_flight.pop().is_some());
            assert_eq!(in_flight.bytes(), left);
        }
    }

    #[test]
    fn nothing_is_counted_once_all_is_dropped() {
        let mut in_flight = InFlight::default();
        in_flight.push(asked(1), Reply::later(std::future::pending()));
        in_flight.push(asked(2), Reply::Ready(answer(100)));
        in_flight.clear();
        assert_eq!((in_flight.len(), in_flight.bytes()), (0, 0));
    }
}
