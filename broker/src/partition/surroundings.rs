//! What a partition knows of the world: who it is, who else lives, and whom to tell.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::mpsc;
use vltava_wire::{BrokerEpoch, NodeId, Uuid};

use super::dirs::LogDir;
use super::flusher::FlushQueue;
use super::replica::Partition;
use crate::metadata::ClusterView;
use crate::replication::throttle::Throttles;

/// What is known of the other brokers.
pub trait Peers: Send + Sync {
    /// The epoch of a broker's current registration.
    fn epoch(&self, node: NodeId) -> Option<BrokerEpoch>;

    /// Whether a broker is registered and not fenced.
    fn is_alive(&self, node: NodeId) -> bool;

    /// Whether a broker is alive and not about to shut down.
    fn is_active(&self, node: NodeId) -> bool;
}

impl Peers for ClusterView {
    fn epoch(&self, node: NodeId) -> Option<BrokerEpoch> {
        self.image().broker(node).map(|broker| broker.epoch)
    }

    fn is_alive(&self, node: NodeId) -> bool {
        self.image().is_unfenced(node)
    }

    fn is_active(&self, node: NodeId) -> bool {
        self.image().is_active(node)
    }
}

/// What a partition has to tell.
#[derive(Debug)]
pub enum News {
    /// It proposes a new ISR (its machine has it).
    Proposal(Arc<Partition>),
    /// The log directory of that id has failed.
    DirFailed(Uuid),
    /// The log of a replica is lost, in a directory that works.
    LogLost,
}

/// What all partitions of a broker share.
pub struct Surroundings {
    /// This broker.
    pub me: NodeId,
    /// The other brokers.
    pub peers: Box<dyn Peers>,
    /// Where to queue for a flush.
    pub flushes: Arc<FlushQueue>,
    /// Whom to tell news. A partition has one proposal at most under way, and a directory fails
    /// once, so it is bounded by the number of partitions.
    pub news: mpsc::UnboundedSender<News>,
    /// How long syncs take.
    pub syncs: Histogram,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_max: Duration,
    /// What replicas that move may take.
    pub throttles: Throttles,
}

impl Surroundings {
    /// Tells news; nobody listens any more when the broker shuts down.
    pub fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }

    /// Takes a directory out of use, and tells of it once.
    pub fn fail_dir(&self, dir: &LogDir, reason: &str) {
        if dir.fail(reason) {
            self.tell(News::DirFailed(dir.id()));
        }
    }
}

/// Now, in ms since 1970; for records and reports only.
pub fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
