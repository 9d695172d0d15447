//! The coordinator alone, as images run it: `vltava-coordinator [FILE]`.

use std::path::PathBuf;
use std::process::ExitCode;

use vltava_config::{Role, load};

#[allow(clippy::print_stderr, reason = "a command says why it fails")]
fn main() -> ExitCode {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let outcome = load(Role::Coordinator, file.as_deref(), std::env::vars())
        .map_err(|error| error.to_string())
        .and_then(|loaded| {
            vltava_coordinator::run(loaded).map_err(|error| vltava_net::error_chain(&error))
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vltava-coordinator: {error}");
            ExitCode::FAILURE
        }
    }
}
