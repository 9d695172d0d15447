//! An image as records: what a snapshot holds.

use vltava_wire::records::metadata::{
    ConfigRecord, FeatureLevelRecord, ProducerIdsRecord, TopicRecord,
};
use vltava_wire::{Str, Uuid};

use super::Image;
use crate::{KRAFT_VERSION, METADATA_VERSION, MetadataRecord};

/// Offset basis and prime of the 64-bit FNV-1a hash.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

impl Image {
    /// The records that build this image from an empty one, in an order that is always the same.
    ///
    /// `kraft.version` is not among them: it is a control record of the snapshot.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        self.each_record(|record| records.push(record));
        records
    }

    /// Hands the records of [`to_records`](Self::to_records) on, one after the other.
    pub fn each_record(&self, mut emit: impl FnMut(MetadataRecord)) {
        self.each_feature(&mut emit);
        for controller in self.controllers.values() {
            emit(controller.to_record().into());
        }
        // Unfenced brokers in the order in which they were unfenced, so that whoever loads this
        // agrees on who is the senior one.
        for broker in self.seniority.iter().filter_map(|id| self.brokers.get(id)) {
            emit(broker.to_record().into());
        }
        for broker in self.brokers.values().filter(|broker| broker.fenced) {
            emit(broker.to_record().into());
        }
        for topic in self.topics.values() {
            emit(TopicRecord { name: topic.name.clone(), topic_id: topic.id }.into());
            for (partition, registration) in &topic.partitions {
                emit(registration.to_record(topic.id, *partition).into());
            }
        }
        for (resource, config) in &self.configs {
            for (name, value) in config.iter() {
                emit(config_record(resource.kind.0, &resource.name, name, value));
            }
        }
        if self.next_producer_id > 0 {
            let next_producer_id = self.next_producer_id;
            emit(ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id }.into());
        }
    }

    /// `metadata.version` comes first: it says how what follows is to be read.
    fn each_feature(&self, emit: &mut impl FnMut(MetadataRecord)) {
        let first = self.features.get_key_value(METADATA_VERSION);
        let others = self
            .features
            .iter()
            .filter(|(name, _)| *name != METADATA_VERSION && *name != KRAFT_VERSION);
        for (name, level) in first.into_iter().chain(others) {
            emit(FeatureLevelRecord { name: name.clone(), feature_level: *level }.into());
        }
    }

    /// A fingerprint of the cluster (not of the offset), the same in every process.
    pub fn digest(&self) -> u64 {
        let mut hash = FNV_BASIS;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
            }
        };
        add(self.cluster_id.as_bytes());
        add(&self.kraft_version().to_be_bytes());
        self.each_record(|record| add(&record.encode()));
        hash
    }

    /// How many partitions there are.
    pub fn partitions_len(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// The topics' ids, in order.
    pub fn topic_id_list(&self) -> Vec<Uuid> {
        self.topics.keys().copied().collect()
    }
}

fn config_record(kind: i8, resource: &Str, name: &Str, value: &Str) -> MetadataRecord {
    ConfigRecord {
        resource_type: kind,
        resource_name: resource.clone(),
        name: name.clone(),
        value: Some(value.clone()),
    }
    .into()
}
