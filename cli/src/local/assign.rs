//! Which nodes a manifest means on this machine, and where each listens.

use std::collections::BTreeMap;

use vltava_crd::{COORDINATOR_LISTENER, KafkaCluster, Listener, ListenerType};
use vltava_wire::Uuid;

use crate::error::CliError;
use crate::local::node_name::NodeName;
use crate::local::ports::FreePorts;
use crate::local::state::{Address, ClusterState, NodeState};

/// Where nodes listen, whatever clients are told.
const HERE: &str = "127.0.0.1";

/// What a manifest means on this machine.
#[derive(Debug)]
pub(crate) struct Assigned {
    /// The cluster with all its nodes.
    pub(crate) state: ClusterState,
    /// Brokers that the cluster had and the manifest no longer asks for.
    pub(crate) surplus: BTreeMap<NodeName, NodeState>,
}

/// Gives every node its listeners. A node that was there keeps its ports.
///
/// # Errors
/// [`CliError::Refused`] if the folder's cluster is another one, or cannot become this one.
pub(crate) fn assign(
    cluster: &KafkaCluster,
    old: Option<ClusterState>,
    ports: &mut FreePorts,
    random: &mut dyn FnMut() -> u128,
) -> Result<Assigned, CliError> {
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let mut old = match old {
        Some(old) if old.name != name => {
            return Err(CliError::Refused(format!(
                "the data folder is of the cluster `{}`, the manifest of `{name}`; choose another \
                 --data-dir, or remove the old cluster with `vltava down --volumes`",
                old.name
            )));
        }
        Some(old) => old,
        None => ClusterState {
            id: Uuid::from_random(random()).to_string(),
            name,
            founded: false,
            nodes: BTreeMap::new(),
        },
    };
    let coordinators = cluster.spec.coordinators.replicas;
    let present = old.nodes.keys().filter(|name| !name.is_broker()).count();
    if present != 0 && usize::try_from(coordinators) != Ok(present) {
        return Err(CliError::Refused(format!(
            "the cluster has {present} coordinators and the manifest asks for {coordinators}; \
             their number cannot change here yet, so keep {present}"
        )));
    }
    let mut nodes = BTreeMap::new();
    for index in 1..=coordinators {
        let name = NodeName::coordinator(index);
        let node = match old.nodes.get(&name) {
            Some(node) => node.clone(),
            None => coordinator(ports, random)?,
        };
        nodes.insert(name, node);
    }
    for index in 1..=cluster.spec.brokers.replicas {
        let name = NodeName::broker(index);
        let node = broker(&cluster.spec.listeners, index, old.nodes.get(&name), ports)?;
        nodes.insert(name, node);
    }
    let mut surplus = std::mem::take(&mut old.nodes);
    surplus.retain(|name, _| !nodes.contains_key(name));
    Ok(Assigned { state: ClusterState { nodes, ..old }, surplus })
}

/// Ports that belong to nodes already, or are named for one.
pub(crate) fn taken(cluster: &KafkaCluster, old: Option<&ClusterState>) -> Vec<u16> {
    let present = old.into_iter().flat_map(|old| old.nodes.values()).flat_map(|node| {
        let listeners = node.listeners.values().map(|address| address.port);
        listeners.chain([node.admin_port])
    });
    let named = cluster.spec.listeners.iter().flat_map(|listener| &listener.node_ports);
    present.chain(named.filter_map(|port| u16::try_from(*port).ok())).collect()
}

fn coordinator(
    ports: &mut FreePorts,
    random: &mut dyn FnMut() -> u128,
) -> Result<NodeState, CliError> {
    let address = Address { host: HERE.to_owned(), port: ports.take()?, outside: false };
    Ok(NodeState {
        listeners: [(COORDINATOR_LISTENER.to_owned(), address)].into(),
        admin_port: ports.take()?,
        directory_id: Some(Uuid::from_random(random()).to_string()),
    })
}

fn broker(
    listeners: &[Listener],
    index: i32,
    old: Option<&NodeState>,
    ports: &mut FreePorts,
) -> Result<NodeState, CliError> {
    let mut addresses = BTreeMap::new();
    for listener in listeners {
        let name = listener.name.to_ascii_uppercase();
        let kept = |outside: bool| {
            let kept = old?.listeners.get(&name).filter(|kept| kept.outside == outside);
            kept.map(|kept| kept.port)
        };
        let address = match listener.kind {
            ListenerType::Internal => {
                let port = kept(false).map_or_else(|| ports.take(), Ok)?;
                Address { host: HERE.to_owned(), port, outside: false }
            }
            ListenerType::NodePort => {
                // One that the manifest named once and names no more may be named for another.
                let kept = kept(true).filter(|port| !is_named(listeners, *port));
                let port = match node_port(listener, index).or(kept) {
                    Some(port) => port,
                    None => ports.take_outside()?,
                };
                Address { host: seen_host(listener), port, outside: true }
            }
            ListenerType::LoadBalancer | ListenerType::ClusterIP => continue,
        };
        addresses.insert(name, address);
    }
    let admin_port = match old {
        Some(old) => old.admin_port,
        None => ports.take()?,
    };
    Ok(NodeState { listeners: addresses, admin_port, directory_id: None })
}

