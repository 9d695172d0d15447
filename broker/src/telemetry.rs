//! Metrics that clients push (KIP-714), carried on to a collector of OpenTelemetry.
//!
//! A broker that is told of no collector has nothing to do with what clients push: it does not
//! advertise the two requests, as Kafka's does not without a reporter that takes them.

pub mod machine;
mod otlp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use vltava_config::{Values, keys};
use vltava_metadata::Image;
use vltava_net::ConnectionId;
use vltava_wire::messages::PushTelemetryRequest;
use vltava_wire::{ErrorCode, Str, Uuid};

use self::machine::{Client, Machine, Told};
use self::otlp::Endpoint;

/// What a push may take once it is decompressed, in bytes for each byte that it may have.
const DECOMPRESSED_TIMES: usize = 16;

/// The metrics of clients, if a collector takes them.
#[derive(Debug)]
pub struct Telemetry {
    machine: Mutex<Machine>,
    /// The library behind each connection, by ApiVersions.
    software: Mutex<HashMap<ConnectionId, (Str, Str)>>,
    collector: mpsc::Sender<Vec<u8>>,
    began: Instant,
    bytes_max: i32,
}

impl Telemetry {
    /// What the configuration asks for; `None` if there is no collector. Must be called within a
    /// tokio runtime.
    pub fn start(values: &Values) -> Option<Self> {
        let endpoint = values.get(keys::VLTAVA_CLIENT_TELEMETRY_ENDPOINT)?;
        let endpoint = Endpoint::parse(&endpoint)?;
        let (collector, waiting) = mpsc::channel(otlp::WAITING_MAX);
        tokio::spawn(otlp::export(endpoint, waiting));
        Some(Self {
            machine: Mutex::default(),
            software: Mutex::default(),
            collector,
            began: Instant::now(),
            bytes_max: values.get(keys::TELEMETRY_MAX_BYTES),
        })
    }

    /// Takes over the subscriptions of an image.
    pub fn configure(&self, image: &Image) {
        self.machine.lock().configure(image);
    }

    /// Notes the library that a client says that it uses.
    pub fn introduced(&self, connection: ConnectionId, name: Str, version: Str) {
        self.software.lock().insert(connection, (name.detach(), version.detach()));
    }

    /// Forgets a connection.
    pub fn closed(&self, connection: ConnectionId) {
        self.software.lock().remove(&connection);
    }

    /// What is known of a client.
    pub fn client(&self, id: Str, connection: ConnectionId, peer: SocketAddr) -> Client {
        let software = self.software.lock().get(&connection).cloned();
        let (software_name, software_version) = software.unwrap_or_default();
        let source_address = otlp::address(peer.ip());
        Client { id, software_name, software_version, source_address, source_port: peer.port() }
    }

    /// The largest push, in bytes as it comes.
    pub fn bytes_max(&self) -> i32 {
        self.bytes_max
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What a client is to push.
    ///
    /// # Errors
    /// See [`Machine::ask`].
    pub fn ask(&self, client: &Client, instance: Uuid) -> Result<Told, ErrorCode> {
        let fresh = Uuid::from_random(rand::random());
        self.machine.lock().ask(client, instance, fresh, self.now_ms())
    }

    /// Takes what a client pushes, and has it carried on; what the collector does with it the
    /// client does not hear.
    ///
    /// # Errors
    /// See [`Machine::push`]; INVALID_RECORD if it is no OTLP message.
    pub fn push(&self, client: &Client, request: &PushTelemetryRequest) -> Result<(), ErrorCode> {
        let bytes_max = usize::try_from(self.bytes_max).unwrap_or(0);
        let codec = self.machine.lock().push(client, request, bytes_max, self.now_ms())?;
        if request.metrics.is_empty() {
            return Ok(());
        }
        let bytes_max = bytes_max.saturating_mul(DECOMPRESSED_TIMES);
        let metrics =
            codec.decompress(&request.metrics, bytes_max).map_err(|_| ErrorCode::INVALID_RECORD)?;
        let metrics = otlp::with_client(&metrics, request.client_instance_id, client)
            .ok_or(ErrorCode::INVALID_RECORD)?;
        // A collector that is too slow loses what does not fit.
        if self.collector.try_send(metrics).is_err() {
            tracing::debug!("the collector is too slow: metrics of a client are dropped");
        }
        Ok(())
    }
}
