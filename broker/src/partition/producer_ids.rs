//! Ids for idempotent producers, drawn from blocks that the coordinator hands out (KIP-730).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use vltava_wire::messages::AllocateProducerIdsRequest;
use vltava_wire::{ErrorCode, NodeId, ProducerId};

use crate::controller::{Controller, ControllerError};
use crate::metadata::ClusterView;

/// How long a client may wait for a block: less than the 30 s after which clients give up.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The pause between two questions while there is no active coordinator.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no id.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProducerIdError {
    /// The coordinator cannot be asked.
    #[error("no block of producer ids")]
    Controller(#[from] ControllerError),
    /// The coordinator refused.
    #[error("the coordinator refuses a block of producer ids: {0}")]
    Refused(ErrorCode),
    /// It did not answer, or others wait for that still.
    #[error("no block of producer ids within {WAIT_MAX:?}")]
    TimedOut,
}

#[derive(Debug, Default, Clone, Copy)]
struct Block {
    next: i64,
    end: i64,
}

/// Ids for idempotent producers; never the same one twice in a cluster.
#[derive(Debug, Default)]
pub struct ProducerIds(Mutex<Block>);

impl ProducerIds {
    /// A new id. Asks the coordinator for a block when the last one is used up; others wait
    /// meanwhile.
    ///
    /// # Errors
    /// No coordinator gave a block in time.
    pub async fn next(
        &self,
        me: NodeId,
        cluster: &ClusterView,
        controller: &Arc<dyn Controller>,
    ) -> Result<ProducerId, ProducerIdError> {
        let deadline = Instant::now() + WAIT_MAX;
        let late = |_| ProducerIdError::TimedOut;
        let mut block = timeout_at(deadline, self.0.lock()).await.map_err(late)?;
        if block.next >= block.end {
            let allocated = allocate(me, cluster, controller, deadline);
            *block = timeout_at(deadline, allocated).await.map_err(late)??;
        }
        let id = block.next;
        block.next += 1;
        Ok(ProducerId(id))
    }
}

async fn allocate(
    me: NodeId,
    cluster: &ClusterView,
    controller: &Arc<dyn Controller>,
    deadline: Instant,
) -> Result<Block, ProducerIdError> {
    loop {
        let request = AllocateProducerIdsRequest {
            broker_id: me.get(),
            broker_epoch: cluster.broker_epoch().get(),
        };
        let error = match controller.allocate_producer_ids(request).await {
            Ok(response) if response.error_code.is_ok() && response.producer_id_len > 0 => {
                let start = response.producer_id_start;
                return Ok(Block { next: start, end: start + i64::from(response.producer_id_len) });
            }
            Ok(response) => ProducerIdError::Refused(response.error_code),
            Err(error) => error.into(),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
