//! The broker alone, as images run it: `vltava-broker [FILE]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vltava_node::main("vltava-broker", vltava_config::Role::Broker, vltava_broker::run)
}
