//! Answers that lie in files go out whole, in order, and by the threads that serve connections.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use support::Client;
use vltava_net::{
    Answer, Budget, CancellationToken, Frame, Handler, Inbound, Limits, ListenerConfig, NetMetrics,
    Reactors, Region, Reply, Server,
};
use vltava_wire::Writer;

/// More than a socket takes at once.
const SIZE: usize = 20 << 20;

/// Answers with two regions of a file, bytes in memory around them.
struct FromFile {
    file: Arc<File>,
    /// Bytes of the second region that the file does not have.
    missing: usize,
}

impl Handler for FromFile {
    async fn handle(&self, request: Inbound) -> Reply {
        let last = SIZE / 4 + self.missing;
        let mut writer = Writer::new();
        writer.i32(request.header.correlation_id);
        writer.raw(b"first");
        writer.hole(SIZE / 2);
        writer.raw(b"second");
        writer.hole(last);
        let region = |position: usize, len| Region::new(self.file.clone(), position as u64, len);
        let regions = vec![region(SIZE / 4, SIZE / 2), region(SIZE * 3 / 4, last)];
        Answer::Frame(Frame::with_regions(writer, regions)).into()
    }
}

fn bytes() -> Vec<u8> {
    (0..SIZE).map(|at| (at / 7 % 251) as u8).collect()
}

async fn serve(missing: usize) -> (Server<FromFile>, Client) {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes()).expect("it is written");
    let bound = ListenerConfig::new("main", "127.0.0.1", 0).bind().await.expect("a free port");
    let server = Server::start_on(
        Arc::new(Reactors::start(2).expect("threads")),
        vec![bound],
        Limits::default(),
        Budget::new(64 << 20, 1 << 20),
        NetMetrics::default(),
        Arc::new(FromFile { file: Arc::new(file), missing }),
        CancellationToken::new(),
    )
    .expect("a server");
    let client = Client::connect(server.local_addr("main").expect("the listener exists")).await;
    (server, client)
}

#[tokio::test]
async fn regions_of_a_file_arrive_between_the_bytes_around_them() {
    let (_server, mut client) = serve(0).await;
    for correlation in 0..3 {
        client.send(correlation, b"").await;
    }
    let bytes = bytes();
    let expected = [b"first", &bytes[SIZE / 4..SIZE * 3 / 4], b"second", &bytes[SIZE * 3 / 4..]];
    let expected = expected.concat();
    for correlation in 0..3 {
        let (answered, body) = client.answer().await;
        assert_eq!(answered, correlation);
        assert!(body == expected, "the answer differs");
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_than_promised_ends_the_connection() {
    use tokio::io::AsyncReadExt;
    let (server, mut client) = serve(1).await;
    client.send(1, b"").await;
    let mut got = Vec::new();
    // A reset is an end as well.
    let _ = client.stream.read_to_end(&mut got).await;
    assert!(got.len() <= 4 + 4 + 11 + SIZE * 3 / 4, "{} bytes came", got.len());
    drop(server);
}
