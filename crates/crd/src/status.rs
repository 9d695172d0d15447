//! What the operator says about a cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator says about a cluster.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// The generation of the resource that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing`, `Degraded` and `TopicsReady`, each with a reason and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The cluster's id, which its volumes carry too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The brokers' image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The coordinators' image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator_image: Option<String>,
    /// The brokers' image where the spec names none: the operator's own default when it named none
    /// for the first time, and the same ever after. So a spec that named an image and names it no
    /// more is what it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,
    /// The coordinators' image where the spec names none, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_coordinator_image: Option<String>,
    /// The version that brokers run: the tag of their image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The brokers' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brokers: Option<NodesStatus>,
    /// The coordinators' pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinators: Option<NodesStatus>,
    /// The node id of the active coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum_leader: Option<i32>,
    /// How many partitions have fewer in-sync replicas than replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_replicated: Option<i32>,
    /// How many partitions have no leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<i32>,
    /// Where clients connect to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerStatus>,
    /// The topics of the manifest, and those that it had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicStatus>,
    /// Volumes that are not as the manifest says, or not yet, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<StorageStatus>,
}

/// The pods of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodesStatus {
    /// How many there are.
    #[serde(default)]
    pub replicas: i32,
    /// How many of them are ready.
    #[serde(default)]
    pub ready: i32,
    /// How many run what the manifest says.
    #[serde(default)]
    pub updated: i32,
    /// Those ready of those asked for, as people read it: `3/3`.
    #[serde(default)]
    pub summary: String,
    /// The labels by which the pods are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// Where clients connect to by one listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The listener's name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What clients take as `bootstrap.servers`.
    #[serde(default)]
    pub bootstrap: String,
    /// Each broker's own address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brokers: Vec<BrokerAddress>,
    /// What is missing, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokerAddress {
    /// The broker's number.
    pub id: i32,
    /// `host:port`.
    pub address: String,
}

/// A row a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// The topic's name.
    pub name: String,
    /// `Ready`, `Pending`, `Changing`, `Refused`, `Failed` or `Kept`.
    #[serde(default)]
    pub state: String,
    /// How many partitions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// How many replicas its partitions have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// What is the matter, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A volume that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// The claim's name, or the role's.
    pub name: String,
    /// Why, and what to do.
    pub message: String,
}
