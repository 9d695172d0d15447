//! The topics of a manifest, and brokers that it no longer has, on the running cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use vltava_client::ClientError;
use vltava_crd::plan::{Create, PresentTopic, TopicPlan, topics as plan_topics};
use vltava_crd::{KafkaCluster, KafkaClusterSpec};
use vltava_wire::ErrorCode;
use vltava_wire::messages::metadata::MetadataResponseTopic;
use vltava_wire::messages::{MetadataResponse, UnregisterBrokerRequest};

use crate::cluster::session::{Session, check, retried};
use crate::cluster::settings::{self, Resource};
use crate::cluster::topics::{self, NewTopic};
use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::shutdown;
use crate::local::state::ClusterState;
use crate::output;

/// How long brokers that are to go are asked about.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the topics of the cluster those of the manifest, and says what it did. What cannot be done
/// is said too, and stops nothing else.
///
/// # Errors
/// If the cluster cannot be asked, or refuses what it should not.
pub(crate) async fn apply(
    state: &ClusterState,
    spec: &KafkaClusterSpec,
    before: Option<&KafkaCluster>,
    within: Duration,
) -> Result<(), CliError> {
    let session = Session::to(state.bootstrap());
    let brokers = state.nodes.keys().filter(|name| name.is_broker()).count();
    let metadata = retried(within, || registered(&session, brokers)).await?;
    let declared = !spec.topics.is_empty();
    let present = if declared { present(&session, spec, metadata).await? } else { BTreeMap::new() };
    let plan = plan_topics(spec, before.map(|cluster| &cluster.spec), &present);
    carry_out(&session, &plan, within).await
}

/// The cluster's metadata, once all brokers are part of it.
async fn registered(session: &Session, brokers: usize) -> Result<MetadataResponse, ClientError> {
    let metadata = session.metadata(None).await?;
    if metadata.brokers.len() < brokers {
        return Err(ClientError::NoNode {
            tried: format!("waiting for {brokers} brokers"),
            last: format!("{} are registered", metadata.brokers.len()),
        });
    }
    Ok(metadata)
}

/// The declared topics that exist, with what they set for themselves.
async fn present(
    session: &Session,
    spec: &KafkaClusterSpec,
    metadata: MetadataResponse,
) -> Result<BTreeMap<String, PresentTopic>, CliError> {
    let mut present = BTreeMap::new();
    for topic in topics::sorted(metadata)? {
        let name = topics::name_of(&topic);
        if !spec.topics.iter().any(|declared| declared.name == name) {
            present.insert(name, PresentTopic::default());
            continue;
        }
        let found = PresentTopic {
            partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i32::try_from(topics::replicas_of(&topic)).unwrap_or(i32::MAX),
            config: settings::own_of_topic(session, &name).await?,
        };
        present.insert(name, found);
    }
    Ok(present)
}

async fn carry_out(session: &Session, plan: &TopicPlan, within: Duration) -> Result<(), CliError> {
    create(session, &plan.create, within).await?;
    for grow in &plan.grow {
        retried(within, || topics::grow(session, &grow.name, grow.to)).await?;
        let (from, to) = (grow.from, grow.to);
        output::line(format_args!("topic {}: {from} partitions became {to}", grow.name))?;
    }
    for alter in &plan.alter {
        let resource = Resource::Topic(alter.name.clone());
        let attempt =
            || settings::alter(session, &resource, alter.set.clone(), alter.reset.clone());
        retried(within, attempt).await?;
        let set = alter.set.iter().map(|(key, value)| format!("{key}={value}"));
        let reset = alter.reset.iter().map(|key| format!("{key} as the brokers say"));
        let changes: Vec<String> = set.chain(reset).collect();
        output::line(format_args!("topic {}: {}", alter.name, changes.join(", ")))?;
    }
    for reassign in &plan.reassign {
        output::notice(format_args!(
            "topic {}: has {} replicas, and {} are declared; replicas are not moved here yet, so \
             it stays as it is",
            reassign.name, reassign.from, reassign.to
        ));
    }
    for refused in &plan.refused {
        output::notice(format_args!("topic {}: {}", refused.name, refused.what));
    }
    for name in &plan.kept {
        output::line(format_args!("topic {name} is no longer declared; it is kept"))?;
    }
    Ok(())
}

