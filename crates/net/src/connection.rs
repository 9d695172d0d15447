//! One connection: frames in, answers out, in the order of the requests.
//!
//! A single task does both halves. The order of its work: carry on with the request that is
//! being handled; take what the buffer has already; write what is answered; poll what is waited
//! for; and only then read on. So answers of pipelined requests leave together, and a client
//! that only sends does not keep its answers back.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use vltava_wire::header::RequestHeader;
use vltava_wire::{ApiKey, DecodeError, Str};

use crate::answer::{Answer, Reply};
use crate::frame::{FrameError, FrameReader};
use crate::handler::{Handler, Inbound, Opened};
use crate::in_flight::{Asked, InFlight};
use crate::limits::Limits;
use crate::outgoing::Outgoing;
use crate::server::Shared;

/// How long answers that are ready may take to leave once a connection ends.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// After that much silence the system asks whether the other end still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The client closed it, or what came was no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame came whose header cannot be read.
    #[error("a request's header makes no sense: {0}")]
    Header(DecodeError),
    /// A request of a kind that nobody knows.
    #[error("unknown API key {key} (version {version})")]
    Key { key: i16, version: i16 },
    /// The handler found a request that cannot be answered.
    #[error("{0}")]
    Handler(Cow<'static, str>),
    /// An answer is longer than a frame can be.
    #[error("an answer to {key} would take {bytes} bytes")]
    Answer { key: ApiKey, bytes: usize },
    #[error("writing failed: {0}")]
    Write(std::io::Error),
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    #[error("closed from here")]
    Told,
}

type Handling = Pin<Box<dyn Future<Output = (Asked, Reply)> + Send>>;

/// The state of one connection.
pub(crate) struct Session<H: Handler> {
    shared: Arc<Shared<H>>,
    registered: Registered<H>,
    opened: Opened,
    reader: FrameReader,
    handling: Option<Handling>,
    in_flight: InFlight,
    outgoing: Outgoing,
    in_flight_max: usize,
    in_flight_bytes_max: usize,
    idle_max: Duration,
    /// The last client id that came: clients repeat theirs in every request.
    client_id: Option<Str>,
    /// Whether a request ever came.
    spoke: bool,
    /// When something was last handled or written.
    progress: Instant,
}

/// A connection's place among the others; given up once, however the connection ends.
struct Registered<H: Handler> {
    shared: Arc<Shared<H>>,
    opened: Option<Opened>,
    gauge: Gauge,
}

impl<H: Handler> Registered<H> {
    fn give_up(&mut self) {
        if let Some(opened) = self.opened.take() {
            self.shared.sessions.remove(opened.connection);
            self.gauge.dec();
            self.shared.handler.closed(opened.connection);
        }
    }
}

