//! A cluster on this machine, handled by the `vltava` command.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde::Deserialize;

use crate::{Outcome, until};

/// A row of `vltava ps --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// `broker-1`, `coordinator-1`, …
    pub name: String,
    /// `broker` or `coordinator`.
    pub role: String,
    /// The node's id in the cluster.
    pub node_id: i32,
    /// The process, if it runs.
    pub pid: Option<i32>,
    /// What the command calls its state.
    pub state: String,
    /// Its addresses, as `NAME://host:port`.
    pub listeners: Vec<String>,
    /// Where it serves metrics and probes, as `host:port`.
    pub admin: Option<String>,
    /// Its folder.
    pub data_dir: PathBuf,
}

/// The shape of a cluster.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many brokers.
    pub brokers: usize,
    /// How many coordinators.
    pub coordinators: usize,
    /// `name:partitions:replicas` of each topic that is declared.
    pub topics: Vec<(String, i32, i32)>,
    /// Keys that each broker gets above what the default manifest sets.
    pub config: Vec<(String, String)>,
    /// Keys that each coordinator gets above those.
    pub coordinator_config: Vec<(String, String)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            brokers: 3,
            coordinators: 3,
            topics: Vec::new(),
            config: Vec::new(),
            coordinator_config: Vec::new(),
        }
    }
}

