//! The one place where errors become Kafka's codes.

use vltava_wire::ErrorCode;

use crate::controller::ControllerError;
use crate::group::log::AppendError;

/// What a client is told about an error.
pub trait ToErrorCode {
    /// The code that stands for this error.
    fn code(&self) -> ErrorCode;
}

impl ToErrorCode for ControllerError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoActive => ErrorCode::NOT_CONTROLLER,
            Self::Call(_) => ErrorCode::REQUEST_TIMED_OUT,
        }
    }
}

impl ToErrorCode for AppendError {
    /// As members of groups are told: whether to look for another coordinator, or to come back.
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotLeader | Self::Storage(_) => ErrorCode::NOT_COORDINATOR,
            Self::NotEnoughReplicas => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            Self::TooLarge => ErrorCode::UNKNOWN_SERVER_ERROR,
        }
    }
}
