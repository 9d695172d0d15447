//! How connections end: by the client, by what it sends, by silence, by the server.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use std::time::Duration;

use socket2::SockRef;
use support::{request, start};
use vltava_net::Limits;

#[tokio::test]
async fn a_client_that_closes_drops_its_pending_answer() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    client.send(1, b"late").await;
    fixture.wait(|events| events.handled == [1]).await;
    drop(client);
    let events = fixture.wait(|events| events.closed.len() == 1).await;
    assert_eq!(events.abandoned, 1, "the answer is dropped before the end is told");
    assert_eq!(fixture.server.connections(), 0);
}

#[tokio::test]
async fn a_reset_is_noticed_though_nothing_more_may_be_read() {
    let fixture = start(Limits { in_flight_max: 2, ..Limits::default() }).await;
    let mut client = fixture.client().await;
    for correlation in 1..=9 {
        client.send(correlation, &[b'l'; 8000]).await;
    }
    fixture.wait(|events| events.handled.len() == 2).await;
    // As when the client's process is killed while answers wait in its socket.
    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("the socket is open");
    drop(client);
    let events = fixture.wait(|events| events.closed.len() == 1).await;
    assert_eq!(events.abandoned, 2);
}

#[tokio::test]
async fn the_answers_before_a_closing_one_still_leave() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    client.raw(&[request(1, b"echo"), request(2, b"close"), request(3, b"echo")].concat()).await;
    assert_eq!(client.answer().await.0, 1);
    client.closed().await;
    fixture.wait(|events| events.closed.len() == 1).await;
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_only() {
    let fixture = start(Limits::default()).await;
    let mut other = fixture.client().await;
    let mut client = fixture.client().await;
    client.send(1, b"panic").await;
    client.closed().await;
    fixture.wait(|events| events.closed.len() == 1).await;
    other.send(2, b"echo").await;
    assert_eq!(other.answer().await.0, 2);
    assert_eq!(fixture.server.connections(), 1);
}

#[tokio::test]
async fn silence_ends_a_connection_but_a_pending_answer_does_not() {
    let idle_max = Duration::from_millis(100);
    let fixture = start(Limits { idle_max, ..Limits::default() }).await;
    let mut waiting = fixture.client().await;
    waiting.send(1, b"late").await;
    fixture.wait(|events| events.handled == [1]).await;
    let mut silent = fixture.client().await;
    silent.closed().await;
    let mut second = fixture.client().await;
    second.closed().await;
    fixture.open_gate(1);
    assert_eq!(waiting.answer().await.0, 1);
    waiting.closed().await;
}

#[tokio::test]
async fn a_server_that_ends_closes_its_connections_and_listeners() {
    let fixture = start(Limits::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(fixture.client().await);
    }
    clients[0].send(1, b"late").await;
    fixture.wait(|events| events.handled == [1]).await;
    fixture.shutdown.cancel();
    fixture.server.stopped().await;
    for client in &mut clients {
        client.closed().await;
    }
    assert_eq!(fixture.events().closed.len(), fixture.events().opened);
    assert!(tokio::net::TcpStream::connect(fixture.address).await.is_err());
}

#[tokio::test]
async fn one_connection_can_be_closed_from_here() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    client.send(1, b"echo").await;
    assert_eq!(client.answer().await.0, 1);
    let mut other = fixture.client().await;
    other.send(2, b"echo").await;
    assert_eq!(other.answer().await.0, 2);
    fixture.server.close(vltava_net::ConnectionId(1));
    client.closed().await;
    other.send(3, b"echo").await;
    assert_eq!(other.answer().await.0, 3);
}
