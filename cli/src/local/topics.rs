//! The topics of a manifest, and brokers that it no longer has, on the running cluster.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vltava_client::{AlterOp, ClientError, Cluster, ConfigResource, NewTopic, Topic};
use vltava_crd::KafkaClusterSpec;
use vltava_crd::plan::{Create, PresentTopic, TopicPlan, topics as plan_topics};
use vltava_wire::ErrorCode;

use crate::cluster::bootstrap::{self, only};
use crate::cluster::topic::{own_config, replicas_of};
use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::refusals::Refusals;
use crate::local::replicas;
use crate::local::shutdown;
use crate::local::state::ClusterState;
use crate::output;

/// How often brokers are asked whether all of them are there.
const ASK: Duration = Duration::from_millis(10);

/// Makes the topics of the cluster those of the manifest, and says what it did. What cannot be done
/// is said too, and stops nothing else.
///
/// # Errors
/// If the cluster cannot be asked, or refuses what it should not.
pub(crate) async fn apply(
    cluster: &Cluster,
    topics: &[Topic],
    spec: &KafkaClusterSpec,
    before: Option<&KafkaClusterSpec>,
    deadline: Instant,
    refused: &mut Refusals,
) -> Result<(), CliError> {
    let present = present(cluster, spec, topics).await?;
    let plan = plan_topics(spec, before, &present);
    carry_out(cluster, &plan, deadline, refused).await?;
    let more = before.is_some_and(|it| it.brokers.replicas < spec.brokers.replicas);
    if more || !plan.reassign.is_empty() {
        match replicas::settle(cluster, spec, deadline).await {
            Err(CliError::Refused(why)) => refused.other(why),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// The cluster's topics, once all brokers are part of it.
///
/// # Errors
/// [`CliError::Refused`] if they are not until then.
pub(crate) async fn registered(
    cluster: &Cluster,
    brokers: usize,
    deadline: Instant,
) -> Result<Vec<Topic>, CliError> {
    loop {
        let found = match cluster.metadata(None, false).await {
            Ok(answer) if answer.brokers.len() >= brokers => {
                return Ok(answer.topics.iter().map(Topic::from).collect());
            }
            Ok(answer) => format!("{} of {brokers} brokers are registered", answer.brokers.len()),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(CliError::Refused(format!("the cluster is not whole: {found}")));
        }
        tokio::time::sleep(ASK).await;
    }
}

/// The topics that exist, and what the declared ones among them set for themselves.
async fn present(
    cluster: &Cluster,
    spec: &KafkaClusterSpec,
    topics: &[Topic],
) -> Result<BTreeMap<String, PresentTopic>, CliError> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut present = BTreeMap::new();
    for topic in topics {
        let name = topic.name.to_string();
        let declared = spec.topics.iter().any(|declared| declared.name == name);
        let config = if declared { own_config(cluster, &name).await? } else { BTreeMap::new() };
        let found = PresentTopic {
            partitions: count(topic.partitions.len()),
            replication_factor: count(replicas_of(topic)),
            config,
        };
        present.insert(name, found);
    }
    Ok(present)
}

async fn carry_out(
    cluster: &Cluster,
    plan: &TopicPlan,
    deadline: Instant,
    refused: &mut Refusals,
) -> Result<(), CliError> {
    create(cluster, &plan.create, deadline, refused).await?;
    for grow in &plan.grow {
        let grown = cluster.create_partitions(&[(&grow.name, grow.to)], false).await;
        if refused.topic_or_note(&grow.name, grown.and_then(only))?.is_some() {
            let (from, to) = (grow.from, grow.to);
            output::line(format_args!("topic {}: {from} partitions became {to}", grow.name))?;
        }
    }
    for alter in &plan.alter {
        let set = alter.set.iter().map(|(key, value)| (key.as_str(), AlterOp::Set(value.clone())));
        let reset = alter.reset.iter().map(|key| (key.as_str(), AlterOp::Delete));
        let changes: Vec<(&str, AlterOp)> = set.chain(reset).collect();
        let resource = ConfigResource::topic(&alter.name);
        let altered = cluster.alter_configs(&resource, &changes, false).await;
        if refused.topic_or_note(&alter.name, altered)?.is_some() {
            let set = alter.set.iter().map(|(key, value)| format!("{key}={value}"));
            let reset = alter.reset.iter().map(|key| format!("{key} as the brokers say"));
            let changes: Vec<String> = set.chain(reset).collect();
            output::line(format_args!("topic {}: {}", alter.name, changes.join(", ")))?;
        }
    }
    let changed = plan.create.iter().map(|create| (create.name.as_str(), create.partitions));
    let changed = changed.chain(plan.grow.iter().map(|grow| (&*grow.name, grow.to)));
    let changed: Vec<(&str, usize)> = changed
        .filter(|(name, _)| !refused.has_topic(name))
        .map(|(name, count)| (name, usize::try_from(count).unwrap_or_default()))
        .collect();
    if !changed.is_empty() {
        bootstrap::visible(cluster, &changed).await;
    }
    for reassign in &plan.reassign {
        let (name, from, to) = (&reassign.name, reassign.from, reassign.to);
        output::line(format_args!("topic {name}: from {from} to {to} replicas"))?;
    }
    for it in &plan.refused {
        refused.topic(&it.name, &it.what);
    }
    for name in &plan.kept {
        output::line(format_args!("topic {name} is no longer declared; it is kept"))?;
    }
    Ok(())
}

/// Creates topics, all in one request, again while brokers are still being let in.
async fn create(
    cluster: &Cluster,
    wanted: &[Create],
    deadline: Instant,
    refused: &mut Refusals,
) -> Result<(), CliError> {
    let mut left: Vec<NewTopic> = wanted
        .iter()
        .map(|create| NewTopic {
            configs: create.config.clone(),
            ..NewTopic::new(
                &create.name,
                create.partitions,
                i16::try_from(create.replication_factor).unwrap_or(i16::MAX),
            )
        })
        .collect();
    while !left.is_empty() {
        let mut again = Vec::new();
        for (name, outcome) in cluster.create_topics(&left, false).await? {
            match outcome {
                Ok(_) => output::line(format_args!("topic {name} created"))?,
                Err(error) if is_soon(&error) && Instant::now() < deadline => again.push(name),
                Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
                Err(error) => drop(refused.topic_or_note(&name, Err::<(), _>(error))?),
            }
        }
        left.retain(|topic| again.contains(&topic.name));
        if !left.is_empty() {
            tokio::time::sleep(ASK).await;
        }
    }
    Ok(())
}

/// Whether a refusal may end by itself: brokers that are still fenced take no replicas.
fn is_soon(error: &ClientError) -> bool {
    error.is_retriable() || error.code() == Some(ErrorCode::INVALID_REPLICATION_FACTOR)
}

/// Stops brokers that are to go and takes their registrations back. Their folders are kept.
pub(crate) async fn remove_surplus(
    dir: &DataDir,
    state: &ClusterState,
    surplus: &[NodeName],
) -> Result<(), CliError> {
    shutdown::together(dir, state, surplus).await?;
    let cluster = bootstrap::to(&state.bootstrap())?;
    for name in surplus {
        cluster.unregister_broker(name.id()).await?;
        let folder = dir.node(*name);
        output::line(format_args!("{name} is taken out; {} is kept", folder.display()))?;
    }
    Ok(())
}
