//! Which cluster a command means, and what its brokers already know.

use std::time::Duration;

use tokio::time::Instant;
use vltava_client::{ClientError, Cluster, ClusterOptions, ConnectOptions};
use vltava_wire::ErrorCode;
use vltava_wire::messages::metadata::MetadataRequestTopic;
use vltava_wire::messages::{MetadataRequest, MetadataResponse};

use crate::args::Bootstrap;
use crate::error::CliError;
use crate::local::{self, ClusterState, DataDir};

/// How long opening one connection may take: a command has other brokers to ask.
const CONNECT: Duration = Duration::from_secs(3);
/// The first pause before something is asked again. A person waits for the answer.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How long what was decided takes at most to be known to every broker that lives.
const VISIBLE: Duration = Duration::from_secs(10);
/// How long a broker may say nothing to a question before it counts as one that stands still.
const SILENT: Duration = Duration::from_secs(5);

/// The cluster that was named, or else that of the data folder.
///
/// # Errors
/// [`CliError::NoCluster`] if none was named and the folder has none; [`CliError::NoneRuns`] if no
/// broker of the one in the folder runs, so that nobody need wait for them.
pub(crate) fn open(dir: &DataDir, bootstrap: &Bootstrap) -> Result<Cluster, CliError> {
    if bootstrap.servers.is_empty() && !local::runs_a_broker(dir)? {
        return Err(CliError::NoneRuns { path: dir.root().to_owned() });
    }
    known(dir, bootstrap)
}

/// As [`open`], whether its brokers run or not.
///
/// # Errors
/// [`CliError::NoCluster`] if none was named and the folder has none.
pub(crate) fn known(dir: &DataDir, bootstrap: &Bootstrap) -> Result<Cluster, CliError> {
    if bootstrap.servers.is_empty() {
        return to(&ClusterState::existing(dir, true)?.bootstrap());
    }
    to(&bootstrap.servers)
}

/// The cluster with these brokers.
///
/// # Errors
/// If one of them is no `host:port`.
pub(crate) fn to(servers: &[String]) -> Result<Cluster, CliError> {
    let connect =
        ConnectOptions { connect_timeout: CONNECT, ..ConnectOptions::named("vltava-cli") };
    let options = ClusterOptions {
        connect,
        backoff_min: PAUSE,
        backoff_max: PAUSE_MAX,
        ..ClusterOptions::default()
    };
    Ok(Cluster::new(&servers.join(","), options)?)
}

/// Waits until every broker knows these topics, so many partitions of each at least, and a leader
/// for each of them, so that whichever a client asks next can serve it. Gives up in silence: the
/// topics are there.
pub(crate) async fn visible(cluster: &Cluster, topics: &[(&str, usize)]) {
    let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
    shown_by_all(cluster, &names, |answer| {
        answer.topics.iter().all(|topic| {
            let name = topic.name.as_deref().unwrap_or_default();
            let wanted = topics.iter().find(|(wanted, _)| *wanted == name);
            let wanted = wanted.map_or(1, |(_, count)| (*count).max(1));
            let led = topic.partitions.iter().all(|partition| partition.leader_id >= 0);
            topic.error_code.is_ok() && led && topic.partitions.len() >= wanted
        })
    })
    .await;
}

/// Waits until no broker knows these topics any more, so that whichever is asked next for a list
/// leaves them out. Gives up in silence: the topics are deleted.
pub(crate) async fn gone(cluster: &Cluster, names: &[&str]) {
    shown_by_all(cluster, names, |answer| {
        answer.topics.iter().all(|topic| topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    })
    .await;
}

/// Waits until what every broker says of these topics is what is wanted. Gives up in silence.
pub(crate) async fn shown_by_all(
    cluster: &Cluster,
    names: &[&str],
    wanted: impl Fn(&MetadataResponse) -> bool,
) {
    if !names.is_empty() {
        said_by_all(cluster, async |id| Ok(wanted(&ask(cluster, id, names).await?))).await;
    }
}

/// Waits until every broker that lives `says` so. Gives up in silence: what was decided reaches
/// the others later.
pub(crate) async fn said_by_all(
    cluster: &Cluster,
    says: impl AsyncFn(i32) -> Result<bool, ClientError>,
) {
    let deadline = Instant::now() + VISIBLE;
    if cluster.retry(|| cluster.metadata(Some(&[]), false)).await.is_err() {
        return;
    }
    let all = async {
        for node in cluster.nodes() {
            while !says_or_left(cluster, node.id, &says).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let _ = tokio::time::timeout_at(deadline, all).await;
}

/// Whether a broker says so, or need not: it has died, stands still, or the others have given it
/// up. One that is only slow is waited for.
async fn says_or_left(
    cluster: &Cluster,
    id: i32,
    says: &impl AsyncFn(i32) -> Result<bool, ClientError>,
) -> bool {
    let answer = async {
        loop {
            match says(id).await {
                Err(ClientError::ConnectTimeout { .. }) => {}
                answer => return answer.unwrap_or(true),
            }
        }
    };
    tokio::select! {
        so = answer => so,
        () = given_up(cluster, id) => true,
        () = tokio::time::sleep(SILENT) => true,
    }
}

/// Waits until the other brokers do not list that one any more.
async fn given_up(cluster: &Cluster, id: i32) {
    loop {
        tokio::time::sleep(PAUSE_MAX).await;
        let asked = cluster.metadata(Some(&[]), false);
        if matches!(tokio::time::timeout(CONNECT, asked).await, Ok(Ok(_)))
            && cluster.nodes().iter().all(|node| node.id != id)
        {
            return;
        }
    }
}

async fn ask(cluster: &Cluster, id: i32, names: &[&str]) -> Result<MetadataResponse, ClientError> {
    let topic = |name: &&str| MetadataRequestTopic {
        name: Some((*name).into()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    cluster.node(id).await?.call(&request).await
}

/// The value of the only outcome of a call that named one thing.
pub(crate) fn only<T>(outcomes: Vec<(String, Result<T, ClientError>)>) -> Result<T, ClientError> {
    let missing = || ClientError::Invalid("the cluster's answer is empty".to_owned());
    outcomes.into_iter().next().ok_or_else(missing)?.1
}
