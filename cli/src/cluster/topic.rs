//! `vltava topic`: list, describe, create, alter and delete topics.

use std::collections::BTreeMap;

use serde::Serialize;
use vltava_client::{AlterOp, Cluster, ConfigResource, NewTopic, Partition, Topic};

use crate::args::{Pair, TopicArgs, TopicCommand};
use crate::cluster::active::Active;
use crate::cluster::bootstrap::{self, only};
use crate::cluster::config::check_reset;
use crate::error::CliError;
use crate::local::DataDir;
use crate::output;

/// Where a topic's own settings come from, as the protocol numbers it.
const OF_TOPIC: i8 = 1;

/// Runs the command.
///
/// # Errors
/// If the cluster cannot be reached, or refuses.
pub async fn run(dir: &DataDir, args: TopicArgs) -> Result<(), CliError> {
    let cluster = bootstrap::open(dir, &args.bootstrap)?;
    let active = Active::new(dir, &args.bootstrap, &cluster);
    active.watch(carry_out(&cluster, args.command)).await
}

async fn carry_out(cluster: &Cluster, command: TopicCommand) -> Result<(), CliError> {
    match command {
        TopicCommand::Create { topic, partitions, replication_factor, config } => {
            let (partitions, replicas) =
                (partitions.unwrap_or(-1), replication_factor.unwrap_or(-1));
            let configs = config.into_iter().map(|Pair { key, value }| (key, value)).collect();
            create(cluster, NewTopic { configs, ..NewTopic::new(&topic, partitions, replicas) })
                .await
        }
        TopicCommand::List { internal, json } => list(cluster, internal, json).await,
        TopicCommand::Describe { topics, json } => describe(cluster, &topics, json).await,
        TopicCommand::Alter { topic, partitions, config, reset } => {
            alter(cluster, &topic, partitions, &config, &reset).await
        }
        TopicCommand::Delete { topics } => {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            delete(cluster, &names).await
        }
    }
}

async fn create(cluster: &Cluster, new: NewTopic) -> Result<(), CliError> {
    let name = new.name.clone();
    let made = only(cluster.create_topics(&[new], false).await?)?;
    let count = usize::try_from(made.partitions).unwrap_or_default();
    bootstrap::visible(cluster, &[(&name, count)]).await;
    let (partitions, replicas) = (made.partitions, made.replication_factor);
    // A cluster may keep to itself what it chose.
    if partitions < 0 || replicas < 0 {
        return output::line(format_args!("created topic {name}"));
    }
    let partitions = counted(partitions, "partition");
    let replicas = counted(i32::from(replicas), "replica");
    output::line(format_args!("created topic {name} with {partitions} of {replicas}"))
}

/// Deletes what can be deleted; the first refusal is what the command ends with.
async fn delete(cluster: &Cluster, names: &[&str]) -> Result<(), CliError> {
    let outcomes = cluster.delete_topics(names).await?;
    let deleted = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
    let deleted: Vec<&str> = deleted.map(|(name, _)| name.as_str()).collect();
    bootstrap::gone(cluster, &deleted).await;
    deleted.iter().try_for_each(|name| output::line(format_args!("deleted topic {name}")))?;
    outcomes.into_iter().try_for_each(|(_, outcome)| Ok(outcome?))
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

async fn list(cluster: &Cluster, internal: bool, json: bool) -> Result<(), CliError> {
    let topics = cluster.list_topics().await?;
    let listed: Vec<Listed> = topics
        .iter()
        .filter(|topic| internal || !topic.internal)
        .map(|topic| Listed {
            name: topic.name.to_string(),
            partitions: topic.partitions.len(),
            replication_factor: replicas_of(topic),
            internal: topic.internal,
        })
        .collect();
    if json {
        return output::json(&listed);
    }
    listed.iter().try_for_each(|topic| output::line(&topic.name))
}

/// How many replicas a topic's partitions have; the fewest, where they differ.
pub(crate) fn replicas_of(topic: &Topic) -> usize {
    topic.partitions.iter().map(|partition| partition.replicas.len()).min().unwrap_or_default()
}

/// What a topic sets for itself.
pub(crate) async fn own_config(
    cluster: &Cluster,
    topic: &str,
) -> Result<BTreeMap<String, String>, CliError> {
    let entries = cluster.describe_configs(&ConfigResource::topic(topic), false).await?;
    let own = entries.into_iter().filter(|entry| entry.source == OF_TOPIC);
    Ok(own.filter_map(|entry| Some((entry.name.to_string(), entry.value?.to_string()))).collect())
}

/// A topic with all that is known about it.
#[derive(Serialize)]
struct Described {
    name: String,
    topic_id: String,
    internal: bool,
    replication_factor: usize,
    config: BTreeMap<String, String>,
    partitions: Vec<DescribedPartition>,
}

#[derive(Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    offline: Vec<i32>,
}

impl From<Partition> for DescribedPartition {
    fn from(partition: Partition) -> Self {
        Self {
            partition: partition.index,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas,
            isr: partition.isr,
            offline: partition.offline,
        }
    }
}

async fn describe(cluster: &Cluster, names: &[String], json: bool) -> Result<(), CliError> {
    let topics = if names.is_empty() {
        cluster.list_topics().await?
    } else {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let outcomes = cluster.describe_topics(&names).await?;
        outcomes.into_iter().map(|(_, outcome)| outcome).collect::<Result<Vec<Topic>, _>>()?
    };
    let mut described = Vec::new();
    for topic in topics {
        described.push(Described {
            config: own_config(cluster, &topic.name).await?,
            replication_factor: replicas_of(&topic),
            name: topic.name.to_string(),
            topic_id: topic.id.to_string(),
            internal: topic.internal,
            partitions: topic.partitions.into_iter().map(DescribedPartition::from).collect(),
        });
    }
    if json {
        return output::json(&described);
    }
    described.iter().try_for_each(show)
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
            let leader = partition.leader.map_or_else(|| "none".to_owned(), |id| id.to_string());
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
    cluster: &Cluster,
    topic: &str,
    partitions: Option<i32>,
    set: &[Pair],
    reset: &[String],
) -> Result<(), CliError> {
    if partitions.is_none() && set.is_empty() && reset.is_empty() {
        return Err(CliError::Refused(
            "there is nothing to change; name --partitions, --config or --reset".to_owned(),
        ));
    }
    let resource = ConfigResource::topic(topic);
    check_reset(cluster, &resource, reset).await?;
    if let Some(to) = partitions {
        only(cluster.create_partitions(&[(topic, to)], false).await?)?;
        let count = usize::try_from(to).unwrap_or_default();
        bootstrap::shown_by_all(cluster, &[topic], |answer| {
            answer.topics.iter().all(|topic| topic.partitions.len() >= count)
        })
        .await;
        output::line(format_args!("topic {topic} has {} now", counted(to, "partition")))?;
    }
    if set.is_empty() && reset.is_empty() {
        return Ok(());
    }
    let changes = changes(set, reset);
    cluster.alter_configs(&resource, &changes, false).await?;
    output::line(format_args!("altered topic {topic}"))
}

/// What is set and what is taken back, as the cluster is told.
pub(crate) fn changes<'a>(set: &'a [Pair], reset: &'a [String]) -> Vec<(&'a str, AlterOp)> {
    let set = set.iter().map(|pair| (pair.key.as_str(), AlterOp::Set(pair.value.clone())));
    set.chain(reset.iter().map(|key| (key.as_str(), AlterOp::Delete))).collect()
}
