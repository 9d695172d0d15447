//! UnregisterBroker (64): a broker that will not come back is forgotten.

use vltava_wire::records::metadata::UnregisterBrokerRecord;
use vltava_wire::{ErrorCode, NodeId};

use super::leadership::Outcome;
use super::{Controller, Decision, Failure};

impl Controller {
    /// Forgets a broker, once it is out of all ISRs where another remains.
    ///
    /// # Errors
    /// NOT_CONTROLLER; BROKER_ID_NOT_REGISTERED.
    pub fn unregister_broker(&self, id: NodeId) -> Result<Decision<()>, Failure> {
        let active = self.active()?;
        let Some(broker) = active.image.broker(id) else {
            let message = format!("Broker ID {id} is not currently registered");
            return Err(Failure::new(ErrorCode::BROKER_ID_NOT_REGISTERED, message));
        };
        let mut outcome = Outcome::default();
        active.remove_from_isrs(id, &mut outcome);
        let record =
            UnregisterBrokerRecord { broker_id: id.get(), broker_epoch: broker.epoch.get() };
        outcome.records.push(record.into());
        Ok(outcome.decide(()))
    }
}
