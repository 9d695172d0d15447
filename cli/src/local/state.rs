//! What is remembered of a cluster on this machine: who its nodes are, and where they listen.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use vltava_config::{HostPort, properties};

use crate::error::CliError;
use crate::local::data_dir::{DataDir, write_whole};
use crate::local::node_name::NodeName;

/// The port on which a node serves metrics and probes.
pub(crate) const ADMIN: &str = "admin";

/// One address of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host that others are told; the node itself listens on 127.0.0.1.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it is for clients outside.
    pub outside: bool,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeState {
    /// Its listeners by name, in capitals.
    pub listeners: BTreeMap<String, Address>,
    /// The port for metrics and probes.
    pub admin_port: u16,
    /// The id of a coordinator's data folder, as it was founded.
    pub directory_id: Option<String>,
}

/// The cluster of a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterState {
    /// The cluster's id.
    pub id: String,
    /// Its name in the manifest.
    pub name: String,
    /// Whether its quorum exists: then nobody may found another one.
    pub founded: bool,
    /// Its nodes.
    pub nodes: BTreeMap<NodeName, NodeState>,
}

impl ClusterState {
    /// Reads what is remembered; `None` if there is no cluster.
    ///
    /// # Errors
    /// [`CliError::ClusterFile`] if the file makes no sense.
    pub fn read(dir: &DataDir) -> Result<Option<Self>, CliError> {
        let path = dir.cluster_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CliError::ReadFile { path, source }),
        };
        Self::parse(&text).map(Some).map_err(|what| CliError::ClusterFile { path, what })
    }

    /// Reads what is remembered of a cluster that must be there.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if there is none.
    pub fn existing(dir: &DataDir, remote: bool) -> Result<Self, CliError> {
        Self::read(dir)?.ok_or_else(|| CliError::NoCluster { path: dir.root().to_owned(), remote })
    }

    /// Writes it down.
    pub(crate) fn write(&self, dir: &DataDir) -> Result<(), CliError> {
        write_whole(&dir.cluster_file(), &self.to_text())
    }

    fn to_text(&self) -> String {
        let mut text = "# Written by `vltava up`.\n".to_owned();
        let mut put = |key: &str, value: &dyn Display| {
            properties::write(&mut text, key, &value.to_string());
        };
        put("cluster.id", &self.id);
        put("cluster.name", &self.name);
        put("cluster.founded", &self.founded);
        for (name, node) in &self.nodes {
            put(&format!("{name}.{ADMIN}.port"), &node.admin_port);
            if let Some(directory) = &node.directory_id {
                put(&format!("{name}.directory.id"), directory);
            }
            for (listener, address) in &node.listeners {
                let side = if address.outside { "outside" } else { "inside" };
                let shown = HostPort { host: address.host.clone(), port: address.port };
                put(&format!("{name}.{side}.{listener}"), &shown);
            }
        }
        text
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut state =
            Self { id: String::new(), name: String::new(), founded: false, nodes: BTreeMap::new() };
        for property in properties::parse(text).map_err(|error| error.to_string())? {
            let (key, value) = (property.key.as_str(), property.value);
            match key {
                "cluster.id" => state.id = value,
                "cluster.name" => state.name = value,
                "cluster.founded" => state.founded = read(&value)?,
                _ => state.parse_node(key, value)?,
            }
        }
        if state.id.is_empty() || state.name.is_empty() {
            return Err("there is no cluster.id or no cluster.name in it".to_owned());
        }
        Ok(state)
    }

    fn parse_node(&mut self, key: &str, value: String) -> Result<(), String> {
        let mut parts = key.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let (name, field, rest) = (part(), part(), part());
        let name: NodeName = name.parse().map_err(|()| format!("`{key}` is no node's"))?;
        let node = self.nodes.entry(name).or_default();
        match (field, rest) {
            (ADMIN, "port") => node.admin_port = read(&value)?,
            ("directory", "id") => node.directory_id = Some(value),
            ("inside" | "outside", listener) if !listener.is_empty() => {
                let HostPort { host, port } = HostPort::parse(&value)?;
                let address = Address { host, port, outside: field == "outside" };
                node.listeners.insert(listener.to_owned(), address);
            }
            _ => return Err(format!("`{key}` is unknown")),
        }
        Ok(())
    }

    /// The node of a name as it was typed.
    ///
    /// # Errors
    /// [`CliError::NoNode`] if there is none.
    pub(crate) fn find(&self, text: &str) -> Result<NodeName, CliError> {
        let name = text.parse().ok().filter(|name| self.nodes.contains_key(name));
        name.ok_or_else(|| {
            let known: Vec<String> = self.nodes.keys().map(ToString::to_string).collect();
            CliError::NoNode { name: text.to_owned(), known: known.join(", ") }
        })
    }

    /// Where clients find brokers: each one's listener for outside, else the one inside.
    pub fn bootstrap(&self) -> Vec<String> {
        self.brokers().map(|(_, address)| address).collect()
    }

    /// The ids of the brokers, and where clients find them.
    pub fn brokers(&self) -> impl Iterator<Item = (i32, String)> {
        let brokers = self.nodes.iter().filter(|(name, _)| name.is_broker());
        brokers.filter_map(|(name, node)| Some((name.id(), local(node.client_address()?))))
    }

    /// Where the coordinators listen.
    pub fn coordinators(&self) -> impl Iterator<Item = (NodeName, String)> {
        let coordinators = self.nodes.iter().filter(|(name, _)| !name.is_broker());
        coordinators
            .filter_map(|(name, node)| Some((*name, local(node.listeners.values().next()?))))
    }
}

