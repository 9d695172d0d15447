//! The thread that waits for the disk, so that the loop need not.

use std::sync::mpsc;
use std::thread::JoinHandle;

use vltava_log::FlushTicket;
use vltava_quorum::FlushPoint;

use super::inbox::Inbox;
use super::message::Message;

/// Bytes of the thread's stack; it calls fsync and little else.
const STACK_BYTES: usize = 128 * 1024;

/// One flush at a time; the next covers all that was appended meanwhile.
#[derive(Debug)]
pub(super) struct Flusher {
    tickets: Option<mpsc::Sender<(FlushTicket, FlushPoint)>>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Flusher {
    /// Starts the thread; results come as [`Message::Flushed`].
    pub(super) fn start_thread(inbox: Inbox) -> std::io::Result<Self> {
        let (tickets, receiver) = mpsc::channel::<(FlushTicket, FlushPoint)>();
        let work = move || {
            for (ticket, point) in receiver {
                inbox.tell(Message::Flushed { result: ticket.sync(), point });
            }
        };
        let thread = std::thread::Builder::new()
            .name("flusher".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(work)?;
        Ok(Self { tickets: Some(tickets), thread: Some(thread), busy: false })
    }

    /// Whether a flush is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Starts a flush.
    pub(super) fn start(&mut self, ticket: FlushTicket, point: FlushPoint) {
        let tickets = self.tickets.as_ref().expect("no flush starts after the loop has ended");
        tickets.send((ticket, point)).expect("the thread lives as long as it may get tickets");
        self.busy = true;
    }

    /// The flush is done.
    pub(super) fn done(&mut self) {
        self.busy = false;
    }

    /// Lets the thread end, and waits for it.
    pub(super) fn finish(&mut self) {
        self.tickets = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the flusher does not panic");
        }
    }
}
