//! The command of an image: one node, configured by its environment and perhaps a file.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use vltava_config::{Loaded, Role, load};

/// Runs one node: `NAME [FILE]`, its settings from `KAFKA_…` variables above those of the file.
#[allow(clippy::print_stderr, clippy::print_stdout, reason = "a command talks to people")]
pub fn main<E: Error>(
    name: &str,
    role: Role,
    run: impl FnOnce(Loaded) -> Result<(), E>,
) -> ExitCode {
    let first = std::env::args_os().nth(1);
    match first.as_ref().and_then(|argument| argument.to_str()) {
        Some("-h" | "--help") => {
            println!(
                "Usage: {name} [FILE]\n\nRuns one node. FILE holds settings as KEY=VALUE lines; \
                 KAFKA_… variables stand above it.\nEvery key: docs/configuration.md"
            );
            return ExitCode::SUCCESS;
        }
        Some("-V" | "--version") => {
            println!("{name} {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // A variable that is not Unicode can be none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let outcome = load(role, first.map(PathBuf::from).as_deref(), variables)
        .map_err(|error| vltava_net::error_chain(&error))
        .and_then(|loaded| run(loaded).map_err(|error| vltava_net::error_chain(&error)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}
