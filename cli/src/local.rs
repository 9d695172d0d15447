//! A cluster on this machine: its data folder, its processes, and the verbs about them.

mod assign;
pub mod control;
mod data_dir;
mod foreground;
pub mod logs;
mod manifest_file;
pub mod node_name;
mod ports;
mod process;
pub mod ps;
mod readiness;
mod replicas;
mod settings;
mod shutdown;
mod state;
mod tail;
mod topics;
pub mod up;

pub use data_dir::DataDir;
pub(crate) use foreground::Ends;
pub use state::ClusterState;
