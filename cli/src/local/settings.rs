//! Each node's `.properties` file, and what brokers that run are told instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use vltava_client::{AlterOp, Cluster, ConfigEntry, ConfigResource};
use vltava_config::{Role, properties};
use vltava_crd::plan::settings::{changes, dynamic, is_dynamic, is_shown};
use vltava_crd::{COORDINATOR_LISTENER, KafkaCluster, KafkaClusterSpec, ListenerType, config};

use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::data_dir::{DataDir, make_folder, write_whole};
use crate::local::node_name::NodeName;
use crate::local::refusals::Refusals;
use crate::local::state::{ClusterState, NodeState};
use crate::output;

/// Where a setting that one broker was told comes from, as Kafka numbers it.
const OF_BROKER: i8 = 2;
/// Where one that all brokers were told comes from.
const OF_ALL_BROKERS: i8 = 3;

/// Which nodes have other settings now that only a restart brings into force, and which settings.
pub(crate) type Outdated = BTreeMap<NodeName, BTreeSet<String>>;

/// Writes the settings of every node. Returns those that had others before.
pub(crate) fn write_all(
    dir: &DataDir,
    state: &ClusterState,
    cluster: &KafkaCluster,
) -> Result<Outdated, CliError> {
    let mut outdated = Outdated::new();
    for (name, node) in &state.nodes {
        let folder = dir.node(*name);
        make_folder(&folder)?;
        let text = text(dir, state, cluster, *name, node);
        let path = dir.config_file(*name);
        let old = fs::read_to_string(&path);
        if old.as_ref().is_ok_and(|old| *old == text) {
            continue;
        }
        write_whole(&path, &text)?;
        let keys = old.map(|old| need_restart(&old, &text)).unwrap_or_default();
        if !keys.is_empty() {
            outdated.insert(*name, keys);
        }
    }
    Ok(outdated)
}

/// The keys that differ, but for those that a running node is told. One that is taken out stays as
/// the node read it when it started.
fn need_restart(old: &str, new: &str) -> BTreeSet<String> {
    let read = |text: &str| -> BTreeMap<String, String> {
        let all = properties::parse(text).unwrap_or_default();
        all.into_iter().map(|property| (property.key, property.value)).collect()
    };
    let (old, new) = (read(old), read(new));
    let told = |key: &&String| new.contains_key(*key) && is_dynamic(key);
    let differ = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key));
    differ.filter(|key| !told(key)).cloned().collect()
}

/// Tells the brokers of settings that change at run time, and says what it told. Returns once each
/// of them that lives shows it.
///
/// # Errors
/// If they cannot be asked; what they refuse is noted.
pub(crate) async fn tell(
    cluster: &Cluster,
    brokers: &[i32],
    spec: &KafkaClusterSpec,
    before: Option<&KafkaClusterSpec>,
    refused: &mut Refusals,
) -> Result<(), CliError> {
    let wanted = dynamic(spec);
    let owned: BTreeSet<&str> = before.map(dynamic).unwrap_or_default().into_keys().collect();
    if wanted.is_empty() && owned.is_empty() {
        return Ok(());
    }
    let now = now(cluster, brokers, &wanted).await?;
    let mut changed = BTreeMap::new();
    for (key, value) in changes(&wanted, &owned, &now) {
        let told = [(key, AlterOp::to(value))];
        let told = cluster.alter_configs(&ConfigResource::all_brokers(), &told, false).await;
        if refused.setting_or_note(key, told)?.is_some() {
            changed.insert(key, value);
            output::line(match value {
                Some(value) => format!("brokers: {key}={value}"),
                None => format!("brokers: {key} is no longer set for all of them"),
            })?;
        }
    }
    if !changed.is_empty() {
        bootstrap::said_by_all(cluster, async |id| {
            // One that has died is not asked again and again.
            cluster.node(id).await?;
            let entries = cluster.describe_configs(&ConfigResource::broker(id), false).await?;
            Ok(changed.iter().all(|(key, value)| shows(&entries, key, *value)))
        })
        .await;
    }
    Ok(())
}

/// Whether a broker goes by what all brokers were told, or were told no longer, but for what it
/// was told by hand.
fn shows(entries: &[ConfigEntry], key: &str, value: Option<&str>) -> bool {
    let mut entries = entries.iter().filter(|entry| entry.name == *key);
    !entries.any(|entry| match value {
        Some(value) => entry.source != OF_BROKER && !is_shown(key, value, entry.value.as_deref()),
        None => entry.source == OF_ALL_BROKERS,
    })
}

