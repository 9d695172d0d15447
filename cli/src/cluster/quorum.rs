//! `vltava quorum status`: who leads the metadata, how far the others are, and which brokers live.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use vltava_client::{ClientError, Cluster, ConnectOptions, Connection};
use vltava_crd::FIRST_COORDINATOR_ID;
use vltava_wire::ErrorCode;
use vltava_wire::messages::describe_quorum::{PartitionData, ReplicaState, TopicData};
use vltava_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use crate::args::{Bootstrap, QuorumArgs, QuorumCommand};
use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::{self, ClusterState, DataDir};
use crate::output;

/// The topic of the metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// How long a coordinator may take to answer before it counts as unreachable.
const REACH: Duration = Duration::from_secs(3);
/// How long brokers may look for a leader before the coordinators are asked themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who lets an observer vote, in a cluster on this machine and elsewhere.
const HEAL_HERE: &str = "`vltava up` lets it vote again";
const HEAL_THERE: &str = "it votes once it has caught up and the operator, or \
     controller.quorum.auto.join.enable, lets it";

/// Runs the command.
///
/// # Errors
/// If no node of the cluster can be reached, or the quorum has no leader.
pub async fn run(dir: &DataDir, args: &QuorumArgs) -> Result<(), CliError> {
    let QuorumCommand::Status { json } = &args.command;
    let status = gather(dir, &args.bootstrap).await?;
    if *json {
        output::json(&status)?
    } else {
        show(&status)?
    }
    if status.leader_id.is_none() {
        let told = match args.bootstrap.servers.is_empty() {
            true => local::leaderless(dir)?,
            false => None,
        };
        let why = told.map(|why| format!(": {why}")).unwrap_or_default();
        return Err(CliError::Refused(format!("the quorum has no leader{why}")));
    }
    Ok(())
}

/// The quorum, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Status {
    leader_id: Option<i32>,
    epoch: Option<i32>,
    high_watermark: Option<i64>,
    /// Whether a majority of the voters can be reached.
    holds: bool,
    coordinators: Vec<Coordinator>,
    brokers: Vec<Broker>,
    /// Who lets observers vote.
    #[serde(skip)]
    heal: &'static str,
}

#[derive(Debug, Serialize)]
struct Coordinator {
    name: String,
    id: i32,
    address: Option<String>,
    mode: &'static str,
    log_end_offset: Option<i64>,
    lag: Option<i64>,
    /// Whether its id votes, but by a disk that it no longer has (KIP-853).
    votes_with_another_disk: bool,
}

#[derive(Debug, Serialize)]
struct Broker {
    id: i32,
    address: String,
    /// Unknown where no broker answers.
    fenced: Option<bool>,
    log_end_offset: Option<i64>,
    lag: Option<i64>,
}

async fn gather(dir: &DataDir, bootstrap: &Bootstrap) -> Result<Status, CliError> {
    let cluster = bootstrap::known(dir, bootstrap)?;
    // What the folder knows helps where no broker answers.
    let local: BTreeMap<i32, String> = match bootstrap.servers.is_empty() {
        true => {
            let state = ClusterState::existing(dir, true)?;
            state.coordinators().map(|(name, address)| (name.id(), address)).collect()
        }
        false => BTreeMap::new(),
    };
    let answer = describe(&cluster, &local).await;
    let (quorum, failure) = match answer {
        Ok(quorum) => (quorum, None),
        Err(error) => (DescribeQuorumResponse::default(), Some(error)),
    };
    let addresses = addresses(&quorum, local);
    if let (Some(error), true) = (failure, addresses.is_empty()) {
        return Err(error.into());
    }
    let reachable = reach(&addresses).await;
    let brokers = match brokers(&cluster).await {
        Ok(brokers) => brokers,
        // Which of them are fenced only they could tell.
        Err(_) => brokers_here(dir, bootstrap)?,
    };
    let status = assemble(quorum, &addresses, &reachable, brokers);
    let heal = if bootstrap.servers.is_empty() { HEAL_HERE } else { status.heal };
    Ok(Status { heal, ..status })
}

/// The active coordinator, as a broker finds it. One attempt.
///
/// # Errors
/// If it finds none.
pub(crate) async fn leader(cluster: &Cluster) -> Result<i32, ClientError> {
    let answer = sound(cluster.any().await?.call(&request()).await?)?;
    let partition = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
    let leader = partition.map(|partition| partition.leader_id).filter(|id| *id >= 0);
    leader.ok_or_else(|| ClientError::Refused {
        what: "the quorum".to_owned(),
        code: ErrorCode::LEADER_NOT_AVAILABLE,
        message: None,
    })
}

