//! Coordinators whose disk was replaced: they observe until the disk that they have now votes in
//! place of the one that is lost (KIP-853). What changes next is decided by the plan that the
//! operator uses too.

use std::fs;
use std::time::{Duration, Instant};

use vltava_client::{Cluster, RaftVoter};
use vltava_config::properties;
use vltava_crd::plan::QuorumView;
use vltava_crd::plan::voters::{Change, next};
use vltava_crd::{COORDINATOR_LISTENER, FIRST_COORDINATOR_ID};

use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::state::ClusterState;
use crate::output;

/// How often it is looked how far a coordinator is.
const LOOK: Duration = Duration::from_millis(50);
/// What the file in a data folder is called that says which folder it is.
const META: &str = "meta.properties";

/// The id of a coordinator's disk; `None` if nothing is on it.
fn directory(dir: &DataDir, name: NodeName) -> Option<String> {
    let text = fs::read_to_string(dir.data(name).join(META)).ok()?;
    let mut all = properties::parse(&text).ok()?.into_iter();
    all.find(|property| property.key == "directory.id").map(|property| property.value)
}

/// The disk of a coordinator, as it was found.
struct Found {
    name: NodeName,
    /// Its id; `None` if nothing is on it.
    now: Option<String>,
    /// Whether it is the one that voted when `up` ran last.
    votes: bool,
}

fn found(dir: &DataDir, state: &ClusterState) -> Vec<Found> {
    let found = state.coordinators().map(|(name, _)| {
        let now = directory(dir, name);
        let votes = now.is_some() && now == state.nodes[&name].directory_id;
        Found { name, now, votes }
    });
    found.collect()
}

/// How the disks of the coordinators are, before anything is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disks {
    /// Most of them are those that voted when `up` ran last.
    Sound,
    /// Most are others: they may have been given votes by hand since.
    Doubtful,
    /// Most are empty: no majority can be made of what is left.
    Lost,
}

/// Judges the disks of a cluster whose quorum exists.
pub(crate) fn disks(dir: &DataDir, state: &ClusterState) -> Disks {
    let found = found(dir, state);
    let enough = |count: usize| count > found.len() / 2;
    let written = found.iter().filter(|disk| disk.now.is_some()).count();
    let known = found.iter().filter(|disk| disk.votes).count();
    match (enough(written), enough(known)) {
        _ if !state.founded => Disks::Sound,
        (false, _) => Disks::Lost,
        (true, true) => Disks::Sound,
        (true, false) => Disks::Doubtful,
    }
}

/// Why a cluster whose majority is lost does not come up, and what is left to do.
pub(crate) fn lost(dir: &DataDir, state: &ClusterState) -> CliError {
    let found = found(dir, state);
    let gone = found.iter().filter(|disk| !disk.votes);
    let folders: Vec<String> = gone.map(|disk| dir.data(disk.name).display().to_string()).collect();
    CliError::Refused(format!(
        "the quorum is lost: {} of {} coordinators have another disk than the one that votes, and \
         no other can stand in for a majority; put back {} from a backup until {} have theirs, or \
         begin anew with another --data-dir, or after `vltava down --volumes`",
        folders.len(),
        found.len(),
        folders.join(", "),
        found.len() / 2 + 1
    ))
}

