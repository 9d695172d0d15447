//! The `vltava` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    vltava_cli::main()
}
