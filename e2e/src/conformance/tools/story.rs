//! The steps: which tool is called with what, in the order in which they follow from each other.

use std::path::Path;
use std::sync::LazyLock;

use super::Subject;
use crate::Outcome;

/// One call of a tool, as a line of the story has it.
pub(super) struct Step {
    /// What it is called on the page; no two are called the same.
    pub(super) name: &'static str,
    /// The tool.
    pub(super) tool: &'static str,
    /// Its arguments, separated by blanks.
    pub(super) arguments: &'static str,
    /// What it reads.
    pub(super) input: String,
    /// Whether later steps of other tools need it.
    pub(super) prepares: bool,
    /// Whether numbers are compared.
    pub(super) numbers: bool,
    /// How long it may run; what it printed until then is compared.
    pub(super) seconds_max: u64,
}

/// How long a tool may run for which the story says nothing else, in seconds.
const SECONDS_MAX: u64 = 60;

/// The story.
pub(super) static STORY: LazyLock<Vec<Step>> = LazyLock::new(|| {
    let lines = include_str!("story.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| parse(line).unwrap_or_else(|| panic!("no step: {line}"))).collect()
});

fn parse(line: &'static str) -> Option<Step> {
    let mut parts = line.split(" | ");
    let (name, tool, arguments) = (parts.next()?, parts.next()?, parts.next()?);
    let mut step = Step {
        name,
        tool,
        arguments,
        input: String::new(),
        prepares: false,
        numbers: true,
        seconds_max: SECONDS_MAX,
    };
    for part in parts {
        match part.split_once(' ').unwrap_or((part, "")) {
            ("prepares", "") => step.prepares = true,
            ("numberless", "") => step.numbers = false,
            ("within", seconds) => step.seconds_max = seconds.parse().ok()?,
            ("reads", text) => step.input = text.replace("\\n", "\n"),
            _ => return None,
        }
    }
    Some(step)
}

/// The tools' classes, by the names in `bin/` of Apache's archive.
const CLASSES: &[(&str, &str)] = &[
    ("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("client-compatibility", "org.apache.kafka.tools.ClientCompatibilityTest"),
    ("client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
    ("cluster", "org.apache.kafka.tools.ClusterTool"),
    ("configs", "kafka.admin.ConfigCommand"),
    ("console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("console-share-consumer", "org.apache.kafka.tools.consumer.ConsoleShareConsumer"),
    ("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("consumer-perf", "org.apache.kafka.tools.ConsumerPerformance"),
    ("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("dump-log", "kafka.tools.DumpLogSegments"),
    ("features", "org.apache.kafka.tools.FeatureCommand"),
    ("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("groups", "org.apache.kafka.tools.GroupsCommand"),
    ("leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("log-compaction-tester", "org.apache.kafka.tools.LogCompactionTester"),
    ("log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("metadata-shell", "org.apache.kafka.shell.MetadataShell"),
    ("producer-perf", "org.apache.kafka.tools.ProducerPerformance"),
    ("reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
    ("replica-verification", "org.apache.kafka.tools.ReplicaVerificationTool"),
    ("share-consumer-perf", "org.apache.kafka.tools.ShareConsumerPerformance"),
    ("share-groups", "org.apache.kafka.tools.consumer.group.ShareGroupCommand"),
    ("storage", "kafka.tools.StorageTool"),
    ("streams-resetter", "org.apache.kafka.tools.StreamsResetter"),
    ("topics", "org.apache.kafka.tools.TopicCommand"),
    ("transactions", "org.apache.kafka.tools.TransactionsCommand"),
    ("verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer"),
    ("verifiable-producer", "org.apache.kafka.tools.VerifiableProducer"),
    ("verifiable-share-consumer", "org.apache.kafka.tools.VerifiableShareConsumer"),
];

/// The class of a tool.
///
/// # Errors
/// If there is no such tool.
pub(super) fn class(tool: &str) -> Outcome<&'static str> {
    let found = CLASSES.iter().find(|(name, _)| *name == tool);
    found.map(|(_, class)| *class).ok_or_else(|| format!("there is no tool {tool}"))
}

/// Writes the files that steps name.
///
/// # Errors
/// If one cannot be written.
pub(super) fn write_files(folder: &Path, cluster: &Subject) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed)?;
    let delete = r#"{"partitions":[{"topic":"lines","partition":0,"offset":1}],"version":1}"#;
    let moved = r#"{"version":1,"partitions":[{"topic":"lines","partition":0,"replicas":[2,3]}]}"#;
    let topics = r#"{"topics":[{"topic":"lines"}],"version":1}"#;
    let elected = r#"{"partitions":[{"topic":"lines","partition":0}]}"#;
    let log_dirs = cluster.data_folder()?;
    let storage = format!(
        "process.roles=broker\nnode.id=1\nlisteners=PLAINTEXT://:9092\nlog.dirs={}\n\
         controller.quorum.bootstrap.servers=localhost:9093\ncontroller.listener.names=C\n",
        log_dirs.display()
    );
    let new =
        storage.replace(&log_dirs.display().to_string(), &format!("{}/new", folder.display()));
    let files = [
        ("delete.json", delete),
        ("moved.json", moved),
        ("topics.json", topics),
        ("elected.json", elected),
        ("storage.properties", storage.as_str()),
        ("new.properties", new.as_str()),
    ];
    files
        .iter()
        .try_for_each(|(name, text)| std::fs::write(folder.join(name), text).map_err(failed))
}
