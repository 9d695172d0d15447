//! `vltava broker` and `vltava coordinator`: one node, in this process.

use vltava_config::{Loaded, Role};

use crate::args::NodeArgs;
use crate::error::CliError;
use crate::watchdog;

/// Runs a broker until it is told to stop.
///
/// # Errors
/// [`CliError::Config`] if its settings cannot be used, [`CliError::RunNode`] if it failed,
/// [`CliError::NoNodes`] if this build has none.
pub fn broker(args: &NodeArgs) -> Result<(), CliError> {
    let loaded = load(Role::Broker, args)?;
    watchdog::start(&loaded.values).map_err(CliError::Watchdog)?;
    #[cfg(feature = "nodes")]
    return vltava_broker::run(loaded).map_err(|error| CliError::RunNode(error.into()));
    #[cfg(not(feature = "nodes"))]
    return none(&loaded);
}

/// Runs a coordinator until it is told to stop.
///
/// # Errors
/// As [`broker`].
pub fn coordinator(args: &NodeArgs) -> Result<(), CliError> {
    let loaded = load(Role::Coordinator, args)?;
    #[cfg(feature = "nodes")]
    return vltava_coordinator::run(loaded).map_err(|error| CliError::RunNode(error.into()));
    #[cfg(not(feature = "nodes"))]
    return none(&loaded);
}

#[cfg(not(feature = "nodes"))]
fn none(_loaded: &Loaded) -> Result<(), CliError> {
    Err(CliError::NoNodes)
}

fn load(role: Role, args: &NodeArgs) -> Result<Loaded, CliError> {
    // A variable that is not Unicode can be none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    vltava_config::load(role, args.config.as_deref(), variables).map_err(CliError::Config)
}
