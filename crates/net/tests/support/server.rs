//! A server whose handler does what the requests tell it, and a client that speaks in frames.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use vltava_net::{
    Answer, Budget, CancellationToken, ConnectionId, Frame, Handler, Inbound, Limits,
    ListenerConfig, NetMetrics, Opened, Reply, Server,
};
use vltava_wire::header::RequestHeader;
use vltava_wire::{ApiKey, Writer};

/// Bytes of the answer to a body that asks for many.
pub const MANY: usize = 8 << 20;

/// What happened so far.
#[derive(Clone, Debug, Default)]
pub struct Events {
    pub handled: Vec<i32>,
    pub abandoned: usize,
    pub opened: usize,
    pub closed: Vec<ConnectionId>,
}

/// Obeys the first byte of a body: `e`cho, `l`ater echo, `h`old the body until later, `s`ilence,
/// `m`any bytes ([`MANY`]), `b`oundless, `c`lose, `p`anic.
#[derive(Debug)]
pub struct Obedient {
    events: watch::Sender<Events>,
    gate: Arc<Semaphore>,
    held: Mutex<Vec<Bytes>>,
}

impl Default for Obedient {
    fn default() -> Self {
        Self {
            events: watch::Sender::default(),
            gate: Arc::new(Semaphore::new(0)),
            held: Mutex::default(),
        }
    }
}

/// Notes that an answer was dropped before it was there.
struct Abandoned(Option<watch::Sender<Events>>);

impl Abandoned {
    fn is_there(&mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(events) = &self.0 {
            events.send_modify(|events| events.abandoned += 1);
        }
    }
}

fn echo(correlation: i32, body: &Bytes) -> Answer {
    let mut writer = Writer::new();
    writer.i32(correlation);
    writer.shared(body);
    Answer::Frame(Frame::new(writer))
}

/// An answer of more than 2 GiB, which shares its bytes with itself.
fn boundless(correlation: i32) -> Answer {
    let bytes = Bytes::from(vec![0; 1 << 20]);
    let mut writer = Writer::new();
    writer.i32(correlation);
    (0..2048).for_each(|_| writer.shared(&bytes));
    Answer::Frame(Frame::new(writer))
}

impl Handler for Obedient {
    async fn handle(&self, request: Inbound) -> Reply {
        let correlation = request.header.correlation_id;
        self.events.send_modify(|events| events.handled.push(correlation));
        let body = request.body;
        match body.first() {
            Some(b'l') => {
                let (gate, mut guard) = (self.gate.clone(), Abandoned(Some(self.events.clone())));
                let body = Bytes::copy_from_slice(&body);
                Reply::later(async move {
                    gate.acquire().await.expect("the gate is never closed").forget();
                    guard.is_there();
                    echo(correlation, &body)
                })
            }
            Some(b'h') => {
                self.held.lock().push(body);
                Answer::Silent.into()
            }
            Some(b's') => Answer::Silent.into(),
            Some(b'm') => echo(correlation, &Bytes::from(vec![b'm'; MANY])).into(),
            Some(b'b') => boundless(correlation).into(),
            Some(b'c') => Answer::close("the request told so").into(),
            Some(b'p') => panic!("the request told so"),
            _ => echo(correlation, &body).into(),
        }
    }

    fn opened(&self, _: &Opened) {
        self.events.send_modify(|events| events.opened += 1);
    }

    fn closed(&self, connection: ConnectionId) {
        self.events.send_modify(|events| events.closed.push(connection));
    }
}

/// A server with one listener, `main` unless said otherwise, on a free port.
pub struct Fixture {
    pub server: Server<Obedient>,
    pub handler: Arc<Obedient>,
    pub budget: Arc<Budget>,
    pub address: SocketAddr,
    pub shutdown: CancellationToken,
}

pub async fn start(limits: Limits) -> Fixture {
    start_with_budget(limits, Budget::new(512 << 20, 100 << 20)).await
}

pub async fn start_with_budget(limits: Limits, budget: Arc<Budget>) -> Fixture {
    serve(ListenerConfig::new("main", "127.0.0.1", 0), limits, budget).await
}

pub async fn start_at(listener: ListenerConfig, limits: Limits) -> Fixture {
    serve(listener, limits, Budget::new(512 << 20, 100 << 20)).await
}

async fn serve(listener: ListenerConfig, limits: Limits, budget: Arc<Budget>) -> Fixture {
    let name = listener.name.clone();
    let handler = Arc::new(Obedient::default());
    let shutdown = CancellationToken::new();
    let server = Server::bind(
        vec![listener],
        limits,
        budget.clone(),
        NetMetrics::default(),
        handler.clone(),
        shutdown.clone(),
    )
    .await
    .expect("a free port");
    let address = server.local_addr(&name).expect("the listener exists");
    Fixture { server, handler, budget, address, shutdown }
}

impl Fixture {
    /// Waits until what happened is as wanted.
    pub async fn wait(&self, wanted: impl FnMut(&Events) -> bool) -> Events {
        let mut events = self.handler.events.subscribe();
        events.wait_for(wanted).await.expect("the handler lives").clone()
    }

    pub fn events(&self) -> Events {
        self.handler.events.borrow().clone()
    }

    /// Lets so many late answers come.
    pub fn open_gate(&self, count: usize) {
        self.handler.gate.add_permits(count);
    }

    /// Lets go of the bodies that are held.
    pub fn let_go(&self) {
        self.handler.held.lock().clear();
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

/// A client that speaks in frames.
pub struct Client {
    pub stream: TcpStream,
}

pub fn request(correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    RequestHeader {
        api_key: ApiKey::Produce.code(),
        api_version: 3,
        correlation_id: correlation,
        client_id: Some("tests".into()),
    }
    .encode(&mut writer);
    writer.raw(body);
    let frame = writer.into_bytes();
    let mut bytes = (frame.len() as i32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&frame);
    bytes
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("the server listens") }
    }

    pub async fn send(&mut self, correlation: i32, body: &[u8]) {
        self.raw(&request(correlation, body)).await;
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
    }

    /// The next answer: its correlation id and its body.
    pub async fn answer(&mut self) -> (i32, Vec<u8>) {
        let length = self.stream.read_i32().await.expect("an answer");
        let correlation = self.stream.read_i32().await.expect("an answer");
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.expect("a whole answer");
        (correlation, body)
    }

    /// Waits until the server closes the connection; nothing must come before.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = self.stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "an answer came: {rest:?}");
    }
}

/// Resident memory of this process, in bytes.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize =
        statm.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a number");
    pages * 4096
}