/// Creates topics, all in one request, again while brokers are still being let in.
async fn create(session: &Session, wanted: &[Create], within: Duration) -> Result<(), CliError> {
    let mut left: Vec<NewTopic> = wanted
        .iter()
        .map(|create| NewTopic {
            name: create.name.clone(),
            partitions: Some(create.partitions),
            replication_factor: i16::try_from(create.replication_factor).ok(),
            config: create.config.clone(),
        })
        .collect();
    let deadline = tokio::time::Instant::now() + within;
    while !left.is_empty() {
        let answers = retried(within, || topics::create(session, &left)).await?;
        let mut again = Vec::new();
        for answer in answers {
            let Some(topic) = left.iter().find(|topic| answer.name == topic.name.as_str()) else {
                continue;
            };
            let soon = answer.error_code.is_retriable()
                || answer.error_code == ErrorCode::INVALID_REPLICATION_FACTOR;
            if soon && tokio::time::Instant::now() < deadline {
                again.push(topic.clone());
            } else if answer.error_code != ErrorCode::TOPIC_ALREADY_EXISTS {
                let what = || format!("topic {}", answer.name);
                check(what, answer.error_code, answer.error_message.as_ref())?;
                output::line(format_args!("topic {} created", answer.name))?;
            }
        }
        left = again;
        if !left.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Sees to it that brokers which are to go hold no replica.
///
/// # Errors
/// [`CliError::Refused`] if one does, or if the cluster cannot be asked because it does not run.
pub(crate) async fn check_surplus(dir: &DataDir, surplus: &[NodeName]) -> Result<(), CliError> {
    let state = ClusterState::existing(dir, false)?;
    let session = Session::to(state.bootstrap());
    let asked = retried(PATIENCE, || session.metadata(None)).await;
    let metadata = asked.map_err(|_| {
        CliError::Refused(format!(
            "{} cannot be taken out while the cluster does not run; start it with the manifest as \
             it was, then lower brokers.replicas",
            names(surplus)
        ))
    })?;
    for name in surplus {
        let holds = |topic: &&MetadataResponseTopic| {
            topic.partitions.iter().any(|partition| partition.replica_nodes.contains(&name.id()))
        };
        let held: Vec<String> = metadata.topics.iter().filter(holds).map(topics::name_of).collect();
        if !held.is_empty() {
            return Err(CliError::Refused(format!(
                "{name} holds replicas of {}; move them to other brokers before it can go, or keep \
                 brokers.replicas as it is",
                shortened(&held)
            )));
        }
    }
    Ok(())
}

/// Stops brokers that are to go and takes their registrations back. Their folders are kept.
pub(crate) async fn remove_surplus(
    dir: &DataDir,
    state: &ClusterState,
    surplus: &[NodeName],
) -> Result<(), CliError> {
    if surplus.is_empty() {
        return Ok(());
    }
    shutdown::together(dir, surplus).await?;
    let session = Session::to(state.bootstrap());
    for name in surplus {
        let attempt = || async {
            let request = UnregisterBrokerRequest { broker_id: name.id() };
            let answer = session.ask(&request).await?;
            check(|| name.to_string(), answer.error_code, answer.error_message.as_ref())
        };
        retried(PATIENCE, attempt).await?;
        let folder = dir.node(*name);
        output::line(format_args!("{name} is taken out; {} is kept", folder.display()))?;
    }
    Ok(())
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The first few of many names.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 3;
    match names.len() {
        0..=SHOWN => names.join(", "),
        many => format!("{} and {} more topics", names[..SHOWN].join(", "), many - SHOWN),
    }
}
