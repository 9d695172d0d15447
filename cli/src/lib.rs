//! The vltava command: one binary that runs a cluster on this machine and talks to any cluster.
//!
//! [`args`] is what can be typed. [`local`] runs brokers and coordinators as processes with a data
//! folder: `up`, `ps`, `stop`, `kill`, `start`, `logs`, `down`. [`cluster`] asks a cluster by the
//! Kafka protocol: topics, groups, configs, the quorum, producing, consuming. [`node`] is what such
//! a process runs: `vltava broker`, with a [`watchdog`] beside it, and `vltava coordinator`.

use std::process::ExitCode;

pub mod args;
pub mod cluster;
pub mod error;
pub mod local;
pub mod node;
pub mod output;
mod usage;
mod watchdog;

use args::{Cli, Command};
use error::CliError;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match usage::read() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match run(cli) {
        Ok(()) | Err(CliError::BrokenPipe) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        // A node builds a runtime of its own.
        Command::Broker(args) => node::broker(&args),
        Command::Coordinator(args) => node::coordinator(&args),
        Command::Watchdog(args) => watchdog::run(&args),
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(CliError::Runtime)?;
            runtime.block_on(Box::pin(dispatch(&cli.data_dir, command)))
        }
    }
}

async fn dispatch(data_dir: &std::path::Path, command: Command) -> Result<(), CliError> {
    let dir = local::DataDir::new(data_dir);
    if command.changes_something() {
        output::need_not_be_read();
    }
    match command {
        Command::Up(args) => local::up::run(&dir, &args).await,
        Command::Ps(args) => local::ps::run(&dir, &args),
        Command::Stop(args) => local::control::stop(&dir, &args.nodes).await,
        Command::Kill(args) => local::control::kill(&dir, &args.nodes).await,
        Command::Start(args) => local::control::start(&dir, &args.nodes).await,
        Command::Logs(args) => local::logs::run(&dir, &args).await,
        Command::Down(args) => local::control::down(&dir, &args).await,
        Command::Quorum(args) => cluster::quorum::run(&dir, &args).await,
        Command::Topic(args) => cluster::topic::run(&dir, args).await,
        Command::Produce(args) => cluster::produce::run(&dir, &args).await,
        Command::Consume(args) => cluster::consume::run(&dir, &args).await,
        Command::Group(args) => cluster::group::run(&dir, args).await,
        Command::Config(args) => cluster::config::run(&dir, args).await,
        Command::Broker(_) | Command::Coordinator(_) | Command::Watchdog(_) => Ok(()),
    }
}
