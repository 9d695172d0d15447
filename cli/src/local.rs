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
mod refusals;
mod replicas;
mod settings;
mod shutdown;
mod state;
mod tail;
mod topics;
pub mod up;

use crate::error::CliError;

pub use data_dir::DataDir;
pub(crate) use foreground::Ends;
pub use state::ClusterState;

/// Whether any broker of the folder's cluster runs.
///
/// # Errors
/// [`CliError::NoCluster`] if the folder has none.
pub(crate) fn runs_a_broker(dir: &DataDir) -> Result<bool, CliError> {
    let state = ClusterState::existing(dir, true)?;
    let mut brokers = state.nodes.keys().filter(|name| name.is_broker());
    Ok(brokers.any(|name| process::is_running(dir, *name)))
}
