//! The disks of the nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size as Kubernetes writes it: `10Gi`. It may grow where the storage class allows that,
    /// and never shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The storage class; the cluster's default where it is not named. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// What becomes of a volume whose node is scaled away, or whose cluster is deleted. With the
    /// cluster the coordinators' volumes are deleted only if the brokers' are too: without them
    /// nobody knows what lies on the brokers'.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reclaim_policy: ReclaimPolicy,
}

/// What becomes of a volume that no node uses any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It stays, and a cluster of the same name finds its data again.
    #[default]
    Retain,
    /// It is deleted with all that is on it.
    Delete,
}

fn is_default(policy: &ReclaimPolicy) -> bool {
    *policy == ReclaimPolicy::default()
}
