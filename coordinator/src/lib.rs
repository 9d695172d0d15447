//! The coordinator: the metadata quorum that keeps the cluster.
//!
//! The walk of a request: a frame comes in by `vltava_net`, [`api`] decodes it and hands it to the
//! [`driver`]'s loop, where the [`controller`] decides upon the image, the quorum's machine gives
//! the records an offset, [`store`] appends and flushes them, the other coordinators fetch them,
//! and once the high watermark has passed them the answer goes out.
//!
//! *Invariants:* the loop alone touches machine, controller, image and disk; [`controller`] is
//! pure; nothing that is not committed is ever answered.

mod api;
mod clock;
pub mod controller;
mod driver;
mod folder;
mod founding;
mod metrics;
mod peers;
mod quorum_state;
mod registration;
mod server;
mod status;
mod store;

pub use api::served;
pub use driver::DriverError;
pub use folder::FolderError;
pub use server::{Coordinator, RunError, run};
pub use status::Status;
