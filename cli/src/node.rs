//! `vltava broker` and `vltava coordinator`: one node, in this process.

use vltava_config::{Loaded, Role};

use crate::args::NodeArgs;
use crate::error::CliError;

/// Runs a broker until it is told to stop.
///
/// # Errors
/// [`CliError::Config`] if its settings cannot be used, [`CliError::RunNode`] if it failed.
pub fn broker(args: &NodeArgs) -> Result<(), CliError> {
    let loaded = load(Role::Broker, args)?;
    vltava_broker::run(loaded).map_err(|error| CliError::RunNode(error.into()))
}

/// Runs a coordinator until it is told to stop.
///
/// # Errors
/// [`CliError::Config`] if its settings cannot be used, [`CliError::RunNode`] if it failed.
pub fn coordinator(args: &NodeArgs) -> Result<(), CliError> {
    let loaded = load(Role::Coordinator, args)?;
    vltava_coordinator::run(loaded).map_err(|error| CliError::RunNode(error.into()))
}

fn load(role: Role, args: &NodeArgs) -> Result<Loaded, CliError> {
    // A variable that is not Unicode can be none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    vltava_config::load(role, args.config.as_deref(), variables).map_err(CliError::Config)
}
