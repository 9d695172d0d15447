//! One socket to one node: pipelined calls in negotiated versions.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use vltava_wire::header::{RequestHeader, split_response};
use vltava_wire::messages::ApiVersionsRequest;
use vltava_wire::{ApiKey, ErrorCode, Message, Request, Str, Versions, Writer};

use crate::driver::{Driver, Outbound, Waiter};
use crate::error::ClientError;
use crate::options::ConnectOptions;
use crate::versions::{NodeVersions, read_api_versions};

/// How this client calls itself in ApiVersions (KIP-511).
const SOFTWARE_NAME: &str = "vltava";

/// A connection to a broker or a coordinator. Clones share the socket; it is closed when the
/// last one is dropped.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    address: String,
    client_id: Str,
    request_timeout: Duration,
    versions: NodeVersions,
    correlation: AtomicI32,
    requests: mpsc::UnboundedSender<Outbound>,
    places: Arc<Semaphore>,
    ending: Arc<Ending>,
}

/// Whether, and why, a connection has ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    reason: OnceLock<Arc<str>>,
    told: CancellationToken,
    ended: CancellationToken,
}

impl Ending {
    pub(crate) async fn told(&self) {
        self.told.cancelled().await;
    }

    pub(crate) fn set(&self, reason: &str) {
        self.reason.get_or_init(|| reason.into());
        self.ended.cancel();
    }

    fn reason(&self) -> Arc<str> {
        self.reason.get().cloned().unwrap_or_else(|| "closed".into())
    }
}

impl Connection {
    /// Connects to `host:port` and asks the node which versions it serves.
    ///
    /// # Errors
    /// If the host cannot be resolved or reached, or does not answer in time.
    pub async fn connect(address: &str, options: &ConnectOptions) -> Result<Self, ClientError> {
        let after = options.connect_timeout;
        let connecting = async {
            let stream = open(address).await?;
            let connection = Self::over(stream, address, options);
            connection.negotiate().await
        };
        tokio::time::timeout(after, connecting).await.unwrap_or_else(|_| {
            Err(ClientError::ConnectTimeout { address: address.to_owned(), after })
        })
    }

    fn over(stream: TcpStream, address: &str, options: &ConnectOptions) -> Inner {
        let (requests, receiver) = mpsc::unbounded_channel();
        let ending = Arc::new(Ending::default());
        let driver = Driver::new(receiver, options.response_max_bytes, ending.clone());
        tokio::spawn(driver.run(stream));
        Inner {
            address: address.to_owned(),
            client_id: options.client_id.clone(),
            request_timeout: options.request_timeout,
            versions: NodeVersions::default(),
            correlation: AtomicI32::new(0),
            requests,
            places: Arc::new(Semaphore::new(options.in_flight_max)),
            ending,
        }
    }

    /// Host and port, as given.
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// What the node serves.
    pub fn versions(&self) -> &NodeVersions {
        &self.inner.versions
    }

    /// The highest version of a request that both sides know, `max` at most.
    ///
    /// # Errors
    /// [`ClientError::UnsupportedVersion`] if there is none.
    pub fn version_of<R: Request>(&self, max: i16) -> Result<i16, ClientError> {
        let ours = Versions { min: R::VERSIONS.min, max: R::VERSIONS.max.min(max) };
        self.inner.versions.highest(R::KEY, ours).ok_or_else(|| {
            let address = self.inner.address.clone();
            ClientError::UnsupportedVersion { address, key: R::KEY, ours }
        })
    }

    /// Makes a call in the highest version that both sides know.
    ///
    /// # Errors
    /// If the node does not serve it, does not answer in time, or the connection ends.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let version = self.version_of::<R>(i16::MAX)?;
        self.call_at(version, request).await
    }

    /// Makes a call in a certain version.
    ///
    /// # Errors
    /// As [`call`](Self::call), but whether the node serves the version is not checked.
    pub async fn call_at<R: Request>(
        &self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        self.call_within(version, request, self.inner.request_timeout).await
    }

    /// Makes a call in a certain version with a timeout of its own.
    ///
    /// # Errors
    /// As [`call_at`](Self::call_at).
    pub async fn call_within<R: Request>(
        &self,
        version: i16,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        self.send(version, request, timeout).await?.await
    }

    /// Sends a request and returns once it is queued behind those that were sent before; the
    /// future that comes back yields the answer.
    ///
    /// The timeout runs from here. A request that is given up was perhaps carried out.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn send<R: Request>(
        &self,
        version: i16,
        request: &R,
        timeout: Duration,
    ) -> Result<impl Future<Output = Result<R::Response, ClientError>> + Send + use<R>, ClientError>
    {
        let deadline = tokio::time::Instant::now() + timeout;
        let answer = self.inner.send(version, request, deadline).await?;
        let inner = self.inner.clone();
        Ok(async move {
            let body = inner.receive::<R>(answer, version, timeout, deadline).await?;
            R::Response::read(body, version)
                .map_err(|source| ClientError::Decode { key: R::KEY, source })
        })
    }

    /// Sends a request that is not answered: a produce with acks=0.
    ///
    /// # Errors
    /// If the connection has ended. That it lives on is no sign that the request arrived.
    pub fn tell<R: Request>(&self, version: i16, request: &R) -> Result<(), ClientError> {
        let outbound = self.inner.frame(version, request, None);
        self.inner.requests.send(outbound).map_err(|_| self.inner.closed())
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.inner.ending.ended.is_cancelled()
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        self.inner.ending.ended.cancelled().await;
    }

    /// Ends the connection; calls that wait fail.
    pub fn close(&self) {
        self.inner.ending.told.cancel();
    }
}