impl NodeState {
    /// The address that clients outside use.
    pub(crate) fn client_address(&self) -> Option<&Address> {
        let listeners = || self.listeners.values();
        listeners().find(|address| address.outside).or_else(|| listeners().next())
    }

    /// The listeners as `NAME://host:port`.
    pub(crate) fn shown(&self) -> Vec<String> {
        let shown = self.listeners.iter();
        shown.map(|(name, address)| format!("{name}://{}:{}", address.host, address.port)).collect()
    }
}

fn local(address: &Address) -> String {
    format!("127.0.0.1:{}", address.port)
}

fn read<T: FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("`{text}` makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::{Address, ClusterState, NodeState};
    use crate::local::node_name::NodeName;

    fn state() -> ClusterState {
        let address = |port, outside| Address { host: "127.0.0.1".to_owned(), port, outside };
        let broker = NodeState {
            listeners: [
                ("EXTERNAL".to_owned(), address(32001, true)),
                ("A.INTERNAL".to_owned(), address(20001, false)),
            ]
            .into(),
            admin_port: 20002,
            directory_id: None,
        };
        let coordinator = NodeState {
            listeners: [("CONTROLLER".to_owned(), address(20003, false))].into(),
            admin_port: 20004,
            directory_id: Some("4L6g3nShT-eMCtK--X86sw".to_owned()),
        };
        ClusterState {
            id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
            name: "prague".to_owned(),
            founded: true,
            nodes: [(NodeName::broker(1), broker), (NodeName::coordinator(1), coordinator)].into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(ClusterState::parse(&state().to_text()), Ok(state()));
    }

    #[test]
    fn clients_are_sent_outside() {
        assert_eq!(state().bootstrap(), ["127.0.0.1:32001"]);
        let coordinators: Vec<(NodeName, String)> = state().coordinators().collect();
        assert_eq!(coordinators, [(NodeName::coordinator(1), "127.0.0.1:20003".to_owned())]);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused() {
        for bad in ["", "cluster.id=x\ncluster.name=y\nzoo-1.admin.port=1\n", "cluster.founded=7"] {
            assert!(ClusterState::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_named_with_those_that_are() {
        let error = state().find("broker-2").expect_err("there is one broker");
        let text = error.to_string();
        assert_eq!(text, "there is no node broker-2; there are coordinator-1, broker-1");
    }
}
