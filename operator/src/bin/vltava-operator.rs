//! The operator, as its image runs it: `vltava-operator`.

use std::process::ExitCode;

#[allow(clippy::print_stderr, reason = "a command says why it fails")]
fn main() -> ExitCode {
    match vltava_operator::server::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vltava-operator: {}", vltava_net::error_chain(&error));
            ExitCode::FAILURE
        }
    }
}
