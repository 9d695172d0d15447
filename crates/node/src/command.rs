//! The command of an image: one node, configured by its environment and perhaps a file.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use vltava_config::{Loaded, Role, load};

use crate::hand_over;

/// Has a broker hand over what it leads, instead of running one.
const HAND_OVER: &str = "hand-over";

/// Runs one node: `NAME [FILE]`, its settings from `KAFKA_…` variables above those of the file. Or,
/// of a broker, `NAME hand-over [FILE]`: see [`hand_over`].
#[allow(clippy::print_stderr, clippy::print_stdout, reason = "a command talks to people")]
pub fn main<E: Error>(
    name: &str,
    role: Role,
    run: impl FnOnce(Loaded) -> Result<(), E>,
) -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    match arguments.peek().and_then(|argument| argument.to_str()) {
        Some("-h" | "--help") => {
            println!("{}", usage(name, role));
            return ExitCode::SUCCESS;
        }
        Some("-V" | "--version") => {
            println!("{name} {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let hands_over = role == Role::Broker
        && arguments.next_if(|argument| argument.to_str() == Some(HAND_OVER)).is_some();
    let file = arguments.next().map(PathBuf::from);
    // A variable that is not Unicode can be none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let outcome = load(role, file.as_deref(), variables)
        .map_err(|error| vltava_net::error_chain(&error))
        .and_then(|loaded| match hands_over {
            true => hand_over(&loaded.values).map_err(|error| vltava_net::error_chain(&error)),
            false => run(loaded).map_err(|error| vltava_net::error_chain(&error)),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage(name: &str, role: Role) -> String {
    let runs = format!(
        "Usage: {name} [FILE]\n\nRuns one node. FILE holds settings as KEY=VALUE lines; KAFKA_… \
         variables stand above it.\nEvery key: docs/configuration.md"
    );
    match role {
        Role::Broker => format!(
            "{runs}\n\n{name} {HAND_OVER} [FILE]\n\nHas the broker that runs here with these \
             settings hand over what it leads, and waits until\nthat is done: what is run before \
             it is told to end (a preStop hook). It serves nothing afterwards."
        ),
        _ => runs,
    }
}
