//! The cluster as the metadata log describes it.

mod apply;
mod cluster;
mod config;
mod snapshot;
mod topic;

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use vltava_config::keys;
use vltava_wire::{LeaderEpoch, NodeId, Offset, PartitionId, Str, Uuid};

pub use apply::ApplyError;
pub use cluster::{BrokerRegistration, ControllerRegistration, Endpoint, VersionRange};
pub use config::{ConfigMap, ConfigResource, ResourceType};
pub use topic::{LeaderRecoveryState, PartitionRegistration, TopicImage};

use crate::{Changes, KRAFT_VERSION, METADATA_VERSION};

/// The record that an image was brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The offset of the last record that was applied; −1 before the first.
    pub offset: Offset,
    /// The epoch of the quorum's leader that appended it; −1 before the first.
    pub epoch: LeaderEpoch,
    /// When it was appended, in ms since 1970 by that leader's clock; −1 before the first.
    pub timestamp: i64,
}

impl Provenance {
    /// Nothing was applied yet.
    pub const NONE: Self = Self { offset: Offset(-1), epoch: LeaderEpoch::UNKNOWN, timestamp: -1 };
}

/// The whole cluster at one offset of the metadata log. Cheap to clone.
///
/// Two images are equal if they describe the same cluster at the same offset;
/// [`digest`](Self::digest) compares the cluster alone, across processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    cluster_id: Str,
    features: OrdMap<Str, i16>,
    brokers: OrdMap<NodeId, Arc<BrokerRegistration>>,
    /// The unfenced brokers in the order in which they were unfenced.
    ///
    /// Snapshots keep it: brokers are written in this order.
    seniority: Vec<NodeId>,
    controllers: OrdMap<NodeId, Arc<ControllerRegistration>>,
    topics: OrdMap<Uuid, TopicImage>,
    topic_ids: OrdMap<Str, Uuid>,
    configs: OrdMap<ConfigResource, Arc<ConfigMap>>,
    next_producer_id: i64,
    provenance: Provenance,
}

impl Image {
    /// An empty cluster of that id (which is in no record: each node's folder says it).
    pub fn new(cluster_id: Str) -> Self {
        Self {
            cluster_id,
            features: OrdMap::new(),
            brokers: OrdMap::new(),
            seniority: Vec::new(),
            controllers: OrdMap::new(),
            topics: OrdMap::new(),
            topic_ids: OrdMap::new(),
            configs: OrdMap::new(),
            next_producer_id: 0,
            provenance: Provenance::NONE,
        }
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> &Str {
        &self.cluster_id
    }

    /// The record that the image was brought to.
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// Notes the record that the image was brought to, where it was not [`replay`](Self::replay)
    /// that brought it there.
    pub fn set_provenance(&mut self, provenance: Provenance) {
        self.provenance = provenance;
    }

    /// The features' levels by name, in force for the whole cluster.
    pub fn features(&self) -> &OrdMap<Str, i16> {
        &self.features
    }

    /// The level of a feature, in force for the whole cluster; 0 if it has none.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The level of `metadata.version`; 0 before the first record.
    pub fn metadata_version(&self) -> i16 {
        self.feature_level(METADATA_VERSION)
    }

    /// The level of `kraft.version`; 0 before the first record.
    pub fn kraft_version(&self) -> i16 {
        self.feature_level(KRAFT_VERSION)
    }

    /// Sets the level of `kraft.version`, which comes as a control record of the quorum.
    pub fn set_kraft_version(&mut self, level: i16, changes: &mut Changes) {
        if self.kraft_version() != level {
            self.features.insert(Str::from_static(KRAFT_VERSION), level);
            changes.features = true;
        }
    }

    /// A registered broker, fenced or not.
    pub fn broker(&self, id: NodeId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// The registered brokers, fenced or not, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// Whether a broker is registered and unfenced.
    pub fn is_unfenced(&self, id: NodeId) -> bool {
        self.broker(id).is_some_and(|broker| !broker.fenced)
    }

    /// Whether a broker may lead or join an ISR: unfenced, and not about to shut down.
    pub fn is_active(&self, id: NodeId) -> bool {
        self.broker(id).is_some_and(|broker| !broker.fenced && !broker.in_controlled_shutdown)
    }

    /// The broker that Metadata answers as the controller: the one that has been unfenced longest.
    ///
    /// All images agree on it, it is alive, and it changes only when that broker is fenced.
    pub fn senior_broker(&self) -> Option<NodeId> {
        self.seniority.first().copied()
    }

    /// A registered coordinator.
    pub fn controller(&self, id: NodeId) -> Option<&Arc<ControllerRegistration>> {
        self.controllers.get(&id)
    }

    /// The registered coordinators, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerRegistration>> {
        self.controllers.values()
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// A topic by its id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&TopicImage> {
        self.topics.get(&id)
    }

    /// The id of a topic.
    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.topic_ids.get(name).copied()
    }

