//! The port for people and probes: `/metrics`, `/livez`, `/readyz`, over HTTP; and the order to
//! hand over what the node leads, which is taken from the same machine alone.
//!
//! It is bounded more tightly than the Kafka listeners: few connections, each for one request.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::listener::{BoundListener, accept};

/// Connections that are served at one time; others are closed.
const CONNECTIONS_MAX: usize = 32;

/// How long one connection may take from its first byte to its last.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// Bytes of a request's head; a GET of a probe has some hundred.
const HEAD_MAX: usize = 8 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well; a few words on the state, for people.
    Good(String),
    /// Not so: why.
    Bad(String),
}

/// Says how the node is, at once and without waiting.
pub type Probe = Box<dyn Fn() -> Health + Send + Sync>;

/// What the port shows.
pub struct Admin {
    /// The metrics; parts of the node that come later add theirs.
    pub registry: Arc<RwLock<Registry>>,
    /// Whether the process should go on as it is (`/livez`).
    pub live: Probe,
    /// Whether the node does its work (`/readyz`).
    pub ready: Probe,
    /// Has the node hand over what it leads, and says whether that is done (`POST /hand-over`).
    pub hand_over: Option<Probe>,
}

/// The order to hand over what the node leads.
pub const HAND_OVER: &str = "/hand-over";

impl Admin {
    /// Serves the port until `stop` is cancelled.
    pub async fn serve(self, listener: BoundListener, stop: CancellationToken) {
        let admin = Arc::new(self);
        let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let accepted = |stream, peer| {
            let Ok(permit) = free.clone().try_acquire_owned() else { return };
            let admin = admin.clone();
            tokio::spawn(async move {
                // Whoever takes too long is cut off; nobody is there to tell.
                let _ = tokio::time::timeout(REQUEST_MAX, admin.connection(stream, peer)).await;
                drop(permit);
            });
        };
        let failed = |error: &std::io::Error| {
            tracing::warn!("the admin port cannot accept connections: {error}");
        };
        accept(listener, stop, accepted, failed).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = self.answer(request.method(), request.uri().path(), peer);
            async move { Ok::<_, Infallible>(answer) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_MAX)
            .max_buf_size(HEAD_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::debug!("a connection of the admin port ended: {error}");
        }
    }

    fn answer(&self, method: &Method, path: &str, peer: SocketAddr) -> Response<Full<Bytes>> {
        if let (&Method::POST, HAND_OVER, Some(order)) = (method, path, &self.hand_over) {
            return match peer.ip().is_loopback() {
                true => health(order()),
                false => {
                    let why = "this order is taken from the node's own machine alone\n";
                    response(StatusCode::FORBIDDEN, TEXT, why.to_owned())
                }
            };
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        }
        match path {
            "/livez" => health((self.live)()),
            "/readyz" => health((self.ready)()),
            "/metrics" => self.metrics(),
            "/" => response(StatusCode::OK, TEXT, "/metrics\n/livez\n/readyz\n".to_owned()),
            _ => {
                response(StatusCode::NOT_FOUND, TEXT, "there is /metrics, /livez, /readyz\n".into())
            }
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry.read()) {
            Ok(()) => response(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }
}

fn health(health: Health) -> Response<Full<Bytes>> {
    match health {
        Health::Good(state) => response(StatusCode::OK, TEXT, state + "\n"),
        Health::Bad(why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, why + "\n"),
    }
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}
