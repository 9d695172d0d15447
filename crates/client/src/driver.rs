//! The task behind a connection: writes requests in order, gives each answer to its call.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::connection::Ending;

/// Pieces that one system call writes.
const SLICES_MAX: usize = 32;

/// What is read at once while the length of the next answer is not known, in bytes. An idle
/// connection has that much memory.
const READ_MIN: usize = 4 * 1024;

/// The first room for a large answer, in bytes; it grows with what arrives.
const READ_STEP: usize = 1024 * 1024;

/// How long requests that were sent before the last handle was dropped may take to leave.
const LINGER: Duration = Duration::from_secs(5);

/// One request on its way.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) correlation: i32,
    /// The frame, length prefix included.
    pub(crate) pieces: Vec<Bytes>,
    /// Who waits for the answer; `None` for a request that has none (acks=0).
    pub(crate) waiter: Option<Waiter>,
}

/// Who waits for an answer, and one of the places in flight.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) answer: oneshot::Sender<Bytes>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// Runs until the connection ends.
pub(crate) struct Driver {
    pub(crate) requests: mpsc::UnboundedReceiver<Outbound>,
    pub(crate) response_max_bytes: usize,
    pub(crate) ending: Arc<Ending>,
    pending: VecDeque<(i32, Waiter)>,
    outgoing: VecDeque<Bytes>,
    incoming: BytesMut,
}

impl Driver {
    pub(crate) fn new(
        requests: mpsc::UnboundedReceiver<Outbound>,
        response_max_bytes: usize,
        ending: Arc<Ending>,
    ) -> Self {
        Self {
            requests,
            response_max_bytes,
            ending,
            pending: VecDeque::new(),
            outgoing: VecDeque::new(),
            incoming: BytesMut::new(),
        }
    }

    pub(crate) async fn run(mut self, mut stream: TcpStream) {
        let (mut reader, mut writer) = stream.split();
        let ending = self.ending.clone();
        let end = tokio::select! {
            biased;
            () = ending.told() => None,
            end = self.serve(&mut reader, &mut writer) => end.err(),
        };
        match &end {
            Some(error) => self.ending.set(&error.to_string()),
            None => self.ending.set("closed from here"),
        }
        if end.is_none() {
            let _ = tokio::time::timeout(LINGER, self.flush(&mut writer)).await;
        }
        // Calls that wait find their sender gone, and the reason in `ending`.
    }

    /// Ends without an error once nobody can make a call any more.
    async fn serve(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
    ) -> Result<(), Error> {
        loop {
            while let Some(frame) = self.take_frame()? {
                self.answered(frame)?;
            }
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(request) => self.queue(request),
                    None => return Ok(()),
                },
                written = write(&self.outgoing, writer), if !self.outgoing.is_empty() => {
                    advance(&mut self.outgoing, written?);
                }
                read = read(&mut self.incoming, self.response_max_bytes, reader) => {
                    if read? == 0 {
                        return Err(Error::new(ErrorKind::UnexpectedEof, "closed by the peer"));
                    }
                }
            }
        }
    }

    fn queue(&mut self, request: Outbound) {
        self.outgoing.extend(request.pieces.into_iter().filter(|piece| !piece.is_empty()));
        if let Some(waiter) = request.waiter {
            self.pending.push_back((request.correlation, waiter));
        }
    }

    async fn flush(&mut self, writer: &mut WriteHalf<'_>) -> Result<(), Error> {
        while !self.outgoing.is_empty() {
            let written = write(&self.outgoing, writer).await?;
            advance(&mut self.outgoing, written);
        }
        Ok(())
    }

    /// The next answer, if all of it is there.
    fn take_frame(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(length) = declared(&self.incoming, self.response_max_bytes)? else {
            return Ok(None);
        };
        if self.incoming.len() < 4 + length {
            return Ok(None);
        }
        self.incoming.advance(4);
        let frame = self.incoming.split_to(length).freeze();
        if self.incoming.is_empty() {
            // The memory belongs to the answer now; the next one gets its own.
            self.incoming = BytesMut::new();
        }
        Ok(Some(frame))
    }

    /// Gives an answer to the call that waits for it. Kafka answers in the order of requests.
    fn answered(&mut self, frame: Bytes) -> Result<(), Error> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidData, what);
        let Some(came) = frame.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes)) else {
            return Err(invalid("an answer is too short for its header".to_owned()));
        };
        let Some((expected, waiter)) = self.pending.pop_front() else {
            return Err(invalid(format!("answer {came} came, and nothing was asked")));
        };
        if came != expected {
            return Err(invalid(format!("answer {came} came instead of {expected}")));
        }
        // A call that was given up does not listen any more.
        let _ = waiter.answer.send(frame);
        Ok(())
    }
}

/// The length of the answer at the front, checked.
fn declared(incoming: &[u8], max: usize) -> Result<Option<usize>, Error> {
    let Some(prefix) = incoming.first_chunk::<4>() else { return Ok(None) };
    let declared = i32::from_be_bytes(*prefix);
    match usize::try_from(declared) {
        Ok(length) if length <= max => Ok(Some(length)),
        _ => {
            let what = format!("an answer declares {declared} bytes, {max} are allowed");
            Err(Error::new(ErrorKind::InvalidData, what))
        }
    }
}

/// Reads once. Room for a large answer grows with what has come of it.
async fn read(
    incoming: &mut BytesMut,
    max: usize,
    reader: &mut ReadHalf<'_>,
) -> Result<usize, Error> {
    let room = match declared(incoming, max)? {
        None => READ_MIN,
        Some(length) => (4 + length - incoming.len()).min(READ_STEP.max(incoming.len())),
    };
    if incoming.capacity() == incoming.len() {
        incoming.reserve(room.max(READ_MIN));
    }
    reader.read_buf(incoming).await
}

/// Writes once, as much as the socket takes.
async fn write(outgoing: &VecDeque<Bytes>, writer: &mut WriteHalf<'_>) -> Result<usize, Error> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(outgoing) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    match writer.write_vectored(&slices[..count]).await? {
        0 => Err(Error::from(ErrorKind::WriteZero)),
        written => Ok(written),
    }
}

fn advance(outgoing: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(piece) = outgoing.front_mut() {
        if written < piece.len() {
            piece.advance(written);
            return;
        }
        written -= piece.len();
        outgoing.pop_front();
    }
}