/// Sees to it that every coordinator votes with the disk that it has, and says what it did. Returns
/// the state with these disks noted. What is not done in time can be done later, and is said.
///
/// # Errors
/// If the quorum cannot be asked.
pub(crate) async fn settle(
    dir: &DataDir,
    cluster: &Cluster,
    state: &ClusterState,
    deadline: Instant,
) -> Result<ClusterState, CliError> {
    let ids: Vec<i32> = state.coordinators().map(|(name, _)| name.id()).collect();
    let mut said = Vec::new();
    let mut last = String::new();
    loop {
        let answer = cluster.describe_quorum().await?;
        let quorum = QuorumView::of(&answer);
        let strangers: Vec<NodeName> = state
            .coordinators()
            .map(|(name, _)| name)
            .filter(|name| quorum.as_ref().is_none_or(|it| !votes(it, dir, *name)))
            .collect();
        if strangers.is_empty() {
            return Ok(noted(dir, state));
        }
        for name in strangers.iter().filter(|name| !said.contains(*name)) {
            output::line(format_args!(
                "{name} has another disk than the one that votes; it is let in once it has caught \
                 up"
            ))?;
        }
        said.extend(strangers.iter().copied());
        let change = quorum.as_ref().and_then(|quorum| next(quorum, &ids));
        let Some(change) = change else {
            if Instant::now() >= deadline {
                let names: Vec<String> = strangers.iter().map(ToString::to_string).collect();
                output::notice(format_args!(
                    "{} cannot vote yet{last}; run `vltava up` again to see it through",
                    names.join(", ")
                ));
                return Ok(state.clone());
            }
            tokio::time::sleep(LOOK).await;
            continue;
        };
        match carry_out(cluster, state, &change).await {
            Ok(what) => output::line(what)?,
            // Another change may be under way.
            Err(error) if Instant::now() < deadline => {
                last = format!(" ({error})");
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a coordinator votes with the disk that it has.
fn votes(quorum: &QuorumView, dir: &DataDir, name: NodeName) -> bool {
    let voter = quorum.voter(name.id());
    voter.is_some_and(|voter| directory(dir, name).is_none_or(|now| now == voter.directory_id))
}

async fn carry_out(
    cluster: &Cluster,
    state: &ClusterState,
    change: &Change,
) -> Result<String, CliError> {
    let (id, directory) = change.voter();
    let name = NodeName::coordinator(id - FIRST_COORDINATOR_ID + 1);
    let nonsense =
        |_| CliError::Refused(format!("{directory}, of {name}, is no id of a directory"));
    let voter = RaftVoter { id, directory_id: directory.parse().map_err(nonsense)? };
    match change {
        Change::Add { .. } => {
            let node = state.nodes.get(&name);
            let address = node.and_then(|node| node.listeners.get(COORDINATOR_LISTENER));
            let listener = address.map(|it| (COORDINATOR_LISTENER, it.host.as_str(), it.port));
            cluster.add_raft_voter(&voter, listener.as_slice()).await?;
            Ok(format!("{name} votes with the disk that it has now ({directory})"))
        }
        Change::Remove { .. } => {
            cluster.remove_raft_voter(&voter).await?;
            Ok(format!("{name} votes no more with the disk that it had ({directory})"))
        }
    }
}

/// The state with the disks that the coordinators have now.
fn noted(dir: &DataDir, state: &ClusterState) -> ClusterState {
    let mut noted = state.clone();
    for (name, node) in noted.nodes.iter_mut().filter(|(name, _)| !name.is_broker()) {
        node.directory_id = directory(dir, *name).or(node.directory_id.take());
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::{Disks, disks, lost};
    use crate::local::data_dir::DataDir;
    use crate::local::node_name::NodeName;
    use crate::local::state::{Address, ClusterState, NodeState};

    fn state() -> ClusterState {
        let node = |index: i32| {
            let address = Address { host: "127.0.0.1".to_owned(), port: 1, outside: false };
            let node = NodeState {
                listeners: [("CONTROLLER".to_owned(), address)].into(),
                admin_port: 2,
                directory_id: Some(format!("disk-{index}")),
            };
            (NodeName::coordinator(index), node)
        };
        let nodes = (1..=3).map(node).collect();
        ClusterState { id: "a".to_owned(), name: "a".to_owned(), founded: true, nodes }
    }

    #[test]
    fn a_majority_that_is_lost_is_told_from_one_that_was_replaced() {
        let folder = tempfile::TempDir::new().expect("a folder can be made");
        let dir = DataDir::new(folder.path());
        let write = |index: i32, directory: &str| {
            let data = dir.data(NodeName::coordinator(index));
            std::fs::create_dir_all(&data).expect("a folder can be made");
            let text = format!("version=1\ndirectory.id={directory}\n");
            std::fs::write(data.join("meta.properties"), text).expect("it can be written");
        };
        write(1, "disk-1");
        assert_eq!(disks(&dir, &state()), Disks::Lost);
        let founding = ClusterState { founded: false, ..state() };
        assert_eq!(disks(&dir, &founding), Disks::Sound, "nothing is lost before it is there");
        write(2, "other");
        assert_eq!(disks(&dir, &state()), Disks::Doubtful);
        let text = lost(&dir, &state()).to_string();
        assert!(text.starts_with("the quorum is lost: 2 of 3 coordinators"), "{text}");
        assert!(text.contains("coordinator-2/data, ") && !text.contains("coordinator-1/data"));
        write(3, "disk-3");
        assert_eq!(disks(&dir, &state()), Disks::Sound);
    }
}
