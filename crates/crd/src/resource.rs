//! The resource itself: group `vltava.dev`, version `v1alpha1`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LocalObjectReference, ResourceRequirements};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::listener::{Listener, default_listeners};
use crate::pod::Pod;
use crate::status::KafkaClusterStatus;
use crate::storage::Storage;

/// A Kafka cluster: its coordinators, its brokers, how they are reached, and its topics.
#[expect(clippy::duplicated_attributes, reason = "columns share their types")]
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "vltava.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    shortname = "kc",
    category = "vltava",
    namespaced,
    status = "KafkaClusterStatus",
    derive = "PartialEq",
    doc = "A Kafka cluster: its coordinators, its brokers, how they are reached, and its topics.",
    scale(
        spec_replicas_path = ".spec.brokers.replicas",
        status_replicas_path = ".status.brokers.replicas",
        label_selector_path = ".status.brokers.selector"
    ),
    printcolumn(
        name = "Brokers",
        type_ = "string",
        json_path = ".status.brokers.summary",
        description = "Brokers that are ready, of those that are asked for"
    ),
    printcolumn(
        name = "Coordinators",
        type_ = "string",
        json_path = ".status.coordinators.summary",
        description = "Coordinators that are ready, of those that are asked for"
    ),
    printcolumn(
        name = "Under-replicated",
        type_ = "integer",
        json_path = ".status.underReplicated",
        description = "Partitions with fewer in-sync replicas than replicas"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether clients can use the cluster"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        description = "The version that the brokers run"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "What there is to know about it",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterSpec {
    /// The brokers' image, and the coordinators' by its name: `broker` in it stands for
    /// `coordinator`, and the tag is the same. One that is named by its digest, or otherwise, needs
    /// `coordinators.image` beside it. Where none is named, the operator's own default is taken,
    /// and pinned in the status when that happens for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When nodes pull the image, where that is not left to Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets with which the image is pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
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
    /// Whether NetworkPolicies let only clients reach the listeners, and only nodes of the cluster
    /// the coordinators.
    #[serde(default, skip_serializing_if = "NetworkPolicies::is_default")]
    pub network_policy: NetworkPolicies,
}

/// Which NetworkPolicies are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicies {
    /// Whether there are any.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl NetworkPolicies {
    fn is_default(&self) -> bool {
        self.enabled
    }
}

impl Default for NetworkPolicies {
    fn default() -> Self {
        Self { enabled: true }
    }
}

const fn yes() -> bool {
    true
}

/// The nodes that keep the metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coordinators {
    /// How many there are, an odd number up to 9. With 3, one may fail; with 5, two.
    #[serde(default = "three")]
    pub replicas: i32,
    /// Their image, where it does not follow from the brokers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The disk of each: 1Gi where no size is named.
    #[serde(default)]
    pub storage: Storage,
    /// Settings by Kafka's names, above those of the brokers that coordinators read too.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// What each asks of the machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where and how their pods run.
    #[serde(default, skip_serializing_if = "Pod::is_empty")]
    pub pod: Pod,
}

impl KafkaClusterSpec {
    /// The coordinators' image that the manifest names: `coordinators.image`, or what the brokers'
    /// says; `None` if it names none, or the brokers' says nothing of it.
    pub fn coordinator_image(&self) -> Option<String> {
        self.coordinators.image.clone().or_else(|| beside(self.image.as_deref()?))
    }
}

/// The coordinators' image beside a brokers' image: of the same place and tag.
fn beside(image: &str) -> Option<String> {
    let (place, last) =
        image.rsplit_once('/').map_or(("", image), |(place, _)| image.split_at(place.len() + 1));
    let (name, tag) = last.split_once(':').map_or((last, None), |(name, tag)| (name, Some(tag)));
    let is_tag = tag.is_none_or(|tag| !tag.is_empty() && !tag.contains(':'));
    if image.contains('@') || !name.contains("broker") || !is_tag {
        return None;
    }
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    Some(format!("{place}{}{tag}", name.replace("broker", "coordinator")))
}

impl Default for Coordinators {
    fn default() -> Self {
        Self {
            replicas: three(),
            image: None,
            storage: Storage::default(),
            config: BTreeMap::new(),
            resources: None,
            pod: Pod::default(),
        }
    }
}

/// The nodes that hold the partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Brokers {
    /// How many there are. Also set by `kubectl scale`.
    #[serde(default = "three")]
    pub replicas: i32,
    /// The disk of each: 10Gi where no size is named.
    #[serde(default)]
    pub storage: Storage,
    /// Settings by Kafka's names. Those that can change at run time restart nothing.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// How many bytes a second each broker sends, and receives, at most for partitions that move
    /// to other brokers (KIP-73): `20Mi`. As fast as it goes where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_rate: Option<String>,
    /// What each asks of the machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where and how their pods run.
    #[serde(default, skip_serializing_if = "Pod::is_empty")]
    pub pod: Pod,
}

impl Default for Brokers {
    fn default() -> Self {
        Self {
            replicas: three(),
            storage: Storage::default(),
            config: BTreeMap::new(),
            move_rate: None,
            resources: None,
            pod: Pod::default(),
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

/// When nodes may pull an image. (A text in the type: a resource of before that says something else
/// can still be read.)
pub(crate) const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

const fn three() -> i32 {
    3
}
