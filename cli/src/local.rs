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
mod voters;

use crate::error::CliError;

use node_name::NodeName;

pub use data_dir::DataDir;
pub(crate) use foreground::Ends;
pub(crate) use process::stands_still;
pub use state::ClusterState;

/// Why the folder's cluster has no active coordinator, and what to do; `None` if the folder does
/// not tell.
///
/// # Errors
/// [`CliError::NoCluster`] if the folder has none.
pub(crate) fn leaderless(dir: &DataDir) -> Result<Option<String>, CliError> {
    let state = ClusterState::existing(dir, true)?;
    let (down, up): (Vec<NodeName>, Vec<NodeName>) = state
        .coordinators()
        .map(|(name, _)| name)
        .partition(|name| !process::is_running(dir, *name));
    let all = down.len() + up.len();
    if up.len() > all / 2 {
        let sound = voters::disks(dir, &state) == voters::Disks::Sound;
        return Ok((!sound).then(|| voters::lost(dir, &state).to_string()));
    }
    let names: Vec<String> = down.iter().map(ToString::to_string).collect();
    Ok(Some(format!(
        "{} of {all} coordinators {}, and {} needed; `vltava start {}`",
        up.len(),
        if up.len() == 1 { "runs" } else { "run" },
        if all == 1 { "1 is".to_owned() } else { format!("{} are", all / 2 + 1) },
        names.join(" ")
    )))
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
