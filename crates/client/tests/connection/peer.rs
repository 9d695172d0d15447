//! The other side of a connection, which does what a test tells it to.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vltava_wire::header::{RequestHeader, encode_response_header};
use vltava_wire::messages::api_versions::ApiVersion;
use vltava_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use vltava_wire::{ApiKey, Message, Writer};

/// A peer with one connection.
pub struct Peer {
    pub stream: TcpStream,
}

/// A socket that listens, and its address.
pub async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

impl Peer {
    /// The next client that connects.
    pub async fn accept(listener: &TcpListener) -> Self {
        Self { stream: listener.accept().await.expect("a client connects").0 }
    }

    /// The next request; fails the test if the client closes instead.
    pub async fn request(&mut self) -> (RequestHeader, Bytes) {
        let length = self.stream.read_i32().await.expect("a request");
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.expect("a whole request");
        RequestHeader::split(frame.into()).expect("a header")
    }

    /// Answers a request of that kind.
    pub async fn answer(
        &mut self,
        key: ApiKey,
        version: i16,
        correlation: i32,
        body: &impl Message,
    ) {
        self.answer_by(key, version, correlation, |writer| body.write(writer, version)).await;
    }

    /// Answers a request of that kind by what is written.
    pub async fn answer_by(
        &mut self,
        key: ApiKey,
        version: i16,
        correlation: i32,
        body: impl FnOnce(&mut Writer),
    ) {
        let mut writer = Writer::new();
        encode_response_header(&mut writer, key, version, correlation);
        body(&mut writer);
        let frame = writer.into_bytes();
        self.stream.write_i32(frame.len() as i32).await.expect("the client reads");
        self.stream.write_all(&frame).await.expect("the client reads");
    }

    /// Says that it serves these requests up to a version each, and ApiVersions.
    pub async fn negotiate(&mut self, keys: &[(ApiKey, i16)]) {
        let (header, body) = self.request().await;
        let version = header.api_version;
        let asked = ApiVersionsRequest::read(body, version).expect("a question");
        assert_eq!(asked.client_software_name, "vltava");
        self.answer(ApiKey::ApiVersions, version, header.correlation_id, &served(keys)).await;
    }
}

/// What a peer answers that serves these requests up to a version each, and ApiVersions.
pub fn served(keys: &[(ApiKey, i16)]) -> ApiVersionsResponse {
    let all = keys.iter().chain(&[(ApiKey::ApiVersions, 3)]);
    let ranges = all.map(|(key, max_version)| ApiVersion {
        api_key: key.code(),
        min_version: 0,
        max_version: *max_version,
    });
    ApiVersionsResponse { api_keys: ranges.collect(), ..ApiVersionsResponse::default() }
}
