//! Thousands of connections that say nothing. Alone in its file: it measures the process.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use std::net::TcpStream;
use std::time::Duration;

use support::{resident, start};
use vltava_net::{Limits, raise_descriptor_limit};

#[allow(clippy::print_stdout, reason = "the measured number")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_that_say_nothing_cost_little_and_end() {
    // Both ends are in this process.
    let descriptors = raise_descriptor_limit() as usize;
    let count = 5_000.min(descriptors.saturating_sub(200) / 2);
    let idle_max = Duration::from_secs(5);
    let fixture = start(Limits { idle_max, ..Limits::default() }).await;
    let mut honest = fixture.client().await;
    honest.send(1, b"echo").await;
    honest.answer().await;
    let before = resident();
    let address = fixture.address;
    let silent = tokio::task::spawn_blocking(move || {
        let connect = |_| TcpStream::connect(address).expect("the server listens");
        (0..count).map(connect).collect::<Vec<_>>()
    });
    let silent = silent.await.expect("all are connected");
    fixture.wait(|events| events.opened == count + 1).await;
    let each = resident().saturating_sub(before) / count;
    assert!(each < 8 * 1024, "{each} bytes for each of {count} connections");
    // Another one: the first has been silent for as long as it took to open the others.
    let mut next = fixture.client().await;
    next.send(2, b"echo").await;
    assert_eq!(next.answer().await.0, 2);
    fixture.wait(|events| events.closed.len() >= count).await;
    drop(silent);
    println!("{each} bytes for each of {count} silent connections");
}
