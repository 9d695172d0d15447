//! The Kafka protocol codec: messages, headers and record batches.
//!
//! One declaration a message (`messages/`, `records/`), from which encoding and decoding of every
//! version come ([`message`]). Nothing here knows sockets, clocks or files.
//!
//! *Invariant:* no allocation is sized by a length that the wire declares: a collection reserves
//! at most what the bytes left could hold, and what a frame may grow to in memory is bounded
//! ([`Reader`]).

pub mod api_key;
pub mod arbitrary;
pub mod batch;
pub mod compression;
pub mod error_code;
pub mod header;
pub mod message;
pub mod messages;
pub mod operations;
pub mod reader;
mod record_bytes;
pub mod records;
mod string;
mod types;
mod uuid;
pub mod writer;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use message::{Message, Request, Version, Versions};
pub use reader::{DecodeError, DecodeErrorKind, Reader};
pub use record_bytes::RecordBytes;
pub use string::Str;
pub use types::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId};
pub use uuid::Uuid;
pub use writer::Writer;
