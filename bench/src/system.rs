//! A system that runs: one face for both.

use std::path::Path;

use rustix::process::Signal;
use vltava_e2e::cluster::{Cluster, Shape};
use vltava_e2e::{Outcome, faults};

use crate::subject::Side;
use vltava_e2e::kafka::Kafka;

/// A cluster of either side. Dropping it ends its nodes.
pub enum System {
    /// Ours: brokers, and as many coordinators.
    Vltava(Cluster),
    /// Apache's: nodes that are broker and controller in one.
    Kafka(Kafka),
}

impl System {
    /// Starts a new cluster of so many brokers in a folder.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start(side: Side, brokers: usize, folder: &Path) -> Outcome<Self> {
        match side {
            Side::Vltava => {
                let shape = Shape { brokers, coordinators: brokers, ..Shape::default() };
                std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
                Cluster::up(folder, &shape).map(Self::Vltava)
            }
            Side::Kafka => Kafka::start(brokers, folder).map(Self::Kafka),
        }
    }

    /// Where clients begin.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Vltava(cluster) => cluster.bootstrap(),
            Self::Kafka(kafka) => kafka.bootstrap(),
        }
    }

    /// The processes of all nodes, coordinators included.
    ///
    /// # Errors
    /// If one does not run.
    pub fn pids(&self) -> Outcome<Vec<i32>> {
        match self {
            Self::Vltava(cluster) => {
                let nodes = cluster.nodes()?.into_iter();
                let pid = |node: vltava_e2e::cluster::Node| {
                    node.pid.ok_or_else(|| format!("{} does not run", node.name))
                };
                nodes.map(pid).collect()
            }
            Self::Kafka(kafka) => Ok(kafka.pids()),
        }
    }

    /// The process of a broker; they are numbered from 1.
    ///
    /// # Errors
    /// If it does not run.
    pub fn broker_pid(&self, id: i32) -> Outcome<i32> {
        match self {
            Self::Vltava(cluster) => {
                let node = cluster.node(&format!("broker-{id}"))?;
                node.pid.ok_or_else(|| format!("{} does not run", node.name))
            }
            Self::Kafka(kafka) => Ok(kafka.pids()[id as usize - 1]),
        }
    }

    /// The folders that hold the brokers' data.
    ///
    /// # Errors
    /// If the nodes cannot be listed.
    pub fn data_folders(&self) -> Outcome<Vec<std::path::PathBuf>> {
        match self {
            Self::Vltava(cluster) => {
                let nodes = cluster.nodes()?.into_iter();
                Ok(nodes.filter(|it| it.role == "broker").map(|it| it.data_dir).collect())
            }
            Self::Kafka(kafka) => Ok(kafka.data_folders()),
        }
    }

    /// Ends a broker at once.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&self, id: i32) -> Outcome {
        faults::signal(self.broker_pid(id)?, Signal::KILL)
    }

    /// Tells all nodes to stop, and waits until they have.
    ///
    /// # Errors
    /// If they do not.
    pub fn end_all(&mut self) -> Outcome {
        match self {
            Self::Vltava(cluster) => {
                let nodes = cluster.nodes()?;
                let names = nodes.iter().filter(|it| it.pid.is_some()).map(|it| &it.name[..]);
                let arguments: Vec<&str> = ["stop"].into_iter().chain(names).collect();
                cluster.vltava(&arguments).map(drop)
            }
            Self::Kafka(kafka) => kafka.end_all(),
        }
    }

    /// Starts the nodes that do not run.
    ///
    /// # Errors
    /// What kept one from starting.
    pub fn start_again(&mut self) -> Outcome {
        match self {
            Self::Vltava(cluster) => cluster.start_all(),
            Self::Kafka(kafka) => kafka.start_again(),
        }
    }
}
