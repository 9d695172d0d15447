//! Why a call had no answer, or not the one that was hoped for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use vltava_wire::batch::BatchError;
use vltava_wire::{ApiKey, DecodeError, ErrorCode, Versions};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The host has no address.
    #[error("cannot resolve {address}")]
    Resolve {
        /// Host and port.
        address: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Nobody accepts connections there.
    #[error("cannot connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// Connecting, or negotiating versions, took too long.
    #[error("no connection to {address} within {after:?}")]
    ConnectTimeout {
        /// Host and port.
        address: String,
        /// The time that was allowed.
        after: Duration,
    },
    /// The connection ended before the answer came; whether the request was carried out is not
    /// known.
    #[error("the connection to {address} ended: {reason}")]
    Closed {
        /// Host and port.
        address: String,
        /// What ended it.
        reason: Arc<str>,
    },
    /// The answer did not come in time; whether the request was carried out is not known.
    #[error("{address} did not answer {key} within {after:?}")]
    Timeout {
        /// Host and port.
        address: String,
        /// The kind of request.
        key: ApiKey,
        /// The time that was allowed.
        after: Duration,
    },
    /// The peer does not serve the request in a version that this client speaks.
    #[error("{address} does not serve {key} in versions {} to {}", .ours.min, .ours.max)]
    UnsupportedVersion {
        /// Host and port.
        address: String,
        /// The kind of request.
        key: ApiKey,
        /// What this client speaks.
        ours: Versions,
    },
    /// The answer cannot be read.
    #[error("the answer to {key} makes no sense")]
    Decode {
        /// The kind of request.
        key: ApiKey,
        /// Where it goes wrong.
        source: DecodeError,
    },
    /// A fetched batch cannot be read.
    #[error("{topic}-{partition} holds a batch that makes no sense")]
    Batch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it goes wrong.
        source: BatchError,
    },
    /// The cluster refused.
    #[error("{what}: {}", code_and_message(*.code, .message.as_deref()))]
    Refused {
        /// What was asked for, such as `topic orders`.
        what: String,
        /// Kafka's error.
        code: ErrorCode,
        /// The cluster's words, if it had any.
        message: Option<String>,
    },
    /// No node that was asked knows a node with this id.
    #[error("node {id}: no such node is known")]
    UnknownNode {
        /// The id.
        id: i32,
    },
    /// No node that could be asked is known or reachable.
    #[error("no node of the cluster can be reached ({tried}); last: {last}")]
    NoNode {
        /// The addresses that were tried.
        tried: String,
        /// What happened last.
        last: String,
    },
    /// Retries went on until the time was up.
    #[error("gave up after {after:?}: {last}")]
    Deadline {
        /// The time that was allowed.
        after: Duration,
        /// What happened last.
        last: Box<ClientError>,
    },
    /// The call cannot be made with these arguments.
    #[error("{0}")]
    Invalid(String),
}

impl ClientError {
    /// Kafka's error, if it was the cluster that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Deadline { last, .. } => last.code(),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later, perhaps at another node.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::UnknownNode { .. }
            | Self::NoNode { .. } => true,
            Self::Refused { code, .. } => code.is_retriable(),
            Self::UnsupportedVersion { .. }
            | Self::Decode { .. }
            | Self::Batch { .. }
            | Self::Deadline { .. }
            | Self::Invalid(_) => false,
        }
    }

    /// Whether nobody can say if the request was carried out: its answer is lost, or whoever was
    /// to carry it out stopped deciding, or ran out of time, before it was done.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Closed { .. } | Self::Timeout { .. } => true,
            Self::Refused { code, .. } => matches!(
                *code,
                ErrorCode::NOT_CONTROLLER
                    | ErrorCode::NOT_LEADER_OR_FOLLOWER
                    | ErrorCode::REQUEST_TIMED_OUT
            ),
            _ => false,
        }
    }

    /// Success, or the refusal that a code and a message stand for.
    pub(crate) fn check(
        what: impl FnOnce() -> String,
        code: ErrorCode,
        message: Option<&str>,
    ) -> Result<(), Self> {
        match code.is_ok() {
            true => Ok(()),
            false => Err(Self::Refused { what: what(), code, message: message.map(str::to_owned) }),
        }
    }
}

fn code_and_message(code: ErrorCode, message: Option<&str>) -> String {
    match message {
        // Kafka's own words for it speak of a server that does not host it.
        _ if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => format!("it does not exist ({code})"),
        Some(message) if !message.is_empty() => format!("{message} ({code})"),
        _ if code == ErrorCode::GROUP_ID_NOT_FOUND => format!("it does not exist ({code})"),
        _ => code.to_string(),
    }
}
