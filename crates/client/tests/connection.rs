//! Connections against a peer that is told how to behave.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_wire::header::{RequestHeader, encode_response_header};
use vltava_wire::messages::api_versions::ApiVersion;
use vltava_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse, MetadataRequest,
};
use vltava_wire::{ApiKey, ErrorCode, Message, Writer};

const SOON: Duration = Duration::from_millis(200);

/// A peer with one connection.
struct Peer {
    stream: TcpStream,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        Self { stream: listener.accept().await.expect("a client connects").0 }
    }

    async fn request(&mut self) -> (RequestHeader, Bytes) {
        let length = self.stream.read_i32().await.expect("a request");
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.expect("a whole request");
        RequestHeader::split(frame.into()).expect("a header")
    }

    async fn answer(&mut self, key: ApiKey, version: i16, correlation: i32, body: &impl Message) {
        let mut writer = Writer::new();
        encode_response_header(&mut writer, key, version, correlation);
        body.write(&mut writer, version);
        let frame = writer.into_bytes();
        self.stream.write_i32(frame.len() as i32).await.expect("the client reads");
        self.stream.write_all(&frame).await.expect("the client reads");
    }

    /// Says that it serves heartbeats up to version 3, and ApiVersions.
    async fn negotiate(&mut self) {
        let (header, body) = self.request().await;
        let version = header.api_version;
        let asked = ApiVersionsRequest::read(body, version).expect("a question");
        assert_eq!(asked.client_software_name, "vltava");
        self.answer(ApiKey::ApiVersions, version, header.correlation_id, &served()).await;
    }

    async fn answer_heartbeat(&mut self, correlation: i32, throttle_time_ms: i32) {
        let response = HeartbeatResponse { throttle_time_ms, ..HeartbeatResponse::default() };
        self.answer(ApiKey::Heartbeat, 3, correlation, &response).await;
    }
}

fn served() -> ApiVersionsResponse {
    let range =
        |key: ApiKey, max_version| ApiVersion { api_key: key.code(), min_version: 0, max_version };
    ApiVersionsResponse {
        api_keys: vec![range(ApiKey::Heartbeat, 3), range(ApiKey::ApiVersions, 3)],
        ..ApiVersionsResponse::default()
    }
}

async fn connect(listener: &TcpListener, address: &str) -> (Connection, Peer) {
    let options = ConnectOptions { request_timeout: SOON, ..ConnectOptions::named("tests") };
    let accepting = async {
        let mut peer = Peer::accept(listener).await;
        peer.negotiate().await;
        peer
    };
    let (connection, peer) = tokio::join!(Connection::connect(address, &options), accepting);
    (connection.expect("a connection"), peer)
}

#[tokio::test]
async fn calls_are_pipelined_and_each_gets_its_answer() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    let request = HeartbeatRequest::default();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(connection.send(3, &request, SOON * 10).await.expect("it is open"));
    }
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (header, _) = peer.request().await;
        assert_eq!(header.client_id.expect("a name"), "tests");
        asked.push(header.correlation_id);
    }
    for (at, correlation) in (0..).zip(asked) {
        peer.answer_heartbeat(correlation, at).await;
    }
    for (at, answer) in (0..).zip(answers) {
        assert_eq!(answer.await.expect("an answer").throttle_time_ms, at);
    }
}

#[tokio::test]
async fn a_call_is_made_in_the_highest_version_that_both_know() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    assert_eq!(connection.version_of::<HeartbeatRequest>(i16::MAX).ok(), Some(3));
    assert_eq!(connection.version_of::<HeartbeatRequest>(1).ok(), Some(1));
    let unknown = connection.call(&MetadataRequest::default()).await;
    assert!(matches!(unknown, Err(ClientError::UnsupportedVersion { .. })));
    let request = HeartbeatRequest::default();
    let serving = async {
        let (header, _) = peer.request().await;
        assert_eq!(header.api_version, 3);
        peer.answer_heartbeat(header.correlation_id, 0).await;
    };
    let (called, ()) = tokio::join!(connection.call(&request), serving);
    called.expect("an answer");
}

