//! Apache's own tools on our cluster: clients, admin tools, and the reader of log files.

use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{Cluster, Shape};
use crate::java::Tools;
use crate::{Outcome, check};

const TOPIC: &str = "apache";
/// What the segments' reader says of a log that is sound: nothing of this.
const COMPLAINTS: &[&str] =
    &["Mismatches in", "Found timestamp mismatch", "isvalid: false", "Exception"];

/// A tool, what it is told, its input, and what it must print.
type Case<'a> = (&'a str, Vec<&'a str>, &'a str, &'a str);

pub(super) fn run() -> Outcome<String> {
    let tools = Tools::fetch()?;
    let folder = super::folder()?;
    let shape = Shape { topics: vec![(TOPIC.to_owned(), 3, 3)], ..Shape::default() };
    let cluster = Cluster::up(folder.path(), &shape)?;
    check::isr_whole(&cluster, 3, Duration::from_secs(30))?;
    let brokers = cluster.bootstrap();
    let coordinators = coordinators(&cluster)?;
    let delete = folder.path().join("delete.json");
    let json =
        format!(r#"{{"version":1,"partitions":[{{"topic":"{TOPIC}","partition":0,"offset":1}}]}}"#);
    std::fs::write(&delete, json).map_err(|error| error.to_string())?;
    let delete = delete.display().to_string();
    let mut cases = client_cases(&brokers);
    cases.extend(admin_cases(&brokers, &coordinators, &delete));
    let mut wrong = Vec::new();
    for (class, arguments, input, wanted) in &cases {
        match tools.run(class, arguments, input) {
            Ok(text) if text.contains(wanted) => {}
            Ok(text) => wrong.push(format!("{class} {arguments:?}: no {wanted:?} in {text}")),
            Err(error) => wrong.push(error),
        }
    }
    cluster.vltava(&["down"])?;
    let files = log_files(&cluster)?;
    for (file, is_metadata) in &files {
        let text = dump(&tools, file, *is_metadata)?;
        if let Some(complaint) = COMPLAINTS.iter().find(|complaint| text.contains(*complaint)) {
            wrong.push(format!("{}: {complaint}: {text}", file.display()));
        }
    }
    if wrong.is_empty() {
        return Ok(format!("{} calls of tools, {} files read", cases.len(), files.len()));
    }
    Err(format!("{} findings:\n{}", wrong.len(), wrong.join("\n")))
}

fn coordinators(cluster: &Cluster) -> Outcome<String> {
    let nodes = cluster.nodes()?;
    let addresses: Vec<String> = nodes
        .iter()
        .flat_map(|node| &node.listeners)
        .filter_map(|listener| listener.strip_prefix("CONTROLLER://"))
        .map(str::to_owned)
        .collect();
    if addresses.is_empty() {
        return Err(format!("no coordinator has a listener called controller: {nodes:?}"));
    }
    Ok(addresses.join(","))
}

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const QUORUM: &str = "org.apache.kafka.tools.MetadataQuorumCommand";

/// What clients do: topics, records, groups.
fn client_cases(brokers: &str) -> Vec<Case<'_>> {
    let on = |rest: &[&'static str]| [&["--bootstrap-server", brokers], rest].concat();
    let group = ["--consumer-property", "group.id=apache-group"];
    let consume = ["--topic", TOPIC, "--from-beginning", "--max-messages", "3"];
    let verifiable = ["--topic", TOPIC, "--max-messages", "100"];
    let perf = [
        "--topic",
        TOPIC,
        "--num-records",
        "2000",
        "--record-size",
        "100",
        "--throughput",
        "-1",
        "--producer-props",
    ];
    let bootstrap: &'static str =
        Box::leak(format!("bootstrap.servers={brokers}").into_boxed_str());
    vec![
        (TOPICS, on(&["--list"]), "", TOPIC),
        (
            TOPICS,
            on(&["--create", "--topic", "made", "--partitions", "2"]),
            "",
            "Created topic made",
        ),
        (TOPICS, on(&["--describe", "--topic", "made"]), "", "ReplicationFactor: 3"),
        (TOPICS, on(&["--alter", "--topic", "made", "--partitions", "4"]), "", ""),
        (TOPICS, on(&["--delete", "--topic", "made"]), "", ""),
        (
            "org.apache.kafka.tools.ConsoleProducer",
            on(&["--topic", TOPIC]),
            "one\ntwo\nthree\n",
            "",
        ),
        (
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            on(&[&consume[..], &group[..]].concat()),
            "",
            "Processed a total of 3 messages",
        ),
        (GROUPS, on(&["--list"]), "", "apache-group"),
        (GROUPS, on(&["--describe", "--group", "apache-group"]), "", "apache-group"),
        ("org.apache.kafka.tools.VerifiableProducer", on(&verifiable), "", "\"acked\":100"),
        (
            "org.apache.kafka.tools.VerifiableConsumer",
            on(&[&verifiable[..], &["--group-id", "verifiable", "--reset-policy", "earliest"]]
                .concat()),
            "",
            "records_consumed",
        ),
        (
            "org.apache.kafka.tools.ProducerPerformance",
            [&perf[..], &[bootstrap, "acks=all"]].concat(),
            "",
            "2000 records sent",
        ),
    ]
}

/// What people who run clusters do.
fn admin_cases<'a>(brokers: &'a str, coordinators: &'a str, delete: &'a str) -> Vec<Case<'a>> {
    let on = |rest: &[&'a str]| [&["--bootstrap-server", brokers], rest].concat();
    vec![
        (
            CONFIGS,
            on(&[
                "--alter",
                "--entity-type",
                "topics",
                "--entity-name",
                TOPIC,
                "--add-config",
                "retention.ms=3600000",
            ]),
            "",
            "Completed updating config",
        ),
        (
            CONFIGS,
            on(&["--describe", "--entity-type", "topics", "--entity-name", TOPIC]),
            "",
            "retention.ms=3600000",
        ),
        (
            CONFIGS,
            on(&["--describe", "--entity-type", "brokers", "--entity-name", "1", "--all"]),
            "",
            "min.insync.replicas=2",
        ),
        (QUORUM, on(&["describe", "--status"]), "", "LeaderId"),
        (QUORUM, on(&["describe", "--replication"]), "", "Follower"),
        (
            QUORUM,
            vec!["--bootstrap-controller", coordinators, "describe", "--status"],
            "",
            "LeaderId",
        ),
        ("org.apache.kafka.tools.FeatureCommand", on(&["describe"]), "", "metadata.version"),
        (
            "org.apache.kafka.tools.ClusterTool",
            vec!["cluster-id", "--bootstrap-server", brokers],
            "",
            "Cluster ID",
        ),
        ("org.apache.kafka.tools.BrokerApiVersionsCommand", on(&[]), "", "Produce(0)"),
        ("org.apache.kafka.tools.LogDirsCommand", on(&["--describe"]), "", "logDirs"),
        ("org.apache.kafka.tools.GetOffsetShell", on(&["--topic", TOPIC]), "", "apache:0:"),
        (
            "org.apache.kafka.tools.DeleteRecordsCommand",
            on(&["--offset-json-file", delete]),
            "",
            "low_watermark: 1",
        ),
        (
            "org.apache.kafka.tools.LeaderElectionCommand",
            on(&["--election-type", "preferred", "--all-topic-partitions"]),
            "",
            "",
        ),
    ]
}

