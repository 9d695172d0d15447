//! Connections against a peer that is told how to behave.

use std::time::Duration;

use peer::{Peer, listen, served};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse, MetadataRequest,
};
use vltava_wire::{ApiKey, ErrorCode, Message};

#[path = "connection/peer.rs"]
mod peer;

/// What a test waits for that is to run out of time.
const SOON: Duration = Duration::from_millis(200);
/// What nothing should run out of, however busy the machine is.
const LATE: Duration = Duration::from_secs(60);

/// Heartbeats up to version 3.
const SERVED: [(ApiKey, i16); 1] = [(ApiKey::Heartbeat, 3)];

fn patient() -> ConnectOptions {
    let (connect_timeout, request_timeout) = (LATE, LATE);
    ConnectOptions { connect_timeout, request_timeout, ..ConnectOptions::named("tests") }
}

async fn connect(listener: &TcpListener, address: &str) -> (Connection, Peer) {
    let options = patient();
    let accepting = async {
        let mut peer = Peer::accept(listener).await;
        peer.negotiate(&SERVED).await;
        peer
    };
    let (connection, peer) = tokio::join!(Connection::connect(address, &options), accepting);
    (connection.expect("a connection"), peer)
}

async fn answer_heartbeat(peer: &mut Peer, correlation: i32, throttle_time_ms: i32) {
    let response = HeartbeatResponse { throttle_time_ms, ..HeartbeatResponse::default() };
    peer.answer(ApiKey::Heartbeat, 3, correlation, &response).await;
}

#[tokio::test]
async fn calls_are_pipelined_and_each_gets_its_answer() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    let request = HeartbeatRequest::default();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(connection.send(3, &request, LATE).await.expect("it is open"));
    }
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (header, _) = peer.request().await;
        assert_eq!(header.client_id.expect("a name"), "tests");
        asked.push(header.correlation_id);
    }
    for (at, correlation) in (0..).zip(asked) {
        answer_heartbeat(&mut peer, correlation, at).await;
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
        answer_heartbeat(&mut peer, header.correlation_id, 0).await;
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
            ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..served(&SERVED) };
        peer.answer(ApiKey::ApiVersions, 0, header.correlation_id, &refusal).await;
        let (header, _) = peer.request().await;
        assert_eq!(header.api_version, 3);
        peer.answer(ApiKey::ApiVersions, 3, header.correlation_id, &served(&SERVED)).await;
    };
    let options = patient();
    let (connection, ()) = tokio::join!(Connection::connect(&address, &options), serving);
    let connection = connection.expect("a connection");
    assert_eq!(connection.versions().of(ApiKey::Heartbeat).map(|versions| versions.max), Some(3));
}

#[tokio::test]
async fn a_call_that_runs_out_of_time_ends_the_connection() {
    let (listener, address) = listen().await;
    let (connection, mut peer) = connect(&listener, &address).await;
    let request = HeartbeatRequest::default();
    let late = connection.call_within(3, &request, SOON).await;
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
    let answer = connection.send(3, &HeartbeatRequest::default(), LATE).await;
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
    let answer = connection.send(3, &HeartbeatRequest::default(), LATE).await;
    let (header, _) = peer.request().await;
    answer_heartbeat(&mut peer, header.correlation_id + 1, 0).await;
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
    let refused = Connection::connect(&address, &patient()).await;
    assert!(matches!(refused, Err(ClientError::Connect { .. })), "{refused:?}");
    let unknown = Connection::connect("no-such-host.invalid:9092", &patient()).await;
    assert!(matches!(unknown, Err(ClientError::Resolve { .. })), "{unknown:?}");
}
