//! The one place where errors become Kafka's codes.

use vltava_wire::ErrorCode;

use crate::controller::ControllerError;

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
