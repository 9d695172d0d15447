//! Apache Kafka from its own jars, with its stock configuration and JVM flags.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cluster::free_ports;
use crate::{Outcome, faults, java, until};
use rustix::process::Signal;

/// What `kafka-server-start.sh` and `kafka-run-class.sh` give the JVM.
const JVM_FLAGS: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// What the stock `server.properties` sets, where it differs from the defaults in the code.
const STOCK: &str = "num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
    socket.receive.buffer.bytes=102400\nsocket.request.max.bytes=104857600\nnum.partitions=1\n\
    num.recovery.threads.per.data.dir=2\nlog.retention.hours=168\n\
    log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";

/// Any id will do: each cluster here lives in folders of its own.
const CLUSTER_ID: &str = "dmx0YXZhLWJlbmNoLTAwMQ";

/// The configuration's file in a node's folder.
const PROPERTIES: &str = "server.properties";

/// How long a JVM may take to serve.
const START_MAX: Duration = Duration::from_secs(90);

struct Node {
    folder: PathBuf,
    port: u16,
    process: Child,
    jars: PathBuf,
}

/// A cluster; each node is broker and controller. Dropping it ends the nodes.
pub struct Kafka {
    nodes: Vec<Node>,
}

impl Kafka {
    /// Fetches the jars if they are not there, formats the folders and starts the nodes.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start(brokers: usize, folder: &Path) -> Outcome<Self> {
        Self::start_with(brokers, folder, &[])
    }

    /// The same with keys of its configuration above what the stock file sets.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn start_with(brokers: usize, folder: &Path, config: &[(String, String)]) -> Outcome<Self> {
        let jars = jars()?;
        let ports = free_ports(2 * brokers)?;
        let (broker_ports, controller_ports) = ports.split_at(brokers);
        let mut voters = String::new();
        for (at, port) in controller_ports.iter().enumerate() {
            let separator = if at == 0 { "" } else { "," };
            let _ = write!(voters, "{separator}{}@127.0.0.1:{port}", at + 1);
        }
        let mut kafka = Self { nodes: Vec::new() };
        for (at, port) in broker_ports.iter().enumerate() {
            let folder = folder.join(format!("kafka-{}", at + 1));
            let mut properties =
                properties(at + 1, *port, controller_ports[at], &voters, brokers, &folder);
            for (key, value) in config {
                let _ = writeln!(properties, "{key}={value}");
            }
            format(&jars, &folder, &properties)?;
            let process = launch(&jars, &folder)?;
            kafka.nodes.push(Node { folder, port: *port, process, jars: jars.clone() });
        }
        for node in &mut kafka.nodes {
            node.wait()?;
        }
        Ok(kafka)
    }

    /// Where clients begin.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        addresses.join(",")
    }

    /// The nodes' processes, in the order of their ids.
    pub fn pids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.process.id() as i32).collect()
    }

    /// Tells all nodes to stop, and waits until they have.
    ///
    /// # Errors
    /// If one cannot be told.
    pub fn end_all(&mut self) -> Outcome {
        for node in &self.nodes {
            // One that was killed before has ended already.
            let _ = faults::signal(node.process.id() as i32, Signal::TERM);
        }
        for node in &mut self.nodes {
            node.process.wait().map_err(|error| format!("waiting for a node: {error}"))?;
        }
        Ok(())
    }

    /// Starts the nodes that have ended.
    ///
    /// # Errors
    /// What kept one from starting.
    pub fn start_again(&mut self) -> Outcome {
        for node in &mut self.nodes {
            if matches!(node.process.try_wait(), Ok(Some(_))) {
                let _ = fs::remove_file(node.folder.join("logs/server.log"));
                node.process = launch(&node.jars, &node.folder)?;
            }
        }
        self.nodes.iter_mut().try_for_each(Node::wait)
    }

    /// Where the nodes keep their partitions.
    pub fn data_folders(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(|node| node.folder.join("data")).collect()
    }
}

impl Node {
    /// Waits until the node says that it serves.
    fn wait(&mut self) -> Outcome {
        let log = self.folder.join("logs/server.log");
        let (process, port) = (&mut self.process, self.port);
        until("a Kafka that serves", START_MAX, || {
            if let Ok(Some(status)) = process.try_wait() {
                return Err(format!("it ended with {status}; see {}", log.display()));
            }
            let text = fs::read_to_string(&log).unwrap_or_default();
            if !text.contains("Kafka Server started") {
                return Err(format!("{} does not say so", log.display()));
            }
            TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.process.kill();
            let _ = node.process.wait();
        }
    }
}

/// What tells Apache's tools to log warnings, and those on their standard error.
pub fn tools_logger() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/peer/log4j2-tools.properties")
}

/// The folder with the jars of Apache Kafka, server and tools, which Maven fetches once.
///
/// # Errors
/// If there is no Java or no Maven, or the jars cannot be had.
pub fn jars() -> Outcome<PathBuf> {
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/peer/pom.xml");
    java::fetch(&pom, "kafka-peer-4.2.1")
}

fn properties(
    id: usize,
    port: u16,
    controller_port: u16,
    voters: &str,
    brokers: usize,
    folder: &Path,
) -> String {
    let replicas = brokers.min(3);
    let min_in_sync = brokers.min(2);
    format!(
        "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         inter.broker.listener.name=PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\ndefault.replication.factor={replicas}\nmin.insync.replicas={min_in_sync}\n\
         offsets.topic.replication.factor={replicas}\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={min_in_sync}\n{STOCK}",
        folder.join("data").display(),
    )
}

fn java(jars: &Path, folder: &Path) -> Command {
    let logger = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/peer/log4j2.properties");
    let mut command = Command::new("java");
    command
        .arg(format!("-Dkafka.logs.dir={}", folder.join("logs").display()))
        .arg(format!("-Dlog4j2.configurationFile={}", logger.display()))
        .args(["-cp", &format!("{}/*", jars.display())])
        .stdin(Stdio::null());
    command
}

/// Makes a node's folder, with its configuration in it.
fn format(jars: &Path, folder: &Path, properties: &str) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder.join("logs")).map_err(failed)?;
    let file = folder.join(PROPERTIES);
    fs::write(&file, properties).map_err(failed)?;
    let formatted = java(jars, folder)
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(&file)
        .output()
        .map_err(|error| format!("java: {error}; install a Java 17"))?;
    if !formatted.status.success() {
        let said = [formatted.stdout, formatted.stderr].concat();
        return Err(format!("the folder's format: {}", String::from_utf8_lossy(&said)));
    }
    // What it logged would be taken for the server's.
    let _ = fs::remove_file(folder.join("logs/server.log"));
    Ok(())
}

fn launch(jars: &Path, folder: &Path) -> Outcome<Child> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let console = fs::File::create(folder.join("logs/console.out")).map_err(failed)?;
    let errors = console.try_clone().map_err(failed)?;
    java(jars, folder)
        .args(JVM_FLAGS)
        .arg("kafka.Kafka")
        .arg(folder.join(PROPERTIES))
        .stdout(console)
        .stderr(errors)
        .spawn()
        .map_err(failed)
}
