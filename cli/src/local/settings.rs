//! Each node's `.properties` file.

use std::fs;

use vltava_config::{Role, properties};
use vltava_crd::{COORDINATOR_LISTENER, KafkaCluster, ListenerType, config};

use crate::error::CliError;
use crate::local::data_dir::{DataDir, make_folder, write_whole};
use crate::local::node_name::NodeName;
use crate::local::state::{ClusterState, NodeState};

/// Writes the settings of every node. Returns the nodes whose settings have changed.
pub(crate) fn write_all(
    dir: &DataDir,
    state: &ClusterState,
    cluster: &KafkaCluster,
) -> Result<Vec<NodeName>, CliError> {
    let mut changed = Vec::new();
    for (name, node) in &state.nodes {
        let folder = dir.node(*name);
        make_folder(&folder)?;
        let text = text(dir, state, cluster, *name, node);
        let path = dir.config_file(*name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if path.exists() {
            changed.push(*name);
        }
        write_whole(&path, &text)?;
    }
    Ok(changed)
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
