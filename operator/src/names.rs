//! What a cluster's objects are called, and which labels they carry.

use std::collections::BTreeMap;

use vltava_crd::{KafkaCluster, Listener};

use crate::plan::Component;

/// Who writes our fields.
pub const MANAGER: &str = "vltava-operator";
/// Where the cluster's id is kept: on volumes' claims, and on the sets that make them.
pub const CLUSTER_ID: &str = "vltava.dev/cluster-id";
/// Who founds the quorum: the directory ids of the coordinators from the first on, separated by
/// commas; on the coordinators' claims.
pub const FOUNDERS: &str = "vltava.dev/founders";
/// That the quorum was founded: on all claims, and on the coordinators' set.
pub const FOUNDED: &str = "vltava.dev/founded";
/// What a broker's rack is told by.
pub const RACK: &str = "vltava.dev/rack";
/// A digest of what was applied.
pub const APPLIED: &str = "vltava.dev/applied";
/// Which pod was evicted last, as `name/uid`.
pub const EVICTED: &str = "vltava.dev/evicted";
/// The keys that the manifest had brokers told at run time, separated by commas.
pub const APPLIED_CONFIG: &str = "vltava.dev/applied-config";

/// Which brokers the operator cordoned as they are to go: their numbers, separated by commas.
pub const CORDONED: &str = "vltava.dev/cordoned";
/// Which topics the operator throttles while their partitions move, separated by commas.
pub const THROTTLED: &str = "vltava.dev/throttled";
/// What the manifest said when the topics were applied last.
pub const APPLIED_TOPICS: &str = "vltava.dev/applied-topics";
/// What is noted of what brokers were told: it is in force as long as their volumes are there, so
/// it is noted on the first one's claim, too.
pub const NOTES: [&str; 4] = [APPLIED_CONFIG, APPLIED_TOPICS, CORDONED, THROTTLED];
/// The label of a pod's number.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// Where nodes serve probes and metrics.
pub use vltava_crd::ADMIN_PORT;
/// Where coordinators listen.
pub const COORDINATOR_PORT: i32 = 9093;

/// The name of a cluster.
pub fn name(cluster: &KafkaCluster) -> &str {
    cluster.metadata.name.as_deref().unwrap_or_default()
}

/// The namespace of a cluster.
pub fn namespace(cluster: &KafkaCluster) -> &str {
    cluster.metadata.namespace.as_deref().unwrap_or_default()
}

/// The name of a component's StatefulSet and of its headless Service.
pub fn set(cluster: &KafkaCluster, component: Component) -> String {
    format!("{}-{}", name(cluster), component.name())
}

/// The name of a pod.
pub fn pod(cluster: &KafkaCluster, component: Component, ordinal: i32) -> String {
    format!("{}-{ordinal}", set(cluster, component))
}

/// The claim of a pod's volume.
pub fn claim(cluster: &KafkaCluster, component: Component, ordinal: i32) -> String {
    format!("data-{}", pod(cluster, component, ordinal))
}

/// Where clients inside begin.
pub fn bootstrap(cluster: &KafkaCluster) -> String {
    format!("{}-bootstrap", name(cluster))
}

/// The name of the ConfigMap by which the quorum is founded.
pub fn founding(cluster: &KafkaCluster) -> String {
    format!("{}-founding", name(cluster))
}

/// The name of the Service of one broker's listener outside.
pub fn outside(cluster: &KafkaCluster, listener: &Listener, broker: i32) -> String {
    format!("{}-{}-{broker}", name(cluster), listener.object_name())
}

/// The host of a component's pods, found by all of them.
pub fn host_of_set(cluster: &KafkaCluster, component: Component) -> String {
    format!("{}.{}.svc", set(cluster, component), namespace(cluster))
}

/// The host of one pod.
pub fn host(cluster: &KafkaCluster, component: Component, ordinal: i32) -> String {
    format!("{}.{}", pod(cluster, component, ordinal), host_of_set(cluster, component))
}

/// Labels of everything that a cluster has.
pub fn labels(cluster: &KafkaCluster) -> BTreeMap<String, String> {
    let pairs = [
        ("app.kubernetes.io/name", "vltava"),
        ("app.kubernetes.io/instance", name(cluster)),
        ("app.kubernetes.io/managed-by", MANAGER),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Labels of what a component has.
pub fn labels_of(cluster: &KafkaCluster, component: Component) -> BTreeMap<String, String> {
    let mut labels = labels(cluster);
    labels.insert("app.kubernetes.io/component".to_owned(), component.name().to_owned());
    labels
}

/// Labels by which a component's pods are found; they never change.
pub fn selector(cluster: &KafkaCluster, component: Component) -> BTreeMap<String, String> {
    let mut labels = labels_of(cluster, component);
    labels.remove("app.kubernetes.io/managed-by");
    labels
}

/// Labels as a selector's text.
pub fn text(labels: &BTreeMap<String, String>) -> String {
    let parts: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    parts.join(",")
}
