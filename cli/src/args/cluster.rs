//! What can be typed about a cluster, wherever it runs.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

/// How to reach the cluster.
#[derive(Debug, Clone, Args)]
pub struct Bootstrap {
    /// Brokers of the cluster as host:port, separated by commas [default: the cluster in the data
    /// folder]
    #[arg(
        short = 'b',
        long = "bootstrap-server",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        env = "VLTAVA_BOOTSTRAP_SERVER",
        global = true
    )]
    pub servers: Vec<String>,
}

/// A setting: `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Kafka's name of the key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("write it as key=value".to_owned()),
        }
    }
}

/// What `quorum` takes.
#[derive(Debug, Args)]
pub struct QuorumArgs {
    /// How to reach the cluster
    #[command(flatten)]
    pub bootstrap: Bootstrap,
    /// What to ask
    #[command(subcommand)]
    pub command: QuorumCommand,
}

/// What can be asked of the quorum.
#[derive(Debug, Subcommand)]
pub enum QuorumCommand {
    /// Show who leads, how far each coordinator is, and which brokers are fenced
    #[command(after_help = "\
Examples:
  vltava quorum status
  vltava quorum status --json -b 127.0.0.1:32001")]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `topic` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vltava topic create orders --partitions 6 --replication-factor 3 --config retention.ms=86400000
  vltava topic describe orders
  vltava topic alter orders --partitions 12
  vltava topic delete orders")]
pub struct TopicArgs {
    /// How to reach the cluster
    #[command(flatten)]
    pub bootstrap: Bootstrap,
    /// What to do
    #[command(subcommand)]
    pub command: TopicCommand,
}

/// What can be done with topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic
    Create {
        /// Its name
        topic: String,
        /// How many partitions [default: the brokers' num.partitions]
        #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// How many replicas of each [default: the brokers' default.replication.factor]
        #[arg(short, long, value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A setting of its own; may be repeated
        #[arg(short, long, value_name = "KEY=VALUE")]
        config: Vec<Pair>,
    },
    /// List the topics
    List {
        /// List Kafka's own topics too
        #[arg(long)]
        internal: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show partitions, leaders, replicas and settings
    Describe {
        /// The topics; all of them if none is named
        topics: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Raise the number of partitions, or change settings
    Alter {
        /// Its name
        topic: String,
        /// How many partitions it shall have
        #[arg(short, long, value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting of its own; may be repeated
        #[arg(short, long, value_name = "KEY=VALUE")]
        config: Vec<Pair>,
        /// A setting that shall be the brokers' again; may be repeated
        #[arg(long, value_name = "KEY")]
        reset: Vec<String>,
    },
    /// Delete topics and all their records
    Delete {
        /// Their names
        #[arg(required = true)]
        topics: Vec<String>,
    },
}

/// What `produce` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of standard input is a record; the command ends when all of them are acknowledged.

Examples:
  echo hello | vltava produce greetings
  printf 'prague:1\\nbrno:2\\n' | vltava produce cities --key-delimiter :
  vltava produce orders -b broker-1:9092 < orders.txt")]
pub struct ProduceArgs {
    /// The topic
    pub topic: String,
    /// How to reach the cluster
    #[command(flatten)]
    pub bootstrap: Bootstrap,
    /// What stands between a record's key and its value; lines without it have no key
    #[arg(short, long, value_name = "TEXT")]
    pub key_delimiter: Option<String>,
}

/// What `consume` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the value of each record on a line of its own, until Ctrl-C.

Examples:
  vltava consume greetings --from-beginning
  vltava consume orders --group billing
  vltava consume cities --from-beginning --max-messages 2 --key-delimiter :")]
pub struct ConsumeArgs {
    /// The topic
    pub topic: String,
    /// How to reach the cluster
    #[command(flatten)]
    pub bootstrap: Bootstrap,
    /// Start with the oldest record, where the group has no offset
    #[arg(long)]
    pub from_beginning: bool,
    /// Share the topic with the other members of this group, and commit what was printed
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// End after so many records
    #[arg(short, long, value_name = "N")]
    pub max_messages: Option<u64>,
    /// Print each record's key before its value, with this between them
    #[arg(short, long, value_name = "TEXT")]
    pub key_delimiter: Option<String>,
}

/// What `group` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vltava group list
  vltava group describe billing
  vltava group reset-offsets billing --topic orders --to earliest
  vltava group delete billing")]
pub struct GroupArgs {
    /// How to reach the cluster
    #[command(flatten)]
    pub bootstrap: Bootstrap,
    /// What to do
    #[command(subcommand)]
    pub command: GroupCommand,
}

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the groups
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show members, committed offsets and lag
    Describe {
        /// The group
        group: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Move the committed offsets of a group without members
    ResetOffsets {
        /// The group
        group: String,
        /// The topic
        #[arg(short, long)]
        topic: String,
        /// Only these partitions, separated by commas
        #[arg(short, long, value_delimiter = ',')]
        partitions: Vec<i32>,
        /// Where to
        #[arg(long, value_enum, required_unless_present = "offset", conflicts_with = "offset")]
        to: Option<ResetTo>,
        /// To this offset
        #[arg(long, value_parser = clap::value_parser!(i64).range(0..))]
        offset: Option<i64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete groups without members, and their offsets
    Delete {
        /// Their names
        #[arg(required = true)]
        groups: Vec<String>,
    },
}

/// Where offsets may be moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResetTo {
    /// The oldest record
    Earliest,
    /// Behind the newest record
    Latest,
}

/// What `config` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
What can be set, and for what, stands in docs/configuration.md.

Examples:
  vltava config describe broker 1
  vltava config describe topic orders --all
  vltava config alter topic orders --set retention.ms=86400000
  vltava config alter brokers --set min.insync.replicas=2 --reset log.retention.ms")]
pub struct ConfigArgs {
    /// How to reach the cluster
    #[command(flatten)]
    pub bootstrap: Bootstrap,
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show settings and where they come from
    Describe {
        /// Whose settings
        #[command(flatten)]
        entity: EntityArgs,
        /// Show defaults too
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change settings at run time
    Alter {
        /// Whose settings
        #[command(flatten)]
        entity: EntityArgs,
        /// A setting; may be repeated
        #[arg(short, long, value_name = "KEY=VALUE")]
        set: Vec<Pair>,
        /// A setting to take back; may be repeated
        #[arg(short, long, value_name = "KEY")]
        reset: Vec<String>,
    },
}

/// Whose settings they are.
#[derive(Debug, Args)]
pub struct EntityArgs {
    /// Of a topic, of one broker, or of all brokers
    #[arg(value_enum)]
    pub kind: Entity,
    /// The topic's name or the broker's id
    #[arg(required_if_eq_any([("kind", "topic"), ("kind", "broker")]))]
    pub name: Option<String>,
}

/// What can have settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Entity {
    /// One topic
    Topic,
    /// One broker
    Broker,
    /// All brokers
    Brokers,
}
