//! Decisions, pure: what is seen of the cluster goes in, what may be done next comes out.
//!
//! What follows from the manifest and the cluster alone is in `vltava_crd::plan`, shared with
//! `vltava up`; here is what only Kubernetes has: pods, budgets, volumes.
//!
//! *Invariant:* the pods are listed before the cluster is asked. So a pod that is ready in the list
//! was ready when the cluster answered, and what the cluster says of its broker is not older.

pub mod disruption;
#[cfg(test)]
pub(crate) mod fixture;
pub mod health;
pub mod rollout;
pub mod start;
pub mod throttle;

pub use vltava_crd::plan::{
    BrokerView, ClusterView, ConfigValue, PartitionId, PartitionView, QuorumView, ReplicaView,
    TopicView, moves, settings, voters,
};

use vltava_crd::FIRST_COORDINATOR_ID;

/// What a pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A node that holds partitions.
    Broker,
    /// A node that keeps the metadata.
    Coordinator,
}

impl Component {
    /// As it is written in the names of objects and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Coordinator => "coordinator",
        }
    }

    /// The node id of the pod with this ordinal; ordinals start at 1.
    pub const fn node_id(self, ordinal: i32) -> i32 {
        match self {
            Self::Broker => ordinal,
            Self::Coordinator => FIRST_COORDINATOR_ID - 1 + ordinal,
        }
    }
}

/// A pod as the API server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its uid: another pod of the same name has another.
    pub uid: String,
    /// What it runs.
    pub component: Component,
    /// Its ordinal in the StatefulSet, from 1.
    pub ordinal: i32,
    /// The revision that it was made of (the label `controller-revision-hash`).
    pub revision: String,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
    /// Whether its container runs at the moment.
    pub running: bool,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Why it does not come up, in Kubernetes' words, where they say that it does not come up by
    /// itself: `CrashLoopBackOff: …`, `ImagePullBackOff: …`, unschedulable.
    pub trouble: Option<String>,
}

impl PodView {
    /// The id of the node that it runs.
    pub const fn node_id(&self) -> i32 {
        self.component.node_id(self.ordinal)
    }
}

/// A StatefulSet with its pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetView {
    /// How many pods it is to have (`spec.replicas`).
    pub replicas: i32,
    /// The revision that new pods get (`status.updateRevision`); `None` while the controller has
    /// not seen the newest generation of the set.
    pub update_revision: Option<String>,
    /// Its pods.
    pub pods: Vec<PodView>,
}

/// Something that a person should read: an Event of the KafkaCluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// Whether it is of type `Warning`.
    pub warning: bool,
    /// Its reason: one word in CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub note: String,
}

impl Notice {
    /// Something that is as it should be.
    pub fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason, note: note.into() }
    }

    /// Something that is not.
    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, reason, note: note.into() }
    }
}
