//! Clients that mean harm or speak something else: the others are served, memory stays bounded.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use support::{start, start_with_budget};
use tokio::io::AsyncReadExt;
use vltava_net::{Budget, Limits};

#[tokio::test]
async fn garbage_and_giant_frames_close_their_connections_and_hurt_nobody() {
    let fixture = start(Limits::default()).await;
    let mut honest = fixture.client().await;
    let unknown_key = [0, 0, 0, 10, 0x03, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let negative_version = [0, 0, 0, 10, 0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff];
    let broken_client_id = [0, 0, 0, 12, 0, 3, 0, 9, 0, 0, 0, 1, 0, 9, 1, 2];
    let bad: [&[u8]; 9] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0x80, 0x00, 0x00, 0x00],
        &[0xff; 64],
        b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n",
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, 0, 0, 0],
        &unknown_key,
        &negative_version,
        &broken_client_id,
    ];
    for bytes in bad {
        let mut client = fixture.client().await;
        client.raw(bytes).await;
        client.closed().await;
    }
    honest.send(1, b"echo").await;
    assert_eq!(honest.answer().await.0, 1);
    fixture.wait(|events| events.closed.len() == bad.len()).await;
    assert_eq!(fixture.budget.used(), 0);
}

#[tokio::test]
async fn over_budget_sockets_are_not_read_until_memory_is_given_back() {
    // 4 MiB for frames, of which one lane of 1 MiB and 512 KiB for small frames.
    let limits = Limits { request_max_bytes: 1 << 20, ..Limits::default() };
    let fixture = start_with_budget(limits, Budget::new(4 << 20, 1 << 20)).await;
    let mut body = vec![b'x'; 900 * 1024];
    body[0] = b'h';
    let mut clients = Vec::new();
    for correlation in 0..8 {
        let mut client = fixture.client().await;
        let frame = support::request(correlation, &body);
        let writing = tokio::spawn(async move {
            client.raw(&frame).await;
            client
        });
        clients.push(writing);
    }
    fixture.wait(|events| !events.handled.is_empty()).await;
    let mut small = fixture.client().await;
    small.send(100, b"echo").await;
    assert_eq!(small.answer().await.0, 100, "small frames come through");
    // However the frames share the pool while they grow, all eight do not fit.
    let mut handled = fixture.events().handled.len();
    assert!(handled < 9, "large ones are held back");
    while handled < 9 {
        assert!(fixture.budget.used() <= fixture.budget.limit());
        fixture.let_go();
        handled = fixture.wait(|events| events.handled.len() > handled).await.handled.len();
    }
    fixture.let_go();
    assert_eq!(fixture.budget.used(), 0);
    for client in clients {
        client.await.expect("the frame was written");
    }
}

#[tokio::test]
async fn an_answer_beyond_what_a_frame_can_be_closes_its_connection_alone() {
    let fixture = start(Limits::default()).await;
    let mut honest = fixture.client().await;
    let mut greedy = fixture.client().await;
    greedy.send(1, b"echo").await;
    assert_eq!(greedy.answer().await.0, 1);
    greedy.send(2, b"boundless").await;
    greedy.closed().await;
    honest.send(3, b"echo").await;
    assert_eq!(honest.answer().await.0, 3);
    fixture.wait(|events| events.closed.len() == 1).await;
}

#[tokio::test]
async fn connections_beyond_the_limits_are_closed_at_once() {
    let limits = Limits { connections_per_ip_max: 3, ..Limits::default() };
    let fixture = start(limits.clone()).await;
    let mut clients = Vec::new();
    for correlation in 0..3 {
        let mut client = fixture.client().await;
        client.send(correlation, b"echo").await;
        assert_eq!(client.answer().await.0, correlation);
        clients.push(client);
    }
    fixture.client().await.closed().await;
    clients.pop();
    fixture.wait(|events| events.closed.len() == 1).await;
    let mut client = fixture.client().await;
    client.send(9, b"echo").await;
    assert_eq!(client.answer().await.0, 9);
    fixture.server.set_limits(Limits { connections_max: 2, ..limits });
    fixture.client().await.closed().await;
}

#[tokio::test]
async fn an_answer_that_is_not_read_does_not_hold_up_others() {
    let fixture = start(Limits::default()).await;
    let mut stuck = fixture.client().await;
    let (mut reader, mut writer) = stuck.stream.split();
    let frame = support::request(1, &vec![b'e'; 30 << 20]);
    let writing = tokio::io::AsyncWriteExt::write_all(&mut writer, &frame);
    writing.await.expect("the server reads");
    let mut honest = fixture.client().await;
    honest.send(2, b"echo").await;
    assert_eq!(honest.answer().await.0, 2);
    assert_eq!(reader.read_i32().await.expect("the answer begins"), 4 + (30 << 20));
}
