//! `vltava topic`: list, describe, create, alter and delete topics.

use std::collections::BTreeMap;

use serde::Serialize;
use vltava_wire::messages::metadata::{MetadataResponsePartition, MetadataResponseTopic};

use crate::args::{Pair, TopicArgs, TopicCommand};
use crate::cluster::session::{PATIENCE, Session, retried};
use crate::cluster::settings::{self, Resource};
use crate::cluster::topics::{self, NewTopic, name_of, replicas_of};
use crate::error::CliError;
use crate::local::DataDir;
use crate::output;

/// Runs the command.
///
/// # Errors
/// If the cluster cannot be reached, or refuses.
pub async fn run(dir: &DataDir, args: TopicArgs) -> Result<(), CliError> {
    let session = Session::open(dir, &args.bootstrap)?;
    match args.command {
        TopicCommand::Create { topic, partitions, replication_factor, config } => {
            let config = pairs(config);
            let new = NewTopic { name: topic, partitions, replication_factor, config };
            create(&session, &new).await
        }
        TopicCommand::List { internal, json } => list(&session, internal, json).await,
        TopicCommand::Describe { topics, json } => describe(&session, &topics, json).await,
        TopicCommand::Alter { topic, partitions, config, reset } => {
            alter(&session, topic, partitions, config, reset).await
        }
        TopicCommand::Delete { topics } => {
            for name in topics {
                retried(PATIENCE, || topics::delete(&session, &name)).await?;
                output::line(format_args!("deleted topic {name}"))?;
            }
            Ok(())
        }
    }
}

fn pairs(config: Vec<Pair>) -> BTreeMap<String, String> {
    config.into_iter().map(|Pair { key, value }| (key, value)).collect()
}

async fn create(session: &Session, new: &NewTopic) -> Result<(), CliError> {
    let made = retried(PATIENCE, || topics::create_one(session, new)).await?;
    let (partitions, replicas) = (made.num_partitions, made.replication_factor);
    let name = &new.name;
    // A broker may keep to itself what it chose.
    if partitions < 0 || replicas < 0 {
        return output::line(format_args!("created topic {name}"));
    }
    let partitions = counted(partitions, "partition");
    let replicas = counted(i32::from(replicas), "replica");
    output::line(format_args!("created topic {name} with {partitions} of {replicas}"))
}

fn counted(count: i32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A topic in a list.
#[derive(Serialize)]
struct Listed {
    name: String,
    partitions: usize,
    replication_factor: usize,
    internal: bool,
}

async fn list(session: &Session, internal: bool, json: bool) -> Result<(), CliError> {
    let metadata = session.metadata(None).await?;
    let listed: Vec<Listed> = topics::sorted(metadata)?
        .iter()
        .filter(|topic| internal || !topic.is_internal)
        .map(|topic| Listed {
            name: name_of(topic),
            partitions: topic.partitions.len(),
            replication_factor: replicas_of(topic),
            internal: topic.is_internal,
        })
        .collect();
    if json {
        return output::json(&listed);
    }
    listed.iter().try_for_each(|topic| output::line(&topic.name))
}

/// A topic with all that is known about it.
#[derive(Serialize)]
struct Described {
    name: String,
    topic_id: String,
    internal: bool,
    replication_factor: usize,
    config: BTreeMap<String, String>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    partition: i32,
    leader: i32,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    offline: Vec<i32>,
}

impl From<MetadataResponsePartition> for Partition {
    fn from(partition: MetadataResponsePartition) -> Self {
        Self {
            partition: partition.partition_index,
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            isr: partition.isr_nodes,
            offline: partition.offline_replicas,
        }
    }
}

async fn describe(session: &Session, names: &[String], json: bool) -> Result<(), CliError> {
    let metadata = session.metadata((!names.is_empty()).then_some(names)).await?;
    let mut described = Vec::new();
    for topic in topics::sorted(metadata)? {
        let config = settings::own_of_topic(session, &name_of(&topic)).await?;
        described.push(with_config(topic, config));
    }
    if json {
        return output::json(&described);
    }
    described.iter().try_for_each(show)
}

fn with_config(topic: MetadataResponseTopic, config: BTreeMap<String, String>) -> Described {
    Described {
        name: name_of(&topic),
        topic_id: topic.topic_id.to_string(),
        internal: topic.is_internal,
        replication_factor: replicas_of(&topic),
        config,
        partitions: topic.partitions.into_iter().map(Partition::from).collect(),
    }
}

fn show(topic: &Described) -> Result<(), CliError> {
    let config: Vec<String> =
        topic.config.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let config = if config.is_empty() { "-".to_owned() } else { config.join(",") };
    output::line(format_args!(
        "topic {}  id {}  partitions {}  replication factor {}  config {config}",
        topic.name,
        topic.topic_id,
        topic.partitions.len(),
        topic.replication_factor,
    ))?;
    let rows: Vec<[String; 6]> = topic
        .partitions
        .iter()
        .map(|partition| {
            let leader = match partition.leader {
                -1 => "none".to_owned(),
                id => id.to_string(),
            };
            [
                String::new(),
                partition.partition.to_string(),
                leader,
                partition.leader_epoch.to_string(),
                ids(&partition.replicas),
                ids(&partition.isr),
            ]
        })
        .collect();
    output::table(["", "PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR"], &rows)
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

async fn alter(
    session: &Session,
    topic: String,
    partitions: Option<i32>,
    config: Vec<Pair>,
    reset: Vec<String>,
) -> Result<(), CliError> {
    if partitions.is_none() && config.is_empty() && reset.is_empty() {
        return Err(CliError::Refused(
            "there is nothing to change; name --partitions, --config or --reset".to_owned(),
        ));
    }
    if let Some(to) = partitions {
        retried(PATIENCE, || topics::grow(session, &topic, to)).await?;
        output::line(format_args!("topic {topic} has {} now", counted(to, "partition")))?;
    }
    if config.is_empty() && reset.is_empty() {
        return Ok(());
    }
    let set = pairs(config);
    let resource = Resource::Topic(topic);
    retried(PATIENCE, || settings::alter(session, &resource, set.clone(), reset.clone())).await?;
    output::line(format_args!("altered {}", resource.shown()))
}
