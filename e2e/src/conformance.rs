//! Suites that others wrote for Kafka, run against a cluster of ours and against Apache Kafka, test
//! by test. What came of each is kept in `docs/conformance/`, and `docs/conformance.md` is made of
//! it.

pub mod librdkafka;
pub mod page;
pub mod results;
pub mod tools;
mod units;

use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::cluster::{Cluster, Shape};
use crate::kafka::Kafka;

/// Whom a suite is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A cluster of ours.
    Vltava,
    /// Apache Kafka.
    Kafka,
}

impl Peer {
    /// The name in commands and in the names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vltava => "vltava",
            Self::Kafka => "kafka",
        }
    }
}

/// A cluster that a suite is run against. Dropping it ends its nodes.
pub enum Subject {
    /// Three coordinators and three brokers.
    Vltava(Cluster),
    /// Three nodes that are both.
    Kafka(Kafka),
}

impl Subject {
    /// Starts a cluster of three brokers in a new folder, with these keys for each broker.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start(peer: Peer, folder: &Path, config: &[(String, String)]) -> Outcome<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        match peer {
            Peer::Vltava => {
                let shape = Shape { config: config.to_vec(), ..Shape::default() };
                Cluster::up(folder, &shape).map(Self::Vltava)
            }
            Peer::Kafka => Kafka::start_with(3, folder, config).map(Self::Kafka),
        }
    }

    /// Where clients begin.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Vltava(cluster) => cluster.bootstrap(),
            Self::Kafka(kafka) => kafka.bootstrap(),
        }
    }

    /// Where broker 1 keeps its partitions.
    ///
    /// # Errors
    /// If the cluster cannot say.
    pub fn data_folder(&self) -> Outcome<PathBuf> {
        match self {
            Self::Vltava(cluster) => Ok(cluster.node("broker-1")?.data_dir),
            Self::Kafka(kafka) => kafka
                .data_folders()
                .into_iter()
                .next()
                .ok_or_else(|| "a cluster without nodes".to_owned()),
        }
    }

    /// Broker 1's first segment of a partition (`topic-0`), once there is one.
    ///
    /// # Errors
    /// If the cluster cannot say.
    pub fn segment(&self, partition: &str) -> Outcome<PathBuf> {
        Ok(self.data_folder()?.join(partition).join(FIRST_SEGMENT))
    }

    /// The first segment of the metadata log of one of those that keep it.
    ///
    /// # Errors
    /// If the cluster cannot say.
    pub fn metadata_segment(&self) -> Outcome<PathBuf> {
        let folder = match self {
            Self::Vltava(cluster) => cluster.node("coordinator-1")?.data_dir,
            Self::Kafka(_) => self.data_folder()?,
        };
        Ok(folder.join("__cluster_metadata-0").join(FIRST_SEGMENT))
    }
}

/// The name of the segment that a log begins with.
const FIRST_SEGMENT: &str = "00000000000000000000.log";

/// The folder of the results.
pub fn results_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance")
}