fn node_port(listener: &Listener, index: i32) -> Option<u16> {
    let place = usize::try_from(index - 1).ok()?;
    listener.node_ports.get(place).and_then(|port| u16::try_from(*port).ok())
}

/// Whether a manifest names a port for some broker.
fn is_named(listeners: &[Listener], port: u16) -> bool {
    listeners.iter().any(|listener| listener.node_ports.contains(&i32::from(port)))
}

/// What clients are told: the manifest's host if it means this machine.
fn seen_host(listener: &Listener) -> String {
    match listener.advertised_host.as_deref() {
        Some(host) if host == "localhost" || host.starts_with("127.") => host.to_owned(),
        _ => HERE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Assigned, assign, taken};
    use crate::local::node_name::NodeName;
    use crate::local::ports::FreePorts;
    use crate::local::state::ClusterState;
    use vltava_crd::{KafkaCluster, manifest};

    fn assigned(cluster: &KafkaCluster, old: Option<ClusterState>) -> Result<Assigned, String> {
        let mut number = 7_u128 << 64;
        let mut random = || {
            number += 1 << 70;
            number
        };
        let mut ports = FreePorts::new(11, taken(cluster, old.as_ref()));
        assign(cluster, old, &mut ports, &mut random).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_cluster_is_three_and_three() {
        let state = assigned(&manifest::prague(), None).expect("it is possible").state;
        assert_eq!(state.nodes.len(), 6);
        assert!(!state.founded);
        assert_eq!(state.bootstrap(), ["127.0.0.1:32001", "127.0.0.1:32002", "127.0.0.1:32003"]);
        let ids: std::collections::BTreeSet<_> =
            state.nodes.values().filter_map(|node| node.directory_id.clone()).collect();
        assert_eq!(ids.len(), 3, "every coordinator has a folder id of its own");
    }

    #[test]
    fn brokers_beyond_the_named_ports_get_free_ones_and_keep_them() {
        let mut more = manifest::prague();
        more.spec.listeners[1].node_ports = vec![32001];
        let first = assigned(&more, None).expect("it is possible").state;
        let told = first.bootstrap();
        assert_eq!(told[0], "127.0.0.1:32001");
        let again = assigned(&more, Some(first.clone())).expect("it is possible").state;
        assert_eq!(again, first);
        let port = told[1].rsplit_once(':').expect("a port").1.parse().expect("a port");
        assert!(vltava_crd::NODE_PORTS.contains(&port), "{told:?}");

        // The second broker's port is now named for the first.
        more.spec.listeners[1].node_ports = vec![port];
        let swapped = assigned(&more, Some(first)).expect("it is possible").state.bootstrap();
        assert_eq!(swapped[0], told[1]);
        assert_ne!(swapped[1], told[1]);
    }

    #[test]
    fn nodes_keep_what_they_have() {
        let prague = manifest::prague();
        let first = assigned(&prague, None).expect("it is possible").state;
        let again = assigned(&prague, Some(first.clone())).expect("it is possible");
        assert_eq!(again.state, first);
        assert!(again.surplus.is_empty());
    }

    #[test]
    fn a_fourth_broker_is_added_and_taken_out() {
        let mut four = manifest::prague();
        four.spec.brokers.replicas = 4;
        four.spec.listeners[1].node_ports.push(32004);
        let three = assigned(&manifest::prague(), None).expect("it is possible").state;
        let more = assigned(&four, Some(three.clone())).expect("it is possible").state;
        assert_eq!(more.nodes.len(), 7);
        let back = assigned(&manifest::prague(), Some(more)).expect("it is possible");
        assert!(back.surplus.keys().eq(&[NodeName::broker(4)]));
        assert_eq!(back.state.nodes, three.nodes);
    }

    #[test]
    fn another_cluster_and_another_number_of_coordinators_are_refused() {
        let state = assigned(&manifest::prague(), None).expect("it is possible").state;
        let mut other = manifest::prague();
        other.metadata.name = Some("brno".to_owned());
        let text = assigned(&other, Some(state.clone())).expect_err("it is another cluster");
        assert!(text.starts_with("the data folder is of the cluster `prague`"), "{text}");
        let mut five = manifest::prague();
        five.spec.coordinators.replicas = 5;
        let text = assigned(&five, Some(state)).expect_err("there are three");
        assert!(text.contains("has 3 coordinators and the manifest asks for 5"), "{text}");
    }
}
