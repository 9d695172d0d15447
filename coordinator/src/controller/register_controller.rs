//! ControllerRegistration (70): a coordinator says where it is, and what it supports (KIP-919).

use vltava_metadata::{MetadataRecord, bytes_in_batch};
use vltava_wire::messages::ControllerRegistrationRequest;
use vltava_wire::records::metadata::{
    ControllerEndpoint, ControllerFeature, RegisterControllerRecord,
};
use vltava_wire::{ErrorCode, NodeId};

use super::register_broker::REGISTRATION_BYTES_MAX;
use super::{Controller, Decision, Failure};

/// The most listeners or features that a coordinator may register; it has a few.
const PARTS_MAX: usize = 64;

impl Controller {
    /// Registers a coordinator.
    ///
    /// # Errors
    /// NOT_CONTROLLER; INVALID_REGISTRATION.
    pub fn register_controller(
        &self,
        request: &ControllerRegistrationRequest,
    ) -> Result<Decision<()>, Failure> {
        let image = &self.active()?.image;
        if request.listeners.len() > PARTS_MAX || request.features.len() > PARTS_MAX {
            let message = "a coordinator has a bounded number of listeners and features";
            return Err(Failure::new(ErrorCode::INVALID_REGISTRATION, message));
        }
        let end_points = request.listeners.iter().map(|listener| ControllerEndpoint {
            name: listener.name.detach(),
            host: listener.host.detach(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        });
        let features = request.features.iter().map(|feature| ControllerFeature {
            name: feature.name.detach(),
            min_supported_version: feature.min_supported_version,
            max_supported_version: feature.max_supported_version,
        });
        let mut record = RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: request.zk_migration_ready,
            end_points: end_points.collect(),
            features: features.collect(),
        };
        record.end_points.sort_by(|one, other| one.name.cmp(&other.name));
        record.features.sort_by(|one, other| one.name.cmp(&other.name));
        let record = MetadataRecord::from(record);
        if bytes_in_batch(&record) > REGISTRATION_BYTES_MAX {
            let message = "a coordinator's listeners and features have short names";
            return Err(Failure::new(ErrorCode::INVALID_REGISTRATION, message));
        }
        let present = image.controller(NodeId(request.controller_id));
        let unchanged =
            present.is_some_and(|present| MetadataRecord::from(present.to_record()) == record);
        let records = if unchanged { Vec::new() } else { vec![record] };
        Ok(Decision::of(records, ()))
    }
}
