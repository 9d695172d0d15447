//! Group commit: a bounded pool of threads that sync what was appended.
//!
//! A partition that was appended to is queued once. While its sync runs, further appends pile up
//! for the next one: so one sync covers all that wait, and many partitions are synced at once.
//!
//! A sync that is the only one is done by the event loop that asks for it, as long as the disk is
//! quick: a sync in the pool costs two wakes, of a flusher and of the loop, which take as long. If
//! requests came meanwhile, which could have been handled beside it, the pool has the next ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use vltava_net::Reactors;

/// Threads that sync. On a disk with a volatile cache eight at once reach 26,000 syncs a second,
/// one alone 8,000; more of them gain little and take each other's time.
pub const FLUSHERS: usize = 8;

/// An event loop syncs by itself while syncs take no longer than this: all its connections wait
/// as long.
const QUICK: Duration = Duration::from_micros(500);

/// The part of the average that the latest sync is: one that takes long keeps syncs off the event
/// loops for a while.
const WEIGHT: u64 = 8;

/// How many syncs the pool has after an event loop kept requests waiting by its own.
const POOLED: u64 = 64;

/// A flusher calls the log's sync and little else.
const STACK_BYTES: usize = 256 << 10;

/// What can be flushed.
pub trait Flush: Send + Sync {
    /// Syncs all that was appended until now; `true` if more was appended meanwhile.
    fn flush(&self) -> bool;
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<dyn Flush>>,
    /// Threads without work. The one that had work last gets the next: its memory is in a cache.
    idle: Vec<Thread>,
    closed: bool,
}

/// What waits for a flush. A partition queues itself at most once at a time, so it is bounded by
/// the number of partitions.
pub struct FlushQueue {
    queue: Mutex<Queue>,
    /// How many are queued or run, wherever.
    under_way: AtomicUsize,
    /// How long a sync took lately, in ns.
    average: AtomicU64,
    /// How many flushes were asked for.
    pushed: AtomicU64,
    /// Up to which number of those the pool has them all.
    pooled_until: AtomicU64,
}

impl Default for FlushQueue {
    fn default() -> Self {
        // A disk has to show that it is quick.
        let average = AtomicU64::new(4 * QUICK.as_nanos() as u64);
        Self {
            queue: Mutex::default(),
            under_way: AtomicUsize::new(0),
            average,
            pushed: AtomicU64::new(0),
            pooled_until: AtomicU64::new(0),
        }
    }
}

impl FlushQueue {
    /// Has something flushed: by the event loop that this is called on if nothing else is being
    /// flushed and syncs are quick, else by the pool.
    pub fn push(self: &Arc<Self>, flush: Arc<dyn Flush>) {
        let number = self.pushed.fetch_add(1, Ordering::Relaxed);
        let is_alone = self.under_way.fetch_add(1, Ordering::Relaxed) == 0
            && number >= self.pooled_until.load(Ordering::Relaxed);
        let reactor = if is_alone && self.is_quick() { Reactors::current() } else { None };
        match reactor {
            Some(reactor) => {
                let lone = Lone { queue: Arc::clone(self), flush: Some(flush) };
                drop(reactor.spawn(lone.run()));
            }
            None => self.enqueue(flush),
        }
    }

    fn is_quick(&self) -> bool {
        u128::from(self.average.load(Ordering::Relaxed)) <= QUICK.as_nanos()
    }

    /// Puts something at the end of the pool's queue.
    fn enqueue(&self, flush: Arc<dyn Flush>) {
        let idle = {
            let mut queue = self.queue.lock();
            queue.waiting.push_back(flush);
            queue.idle.pop()
        };
        // Woken without the lock, which it takes first.
        if let Some(thread) = idle {
            thread.unpark();
        }
    }

    /// Flushes what is first in the queue, here and now; `false` if there is nothing.
    pub fn flush_one(self: &Arc<Self>) -> bool {
        let Some(first) = self.queue.lock().waiting.pop_front() else { return false };
        self.flush(first);
        true
    }

    fn flush(self: &Arc<Self>, flush: Arc<dyn Flush>) {
        let start = Instant::now();
        let again = flush.flush();
        self.note(start.elapsed());
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        if again {
            self.push(flush);
        }
    }

    /// Takes a sync's time into the average. One of two at the same time may be left out.
    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / WEIGHT) / WEIGHT;
        let average = self.average.load(Ordering::Relaxed);
        self.average.store(average - average / WEIGHT + took, Ordering::Relaxed);
    }

    /// Takes what is first, waiting for it; `None` once the queue is closed and empty.
    fn take(&self) -> Option<Arc<dyn Flush>> {
        let me = std::thread::current();
        loop {
            {
                let mut queue = self.queue.lock();
                queue.idle.retain(|thread| thread.id() != me.id());
                if let Some(first) = queue.waiting.pop_front() {
                    return Some(first);
                }
                if queue.closed {
                    return None;
                }
                queue.idle.push(me.clone());
            }
            std::thread::park();
        }
    }

    fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.idle.drain(..).for_each(|thread| thread.unpark());
    }
}