/// Where a cluster lies and what runs it.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    data: PathBuf,
    binary: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Place {
    /// Manifest and data in one folder, run by the `vltava` program beside this one.
    pub fn new(folder: &Path) -> Self {
        let data = folder.join("data");
        Self { folder: folder.to_path_buf(), data, binary: None, environment: Vec::new() }
    }

    /// The data elsewhere than the manifest.
    pub fn with_data(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// Run by another program, which finds this in its environment.
    pub fn with_binary(mut self, binary: PathBuf, environment: Vec<(String, String)>) -> Self {
        self.binary = Some(binary);
        self.environment = environment;
        self
    }
}

/// A cluster in a data folder. Dropping it stops every node.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    data: PathBuf,
    manifest: PathBuf,
    ports: Vec<u16>,
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// Writes a manifest and starts the cluster of it, in a data folder that is new or its own.
    ///
    /// # Errors
    /// What the command printed.
    pub fn up(folder: &Path, shape: &Shape) -> Outcome<Self> {
        Self::up_at(Place::new(folder), shape)
    }

    /// As [`up`](Self::up), at a place of the caller's choice.
    ///
    /// # Errors
    /// What the command printed.
    pub fn up_at(place: Place, shape: &Shape) -> Outcome<Self> {
        let ports = free_ports(shape.brokers)?;
        let Place { folder, data, binary: other, environment } = place;
        let manifest = folder.join("cluster.yaml");
        std::fs::write(&manifest, manifest_text(shape, &ports))
            .map_err(|error| format!("{}: {error}", manifest.display()))?;
        let binary = other.map_or_else(binary, Ok)?;
        let cluster = Self { binary, data, manifest, ports, environment };
        cluster.start_all()?;
        Ok(cluster)
    }

    /// Starts whatever does not run: `vltava up -d`.
    ///
    /// # Errors
    /// What the command printed.
    pub fn start_all(&self) -> Outcome {
        let manifest = self.manifest.display().to_string();
        self.vltava(&["up", "-d", "-f", &manifest]).map(|_| ())
    }

    /// The outside addresses of all brokers, separated by commas.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        addresses.join(",")
    }

    /// The outside port of a broker.
    pub fn port(&self, broker: i32) -> u16 {
        self.ports[broker as usize - 1]
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Runs the command on this cluster and returns what it printed.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn vltava(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.command(arguments)?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("vltava {}: {}", arguments.join(" "), error.trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the command on this cluster, whatever comes of it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Outcome<Output> {
        Command::new(&self.binary)
            .args(arguments)
            .env("VLTAVA_DATA_DIR", &self.data)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .output()
            .map_err(|error| format!("{} cannot be started: {error}", self.binary.display()))
    }

    /// All nodes, whether they run or not.
    ///
    /// # Errors
    /// What `vltava ps` printed, if it failed.
    pub fn nodes(&self) -> Outcome<Vec<Node>> {
        let text = self.vltava(&["ps", "--json"])?;
        serde_json::from_str(&text).map_err(|error| format!("vltava ps --json: {error}: {text}"))
    }

    /// One node.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn node(&self, name: &str) -> Outcome<Node> {
        let mut nodes = self.nodes()?.into_iter();
        nodes.find(|node| node.name == name).ok_or_else(|| format!("there is no node {name}"))
    }

    /// The coordinator that leads the quorum.
    ///
    /// # Errors
    /// If none leads within a minute.
    pub fn active_coordinator(&self) -> Outcome<String> {
        until("a leader of the quorum", Duration::from_secs(60), || {
            let text = self.vltava(&["quorum", "status"])?;
            let line = text.lines().find(|line| line.contains("Mode: leader"));
            let name = line.and_then(|line| line.split_whitespace().next());
            name.map(str::to_owned).ok_or(text.clone())
        })
    }

    /// Copies the nodes' logs into a folder of that name under the system's temporary one, and says
    /// where they are.
    pub fn keep_logs(&self, name: &str) -> String {
        let folder = std::env::temp_dir().join(name);
        let copied = std::fs::create_dir_all(&folder).and_then(|()| {
            for node in self.nodes().unwrap_or_default() {
                if let Ok(text) = self.vltava(&["logs", &node.name]) {
                    std::fs::write(folder.join(format!("{}.log", node.name)), text)?;
                }
            }
            Ok(())
        });
        match copied {
            Ok(()) => format!("the nodes' logs are in {}", folder.display()),
            Err(error) => format!("the nodes' logs cannot be kept: {error}"),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A paused process does not end by SIGTERM; SIGKILL ends it in any state.
        for node in self.nodes().unwrap_or_default() {
            if let Some(pid) = node.pid {
                let _ = crate::faults::signal(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = self.command(&["down"]);
    }
}

/// The `vltava` program beside this one.
fn binary() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("VLTAVA_BIN") {
        return Ok(path.into());
    }
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let folders = here.ancestors().skip(1).take(2);
    let mut candidates = folders.map(|folder| folder.join("vltava"));
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        "the vltava program is not built: cargo build --release -p vltava-cli".to_owned()
    })
}

/// Ports that a manifest may name, below those of the default cluster. The system gives none of
/// them to outgoing connections, which could take a broker's port while the broker is down.
const PORTS: std::ops::Range<u16> = 30_000..32_000;

/// Ports that nobody uses at the moment.
///
/// # Errors
/// If there are not so many.
pub fn free_ports(count: usize) -> Outcome<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..1000 {
        if held.len() == count {
            break;
        }
        let port = rand::random_range(PORTS);
        held.extend(TcpListener::bind(("127.0.0.1", port)).ok().map(|held| (port, held)));
    }
    if held.len() < count {
        return Err(format!("no {count} free ports among {PORTS:?}"));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

fn manifest_text(shape: &Shape, ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut config = vec![
        ("min.insync.replicas".to_owned(), shape.brokers.min(2).to_string()),
        ("default.replication.factor".to_owned(), shape.brokers.min(3).to_string()),
        ("offsets.topic.replication.factor".to_owned(), shape.brokers.min(3).to_string()),
        ("transaction.state.log.replication.factor".to_owned(), shape.brokers.min(3).to_string()),
        ("transaction.state.log.min.isr".to_owned(), shape.brokers.min(2).to_string()),
        ("broker.session.timeout.ms".to_owned(), "3000".to_owned()),
        ("broker.heartbeat.interval.ms".to_owned(), "500".to_owned()),
    ];
    for (key, value) in &shape.config {
        config.retain(|(other, _)| other != key);
        config.push((key.clone(), value.clone()));
    }
    let lines = |config: &[(String, String)]| -> String {
        config.iter().map(|(key, value)| format!("      {key}: \"{value}\"\n")).collect()
    };
    let of_coordinators = match shape.coordinator_config.as_slice() {
        [] => String::new(),
        keys => format!("    config:\n{}", lines(keys)),
    };
    let topics: Vec<String> = shape
        .topics
        .iter()
        .map(|(name, partitions, replicas)| {
            format!(
                "    - {{name: {name}, partitions: {partitions}, replicationFactor: {replicas}}}\n"
            )
        })
        .collect();
    format!(
        "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: e2e}}\nspec:\n  \
         coordinators:\n    replicas: {}\n{of_coordinators}  brokers:\n    replicas: {}\n    \
         config:\n{}  \
         listeners:\n    - {{name: internal, port: 9092, type: Internal}}\n    - {{name: external, \
         port: 9094, type: NodePort, nodePorts: [{}], advertisedHost: 127.0.0.1}}\n{}{}",
        shape.coordinators,
        shape.brokers,
        lines(&config),
        ports.join(", "),
        if topics.is_empty() { "" } else { "  topics:\n" },
        topics.concat(),
    )
}
