//! What the broker asks of the active coordinator, apart from its own registration.

use futures::future::BoxFuture;
use vltava_wire::ErrorCode;
use vltava_wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest,
    AlterPartitionResponse, AssignReplicasToDirsRequest, AssignReplicasToDirsResponse,
};

/// Why the active coordinator gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControllerError {
    /// No coordinator says that it is active, or none can be reached.
    #[error("no active coordinator is known")]
    NoActive,
    /// The connection broke, or the answer did not come in time.
    #[error("the active coordinator did not answer: {0}")]
    Call(String),
    /// It took what was forwarded for no request that it could carry out.
    #[error("the active coordinator refused: {0}")]
    Refused(ErrorCode),
}

/// The active coordinator, wherever it is at the moment.
///
/// Each call is tried once: who asks knows whether to ask again.
pub trait Controller: Send + Sync + 'static {
    /// Proposes new in-sync replicas (KIP-497). The broker id and epoch are the caller's to fill.
    fn alter_partition(
        &self,
        request: AlterPartitionRequest,
    ) -> BoxFuture<'static, Result<AlterPartitionResponse, ControllerError>>;

    /// Reserves a block of producer ids (KIP-730).
    fn allocate_producer_ids(
        &self,
        request: AllocateProducerIdsRequest,
    ) -> BoxFuture<'static, Result<AllocateProducerIdsResponse, ControllerError>>;

    /// Says in which log directories replicas lie (KIP-858). The broker id and epoch are the
    /// caller's to fill.
    fn assign_replicas_to_dirs(
        &self,
        request: AssignReplicasToDirsRequest,
    ) -> BoxFuture<'static, Result<AssignReplicasToDirsResponse, ControllerError>>;
}
