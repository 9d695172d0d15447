//! Replicas on their way: onto new brokers, to other replication factors, and off brokers that are
//! to go. Which partition moves where is decided by the plan that the operator uses too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use vltava_client::{Cluster, Topic};
use vltava_crd::KafkaClusterSpec;
use vltava_crd::plan::moves::{Input, holds, moves, refused};
use vltava_crd::plan::{BrokerView, ClusterView, PartitionView, TopicView};

use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::state::ClusterState;
use crate::output;

/// How often it is looked how far the moves are.
const LOOK: Duration = Duration::from_millis(100);
/// How long a cluster that may not run is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many replicas each declared topic is to have, where the manifest says.
fn declared(spec: &KafkaClusterSpec) -> BTreeMap<String, usize> {
    let topics = spec.topics.iter();
    topics
        .filter_map(|topic| {
            Some((topic.name.clone(), usize::try_from(topic.replication_factor?).ok()?))
        })
        .collect()
}

/// Who holds what, and what moves.
async fn observe(cluster: &Cluster) -> Result<ClusterView, CliError> {
    let described = cluster.describe_cluster().await?;
    let brokers = described.brokers.iter().map(|broker| {
        let rack = broker.rack.as_ref().map(ToString::to_string);
        let view = BrokerView { fenced: broker.is_fenced, rack, ..BrokerView::default() };
        (broker.broker_id, view)
    });
    let mut view = ClusterView { brokers: brokers.collect(), ..ClusterView::default() };
    let metadata = cluster.retry(|| cluster.metadata(None, false)).await?;
    for topic in metadata.topics.iter().map(Topic::from) {
        let partitions = topic.partitions.into_iter().map(|partition| {
            let view = PartitionView {
                leader: partition.leader,
                replicas: partition.replicas,
                isr: partition.isr,
                ..PartitionView::default()
            };
            (partition.index, view)
        });
        let partitions = partitions.collect();
        let found = TopicView { internal: topic.internal, partitions, ..TopicView::default() };
        view.topics.insert(topic.name.to_string(), found);
    }
    for moving in cluster.list_reassignments().await? {
        let topic = view.topics.get_mut(moving.topic.as_str());
        if let Some(partition) = topic.and_then(|it| it.partitions.get_mut(&moving.partition)) {
            partition.adding = moving.adding;
            partition.removing = moving.removing;
        }
    }
    Ok(view)
}

/// One look at what moves.
struct Round {
    /// What was seen before anything began.
    view: ClusterView,
    /// The topics of the moves that began, one for each.
    begun: Vec<String>,
}

/// Begins what may begin now.
async fn round(cluster: &Cluster, spec: &KafkaClusterSpec) -> Result<Round, CliError> {
    let view = observe(cluster).await?;
    let (brokers, replicas) = (spec.brokers.replicas, declared(spec));
    let input = Input { cluster: &view, brokers, replicas: &replicas };
    if let Some(why) = refused(&input) {
        return Err(CliError::Refused(why));
    }
    let next = moves(&input);
    for it in &next {
        let (topic, index) = (&it.partition.topic, it.partition.index);
        cluster.reassign_partition(topic, index, Some(it.replicas.clone())).await?;
    }
    let begun = next.into_iter().map(|it| it.partition.topic).collect();
    Ok(Round { view, begun })
}

/// Waits until every broker says that these topics lie where they were seen to, in sync.
async fn said_by_all(cluster: &Cluster, view: &ClusterView, topics: &BTreeSet<String>) {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    bootstrap::shown_by_all(cluster, &names, |answer| {
        answer.topics.iter().map(Topic::from).all(|topic| {
            let seen = view.topics.get(&*topic.name);
            topic.partitions.iter().all(|it| {
                let seen = seen.and_then(|topic| topic.partitions.get(&it.index));
                seen.is_none_or(|seen| seen.replicas == it.replicas)
                    && it.replicas.iter().all(|id| it.isr.contains(id))
            })
        })
    })
    .await;
}

/// Moves replicas until they are where the manifest wants them, and all brokers say so. What is not
/// done in time goes on by itself, and is said.
pub(crate) async fn settle(
    cluster: &Cluster,
    spec: &KafkaClusterSpec,
    deadline: Instant,
) -> Result<(), CliError> {
    let (mut moved, mut topics) = (0, BTreeSet::new());
    loop {
        let Round { view, begun } = round(cluster, spec).await?;
        let moving = view.partitions().filter(|(_, _, it)| it.is_moving());
        let moving: Vec<String> = moving.map(|(id, _, _)| id.topic).collect();
        if begun.is_empty() && moving.is_empty() {
            said_by_all(cluster, &view, &topics).await;
            break;
        }
        let (begins, moves) = (begun.len(), moving.len());
        moved += begins;
        topics.extend(begun.into_iter().chain(moving));
        if Instant::now() >= deadline {
            output::notice(format_args!(
                "{} partitions still move; run `vltava up` again to see it through",
                begins + moves
            ));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    match moved {
        0 => Ok(()),
        1 => output::line("1 partition has moved"),
        many => output::line(format_args!("{many} partitions have moved")),
    }
}

/// Moves all replicas off brokers that are to go.
///
/// # Errors
/// [`CliError::Refused`] if the rest cannot hold them, if they are not moved in time, or if the
/// cluster does not run.
pub(crate) async fn drain(
    dir: &DataDir,
    spec: &KafkaClusterSpec,
    surplus: &[NodeName],
    within: Duration,
) -> Result<(), CliError> {
    let state = ClusterState::existing(dir, false)?;
    let cluster = bootstrap::to(&state.bootstrap())?;
    let deadline = Instant::now() + within;
    if cluster.retry_within(PATIENCE, || cluster.metadata(None, false)).await.is_err() {
        return Err(CliError::Refused(format!(
            "{} cannot be taken out while the cluster does not run; start it with the manifest as \
             it was, then lower brokers.replicas",
            names(surplus)
        )));
    }
    let mut topics = BTreeSet::new();
    loop {
        let Round { view, begun } = round(&cluster, spec).await?;
        topics.extend(begun);
        let held = |name: &&NodeName| holds(&view, name.id());
        let holding: Vec<NodeName> = surplus.iter().filter(held).copied().collect();
        if holding.is_empty() {
            // Those that stay answer for all of it, once the others are stopped.
            said_by_all(&cluster, &view, &topics).await;
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(CliError::Refused(format!(
                "{} still holds replicas, which go on moving; run `vltava up` again once all \
                 brokers run, or give it more time with --timeout",
                names(&holding)
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn names(nodes: &[NodeName]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
