//! Brokers and coordinators as they registered.

use std::collections::BTreeMap;

use vltava_wire::records::metadata::{
    BrokerEndpoint, BrokerFeature, ControllerEndpoint, ControllerFeature, RegisterBrokerRecord,
    RegisterControllerRecord,
};
use vltava_wire::{BrokerEpoch, NodeId, Str, Uuid};

/// Where a listener can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The advertised host.
    pub host: Str,
    /// The advertised port.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 and 3 SASL over each.
    pub security_protocol: i16,
}

/// The levels of a feature that a node supports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

/// A broker as it registered (KIP-631), and what the active coordinator made of it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker's id.
    pub id: NodeId,
    /// The offset of this registration's record.
    pub epoch: BrokerEpoch,
    /// The id of the process that registered.
    pub incarnation: Uuid,
    /// Where it can be reached, by listener name.
    pub endpoints: BTreeMap<Str, Endpoint>,
    /// The features that it supports, by name.
    pub features: BTreeMap<Str, VersionRange>,
    /// The rack that it stands in.
    pub rack: Option<Str>,
    /// Whether it may not lead, nor be in an ISR.
    pub fenced: bool,
    /// Whether it is about to shut down in order: it gets no new leadership.
    pub in_controlled_shutdown: bool,
    /// The ids of its log directories that work, in ascending order (KIP-858).
    pub directories: Vec<Uuid>,
}

impl BrokerRegistration {
    /// Where it can be reached by that listener.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.get(listener)
    }

    /// Whether it has that log directory, or the directory is none that could be missed: a
    /// reserved id (unassigned, migrating) is not known to be lost.
    pub fn has_online_directory(&self, directory: Uuid) -> bool {
        directory == Uuid::UNASSIGNED_DIR
            || directory == Uuid::MIGRATING_DIR
            || self.directories.contains(&directory)
    }

    pub(super) fn from_record(record: &RegisterBrokerRecord) -> Self {
        let mut directories = record.log_dirs.clone();
        directories.sort_unstable();
        Self {
            id: NodeId(record.broker_id),
            epoch: BrokerEpoch(record.broker_epoch),
            incarnation: record.incarnation_id,
            endpoints: record.end_points.iter().map(broker_endpoint).collect(),
            features: record.features.iter().map(broker_feature).collect(),
            rack: record.rack.as_ref().map(Str::detach),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories,
        }
    }

    /// The record that says all of this.
    pub fn to_record(&self) -> RegisterBrokerRecord {
        let end_points = self.endpoints.iter().map(|(name, endpoint)| BrokerEndpoint {
            name: name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = self.features.iter().map(|(name, range)| BrokerFeature {
            name: name.clone(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        RegisterBrokerRecord {
            broker_id: self.id.get(),
            is_migrating_zk_broker: false,
            incarnation_id: self.incarnation,
            broker_epoch: self.epoch.get(),
            end_points: end_points.collect(),
            features: features.collect(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.directories.clone(),
        }
    }
}

fn broker_endpoint(endpoint: &BrokerEndpoint) -> (Str, Endpoint) {
    let BrokerEndpoint { name, host, port, security_protocol } = endpoint;
    let (port, security_protocol) = (*port, *security_protocol);
    (name.detach(), Endpoint { host: host.detach(), port, security_protocol })
}

fn broker_feature(feature: &BrokerFeature) -> (Str, VersionRange) {
    let (min, max) = (feature.min_supported_version, feature.max_supported_version);
    (feature.name.detach(), VersionRange { min, max })
}

/// A coordinator as it registered (KIP-919).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The coordinator's id.
    pub id: NodeId,
    /// The id of the process that registered.
    pub incarnation: Uuid,
    /// Where it can be reached, by listener name.
    pub endpoints: BTreeMap<Str, Endpoint>,
    /// The features that it supports, by name.
    pub features: BTreeMap<Str, VersionRange>,
}

impl ControllerRegistration {
    pub(super) fn from_record(record: &RegisterControllerRecord) -> Self {
        let endpoint = |endpoint: &ControllerEndpoint| {
            let ControllerEndpoint { name, host, port, security_protocol } = endpoint;
            let (port, security_protocol) = (*port, *security_protocol);
            (name.detach(), Endpoint { host: host.detach(), port, security_protocol })
        };
        let feature = |feature: &ControllerFeature| {
            let (min, max) = (feature.min_supported_version, feature.max_supported_version);
            (feature.name.detach(), VersionRange { min, max })
        };
        Self {
            id: NodeId(record.controller_id),
            incarnation: record.incarnation_id,
            endpoints: record.end_points.iter().map(endpoint).collect(),
            features: record.features.iter().map(feature).collect(),
        }
    }

    /// The record that says all of this.
    pub fn to_record(&self) -> RegisterControllerRecord {
        let end_points = self.endpoints.iter().map(|(name, endpoint)| ControllerEndpoint {
            name: name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        });
        let features = self.features.iter().map(|(name, range)| ControllerFeature {
            name: name.clone(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
        RegisterControllerRecord {
            controller_id: self.id.get(),
            incarnation_id: self.incarnation,
            zk_migration_ready: false,
            end_points: end_points.collect(),
            features: features.collect(),
        }
    }
}
