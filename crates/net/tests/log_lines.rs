//! What is written about clients that mean harm: who and why, and not more than a few lines.

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "support/server.rs"]
mod support;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use support::start;
use tracing_subscriber::fmt::MakeWriter;
use vltava_net::Limits;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// How many lines say this about a client of this machine.
    fn about(&self, why: &str) -> usize {
        let text = String::from_utf8_lossy(&self.0.lock()).into_owned();
        text.lines().filter(|line| line.contains(why) && line.contains("peer=127.0.0.1:")).count()
    }
}

#[tokio::test]
async fn a_few_lines_say_who_was_closed_and_why() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
    // The runtime of this test has one thread, so this is where its tasks write to.
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let idle_max = Duration::from_millis(50);
    let fixture = start(Limits { idle_max, ..Limits::default() }).await;
    let bad: [(&[u8], &str); 4] = [
        (&[0x7f, 0xff, 0xff, 0xff], "a frame declares 2147483647 bytes, 104857600 are allowed"),
        (&[0, 0, 0, 10, 3, 0xe7, 0, 2, 0, 0, 0, 1, 0, 0], "unknown API key 999 (version 2)"),
        (&[0, 0, 0, 4, 0, 3, 0, 9], "a request's header makes no sense"),
        (&[], "nothing came for 50ms"),
    ];
    for (bytes, why) in bad {
        for _ in 0..20 {
            let mut client = fixture.client().await;
            client.raw(bytes).await;
            client.closed().await;
        }
        assert_eq!(lines.about(why), 3, "of 20 clients: {why}");
    }
    // A truncated frame is seen when the client closes.
    let mut client = fixture.client().await;
    client.raw(&[0, 0, 0, 9, 0, 3]).await;
    drop(client);
    fixture.wait(|events| events.closed.len() == 81).await;
    assert_eq!(lines.about("closed by the client within a frame, 2 of 9 bytes in"), 1);
}