/// What all brokers are told at run time, and of the settings that are wanted what they all have,
/// from wherever. What one broker was told by hand stays.
async fn now(
    cluster: &Cluster,
    brokers: &[i32],
    wanted: &BTreeMap<&str, &str>,
) -> Result<BTreeMap<String, String>, CliError> {
    let all = cluster.describe_configs(&ConfigResource::all_brokers(), false).await?;
    let all = all.into_iter().filter(|entry| entry.source == OF_ALL_BROKERS);
    let mut now: BTreeMap<String, String> =
        all.filter_map(|entry| Some((entry.name.to_string(), entry.value?.to_string()))).collect();
    let mut differing = BTreeSet::new();
    for id in brokers {
        let entries = cluster.describe_configs(&ConfigResource::broker(*id), false).await?;
        for entry in entries.iter().filter(|entry| entry.source != OF_BROKER) {
            let (name, shown) = (&*entry.name, entry.value.as_deref());
            if wanted.get(name).is_some_and(|it| !is_shown(name, it, shown)) {
                differing.insert(entry.name.to_string());
            }
        }
    }
    for (key, value) in wanted {
        if differing.contains(*key) {
            now.remove(*key);
        } else {
            now.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    Ok(now)
}

/// Says which nodes need a restart, and what for.
pub(crate) fn say_outdated(outdated: &Outdated) -> Result<(), CliError> {
    let mut alike: BTreeMap<String, Vec<NodeName>> = BTreeMap::new();
    for (name, keys) in outdated {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        alike.entry(keys.join(", ")).or_default().push(*name);
    }
    alike.into_iter().try_for_each(|(keys, nodes)| {
        let first = nodes[0];
        let (verb, each) = match nodes.len() {
            1 => ("needs", ""),
            _ => ("need", " and so on, one after the other"),
        };
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        output::line(format_args!(
            "{} {verb} a restart for {keys}: `vltava stop {first} && vltava start {first}`{each}",
            nodes.join(", ")
        ))
    })
}

fn text(
    dir: &DataDir,
    state: &ClusterState,
    cluster: &KafkaCluster,
    name: NodeName,
    node: &NodeState,
) -> String {
    let mut text = "# Written by `vltava up` from the manifest.\n".to_owned();
    let mut put = |key: &str, value: &str| properties::write(&mut text, key, value);
    put("node.id", &name.id().to_string());
    put("process.roles", name.role().process_role());
    put("vltava.cluster.id", &state.id);
    let listeners = node.listeners.iter();
    let listens: Vec<String> =
        listeners.map(|(name, address)| format!("{name}://127.0.0.1:{}", address.port)).collect();
    put("listeners", &listens.join(","));
    put("advertised.listeners", &node.shown().join(","));
    let names = node.listeners.keys().map(String::as_str);
    let mut protocols: Vec<String> =
        names.chain([COORDINATOR_LISTENER]).map(|name| format!("{name}:PLAINTEXT")).collect();
    protocols.dedup();
    put("listener.security.protocol.map", &protocols.join(","));
    put("controller.listener.names", COORDINATOR_LISTENER);
    let quorum: Vec<String> = state.coordinators().map(|(_, address)| address).collect();
    put("controller.quorum.bootstrap.servers", &quorum.join(","));
    put("log.dirs", &dir.data(name).display().to_string());
    put("vltava.admin.listener", &format!("127.0.0.1:{}", node.admin_port));
    match name.role() {
        Role::Broker => put("inter.broker.listener.name", &inside(cluster)),
        // Only a quorum that does not exist yet may be founded.
        Role::Coordinator if !state.founded => {
            put("vltava.initial.controllers", &founders(state));
        }
        Role::Coordinator => {}
    }
    for (key, value) in config::of_role(&cluster.spec, name.role()) {
        put(&key, &value);
    }
    text
}

/// The listener by which brokers reach each other: the first inside.
fn inside(cluster: &KafkaCluster) -> String {
    let mut listeners = cluster.spec.listeners.iter();
    let first = listeners.find(|listener| listener.kind == ListenerType::Internal);
    first.map(|listener| listener.name.to_ascii_uppercase()).unwrap_or_default()
}

/// The coordinators that found the quorum: `id@host:port:directoryId` each.
fn founders(state: &ClusterState) -> String {
    let founders: Vec<String> = state
        .coordinators()
        .filter_map(|(name, address)| {
            let directory = state.nodes.get(&name)?.directory_id.as_ref()?;
            Some(format!("{}@{address}:{directory}", name.id()))
        })
        .collect();
    founders.join(",")
}

#[cfg(test)]
mod tests {
    use super::need_restart;

    #[test]
    fn only_what_a_running_node_is_not_told_needs_a_restart() {
        let old = "num.partitions=1\nmin.insync.replicas=1\nlog.retention.ms=5\n";
        let new = "num.partitions=2\nmin.insync.replicas=2\n";
        let keys: Vec<String> = need_restart(old, new).into_iter().collect();
        assert_eq!(keys, ["log.retention.ms", "num.partitions"]);
        assert!(need_restart(new, new).is_empty());
    }
}