    /// All topics, by id.
    pub fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.topics.values()
    }

    /// All topics, by name.
    pub fn topics_by_name(&self) -> impl Iterator<Item = &TopicImage> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// The names of all topics from `first` on, in order.
    pub fn topic_names_from(&self, first: &str) -> impl Iterator<Item = &Str> {
        self.topic_ids
            .range::<(Bound<&str>, Bound<&str>), str>((Bound::Included(first), Bound::Unbounded))
            .map(|(name, _)| name)
    }

    /// How many topics there are.
    pub fn topics_len(&self) -> usize {
        self.topics.len()
    }

    /// A partition by its topic's id.
    pub fn partition(
        &self,
        topic: Uuid,
        partition: PartitionId,
    ) -> Option<&Arc<PartitionRegistration>> {
        self.topics.get(&topic)?.partitions.get(&partition)
    }

    /// What was set on a resource, by key; `None` if nothing was.
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<ConfigMap>> {
        self.configs.get(resource)
    }

    /// What was set on a topic, by key.
    pub fn topic_config(&self, name: &str) -> Arc<ConfigMap> {
        self.config(&ConfigResource::topic(name)).cloned().unwrap_or_default()
    }

    /// What was set on one broker, by key.
    pub fn broker_config(&self, id: NodeId) -> Arc<ConfigMap> {
        self.config(&ConfigResource::broker(id)).cloned().unwrap_or_default()
    }

    /// Whether new replicas are kept off a broker (`cordoned.log.dirs`, KIP-1066).
    pub fn is_cordoned(&self, id: NodeId) -> bool {
        let set = self.config(&ConfigResource::broker(id));
        let directories = set.and_then(|config| config.get(keys::CORDONED_LOG_DIRS.name()));
        directories.is_some_and(|text| text.split(',').any(|directory| directory.trim() == "*"))
    }

    /// What was set on all brokers, by key.
    pub fn cluster_config(&self) -> Arc<ConfigMap> {
        self.config(&ConfigResource::all_brokers()).cloned().unwrap_or_default()
    }

    /// Whether nothing was set or removed on any resource between the two; may say no all the same.
    pub fn has_configs_of(&self, other: &Self) -> bool {
        self.configs.ptr_eq(&other.configs)
    }

    /// All resources of which something was set.
    pub fn configs(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<ConfigMap>)> {
        self.configs.iter()
    }

    /// The first producer id that was not handed out yet.
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    pub(crate) fn broker_map(&self) -> &OrdMap<NodeId, Arc<BrokerRegistration>> {
        &self.brokers
    }

    pub(crate) fn controller_map(&self) -> &OrdMap<NodeId, Arc<ControllerRegistration>> {
        &self.controllers
    }

    pub(crate) fn topic_map(&self) -> &OrdMap<Uuid, TopicImage> {
        &self.topics
    }

    pub(crate) fn config_map(&self) -> &OrdMap<ConfigResource, Arc<ConfigMap>> {
        &self.configs
    }
}