impl<H: Handler> Drop for Registered<H> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl<H: Handler> Session<H> {
    pub(crate) fn open(
        shared: Arc<Shared<H>>,
        opened: Opened,
        protected: bool,
        limits: &Limits,
    ) -> Self {
        let gauge = shared.metrics.accepted(&opened.listener);
        gauge.inc();
        shared.handler.opened(&opened);
        let reader = FrameReader::new(
            limits.request_max_bytes,
            limits.frame_stall_max,
            shared.budget.clone(),
            protected,
            shared.metrics.bytes_in.clone(),
        );
        Self {
            registered: Registered { shared: shared.clone(), opened: Some(opened.clone()), gauge },
            shared,
            opened,
            reader,
            handling: None,
            in_flight: InFlight::default(),
            outgoing: Outgoing::default(),
            in_flight_max: limits.in_flight_max,
            in_flight_bytes_max: limits.in_flight_bytes_max,
            idle_max: limits.idle_max,
            client_id: None,
            spoke: false,
            progress: Instant::now(),
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self, mut stream: TcpStream, mut close: oneshot::Receiver<()>) {
        prepare(&stream);
        let (mut reader, mut writer) = stream.split();
        let end = tokio::select! {
            biased;
            _ = &mut close => End::Told,
            end = self.serve(&mut reader, &mut writer) => end,
        };
        self.report(&end);
        if let Some(handling) = self.handling.take() {
            let (asked, reply) = handling.await;
            self.in_flight.push(asked, reply);
        }
        if matches!(end, End::Handler(_) | End::Answer { .. }) {
            self.in_flight.clear();
        }
        // Takes what is answered, without waiting, and drops the other answers.
        let _ = poll_fn(|context| Poll::Ready(self.in_flight.poll_settle(context))).await;
        self.in_flight.abandon();
        self.registered.give_up();
        if !matches!(end, End::Write(_) | End::Frame(FrameError::Read(_))) {
            let _ = tokio::time::timeout(DRAIN_MAX, self.drain(&mut writer)).await;
        }
    }

    async fn serve(&mut self, reader: &mut ReadHalf<'_>, writer: &mut WriteHalf<'_>) -> End {
        let idle = tokio::time::sleep(self.idle_max);
        tokio::pin!(idle);
        loop {
            if let Err(end) = self.step(reader, writer, idle.as_mut()).await {
                return end;
            }
        }
    }

    /// Does the next piece of work, or waits for one.
    async fn step(
        &mut self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
        mut idle: Pin<&mut Sleep>,
    ) -> Result<(), End> {
        self.release()?;
        let reads = self.handling.is_none() && self.has_room();
        if reads && let Some(frame) = self.reader.take_now()? {
            return self.begin(frame);
        }
        let handling = async {
            match &mut self.handling {
                Some(handling) => handling.await,
                None => std::future::pending().await,
            }
        };
        let frame = async {
            match reads {
                true => self.reader.next(reader).await,
                false => Err(broken(reader).await),
            }
        };
        tokio::select! {
            biased;
            (asked, reply) = handling => self.handled(asked, reply),
            written = self.outgoing.write(writer.as_ref(), &self.shared.metrics),
                if !self.outgoing.is_empty() =>
            {
                written.map_err(End::Write)?;
                self.progress = Instant::now();
            }
            () = self.in_flight.settle(), if self.in_flight.is_waiting() => {}
            frame = frame => return self.begin(frame?),
            () = idle.as_mut() => return self.check_idle(idle),
        }
        Ok(())
    }

    fn handled(&mut self, asked: Asked, reply: Reply) {
        self.handling = None;
        self.progress = Instant::now();
        self.in_flight.push(asked, reply);
    }

    /// Whether one more request may be read.
    fn has_room(&self) -> bool {
        self.in_flight.len() < self.in_flight_max
            && self.in_flight.bytes() + self.outgoing.bytes() < self.in_flight_bytes_max
    }

    /// Moves answers that are there, and whose turn it is, on their way out.
    fn release(&mut self) -> Result<(), End> {
        while let Some((asked, answer)) = self.in_flight.pop() {
            match answer {
                Answer::Frame(frame) => {
                    let too_long = |bytes| End::Answer { key: asked.key, bytes };
                    self.outgoing.push(asked, frame).map_err(too_long)?;
                }
                Answer::Silent => {
                    self.shared.metrics.answered(asked.key, asked.received.elapsed());
                }
                Answer::Close { reason } => return Err(End::Handler(reason)),
            }
        }
        Ok(())
    }

    /// Gives a frame to the handler.
    fn begin(&mut self, frame: Bytes) -> Result<(), End> {
        let bytes = frame.len();
        let (mut header, body) = RequestHeader::split(frame).map_err(End::Header)?;
        let Some(key) = header.key() else {
            return Err(End::Key { key: header.api_key, version: header.api_version });
        };
        header.client_id = self.client_id(header.client_id);
        self.spoke = true;
        let received = std::time::Instant::now();
        let request = Inbound {
            header,
            key,
            body,
            peer: self.opened.peer,
            connection: self.opened.connection,
            listener: self.opened.listener.clone(),
            received,
        };
        let handler = self.shared.handler.clone();
        let asked = Asked { key, received, bytes };
        self.handling = Some(Box::pin(async move { (asked, handler.handle(request).await) }));
        Ok(())
    }

    /// The client's id in memory of its own: it shall not keep frames alive.
    fn client_id(&mut self, came: Option<Str>) -> Option<Str> {
        if self.client_id != came {
            self.client_id = came.map(|name| name.detach());
        }
        self.client_id.clone()
    }

    /// The idle timer ran out: ends the connection, or sets the timer anew.
    fn check_idle(&mut self, mut idle: Pin<&mut Sleep>) -> Result<(), End> {
        let last = self.progress.max(self.reader.progress());
        let pending = self.handling.is_some() || self.in_flight.is_waiting();
        let deadline = if pending { Instant::now() } else { last } + self.idle_max;
        if deadline <= Instant::now() {
            return Err(End::Idle(self.idle_max));
        }
        idle.as_mut().reset(deadline);
        Ok(())
    }

    /// Writes what is answered.
    async fn drain(&mut self, writer: &mut WriteHalf<'_>) {
        // An answer that closes the connection has nothing behind it that could still leave.
        let _ = self.release();
        while !self.outgoing.is_empty() {
            if self.outgoing.write(writer.as_ref(), &self.shared.metrics).await.is_err() {
                return;
            }
        }
    }

    /// Says why the connection ended, as loudly as that deserves.
    fn report(&self, end: &End) {
        let Opened { peer, ref listener, connection } = self.opened;
        let kind = match end {
            End::Frame(FrameError::TooLarge { .. } | FrameError::Negative { .. }) => "length",
            End::Frame(FrameError::CutOff { .. }) => "cut off",
            End::Frame(FrameError::Stalled(..) | FrameError::Slow(..)) => "stalled",
            End::Header(_) => "header",
            End::Key { .. } => "unknown key",
            End::Handler(_) => "request",
            End::Answer { .. } => "answer",
            End::Idle(_) if !self.spoke => "silent",
            End::Frame(FrameError::Closed | FrameError::Read(_))
            | End::Write(_)
            | End::Idle(_)
            | End::Told => {
                tracing::debug!(%peer, %listener, %connection, "connection ended: {end}");
                return;
            }
        };
        self.shared.metrics.rejected(kind);
        self.shared.warn(peer, listener, kind, end);
    }
}

/// Waits for the connection to break, as it does when the client's process dies while answers
/// wait in its socket. That is noticed without reading; an orderly end lies behind what is to be
/// read and handled first.
async fn broken(reader: &ReadHalf<'_>) -> FrameError {
    match reader.ready(Interest::ERROR).await {
        Ok(_) => FrameError::Read(std::io::ErrorKind::ConnectionReset.into()),
        Err(error) => FrameError::Read(error),
    }
}

/// Sets what every connection needs. An error here means that the connection has gone already.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