fn request() -> DescribeQuorumRequest {
    let partitions = vec![PartitionData { partition_index: 0 }];
    DescribeQuorumRequest {
        topics: vec![TopicData { topic_name: METADATA_TOPIC.into(), partitions }],
    }
}

/// Asks the brokers, which ask the leader; and if none answers, the coordinators themselves.
async fn describe(
    cluster: &Cluster,
    local: &BTreeMap<i32, String>,
) -> Result<DescribeQuorumResponse, ClientError> {
    let by_brokers = cluster
        .retry_within(PATIENCE, || async { sound(cluster.any().await?.call(&request()).await?) });
    let mut result = by_brokers.await;
    for address in local.values() {
        if result.is_ok() {
            break;
        }
        if let Ok(answer) = directly(address).await {
            result = Ok(answer);
        }
    }
    result
}

async fn directly(address: &str) -> Result<DescribeQuorumResponse, ClientError> {
    let connection = Connection::connect(address, &quick()).await?;
    sound(connection.call(&request()).await?)
}

fn quick() -> ConnectOptions {
    ConnectOptions { connect_timeout: REACH, ..ConnectOptions::named("vltava-cli") }
}

/// The answer, unless it holds an error.
fn sound(answer: DescribeQuorumResponse) -> Result<DescribeQuorumResponse, ClientError> {
    let whole = (answer.error_code, answer.error_message.clone());
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let parts = partitions.map(|part| (part.error_code, part.error_message.clone()));
    match std::iter::once(whole).chain(parts).find(|(code, _)| code.is_err()) {
        None => Ok(answer),
        Some((code, message)) => Err(ClientError::Refused {
            what: "the quorum".to_owned(),
            code,
            message: message.map(|message| message.to_string()),
        }),
    }
}

/// Where each coordinator listens: as the quorum says, else as the folder says.
fn addresses(
    quorum: &DescribeQuorumResponse,
    mut local: BTreeMap<i32, String>,
) -> BTreeMap<i32, String> {
    for node in &quorum.nodes {
        if let Some(listener) = node.listeners.first() {
            local.insert(node.node_id, format!("{}:{}", listener.host, listener.port));
        }
    }
    local
}

/// Which of these nodes answer, all asked at once.
async fn reach(addresses: &BTreeMap<i32, String>) -> BTreeMap<i32, bool> {
    let mut tasks = tokio::task::JoinSet::new();
    for (id, address) in addresses {
        let (id, address) = (*id, address.clone());
        tasks.spawn(async move { (id, Connection::connect(&address, &quick()).await.is_ok()) });
    }
    tasks.join_all().await.into_iter().collect()
}

async fn brokers(cluster: &Cluster) -> Result<Vec<Broker>, ClientError> {
    let answer = cluster.retry_within(REACH, || cluster.describe()).await?;
    let broker = |broker: &vltava_wire::messages::describe_cluster::DescribeClusterBroker| Broker {
        id: broker.broker_id,
        address: format!("{}:{}", broker.host, broker.port),
        fenced: Some(broker.is_fenced),
        log_end_offset: None,
        lag: None,
    };
    let mut brokers: Vec<Broker> = answer.brokers.iter().map(broker).collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok(brokers)
}

/// The brokers that the folder knows, where the cluster is the folder's.
fn brokers_here(dir: &DataDir, bootstrap: &Bootstrap) -> Result<Vec<Broker>, CliError> {
    if !bootstrap.servers.is_empty() {
        return Ok(Vec::new());
    }
    let state = ClusterState::existing(dir, true)?;
    let broker =
        |(id, address)| Broker { id, address, fenced: None, log_end_offset: None, lag: None };
    Ok(state.brokers().map(broker).collect())
}