/// The segments, indexes and metadata logs of all nodes; whether each is one of the metadata.
fn log_files(cluster: &Cluster) -> Outcome<Vec<(PathBuf, bool)>> {
    let mut files = Vec::new();
    let mut folders = vec![cluster.data().to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_metadata = folder.ends_with("__cluster_metadata-0");
            let holds_records = std::fs::metadata(&path).is_ok_and(|it| it.len() > 0);
            if path.is_dir() {
                folders.push(path);
            } else if holds_records
                && name.starts_with("0000")
                && (is_metadata || folder.to_string_lossy().contains(TOPIC))
                && [".log", ".index", ".timeindex", ".checkpoint"]
                    .iter()
                    .any(|it| name.ends_with(it))
            {
                files.push((path, is_metadata));
            }
        }
    }
    Ok(files)
}

fn dump(tools: &Tools, file: &std::path::Path, is_metadata: bool) -> Outcome<String> {
    let path = file.display().to_string();
    let mut arguments = vec!["--files", &path, "--deep-iteration"];
    if is_metadata && path.ends_with("log") || path.ends_with("checkpoint") {
        arguments.push("--cluster-metadata-decoder");
    }
    if path.ends_with("index") {
        arguments.push("--index-sanity-check");
    }
    tools.run("kafka.tools.DumpLogSegments", &arguments, "")
}
