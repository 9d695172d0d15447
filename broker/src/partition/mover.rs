//! The threads that move replicas between log directories, a few pieces of each in turn.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use vltava_wire::PartitionId;

use super::moving::{Moving, Next};
use super::registry::Partitions;
use super::replica::Partition;

/// Threads, at most: one for each directory, as Kafka has them, but not more than disks gain by.
const THREADS_MAX: usize = 8;

/// Pieces of one replica before the next has its turn.
const PIECES_A_TURN: usize = 16;

struct Job {
    due: Instant,
    partition: Arc<Partition>,
    moving: Arc<Moving>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whose replicas move, once that has begun.
    partitions: Option<Weak<Partitions>>,
    threads: Vec<JoinHandle<()>>,
    is_over: bool,
}

/// What moves, and who moves it. Bounded by the number of replicas: each moves once at a time.
#[derive(Default)]
pub struct Mover {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Mover {
    /// Begins to move the replicas of these partitions.
    pub(super) fn start(self: &Arc<Self>, partitions: &Arc<Partitions>) {
        let mut queue = self.queue.lock();
        queue.partitions = Some(Arc::downgrade(partitions));
        self.man(&mut queue);
    }

    /// Takes a move on.
    pub(super) fn push(self: &Arc<Self>, partition: Arc<Partition>, moving: Arc<Moving>) {
        let mut queue = self.queue.lock();
        queue.jobs.push_back(Job { due: Instant::now(), partition, moving });
        self.man(&mut queue);
        self.changed.notify_one();
    }

    /// Has all that wait look again: the metadata log may say what they wait for.
    pub(super) fn nudge(&self) {
        let mut queue = self.queue.lock();
        let now = Instant::now();
        let waiting = queue.jobs.iter_mut().filter(|job| job.due > now && job.moving.is_ready());
        if waiting.map(|job| job.due = now).count() > 0 {
            self.changed.notify_all();
        }
    }

    /// Starts a thread if there are fewer than moves and directories.
    fn man(self: &Arc<Self>, queue: &mut Queue) {
        let Some(partitions) = queue.partitions.clone() else { return };
        let Some(dirs) = partitions.upgrade().map(|it| it.dirs().len()) else { return };
        let wanted = dirs.min(THREADS_MAX).min(queue.threads.len() + queue.jobs.len());
        while queue.threads.len() < wanted && !queue.is_over {
            let (mover, partitions) = (Arc::clone(self), partitions.clone());
            let thread = std::thread::Builder::new().name(format!("mover-{}", queue.threads.len()));
            match thread.spawn(move || mover.work(&partitions)) {
                Ok(thread) => queue.threads.push(thread),
                Err(error) => {
                    tracing::error!(%error, "a mover cannot be started: replicas stay");
                    return;
                }
            }
        }
    }

    /// Returns once no thread touches a log any more. What moves goes on at the next start.
    pub(super) fn stop(&self) {
        let threads = {
            let mut queue = self.queue.lock();
            queue.is_over = true;
            std::mem::take(&mut queue.threads)
        };
        self.changed.notify_all();
        for thread in threads {
            // A panic of a thread has been told of.
            let _ = thread.join();
        }
    }

    /// The first job that is due, waiting for it; `None` at the end.
    fn take(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.is_over {
                return None;
            }
            let now = Instant::now();
            if let Some(at) = queue.jobs.iter().position(|job| job.due <= now) {
                return queue.jobs.remove(at);
            }
            match queue.jobs.iter().map(|job| job.due).min() {
                Some(due) => _ = self.changed.wait_until(&mut queue, due),
                None => self.changed.wait(&mut queue),
            }
        }
    }

    fn work(&self, partitions: &Weak<Partitions>) {
        while let Some(mut job) = self.take() {
            let Some(partitions) = partitions.upgrade() else { return };
            let was_ready = job.moving.is_ready();
            let next = turn(&partitions, &job);
            if job.moving.is_ready() != was_ready || next == Next::Done {
                partitions.assignments.notify_one();
            }
            job.due = match next {
                Next::Done => continue,
                Next::More => Instant::now(),
                Next::Wait(pause) => Instant::now() + pause,
            };
            let mut queue = self.queue.lock();
            if !queue.is_over {
                queue.jobs.push_back(job);
                self.changed.notify_one();
            }
        }
    }
}

/// Moves a few pieces of one replica.
fn turn(partitions: &Partitions, job: &Job) -> Next {
    let name = &job.partition.name;
    let registered = || {
        let image = partitions.cluster.image();
        let known = image.partition(name.topic_id, PartitionId(name.index));
        known.map_or_else(Default::default, |known| known.directory(partitions.me))
    };
    for _ in 0..PIECES_A_TURN {
        match job.partition.step_move(&job.moving, &registered) {
            Next::More => {}
            next => return next,
        }
    }
    Next::More
}
