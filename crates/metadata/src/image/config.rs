//! What was set on topics and brokers while the cluster ran.

use std::collections::BTreeMap;

use vltava_wire::{NodeId, Str};

/// What was set on a resource, by key.
pub type ConfigMap = BTreeMap<Str, Str>;

/// A kind of resource that has a configuration; Kafka's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceType(pub i8);

impl ResourceType {
    /// A topic.
    pub const TOPIC: Self = Self(2);
    /// A broker, or all of them.
    pub const BROKER: Self = Self(4);
    /// The loggers of a broker.
    pub const BROKER_LOGGER: Self = Self(8);
    /// A subscription to the metrics of clients.
    pub const CLIENT_METRICS: Self = Self(16);
    /// A consumer group.
    pub const GROUP: Self = Self(32);
}

/// What a configuration is set on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its kind.
    pub kind: ResourceType,
    /// The topic's name, or the broker's id; empty for all brokers.
    pub name: Str,
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: &str) -> Self {
        Self { kind: ResourceType::TOPIC, name: name.into() }
    }

    /// One broker (or coordinator).
    pub fn broker(id: NodeId) -> Self {
        Self { kind: ResourceType::BROKER, name: id.to_string().into() }
    }

    /// All brokers and coordinators.
    pub fn all_brokers() -> Self {
        Self { kind: ResourceType::BROKER, name: Str::default() }
    }
}
