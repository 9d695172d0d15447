//! Requests of one connection are read ahead, handled in order and answered in order.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use bytes::Bytes;
use support::{MANY, request, start};
use vltava_net::Limits;

#[tokio::test]
async fn answers_keep_the_order_of_requests_though_the_first_one_waits() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    client.send(1, b"late").await;
    for correlation in 2..=5 {
        client.send(correlation, b"echo").await;
    }
    let events = fixture.wait(|events| events.handled.len() == 5).await;
    assert_eq!(events.handled, [1, 2, 3, 4, 5], "all are handled though none is answered");
    fixture.open_gate(1);
    for correlation in 1..=5 {
        assert_eq!(client.answer().await.0, correlation);
    }
}

#[tokio::test]
async fn silent_requests_are_not_answered() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    client.raw(&[request(1, b"silent"), request(2, b"echo"), request(3, b"silent")].concat()).await;
    client.send(4, b"echo").await;
    assert_eq!(client.answer().await.0, 2);
    assert_eq!(client.answer().await.0, 4);
}

#[tokio::test]
async fn no_more_requests_are_read_ahead_than_allowed() {
    let fixture = start(Limits { in_flight_max: 4, ..Limits::default() }).await;
    let mut client = fixture.client().await;
    for correlation in 1..=6 {
        client.send(correlation, b"late").await;
    }
    fixture.wait(|events| events.handled.len() == 4).await;
    // The fifth is read as soon as one is answered, and only then: its number tells.
    fixture.open_gate(1);
    assert_eq!(client.answer().await.0, 1);
    let events = fixture.wait(|events| events.handled.len() >= 5).await;
    assert_eq!(events.handled, [1, 2, 3, 4, 5]);
    fixture.open_gate(5);
    for correlation in 2..=6 {
        assert_eq!(client.answer().await.0, correlation);
    }
}

#[tokio::test]
async fn large_requests_are_read_ahead_up_to_a_number_of_bytes() {
    let limits = Limits { in_flight_bytes_max: 1 << 20, ..Limits::default() };
    let fixture = start(limits).await;
    let mut client = fixture.client().await;
    let mut body = vec![b'x'; 600 * 1024];
    body[0] = b'l';
    for correlation in 1..=3 {
        client.send(correlation, &body).await;
    }
    fixture.wait(|events| events.handled.len() == 2).await;
    fixture.open_gate(1);
    assert_eq!(client.answer().await, (1, body.clone()));
    fixture.wait(|events| events.handled.len() == 3).await;
    fixture.open_gate(2);
    assert_eq!(client.answer().await.0, 2);
    assert_eq!(client.answer().await.0, 3);
}

#[tokio::test]
async fn large_answers_that_wait_for_an_older_one_hold_back_what_is_read_ahead() {
    let fixture = start(Limits { in_flight_bytes_max: 4 * MANY, ..Limits::default() }).await;
    let mut client = fixture.client().await;
    client.send(1, b"late").await;
    for correlation in 2..=9 {
        client.send(correlation, b"many").await;
    }
    fixture.wait(|events| events.handled.len() >= 5).await;
    // Many others are served meanwhile, and no sixth of these is handled.
    let mut other = fixture.client().await;
    for _ in 0..200 {
        other.send(100, b"echo").await;
        assert_eq!(other.answer().await.0, 100);
    }
    let handled = fixture.events().handled;
    let of_first = handled.into_iter().filter(|correlation| *correlation < 100);
    assert_eq!(of_first.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    fixture.open_gate(1);
    assert_eq!(client.answer().await.0, 1);
    for correlation in 2..=9 {
        assert_eq!(client.answer().await, (correlation, vec![b'm'; MANY]));
    }
}

#[tokio::test]
async fn small_answers_that_wait_for_an_older_one_hold_back_nothing() {
    let fixture = start(Limits { in_flight_bytes_max: MANY, ..Limits::default() }).await;
    let mut client = fixture.client().await;
    client.send(1, b"late").await;
    for correlation in 2..=64 {
        client.send(correlation, b"echo").await;
    }
    fixture.wait(|events| events.handled.len() == 64).await;
    fixture.open_gate(1);
    for correlation in 1..=64 {
        assert_eq!(client.answer().await.0, correlation);
    }
}

#[tokio::test]
async fn large_answers_arrive_whole_though_the_client_reads_slowly() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    let body: Vec<u8> = (0..20 << 20).map(|at: u32| at.wrapping_mul(31) as u8 | 0x80).collect();
    let body = Bytes::from(body);
    let (frame, sent) = (request(1, &body), body.clone());
    let mut frame = frame;
    frame.extend(request(2, b"echo"));
    let (mut reader, mut writer) = client.stream.split();
    let writing = async { tokio::io::AsyncWriteExt::write_all(&mut writer, &frame).await };
    let reading = async {
        let mut came = vec![0; 8 + sent.len()];
        tokio::io::AsyncReadExt::read_exact(&mut reader, &mut came).await.expect("an answer");
        came
    };
    let (written, came) = tokio::join!(writing, reading);
    written.expect("the server reads");
    assert!(came[8..] == sent[..], "the answer is the request's body");
    assert_eq!(client.answer().await, (2, b"echo".to_vec()));
}

#[tokio::test]
async fn what_was_sent_before_the_client_closed_is_handled_and_answered() {
    let fixture = start(Limits::default()).await;
    let mut client = fixture.client().await;
    let sent: Vec<u8> = (1..=50).flat_map(|correlation| request(correlation, b"silent")).collect();
    client.raw(&sent).await;
    client.send(51, b"echo").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.expect("the socket is open");
    assert_eq!(client.answer().await.0, 51);
    client.closed().await;
    let events = fixture.wait(|events| events.closed.len() == 1).await;
    assert_eq!(events.handled, (1..=51).collect::<Vec<_>>());
}
