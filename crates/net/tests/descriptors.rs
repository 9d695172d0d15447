//! A process that runs out of descriptors. Alone in its file: the limit is the process's.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::start;
use tokio::net::TcpStream;
use vltava_net::Limits;

#[tokio::test]
async fn a_server_without_descriptors_serves_on_and_accepts_again_later() {
    let fixture = start(Limits::default()).await;
    let mut honest = fixture.client().await;
    honest.send(1, b"echo").await;
    assert_eq!(honest.answer().await.0, 1);

    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(64), maximum: limit.maximum };
    setrlimit(Resource::Nofile, few).expect("a process may lower its limit");
    // Both ends are in this process: sooner or later neither gets a descriptor.
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(fixture.address).await {
        clients.push(client);
    }
    honest.send(2, b"echo").await;
    assert_eq!(honest.answer().await.0, 2, "who is connected is served");

    clients.clear();
    let mut later = fixture.client().await;
    later.send(3, b"echo").await;
    assert_eq!(later.answer().await.0, 3);
    setrlimit(Resource::Nofile, limit).expect("the limit goes back to what it was");
}
