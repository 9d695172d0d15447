//! AllocateProducerIds (67): a broker gets a block of ids for its producers (KIP-730).

use vltava_wire::messages::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
use vltava_wire::records::metadata::ProducerIdsRecord;
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId};

use super::{Controller, Decision, Failure};

/// Ids of one block, as Kafka's.
const BLOCK_LEN: i32 = 1000;

impl Controller {
    /// Hands the next block out. A block that was handed out is never handed out again.
    ///
    /// # Errors
    /// NOT_CONTROLLER; BROKER_ID_NOT_REGISTERED or STALE_BROKER_EPOCH.
    pub fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<Decision<AllocateProducerIdsResponse>, Failure> {
        let (id, epoch) = (NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
        self.check_broker_epoch(id, epoch)?;
        let start = self.active()?.image.next_producer_id();
        let Some(next_producer_id) = start.checked_add(i64::from(BLOCK_LEN)) else {
            let message = "all producer ids have been handed out";
            return Err(Failure::new(ErrorCode::UNKNOWN_SERVER_ERROR, message));
        };
        let record = ProducerIdsRecord {
            broker_id: request.broker_id,
            broker_epoch: request.broker_epoch,
            next_producer_id,
        };
        let response = AllocateProducerIdsResponse {
            producer_id_start: start,
            producer_id_len: BLOCK_LEN,
            ..AllocateProducerIdsResponse::default()
        };
        Ok(Decision::of(vec![record.into()], response))
    }
}
