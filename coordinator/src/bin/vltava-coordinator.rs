//! The coordinator alone, as images run it: `vltava-coordinator [FILE]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vltava_node::main(
        "vltava-coordinator",
        vltava_config::Role::Coordinator,
        vltava_coordinator::run,
    )
}
