//! Frames that are declared and never sent. Alone in its file: it measures the process.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use support::start;
use vltava_net::Limits;

#[tokio::test]
async fn many_frames_that_are_declared_and_never_sent_take_no_memory() {
    let fixture = start(Limits::default()).await;
    let before = support::resident();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = fixture.client().await;
        client.raw(&(100i32 << 20).to_be_bytes()).await;
        clients.push(client);
    }
    let mut honest = fixture.client().await;
    honest.send(1, &vec![b'e'; 1 << 20]).await;
    assert_eq!(honest.answer().await.0, 1);
    let grown = support::resident().saturating_sub(before);
    assert!(grown < 64 << 20, "grown by {grown} bytes for 20 GB that were declared");
}
