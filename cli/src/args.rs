//! What can be typed after `vltava`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

mod cluster;

pub use cluster::{
    Bootstrap, ConfigArgs, ConfigCommand, ConsumeArgs, Entity, EntityArgs, GroupArgs, GroupCommand,
    Pair, ProduceArgs, QuorumArgs, QuorumCommand, ResetTo, TopicArgs, TopicCommand,
};

/// Kafka for Kubernetes, and on this machine: brokers, coordinators, and every command about them.
#[derive(Debug, Parser)]
#[command(
    name = "vltava",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  vltava up                          run the default cluster here; Ctrl-C ends it
  vltava up -d && vltava ps          run it in the background and list its nodes
  echo hello | vltava produce greetings
  vltava consume greetings --from-beginning
  vltava down --volumes              stop it and remove its data"
)]
pub struct Cli {
    /// The folder of the cluster on this machine
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "VLTAVA_DATA_DIR",
        default_value = "./vltava-data"
    )]
    pub data_dir: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a cluster on this machine, or apply what changed in its manifest
    Up(UpArgs),
    /// List the nodes of the cluster on this machine
    Ps(PsArgs),
    /// Stop nodes in good order (SIGTERM)
    #[command(after_help = "\
Nodes are broker-1, broker-2, … and coordinator-1, coordinator-2, …; `vltava ps` lists them.

Examples:
  vltava stop broker-3
  vltava stop broker-2 coordinator-1")]
    Stop(NodesArgs),
    /// Kill nodes without warning (SIGKILL)
    #[command(after_help = "\
Nodes are broker-1, broker-2, … and coordinator-1, coordinator-2, …; `vltava ps` lists them.

Examples:
  vltava kill broker-3
  vltava kill broker-2 coordinator-1")]
    Kill(NodesArgs),
    /// Start nodes that were stopped or killed
    #[command(after_help = "\
Nodes are broker-1, broker-2, … and coordinator-1, coordinator-2, …; `vltava ps` lists them.

Examples:
  vltava start broker-3
  vltava start broker-2 coordinator-1")]
    Start(NodesArgs),
    /// Show the log lines of nodes
    Logs(LogsArgs),
    /// Stop the cluster on this machine
    Down(DownArgs),
    /// Ask about the metadata quorum
    Quorum(QuorumArgs),
    /// List, describe, create, alter and delete topics
    Topic(TopicArgs),
    /// Write lines from standard input to a topic
    Produce(ProduceArgs),
    /// Read a topic
    Consume(ConsumeArgs),
    /// List, describe, reset and delete consumer groups
    Group(GroupArgs),
    /// Describe and alter the settings of brokers and topics
    Config(ConfigArgs),
    /// Run one broker (`up` starts these; images run them)
    #[command(after_help = "\
Environment variables stand above the file: KAFKA_LOG_RETENTION_MS is log.retention.ms.

Examples:
  vltava broker --config broker.properties
  CLUSTER_ID=VltavaInPragueWithUsAQ KAFKA_NODE_ID=1 \\
    KAFKA_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS=coordinator-1:9093 vltava broker")]
    Broker(NodeArgs),
    /// Run one coordinator (`up` starts these; images run them)
    #[command(after_help = "\
Environment variables stand above the file: KAFKA_METADATA_LOG_DIR is metadata.log.dir.

Examples:
  vltava coordinator --config coordinator.properties
  CLUSTER_ID=VltavaInPragueWithUsAQ KAFKA_NODE_ID=1 KAFKA_LISTENERS=CONTROLLER://:9093 \\
    KAFKA_VLTAVA_INITIAL_CONTROLLERS=1@localhost:9093:AAAAAAAAAAAAAAAAAAAAAQ vltava coordinator")]
    Coordinator(NodeArgs),
    /// Let the clients of a broker go that stands still (`broker` starts it beside itself)
    #[command(hide = true)]
    Watchdog(WatchdogArgs),
}

impl Command {
    /// Whether it does something that must be done also if nobody reads what is said of it.
    pub(crate) fn changes_something(&self) -> bool {
        match self {
            // In the foreground it ends with its reader.
            Self::Up(args) => args.detach,
            Self::Stop(_) | Self::Kill(_) | Self::Start(_) | Self::Down(_) | Self::Produce(_) => {
                true
            }
            Self::Topic(args) => {
                !matches!(args.command, TopicCommand::List { .. } | TopicCommand::Describe { .. })
            }
            Self::Group(args) => {
                !matches!(args.command, GroupCommand::List { .. } | GroupCommand::Describe { .. })
            }
            Self::Config(args) => !matches!(args.command, ConfigCommand::Describe { .. }),
            Self::Ps(_)
            | Self::Logs(_)
            | Self::Quorum(_)
            | Self::Consume(_)
            | Self::Broker(_)
            | Self::Coordinator(_)
            | Self::Watchdog(_) => false,
        }
    }
}

/// What `up` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a manifest it is the one that `up` was given last, or the default cluster:
`prague`, 3 coordinators and 3 brokers, for clients at 127.0.0.1:32001 to 32003.

On a cluster that runs, `up` applies what changed in the manifest: topics are created, grown and
altered, replicas added and taken away, brokers added, or drained and taken out, settings told
that can change at run time. It starts nodes that do not run, and lets coordinators vote whose
disks were replaced.

Examples:
  vltava up
  vltava up -f my-cluster.yaml -d
  vltava up -f my-cluster.yaml --data-dir /tmp/test")]
pub struct UpArgs {
    /// The KafkaCluster manifest; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Return once the cluster is ready, and leave it running
    #[arg(short, long)]
    pub detach: bool,
    /// How long to wait until the cluster is ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
}

/// What `ps` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vltava ps
  vltava ps --json")]
pub struct PsArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Names of nodes.
#[derive(Debug, Args)]
pub struct NodesArgs {
    /// The nodes
    #[arg(required = true, value_name = "NODE")]
    pub nodes: Vec<String>,
}

/// What `logs` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vltava logs broker-1
  vltava logs broker-1 broker-2 -f
  vltava logs --tail 20")]
pub struct LogsArgs {
    /// The nodes; all of them if none is named
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Go on with new lines as they come
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines of each node
    #[arg(long, value_name = "LINES")]
    pub tail: Option<usize>,
}

/// What `down` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vltava down              stop all nodes; `vltava up` goes on where they were
  vltava down --volumes    and remove all that they stored")]
pub struct DownArgs {
    /// Remove the data folder as well
    #[arg(short, long)]
    pub volumes: bool,
}

/// What a node takes.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The `.properties` file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What `watchdog` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vltava watchdog --pid 4711 --after-ms 2300")]
pub struct WatchdogArgs {
    /// The broker's process, which must be the parent of this one
    #[arg(long, value_name = "PID")]
    pub pid: i32,
    /// How long it may stand still, in milliseconds
    #[arg(long, value_name = "MS")]
    pub after_ms: u64,
}
