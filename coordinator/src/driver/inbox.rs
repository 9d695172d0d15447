//! The way to the loop, and its bound.
//!
//! Telling the loop something never blocks. While it stands still (its disk is full, or a write
//! hangs) it takes nothing in, but sockets live on: brokers and clients whose requests are not
//! answered give up, connect again and ask again. What connections ask is therefore dropped once
//! too much waits, and is answered as on a node that does not lead; what is left in the inbox after
//! its sender went away is not carried out (see the loop).

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use vltava_net::ConnectionId;

use super::message::Message;

/// The most messages that wait, beyond which nothing that a connection asks is let in.
const MESSAGES_MAX: usize = 8_192;

/// The most bytes of requests that wait, likewise.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What waits in the inbox.
#[derive(Debug, Default)]
struct Load {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Connections of which the loop may remember something until they close.
    noted: Mutex<HashSet<ConnectionId>>,
}

/// A message on its way, and the bytes of the request that it came of.
struct Letter {
    message: Message,
    bytes: usize,
}

/// The way to the loop.
#[derive(Clone)]
pub(crate) struct Inbox {
    sender: mpsc::UnboundedSender<Letter>,
    load: Arc<Load>,
}

/// The loop's end of it.
pub(crate) struct Mailbox {
    receiver: mpsc::UnboundedReceiver<Letter>,
    load: Arc<Load>,
}

impl Inbox {
    pub(crate) fn new() -> (Self, Mailbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        (Self { sender, load: Arc::clone(&load) }, Mailbox { receiver, load })
    }

    /// Tells the loop something that it must hear. What is told so is bounded by what the node does
    /// of its own accord: the requests that the machine has out, a flush, a snapshot.
    ///
    /// Once the loop has ended nobody hears it: who waits for an answer sees that its other end is
    /// gone.
    pub(crate) fn tell(&self, message: Message) {
        self.send(message, 0);
    }

    /// Tells the loop what came over a connection, in a request of so many bytes, unless too much
    /// waits already: then the message is dropped, and who waits for its answer sees that.
    pub(crate) fn offer(&self, message: Message, bytes: usize) {
        let Load { messages, bytes: waiting, noted } = &*self.load;
        let is_full = messages.load(Ordering::Relaxed) >= MESSAGES_MAX
            || waiting.load(Ordering::Relaxed) >= BYTES_MAX;
        if is_full {
            return;
        }
        if let Message::Quorum { connection, .. } | Message::Spoke { connection, .. } = &message {
            noted.lock().insert(*connection);
        }
        self.send(message, bytes);
    }

    /// Tells the loop that a connection was closed, if it has heard of it.
    pub(crate) fn closed(&self, connection: ConnectionId) {
        if self.load.noted.lock().remove(&connection) {
            self.tell(Message::Closed(connection));
        }
    }

    fn send(&self, message: Message, bytes: usize) {
        self.load.messages.fetch_add(1, Ordering::Relaxed);
        self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let _ = self.sender.send(Letter { message, bytes });
    }
}

impl Mailbox {
    /// The next message. The inbox never closes: the loop holds an end of it through the flusher.
    pub(crate) async fn recv(&mut self) -> Option<Message> {
        let letter = self.receiver.recv().await?;
        Some(self.open(letter))
    }

    /// The next message, if one waits.
    pub(super) fn try_recv(&mut self) -> Option<Message> {
        let letter = self.receiver.try_recv().ok()?;
        Some(self.open(letter))
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.receiver.len()
    }

    fn open(&self, Letter { message, bytes }: Letter) -> Message {
        self.load.messages.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(bytes, Ordering::Relaxed);
        message
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;
    use vltava_wire::{BrokerEpoch, NodeId};

    use super::*;

    fn question() -> (Message, oneshot::Receiver<()>) {
        let (answer, outcome) = oneshot::channel();
        let asked = move |_: &super::super::View<'_>| {
            let _ = answer.send(());
        };
        (Message::Inspect(Box::new(asked)), outcome)
    }

    fn spoke(connection: u64) -> Message {
        let connection = ConnectionId(connection);
        Message::Spoke { connection, broker: NodeId(1), epoch: BrokerEpoch(1) }
    }

    fn waiting(mailbox: &mut Mailbox) -> usize {
        std::iter::from_fn(|| mailbox.try_recv()).count()
    }

    #[test]
    fn what_is_too_much_is_dropped_at_once_and_there_is_room_again_later() {
        let (inbox, mut mailbox) = Inbox::new();
        for _ in 0..MESSAGES_MAX {
            inbox.offer(question().0, 100);
        }
        let (message, outcome) = question();
        inbox.offer(message, 100);
        outcome.blocking_recv().expect_err("it is answered at once");
        inbox.tell(Message::Stop);
        assert_eq!(waiting(&mut mailbox), MESSAGES_MAX + 1, "the node's own always pass");
        inbox.offer(question().0, 100);
        assert_eq!(waiting(&mut mailbox), 1);
    }

    #[test]
    fn a_few_large_requests_are_too_much_as_well() {
        let (inbox, mut mailbox) = Inbox::new();
        for _ in 0..10 {
            inbox.offer(question().0, BYTES_MAX / 2 + 1);
        }
        assert_eq!(waiting(&mut mailbox), 2);
    }

    #[test]
    fn the_loop_hears_of_the_end_of_those_connections_that_it_knows() {
        let (inbox, mut mailbox) = Inbox::new();
        inbox.offer(spoke(1), 100);
        for _ in 0..MESSAGES_MAX {
            inbox.offer(question().0, 100);
        }
        inbox.offer(spoke(2), 100);
        for connection in [1, 2, 3, 1] {
            inbox.closed(ConnectionId(connection));
        }
        let closed =
            std::iter::from_fn(|| mailbox.try_recv()).filter_map(|message| match message {
                Message::Closed(connection) => Some(connection),
                _ => None,
            });
        assert_eq!(closed.collect::<Vec<_>>(), [ConnectionId(1)]);
    }
}
