//! Several listeners, opened and closed while the server runs; the admin port beside them.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use support::{Client, request, start, start_at};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vltava_net::admin::{Admin, HAND_OVER, Health};
use vltava_net::{
    BindError, Budget, CancellationToken, Limits, ListenerConfig, NetMetrics, ProcessMetrics,
};

#[tokio::test]
async fn a_listener_comes_and_goes_and_the_others_keep_their_connections() {
    let fixture = start(Limits::default()).await;
    let mut staying = fixture.client().await;
    staying.send(1, b"echo").await;
    assert_eq!(staying.answer().await.0, 1);

    let added = ListenerConfig::new("external", "localhost", 0);
    let address = fixture.server.add_listener(added.clone()).await.expect("a free port");
    let mut going = Client::connect(address).await;
    going.send(2, b"echo").await;
    assert_eq!(going.answer().await.0, 2);
    let twice = fixture.server.add_listener(added).await;
    assert!(matches!(twice, Err(BindError::Duplicate(_))));

    assert!(fixture.server.remove_listener("external"));
    assert!(!fixture.server.remove_listener("external"));
    going.closed().await;
    staying.send(3, b"echo").await;
    assert_eq!(staying.answer().await.0, 3);
    let again = ListenerConfig::new("external", "127.0.0.1", 0);
    fixture.server.add_listener(again).await.expect("the name is free again");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let fixture = start(Limits::default()).await;
    let taken = ListenerConfig::new("second", "127.0.0.1", fixture.address.port());
    let error = taken.bind().await.expect_err("the port is taken");
    assert_eq!(
        error.to_string(),
        format!("listener second: cannot listen on 127.0.0.1:{}", fixture.address.port())
    );
}

#[tokio::test]
async fn an_empty_host_is_every_address_of_the_machine() {
    let bound = ListenerConfig::new("all", "", 0).bind().await.expect("a free port");
    assert!(bound.local_addr().ip().is_unspecified());
    TcpStream::connect(("127.0.0.1", bound.local_addr().port())).await.expect("it listens");
}

/// Whether a connection there is served; if so, it.
async fn served(address: SocketAddr) -> Option<Client> {
    let mut client = Client::connect(address).await;
    // A connection that is closed at once may take the request, and never answers.
    let _ = client.stream.write_all(&request(1, b"echo")).await;
    client.stream.read_u8().await.is_ok().then_some(client)
}

#[tokio::test]
async fn what_is_open_in_all_counts_where_brokers_come_only_if_clients_have_no_other_way() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let inside = ListenerConfig::new("inside", "127.0.0.1", 0).protected();
    let fixture = start_at(inside, limits).await;
    let mut open = vec![served(fixture.address).await, served(fixture.address).await];
    assert!(open.iter().all(Option::is_some));
    assert!(served(fixture.address).await.is_none(), "the only listener has the bound");

    let outside = ListenerConfig::new("outside", "127.0.0.1", 0);
    let outside = fixture.server.add_listener(outside).await.expect("a free port");
    assert!(served(outside).await.is_none(), "connections of the other listener count");
    open.push(served(fixture.address).await);
    assert!(open.iter().all(Option::is_some), "brokers get in");

    fixture.server.remove_listener("outside");
    assert!(served(fixture.address).await.is_none(), "it is the only listener again");
}

#[tokio::test]
async fn connections_of_one_address_count_on_whichever_listener_they_come() {
    let limits = Limits { connections_per_ip_max: 2, ..Limits::default() };
    let inside = ListenerConfig::new("inside", "127.0.0.1", 0).protected();
    let fixture = start_at(inside, limits).await;
    let outside = ListenerConfig::new("outside", "127.0.0.1", 0);
    let outside = fixture.server.add_listener(outside).await.expect("a free port");
    let open = [served(fixture.address).await, served(outside).await];
    assert!(open.iter().all(Option::is_some));
    assert!(served(fixture.address).await.is_none());
    assert!(served(outside).await.is_none());
}

async fn get(port: u16, path: &str) -> String {
    ask(port, "GET", path).await
}

async fn ask(port: u16, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the port is open");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: node\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers and closes");
    answer
}

#[tokio::test]
async fn the_admin_port_answers_probes_and_shows_metrics() {
    let budget = Budget::new(1 << 20, 1 << 16);
    let mut registry = Registry::default();
    let _metrics = NetMetrics::register(&mut registry, &budget);
    ProcessMetrics::register(&mut registry);
    let admin = Admin {
        registry: Arc::new(RwLock::new(registry)),
        live: Box::new(|| Health::Good("running".to_owned())),
        ready: Box::new(|| Health::Bad("fenced".to_owned())),
        hand_over: Some(Box::new(|| Health::Good("nothing is led".to_owned()))),
    };
    let bound = ListenerConfig::new("admin", "127.0.0.1", 0).bind().await.expect("a free port");
    let port = bound.local_addr().port();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(admin.serve(bound, stop.clone()));

    let live = get(port, "/livez").await;
    assert!(live.starts_with("HTTP/1.1 200 OK\r\n") && live.ends_with("running\n"), "{live}");
    let ready = get(port, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with("fenced\n"), "{ready}");
    let metrics = get(port, "/metrics").await;
    for name in ["vltava_memory_budget_bytes 1048576", "process_resident_memory_bytes ", "# EOF"] {
        assert!(metrics.contains(name), "{name} is missing in {metrics}");
    }
    assert!(get(port, "/other").await.starts_with("HTTP/1.1 404 "));
    let order = ask(port, "POST", HAND_OVER).await;
    assert!(order.starts_with("HTTP/1.1 200 OK\r\n") && order.ends_with("led\n"), "{order}");
    assert!(get(port, HAND_OVER).await.starts_with("HTTP/1.1 404 "), "a look orders nothing");
    assert!(ask(port, "POST", "/livez").await.starts_with("HTTP/1.1 405 "));
    stop.cancel();
    serving.await.expect("it ends");
}
