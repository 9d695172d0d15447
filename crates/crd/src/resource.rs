//! The resource itself: group `vltava.dev`, version `v1alpha1`.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Kafka cluster: its coordinators, its brokers, how they are reached, and its topics.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "vltava.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    shortname = "kc",
    category = "vltava",
    namespaced,
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterSpec {
    /// The image of brokers and coordinators; pinned when it is first applied if it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The nodes that keep the metadata.
    #[serde(default)]
    pub coordinators: Coordinators,
    /// The nodes that hold the partitions.
    #[serde(default)]
    pub brokers: Brokers,
    /// How brokers and clients reach the brokers.
    #[serde(default = "default_listeners")]
    pub listeners: Vec<Listener>,
    /// Topics that exist as long as the cluster does. One that is taken out is kept.
    #[serde(default)]
    pub topics: Vec<Topic>,
}

/// The nodes that keep the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coordinators {
    /// How many there are. With 3, one may fail; with 5, two.
    #[serde(default = "three")]
    pub replicas: i32,
    /// The disk of each.
    #[serde(default)]
    pub storage: Storage,
    /// Settings by Kafka's names, above those of the brokers that coordinators read too.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

impl Default for Coordinators {
    fn default() -> Self {
        Self { replicas: three(), storage: Storage::default(), config: BTreeMap::new() }
    }
}

/// The nodes that hold the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Brokers {
    /// How many there are.
    #[serde(default = "three")]
    pub replicas: i32,
    /// The disk of each.
    #[serde(default)]
    pub storage: Storage,
    /// Settings by Kafka's names.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

impl Default for Brokers {
    fn default() -> Self {
        Self { replicas: three(), storage: Storage::default(), config: BTreeMap::new() }
    }
}

/// The disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size as Kubernetes writes it: `10Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The storage class; the cluster's default where it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

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
    /// For a `NodePort`: the port of each broker outside, the first broker's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_ports: Vec<i32>,
    /// The host that clients are told, where that is not the node's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised_host: Option<String>,
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

/// A topic that the cluster has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has; the brokers' `num.partitions` where it is not said. May be
    /// raised, never lowered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// How many replicas each partition has; the brokers' `default.replication.factor` where it is
    /// not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// Its own settings by Kafka's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

const fn three() -> i32 {
    3
}

/// Where none is declared, brokers and clients share one inside.
fn default_listeners() -> Vec<Listener> {
    vec![Listener {
        name: "internal".to_owned(),
        port: 9092,
        kind: ListenerType::Internal,
        node_ports: Vec::new(),
        advertised_host: None,
    }]
}