#[tokio::test]
async fn a_peer_that_knows_only_older_versions_of_the_question_is_asked_again() {
    let (listener, address) = listen().await;
    let serving = async {
        let mut peer = Peer::accept(&listener).await;
        let (header, _) = peer.request().await;
        assert_eq!(header.api_version, ApiVersionsRequest::VERSIONS.max);
        let refusal =
            ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..served() };
        peer.answer(ApiKey::ApiVersions, 0, header.correlation_id, &refusal).await;
        let (header, _) = peer.request().await;
        assert_eq!(header.api_version, 3);
        peer.answer(ApiKey::ApiVersions, 3, header.correlation_id, &served()).await;
    };
    let options = ConnectOptions::default();
    let (connection, ()) = tokio::join!(Connection::connect(&address, &options), serving);
    let connection = connection.expect("a connection");
    assert_eq!(connection.versions().of(ApiKey::Heartbeat).map(|versions| versions.max), Some(3));
}

#[tokio::test]
async fn a_call_that_runs_out_of_time_ends_the_connection() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    let request = HeartbeatRequest::default();
    let late = connection.call(&request).await;
    assert!(matches!(late, Err(ClientError::Timeout { key: ApiKey::Heartbeat, .. })), "{late:?}");
    connection.closed().await;
    let after = connection.call(&request).await;
    assert!(matches!(after, Err(ClientError::Closed { .. })), "{after:?}");
    peer.request().await;
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).await.expect("the client closes in order");
}

#[tokio::test]
async fn calls_fail_at_once_when_the_peer_closes() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    let answer = connection.send(3, &HeartbeatRequest::default(), SOON * 100).await;
    peer.request().await;
    drop(peer);
    let error = answer.expect("it was open").await.expect_err("nobody answers");
    assert!(error.is_retriable());
    assert!(error.to_string().contains("closed by the peer"), "{error}");
    connection.closed().await;
    assert!(connection.is_closed());
}

#[tokio::test]
async fn an_answer_to_another_question_ends_the_connection() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    let answer = connection.send(3, &HeartbeatRequest::default(), SOON * 100).await;
    let (header, _) = peer.request().await;
    peer.answer_heartbeat(header.correlation_id + 1, 0).await;
    let error = answer.expect("it was open").await.expect_err("the answer is another's");
    assert!(error.to_string().contains("instead of"), "{error}");
}

#[tokio::test]
async fn an_answer_that_declares_too_much_ends_the_connection() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    peer.stream.write_i32(i32::MAX).await.expect("the client reads");
    connection.closed().await;
    let error = connection.call(&HeartbeatRequest::default()).await.expect_err("it is closed");
    assert!(error.to_string().contains("2147483647 bytes"), "{error}");
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_socket() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    connection.tell(3, &HeartbeatRequest::default()).expect("it is open");
    drop(connection);
    peer.request().await;
    let mut rest = Vec::new();
    peer.stream.read_to_end(&mut rest).await.expect("the client closes in order");
    assert!(rest.is_empty());
}

#[tokio::test]
async fn nobody_listening_and_nobody_answering_are_told_apart() {
    let (listener, address) = listen().await;
    let options = ConnectOptions { connect_timeout: SOON, ..ConnectOptions::default() };
    let silent = Connection::connect(&address, &options).await;
    assert!(matches!(silent, Err(ClientError::ConnectTimeout { .. })), "{silent:?}");
    drop(listener);
    let refused = Connection::connect(&address, &options).await;
    assert!(matches!(refused, Err(ClientError::Connect { .. })), "{refused:?}");
    let unknown = Connection::connect("no-such-host.invalid:9092", &options).await;
    assert!(matches!(unknown, Err(ClientError::Resolve { .. })), "{unknown:?}");
}
