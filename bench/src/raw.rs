//! Connections that are only sockets: silent ones, and slow ones that send a request bit by bit.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use vltava_e2e::Outcome;

/// How often a slow connection sends a byte.
const BYTE_EVERY: Duration = Duration::from_millis(250);

/// An ApiVersions request, version 0, without a client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// Connections that are held until this is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _silent: Vec<TcpStream>,
}

impl Crowd {
    /// Opens so many of each kind.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn gather(bootstrap: &str, silent: usize, slow: usize) -> Outcome<Self> {
        let address = bootstrap.split(',').next().unwrap_or_default();
        let open =
            |_| TcpStream::connect(address).map_err(|error| format!("a connection: {error}"));
        let silent = (0..silent).map(open).collect::<Outcome<Vec<_>>>()?;
        let slow = (0..slow).map(open).collect::<Outcome<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::spawn(move || dribble(&slow, &stopping));
        Ok(Self { stop, thread: Some(thread), _silent: silent })
    }
}

fn dribble(slow: &[TcpStream], stop: &AtomicBool) {
    let mut at = 0;
    while !stop.load(Ordering::Acquire) {
        for mut stream in slow {
            // One that the broker has closed is of no interest any more.
            let _ = stream.write_all(&API_VERSIONS[at..=at]);
        }
        at = (at + 1) % API_VERSIONS.len();
        std::thread::sleep(BYTE_EVERY);
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told of.
            let _ = thread.join();
        }
    }
}