fn assemble(
    quorum: DescribeQuorumResponse,
    addresses: &BTreeMap<i32, String>,
    reachable: &BTreeMap<i32, bool>,
    mut brokers: Vec<Broker>,
) -> Status {
    let partition = quorum.topics.into_iter().flat_map(|topic| topic.partitions).next();
    // Where nobody answered there is none; 0 is an id like others.
    let leader_id = partition.as_ref().map(|partition| partition.leader_id).filter(|id| *id >= 0);
    let partition = partition.unwrap_or_default();
    let voters: BTreeMap<i32, i64> = partition
        .current_voters
        .iter()
        .map(|replica| (replica.replica_id, replica.log_end_offset))
        .collect();
    let observers = observers(&partition.observers, &voters);
    let end = leader_id.and_then(|id| voters.get(&id).copied());
    let lag = |at: Option<i64>| at.zip(end).map(|(at, end)| (end - at).max(0));
    let known = |offset: i64| Some(offset).filter(|offset| *offset >= 0);
    for broker in &mut brokers {
        broker.log_end_offset = observers.get(&broker.id).copied().and_then(known);
        broker.lag = lag(broker.log_end_offset);
    }
    let mut ids: Vec<i32> = voters.keys().chain(addresses.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let is_up = |id: &i32| reachable.get(id).copied().unwrap_or(false);
    let coordinators: Vec<Coordinator> = ids
        .iter()
        .map(|id| {
            let voter = voters.get(id).copied().and_then(known);
            let observer = observers.get(id).copied().and_then(known);
            // Also one whose id votes but whose disk is another: it does not vote (KIP-853).
            let at = observer.or(voter);
            let mode = match is_up(id) {
                false => "unreachable",
                true if leader_id == Some(*id) => "leader",
                true if leader_id.is_some() && observer.is_some() => "observer",
                true => "follower",
            };
            let address = addresses.get(id).cloned();
            Coordinator {
                name: name(*id),
                id: *id,
                address,
                mode,
                log_end_offset: at,
                lag: lag(at),
                votes_with_another_disk: mode == "observer" && voters.contains_key(id),
            }
        })
        .collect();
    let votes = |id: &&i32| is_up(id) && !observers.contains_key(*id);
    let up = voters.keys().filter(votes).count();
    let leads = leader_id.is_some_and(|id| is_up(&id));
    Status {
        leader_id: leader_id.filter(|_| leads),
        epoch: leader_id.map(|_| partition.leader_epoch),
        high_watermark: leader_id.map(|_| partition.high_watermark),
        holds: leads && up * 2 > voters.len(),
        coordinators,
        brokers,
        heal: HEAL_THERE,
    }
}

/// Who observes, and where the log of each ends.
fn observers(listed: &[ReplicaState], voters: &BTreeMap<i32, i64>) -> BTreeMap<i32, i64> {
    // A node whose disk was replaced is listed with its old directory, too, for some minutes.
    let mut observers: BTreeMap<i32, i64> = BTreeMap::new();
    for replica in listed {
        let end = observers.entry(replica.replica_id).or_insert(replica.log_end_offset);
        *end = replica.log_end_offset.max(*end);
    }
    // One that votes again by its new directory is no observer, whatever its old one says.
    let behind = |id: &i32, end: &i64| voters.get(id).is_some_and(|voted| voted > end);
    observers.retain(|id, end| !behind(id, end));
    observers
}

/// The n-th coordinator has the id 3000 + n wherever we made the cluster.
fn name(id: i32) -> String {
    if id >= FIRST_COORDINATOR_ID {
        format!("coordinator-{}", id - FIRST_COORDINATOR_ID + 1)
    } else {
        format!("node {id}")
    }
}

fn show(status: &Status) -> Result<(), CliError> {
    for coordinator in &status.coordinators {
        output::line(format_args!("{} -> Mode: {}", coordinator.name, coordinator.mode))?;
    }
    for coordinator in status.coordinators.iter().filter(|one| one.mode == "observer") {
        let what = match coordinator.votes_with_another_disk {
            true => "has another disk than the one that votes, and only observes",
            false => "only observes",
        };
        output::line(format_args!("{} {what}; {}", coordinator.name, status.heal))?;
    }
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
    // One that only watches has no vote to give.
    let votes = |one: &&Coordinator| !["unreachable", "observer"].contains(&one.mode);
    let up = status.coordinators.iter().filter(votes).count();
    let holds = if status.holds { "holds" } else { "does NOT hold" };
    output::line("")?;
    output::line(format_args!(
        "the quorum {holds}: {up} of {} can be reached, epoch {}, high watermark {}",
        status.coordinators.len(),
        number(status.epoch.map(i64::from)),
        number(status.high_watermark),
    ))?;
    output::line("")?;
    let rows: Vec<[String; 5]> = status
        .coordinators
        .iter()
        .map(|one| {
            let address = one.address.clone().unwrap_or_else(|| "-".to_owned());
            let (end, lag) = (number(one.log_end_offset), number(one.lag));
            [one.name.clone(), one.id.to_string(), address, end, lag]
        })
        .collect();
    output::table(["COORDINATOR", "ID", "ADDRESS", "LOG END", "LAG"], &rows)?;
    if status.brokers.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let rows: Vec<[String; 5]> = status
        .brokers
        .iter()
        .map(|one| {
            let state = match one.fenced {
                Some(true) => "fenced",
                Some(false) => "active",
                None => "unreachable",
            };
            let (end, lag) = (number(one.log_end_offset), number(one.lag));
            [one.id.to_string(), one.address.clone(), state.to_owned(), end, lag]
        })
        .collect();
    output::table(["BROKER", "ADDRESS", "STATE", "LOG END", "LAG"], &rows)
}

#[cfg(test)]
mod tests {
    use super::{assemble, name};
    use std::collections::BTreeMap;
    use vltava_wire::messages::DescribeQuorumResponse;
    use vltava_wire::messages::describe_quorum::{
        PartitionDataResponse, ReplicaState, TopicDataResponse,
    };

    fn quorum(leader: i32, ends: &[(i32, i64)]) -> DescribeQuorumResponse {
        let replica = |(id, end): &(i32, i64)| ReplicaState {
            replica_id: *id,
            log_end_offset: *end,
            ..Default::default()
        };
        let partition = PartitionDataResponse {
            leader_id: leader,
            leader_epoch: 7,
            high_watermark: 90,
            current_voters: ends.iter().map(replica).collect(),
            ..Default::default()
        };
        let topic = TopicDataResponse { partitions: vec![partition], ..Default::default() };
        DescribeQuorumResponse { topics: vec![topic], ..Default::default() }
    }

    fn places(ids: &[i32]) -> BTreeMap<i32, String> {
        ids.iter().map(|id| (*id, format!("h:{id}"))).collect()
    }

    #[test]
    fn a_majority_with_its_leader_holds() {
        let quorum = quorum(3002, &[(3001, 95), (3002, 100), (3003, 80)]);
        let reachable = [(3001, true), (3002, true), (3003, false)].into();
        let status = assemble(quorum, &places(&[3001, 3002, 3003]), &reachable, Vec::new());
        let modes: Vec<&str> = status.coordinators.iter().map(|one| one.mode).collect();
        assert_eq!(modes, ["follower", "leader", "unreachable"]);
        assert!(status.holds);
        let lags: Vec<Option<i64>> = status.coordinators.iter().map(|one| one.lag).collect();
        assert_eq!(lags, [Some(5), Some(0), Some(20)]);
        assert_eq!((status.leader_id, status.epoch), (Some(3002), Some(7)));
    }

    #[test]
    fn a_leader_may_have_the_id_0() {
        let reachable = [(0, true), (1, true), (2, true)].into();
        let led = quorum(0, &[(0, 100), (1, 99), (2, 100)]);
        let status = assemble(led, &places(&[0, 1, 2]), &reachable, Vec::new());
        assert_eq!((status.leader_id, status.epoch, status.holds), (Some(0), Some(7), true));
        assert_eq!(status.coordinators[0].mode, "leader");

        let unled = quorum(-1, &[(0, 100), (1, 99), (2, 100)]);
        let status = assemble(unled, &places(&[0, 1, 2]), &reachable, Vec::new());
        assert_eq!((status.leader_id, status.holds), (None, false));
    }

    #[test]
    fn a_voter_that_lost_its_disk_only_observes() {
        let mut quorum = quorum(3002, &[(3001, 12), (3002, 100)]);
        let replica = ReplicaState { replica_id: 3001, log_end_offset: 99, ..Default::default() };
        quorum.topics[0].partitions[0].observers.push(replica);
        let reachable = [(3001, true), (3002, true)].into();
        let status = assemble(quorum, &places(&[3001, 3002]), &reachable, Vec::new());
        assert_eq!(status.coordinators[0].mode, "observer");
        assert_eq!(status.coordinators[0].lag, Some(1));
    }

    #[test]
    fn without_an_answer_the_reachable_follow_nobody() {
        let reachable = [(3001, true), (3002, false)].into();
        let none = DescribeQuorumResponse::default();
        let status = assemble(none, &places(&[3001, 3002]), &reachable, Vec::new());
        let modes: Vec<&str> = status.coordinators.iter().map(|one| one.mode).collect();
        assert_eq!(modes, ["follower", "unreachable"]);
        assert!(!status.holds);
        assert_eq!(status.leader_id, None);
    }

    #[test]
    fn coordinators_are_called_as_the_local_cluster_calls_them() {
        assert_eq!(name(3001), "coordinator-1");
        assert_eq!(name(1), "node 1");
    }
}
