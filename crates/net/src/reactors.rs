//! Threads that serve and make connections, each with an event loop of its own.
//!
//! A connection stays on the thread that it was given to. What wakes it, a flush or another
//! broker's fetch, wakes that one thread. In a runtime whose threads share their work every wake
//! also stirs a thread that looks for something to share: on a broker that waits for a disk that
//! was two of three wakes.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads of one event loop for what may take long, as files that are not in memory do.
const BLOCKING_MAX: usize = 32;

/// How often a loop wakes by itself. A timer that is set for later than the loop's next wake costs
/// nothing more; one that is set for sooner interrupts the loop, by a system call and another
/// round. Requests set theirs for as long as they may wait, which is longer than this.
const TICK: Duration = Duration::from_millis(100);

thread_local! {
    /// The loop that runs on this thread.
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Event loops. Dropping them ends them, and the connections that they serve.
#[derive(Debug)]
pub struct Reactors {
    loops: Vec<Handle>,
    next: AtomicUsize,
    _stop: Option<DropGuard>,
}

impl Reactors {
    /// Starts so many threads.
    ///
    /// # Errors
    /// What the operating system says of the first that cannot be started.
    pub fn start(count: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let mut loops = Vec::with_capacity(count);
        for number in 0..count {
            let name = format!("reactor-{number}");
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING_MAX)
                .thread_name(format!("{name}-io"))
                .build()?;
            loops.push(runtime.handle().clone());
            let stop = stop.clone();
            let serve = move || {
                CURRENT.set(Some(runtime.handle().clone()));
                let ticks = async {
                    while stop.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {}
                };
                runtime.block_on(ticks);
            };
            std::thread::Builder::new().name(name).spawn(serve)?;
        }
        Ok(Self { loops, next: AtomicUsize::new(0), _stop: Some(guard) })
    }

    /// The runtime that this is called in.
    pub fn here() -> Self {
        Self { loops: vec![Handle::current()], next: AtomicUsize::new(0), _stop: None }
    }

    /// The loop of the thread that this is called on; `None` on every other thread.
    pub fn current() -> Option<Handle> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The loop that the next connection is given to: each in its turn.
    pub fn next(&self) -> &Handle {
        &self.loops[self.next.fetch_add(1, Ordering::Relaxed) % self.loops.len()]
    }
}
