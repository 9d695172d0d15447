//! How brokers are reached.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands for a broker's number in an advertised host.
pub const ID_MARK: &str = "{id}";

/// The ports that Kubernetes gives to nodes by default (`--service-node-port-range`). Where it
/// gives others, listeners name none.
pub const NODE_PORTS: std::ops::RangeInclusive<i32> = 30_000..=32_767;

/// One way to reach the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// The port on which brokers listen inside the Kubernetes cluster.
    pub port: i32,
    /// Who can reach it.
    #[serde(rename = "type")]
    pub kind: ListenerType,
    /// For a `NodePort`: the port of each broker outside, from 30000 to 32767, the first broker's
    /// first. A broker beyond the list gets a free one; the status shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_ports: Vec<i32>,
    /// The host that clients are told, where that is not the node's or the load balancer's
    /// address. `{id}` in it is the broker's number: `broker-{id}.kafka.example.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_host: Option<String>,
    /// The port that clients are told, where that is not the node's or the Service's: an ingress's
    /// 443, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_port: Option<i32>,
    /// Annotations of the listener's Services, by which clouds are told what to do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// For a `LoadBalancer`: its class, where it is not the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// For a `LoadBalancer`: the networks (CIDR) that may connect, where that is not all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<String>,
}

impl Listener {
    /// The name as Kafka's settings write it.
    pub fn key(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    /// The name as a part of an object's name.
    pub fn object_name(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// Whether each broker has an address of its own, so that one host cannot stand for all.
    pub const fn needs_a_host_each(&self) -> bool {
        matches!(self.kind, ListenerType::LoadBalancer | ListenerType::ClusterIP)
    }

    /// Whether it has Services of its own, one a broker.
    pub const fn is_outside(&self) -> bool {
        !matches!(self.kind, ListenerType::Internal)
    }
}

/// Who can reach a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListenerType {
    /// Brokers, and clients in the same Kubernetes cluster.
    Internal,
    /// Clients outside, at a port of each node.
    NodePort,
    /// Clients outside, at an address that the cloud gives each broker.
    LoadBalancer,
    /// Clients behind an ingress of one's own.
    ClusterIP,
}

impl ListenerType {
    /// The type as the manifest writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "Internal",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ClusterIP => "ClusterIP",
        }
    }
}

/// Where none is declared, brokers and clients share one inside.
pub(crate) fn default_listeners() -> Vec<Listener> {
    vec![Listener {
        name: "internal".to_owned(),
        port: 9092,
        kind: ListenerType::Internal,
        node_ports: Vec::new(),
        advertised_host: None,
        advertised_port: None,
        annotations: BTreeMap::new(),
        load_balancer_class: None,
        load_balancer_source_ranges: Vec::new(),
    }]
}