/// A flush that an event loop does itself. The pool gets it if the loop ends before.
struct Lone {
    queue: Arc<FlushQueue>,
    flush: Option<Arc<dyn Flush>>,
}

impl Lone {
    async fn run(mut self) {
        // Whatever has reached the loop by now is handled first: followers are answered, and what
        // else is appended is synced with it.
        tokio::task::yield_now().await;
        if self.queue.under_way.load(Ordering::Relaxed) > 1 {
            return;
        }
        let Some(flush) = self.flush.take() else { return };
        self.queue.flush(flush);
        let pushed = self.queue.pushed.load(Ordering::Relaxed);
        // Whatever came during the sync is handled next. Somebody who waits for the answer before
        // sending more has not even got it by then.
        tokio::task::yield_now().await;
        if self.queue.pushed.load(Ordering::Relaxed) > pushed {
            self.queue.pooled_until.store(pushed + POOLED, Ordering::Relaxed);
        }
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        if let Some(flush) = self.flush.take() {
            self.queue.enqueue(flush);
        }
    }
}

/// The pool. Dropping it flushes what is queued and ends the threads.
pub struct Flushers {
    queue: Arc<FlushQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl Flushers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// What the operating system says of the first thread that cannot be started.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(FlushQueue::default());
        let mut pool = Self { queue, threads: Vec::new() };
        for number in 0..threads {
            let queue = Arc::clone(&pool.queue);
            let work = move || {
                while let Some(next) = queue.take() {
                    queue.flush(next);
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("flusher-{number}"))
                .stack_size(STACK_BYTES);
            pool.threads.push(thread.spawn(work)?);
        }
        Ok(pool)
    }

    /// Where partitions queue.
    pub fn queue(&self) -> &Arc<FlushQueue> {
        &self.queue
    }
}

impl Drop for Flushers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    struct Counted {
        left: AtomicUsize,
        done: mpsc::SyncSender<()>,
    }

    impl Flush for Counted {
        fn flush(&self) -> bool {
            let left = self.left.fetch_sub(1, Ordering::SeqCst) - 1;
            self.done.send(()).expect("the test listens");
            left > 0
        }
    }

    #[test]
    fn what_was_appended_to_meanwhile_is_flushed_again() {
        let pool = Flushers::start(2).expect("threads");
        let (done, flushed) = mpsc::sync_channel(8);
        pool.queue().push(Arc::new(Counted { left: AtomicUsize::new(3), done }));
        for _ in 0..3 {
            flushed.recv().expect("a flush");
        }
        assert!(flushed.recv().is_err(), "and not once more");
    }

    /// Says which thread flushed it.
    struct Named(mpsc::SyncSender<String>);

    impl Flush for Named {
        fn flush(&self) -> bool {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            self.0.send(name).expect("the test listens");
            false
        }
    }

    /// Has a loop ask for so many flushes at once; returns who did them.
    fn who_flushes(pool: &Flushers, reactors: &Reactors, count: usize) -> Vec<String> {
        let (done, flushed) = mpsc::sync_channel(8);
        let queue = Arc::clone(pool.queue());
        reactors.next().spawn(async move {
            (0..count).for_each(|_| queue.push(Arc::new(Named(done.clone()))));
        });
        flushed.iter().collect()
    }

    #[test]
    fn a_loop_syncs_by_itself_what_is_alone_once_the_disk_has_shown_to_be_quick() {
        let pool = Flushers::start(2).expect("threads");
        let reactors = Reactors::start(1).expect("a thread");
        let is_flusher = |name: &String| name.starts_with("flusher-");
        assert!(who_flushes(&pool, &reactors, 1).iter().all(is_flusher), "not known to be quick");
        pool.queue().average.store(1000, Ordering::Relaxed);
        assert_eq!(who_flushes(&pool, &reactors, 1), ["reactor-0"]);
        let several = who_flushes(&pool, &reactors, 3);
        assert!(several.iter().filter(|it| is_flusher(it)).count() >= 2, "{several:?}");
        assert_eq!(several.len(), 3);
        pool.queue().pooled_until.store(u64::MAX, Ordering::Relaxed);
        assert!(who_flushes(&pool, &reactors, 1).iter().all(is_flusher), "others had to wait");
        pool.queue().pooled_until.store(0, Ordering::Relaxed);
        assert_eq!(who_flushes(&pool, &reactors, 1), ["reactor-0"]);
        pool.queue().note(QUICK * WEIGHT as u32);
        assert!(who_flushes(&pool, &reactors, 1).iter().all(is_flusher), "one took long");
    }

    #[test]
    fn what_is_queued_is_flushed_before_the_pool_ends() {
        let pool = Flushers::start(1).expect("threads");
        let (done, flushed) = mpsc::sync_channel(8);
        for _ in 0..4 {
            let done = done.clone();
            pool.queue().push(Arc::new(Counted { left: AtomicUsize::new(1), done }));
        }
        drop((pool, done));
        assert_eq!(flushed.iter().count(), 4);
    }
}