impl Inner {
    /// Asks which versions the node serves. One that does not know our version of the question
    /// says which it knows.
    async fn negotiate(mut self) -> Result<Connection, ClientError> {
        let ours = ApiVersionsRequest::VERSIONS;
        let mut version = ours.max;
        loop {
            let response = self.api_versions(version).await?;
            let code = response.error_code;
            self.versions = response.into();
            if code.is_ok() {
                return Ok(Connection { inner: Arc::new(self) });
            }
            let below = Versions { min: ours.min, max: version - 1 };
            let highest = self.versions.highest(ApiKey::ApiVersions, below);
            version = match highest {
                Some(highest) if code == ErrorCode::UNSUPPORTED_VERSION => highest,
                // Nodes from before KIP-511 say nothing but the code.
                None if code == ErrorCode::UNSUPPORTED_VERSION && version > 0 => 0,
                _ => {
                    let what = format!("versions of {}", self.address);
                    return Err(ClientError::Refused { what, code, message: None });
                }
            };
        }
    }

    async fn api_versions(
        &self,
        version: i16,
    ) -> Result<vltava_wire::messages::ApiVersionsResponse, ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: Str::from_static(SOFTWARE_NAME),
            client_software_version: Str::from_static(env!("CARGO_PKG_VERSION")),
        };
        let timeout = self.request_timeout;
        let deadline = tokio::time::Instant::now() + timeout;
        let answer = self.send(version, &request, deadline).await?;
        let body = self.receive::<ApiVersionsRequest>(answer, version, timeout, deadline).await?;
        read_api_versions(body, version)
            .map_err(|source| ClientError::Decode { key: ApiKey::ApiVersions, source })
    }

    async fn send<R: Request>(
        &self,
        version: i16,
        request: &R,
        deadline: tokio::time::Instant,
    ) -> Result<oneshot::Receiver<Bytes>, ClientError> {
        let place = tokio::select! {
            biased;
            () = self.ending.ended.cancelled() => return Err(self.closed()),
            place = self.places.clone().acquire_owned() => place,
            () = tokio::time::sleep_until(deadline) => {
                self.ending.set("no answer to any of the requests in flight");
                self.ending.told.cancel();
                return Err(self.closed());
            }
        };
        let place = place.expect("the places of a connection are never closed");
        let (answer, receiver) = oneshot::channel();
        let outbound = self.frame(version, request, Some(Waiter { answer, _place: place }));
        self.requests.send(outbound).map_err(|_| self.closed())?;
        Ok(receiver)
    }

    /// Waits for an answer; returns its body.
    async fn receive<R: Request>(
        &self,
        answer: oneshot::Receiver<Bytes>,
        version: i16,
        timeout: Duration,
        deadline: tokio::time::Instant,
    ) -> Result<Bytes, ClientError> {
        let Ok(answer) = tokio::time::timeout_at(deadline, answer).await else {
            let address = self.address.clone();
            self.ending.set(&format!("no answer to {} within {timeout:?}", R::KEY));
            self.ending.told.cancel();
            return Err(ClientError::Timeout { address, key: R::KEY, after: timeout });
        };
        let frame = answer.map_err(|_| self.closed())?;
        split_response(frame, R::KEY, version)
            .map(|(_, body)| body)
            .map_err(|source| ClientError::Decode { key: R::KEY, source })
    }

    /// Encodes a request: its length, its header, its body.
    fn frame<R: Request>(&self, version: i16, request: &R, waiter: Option<Waiter>) -> Outbound {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let mut writer = Writer::new();
        RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id: correlation,
            client_id: Some(self.client_id.clone()),
        }
        .encode(&mut writer);
        request.write(&mut writer, version);
        let length = i32::try_from(writer.len()).expect("requests are bounded far below 2 GiB");
        let mut prefix = Writer::new();
        prefix.i32(length);
        prefix.append(writer);
        Outbound { correlation, pieces: prefix.into_pieces(), waiter }
    }

    fn closed(&self) -> ClientError {
        ClientError::Closed { address: self.address.clone(), reason: self.ending.reason() }
    }
}

/// Opens a socket to the first address of the host that accepts.
async fn open(address: &str) -> Result<TcpStream, ClientError> {
    let resolve = |source: io::Error| ClientError::Resolve {
        address: address.to_owned(),
        source: Arc::new(source),
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for found in tokio::net::lookup_host(address).await.map_err(resolve)? {
        match TcpStream::connect(found).await {
            Ok(stream) => {
                // An error here means that the connection has gone already.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ClientError::Connect { address: address.to_owned(), source: Arc::new(last) })
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.inner.address)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
