//! Which fetcher copies which partition: one task, or some, for each leader.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use vltava_net::Reactors;
use vltava_wire::NodeId;

use super::fetcher::{Command, FetchOptions, Fetcher};
use super::link::LeaderLink;
use super::session::Key;
use crate::partition::Partition;

/// What the tasks need.
#[derive(Clone)]
pub struct Start {
    /// The threads that they run on, each with its connection.
    pub reactors: Arc<Reactors>,
    /// How they reach leaders.
    pub link: Arc<dyn LeaderLink>,
    /// How they fetch.
    pub options: FetchOptions,
}

type Commands = mpsc::UnboundedReceiver<Command>;

#[derive(Default)]
struct Inner {
    start: Option<Start>,
    stopped: bool,
    tasks: HashMap<(NodeId, usize), mpsc::UnboundedSender<Command>>,
    /// What tasks are told before they may start.
    not_started: Vec<(NodeId, Commands)>,
    by_partition: HashMap<Key, (NodeId, usize)>,
}

/// The fetchers of this broker.
pub struct Fetchers {
    per_leader: AtomicUsize,
    inner: Mutex<Inner>,
}

impl Inner {
    fn task(&mut self, at: (NodeId, usize)) -> &mpsc::UnboundedSender<Command> {
        let (start, not_started) = (&self.start, &mut self.not_started);
        self.tasks.entry(at).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            match start {
                Some(start) => start.spawn(at.0, receiver),
                None => not_started.push((at.0, receiver)),
            }
            sender
        })
    }

    /// A task that has ended hears nothing; it ends only with the broker.
    fn tell(&mut self, at: (NodeId, usize), command: Command) {
        let _ = self.task(at).send(command);
    }
}

impl Start {
    fn spawn(&self, leader: NodeId, commands: Commands) {
        let fetcher = Fetcher::new(leader, Arc::clone(&self.link), self.options.clone(), commands);
        self.reactors.next().spawn(fetcher.run());
    }
}

impl Fetchers {
    /// So many tasks for each leader (`num.replica.fetchers`), none of which runs yet.
    pub fn new(per_leader: usize) -> Self {
        Self { per_leader: AtomicUsize::new(per_leader.max(1)), inner: Mutex::default() }
    }

    /// Lets the tasks run.
    pub fn start(&self, start: Start) {
        let mut inner = self.inner.lock();
        for (leader, commands) in std::mem::take(&mut inner.not_started) {
            start.spawn(leader, commands);
        }
        inner.start = Some(start);
    }

    /// Has partitions copied from these leaders, and others no longer copied.
    pub fn apply(&self, follow: Vec<(NodeId, Arc<Partition>)>, leave: Vec<Arc<Partition>>) {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return;
        }
        let mut left: HashMap<_, Vec<Key>> = HashMap::new();
        let mut followed: HashMap<_, Vec<Arc<Partition>>> = HashMap::new();
        for partition in leave {
            let key = (partition.name.topic_id, partition.name.index);
            if let Some(at) = inner.by_partition.remove(&key) {
                left.entry(at).or_default().push(key);
            }
        }
        for (leader, partition) in follow {
            let key = (partition.name.topic_id, partition.name.index);
            let at = (leader, self.slot(&key));
            if let Some(before) = inner.by_partition.insert(key, at).filter(|it| *it != at) {
                left.entry(before).or_default().push(key);
            }
            followed.entry(at).or_default().push(partition);
        }
        for (at, keys) in left {
            inner.tell(at, Command::Leave(keys));
        }
        for (at, partitions) in followed {
            inner.tell(at, Command::Follow(partitions));
        }
    }

    fn slot(&self, (topic, index): &Key) -> usize {
        let spread = (topic.0 ^ (topic.0 >> 64)) as u64;
        spread.wrapping_mul(31).wrapping_add(*index as u64) as usize
            % self.per_leader.load(Ordering::Acquire)
    }

    /// Changes how many tasks each leader gets; says whether that is another number. What is
    /// followed is to be applied again then, and moves to the task that copies it from now on.
    pub fn resize(&self, per_leader: usize) -> bool {
        let per_leader = per_leader.max(1);
        self.per_leader.swap(per_leader, Ordering::AcqRel) != per_leader
    }

    /// Tells those who fetch from a broker that it may be reached again.
    pub fn nudge(&self, leader: NodeId) {
        let inner = self.inner.lock();
        for (_, task) in inner.tasks.iter().filter(|((node, _), _)| *node == leader) {
            // A task that has ended needs no nudge.
            let _ = task.send(Command::Nudge);
        }
    }

    /// Ends all tasks.
    pub fn stop(&self) {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.tasks.clear();
        inner.by_partition.clear();
    }
}
