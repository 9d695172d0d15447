//! The id under which an idempotent producer numbers its batches (KIP-98).

use tokio::sync::Mutex;
use vltava_wire::messages::InitProducerIdRequest;
use vltava_wire::{ProducerEpoch, ProducerId};

use crate::cluster::Cluster;
use crate::error::ClientError;

/// An id, and the epoch of its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerIdentity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

/// The present id; asked for when it is needed first, and anew after a batch has failed: whether
/// that batch was written is not known, so its sequence numbers can be neither used nor skipped.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    present: Mutex<Option<ProducerIdentity>>,
}

impl Identity {
    /// The present id.
    pub(crate) async fn get(&self, cluster: &Cluster) -> Result<ProducerIdentity, ClientError> {
        let mut present = self.present.lock().await;
        if let Some(identity) = *present {
            return Ok(identity);
        }
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        let response = cluster
            .call(&request, |response| {
                ClientError::check(|| "a producer id".to_owned(), response.error_code, None)
            })
            .await?;
        let identity = ProducerIdentity {
            id: ProducerId(response.producer_id),
            epoch: ProducerEpoch(response.producer_epoch),
        };
        *present = Some(identity);
        Ok(identity)
    }

    /// Gives an id up, unless another is in use already.
    pub(crate) async fn give_up(&self, identity: ProducerIdentity) {
        let mut present = self.present.lock().await;
        if *present == Some(identity) {
            *present = None;
        }
    }
}
