//! What every node does on a socket: listeners, connections, budgets, admin port.
//!
//! A [`Server`] owns the listeners. Each connection is one task ([`mod@connection`]) that reads
//! frames ahead, gives each to the [`Handler`] in the order in which they came, and writes the
//! answers in that same order. A handler does what must be done in order before it returns; what
//! then takes long it leaves to a future ([`Reply::Later`]), and the requests behind go on.
//!
//! *Invariants:* nothing here knows what a request means. Memory for a frame is charged to the
//! process's [`Budget`] before it is filled and given back when the last byte string that shares
//! it is dropped; over budget, sockets are not read. No buffer is sized by a declared length.
//!
//! Beside that: the port for people and probes ([`admin`]), logs ([`logging`], [`RateLimit`]),
//! and how a process is told to end ([`shutdown`]).

pub mod admin;
mod answer;
mod budget;
mod connection;
mod descriptors;
mod frame;
mod guess;
mod handler;
mod in_flight;
mod limits;
mod listener;
pub mod loggers;
pub mod logging;
mod metrics;
mod outgoing;
mod process;
mod rate_limit;
mod reactors;
mod region;
mod server;
mod sessions;
pub mod shutdown;

pub use answer::{Answer, Frame, Reply};
pub use budget::{Budget, Charge};
pub use descriptors::raise_descriptor_limit;
pub use handler::{ConnectionId, Handler, Inbound, Opened};
pub use limits::Limits;
pub use listener::{BindError, BoundListener, ListenerConfig};
pub use logging::error_chain;
pub use metrics::NetMetrics;
pub use process::ProcessMetrics;
pub use rate_limit::RateLimit;
pub use reactors::Reactors;
pub use region::Region;
pub use server::Server;
pub use shutdown::CancellationToken;
