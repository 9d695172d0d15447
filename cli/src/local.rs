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

use node_name::NodeName;

pub use data_dir::DataDir;
pub(crate) use foreground::Ends;
pub use state::ClusterState;

/// The coordinators of the folder's cluster that do not run, and how many there are in all.
///
/// # Errors
/// [`CliError::NoCluster`] if the folder has none.
pub(crate) fn coordinators_down(dir: &DataDir) -> Result<(Vec<NodeName>, usize), CliError> {
    let state = ClusterState::existing(dir, true)?;
    let (down, up): (Vec<NodeName>, Vec<NodeName>) = state
        .coordinators()
        .map(|(name, _)| name)
        .partition(|name| !process::is_running(dir, *name));
    let all = down.len() + up.len();
    Ok((down, all))
}

/// Whether any broker of the folder's cluster runs.
///
/// # Errors
/// [`CliError::NoCluster`] if the folder has none.
pub(crate) fn runs_a_broker(dir: &DataDir) -> Result<bool, CliError> {
    let state = ClusterState::existing(dir, true)?;
    let mut brokers = state.nodes.keys().filter(|name| name.is_broker());
    Ok(brokers.any(|name| process::is_running(dir, *name)))
}
