//! Why a command failed, in words for the person who typed it.

use std::io;
use std::path::PathBuf;

use vltava_client::ClientError;
use vltava_config::ConfigError;
use vltava_crd::manifest::ManifestError;

use crate::local::node_name::NodeName;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Nobody reads the output any more, which is no failure.
    #[error("the output was closed")]
    BrokenPipe,
    /// The output cannot be written.
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
    /// Standard input cannot be read.
    #[error("cannot read standard input")]
    ReadInput(#[source] io::Error),
    /// The asynchronous runtime cannot start.
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    /// A node's settings cannot be used.
    #[error(transparent)]
    Config(ConfigError),
    /// A build without nodes was asked to be one.
    #[error("this build of vltava runs no nodes: images have vltava-broker and vltava-coordinator")]
    NoNodes,
    /// A node failed.
    #[error("the node failed")]
    RunNode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file of the data folder, or the manifest, cannot be read.
    #[error("cannot read {path}", path = path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file of the data folder cannot be written.
    #[error("cannot write {path}", path = path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data folder cannot be removed.
    #[error("cannot remove {path}", path = path.display())]
    RemoveData {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The manifest cannot be read.
    #[error("{file}: {reason}")]
    Manifest {
        /// The file, or what stands for it.
        file: String,
        /// Where and why.
        reason: ManifestError,
    },
    /// The manifest asks for something impossible.
    #[error("{file}: {problems}")]
    Impossible {
        /// The file, or what stands for it.
        file: String,
        /// All that is impossible, separated by semicolons.
        problems: String,
    },
    /// What was asked for does not fit the cluster that is there.
    #[error("{0}")]
    Refused(String),
    /// There is no cluster in the data folder.
    #[error(
        "there is no cluster in {path}; start one with `vltava up`{hint}",
        path = path.display(),
        hint = if *.remote { ", or name one with --bootstrap-server" } else { "" }
    )]
    NoCluster {
        /// The folder.
        path: PathBuf,
        /// Whether the command could also ask a cluster elsewhere.
        remote: bool,
    },
    /// The cluster in the data folder has no broker that runs.
    #[error("no broker of the cluster in {path} runs; start it with `vltava up`",
        path = path.display())]
    NoneRuns {
        /// The folder.
        path: PathBuf,
    },
    /// Nobody decides about changes.
    #[error("no active coordinator answers, so nothing can be changed: {what}")]
    NoActive {
        /// What to do.
        what: String,
    },
    /// The data folder's own file makes no sense.
    #[error("{path}: {what}", path = path.display())]
    ClusterFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another command has the data folder.
    #[error("another vltava command is at work in {path}; wait until it is done",
        path = path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// No node has this name.
    #[error("there is no node {name}; there are {known}")]
    NoNode {
        /// What was typed.
        name: String,
        /// The nodes that there are.
        known: String,
    },
    /// A port that a node needs is taken.
    #[error("port {port} on 127.0.0.1 is taken, and {node} needs it: {what}")]
    PortTaken {
        /// The port.
        port: u16,
        /// The node.
        node: NodeName,
        /// What to do.
        what: String,
    },
    /// No free port was found.
    #[error("there is no free port on 127.0.0.1")]
    NoFreePort,
    /// A node's process cannot be started.
    #[error("cannot start {node}")]
    StartNode {
        /// The node.
        node: NodeName,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A node ended when it should have become ready.
    #[error("{node} ended while it started: {last} (see `vltava logs {node}`)")]
    NodeEnded {
        /// The node.
        node: NodeName,
        /// The last line of its log.
        last: String,
    },
    /// A node did not become ready in time.
    #[error("{node} is not ready after {seconds} s: {last} (see `vltava logs {node}`)")]
    NotReady {
        /// The node.
        node: NodeName,
        /// How long it had.
        seconds: u64,
        /// What it said last.
        last: String,
    },
    /// A signal cannot be sent.
    #[error("cannot signal {node}")]
    Signal {
        /// The node.
        node: NodeName,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A node lives on although it was told to end.
    #[error("{node} did not end within {seconds} s; `vltava kill {node}` ends it at once")]
    DidNotEnd {
        /// The node.
        node: NodeName,
        /// How long it had.
        seconds: u64,
    },
    /// Nodes were killed instead of stopped, as a second signal asked for.
    #[error("interrupted again: {} killed instead of stopped; the next start recovers their logs",
        .nodes.join(", "))]
    KilledInstead {
        /// The nodes.
        nodes: Vec<String>,
    },
    /// What the manifest changes was refused in part; each refusal has been said.
    #[error("{} of the manifest refused, as said above; all else is applied",
        if *.count == 1 { "1 change".to_owned() } else { format!("{count} changes") })]
    PartlyApplied {
        /// How many changes.
        count: usize,
    },
    /// Signals to this process cannot be handled.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// A broker cannot be watched, or its connections cannot be ended.
    #[error("the watchdog of this broker cannot do its work")]
    Watchdog(#[source] io::Error),
    /// A record was not taken.
    #[error("line {line}")]
    Produce {
        /// Which line of the input, counted from 1.
        line: u64,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// The cluster did not answer as hoped.
    #[error(transparent)]
    Cluster(#[from] ClientError),
}
