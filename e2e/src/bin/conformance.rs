//! `cargo xtask conformance`: suites that others wrote, against a cluster of ours or Apache Kafka.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use vltava_e2e::Outcome;
use vltava_e2e::conformance::{Peer, librdkafka, page, results, tools};

#[derive(Parser)]
#[command(bin_name = "cargo xtask conformance", about = "Runs suites that others wrote")]
struct Cli {
    /// Which suite; both if none is named.
    #[arg(long, value_enum)]
    suite: Option<Suite>,
    /// Against whom librdkafka's tests run. (Apache's tools are always run against both.)
    #[arg(long, value_enum, default_value = "vltava")]
    peer: Whom,
    /// By which protocol the consumers of librdkafka's tests join their groups.
    #[arg(long, value_enum, default_value = "classic")]
    protocol: Protocol,
    /// Only these: numbers of librdkafka's tests, names of Apache's tools.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many of librdkafka's tests run at a time.
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Where to keep what librdkafka's tests print.
    #[arg(long, default_value = "target/conformance")]
    logs: PathBuf,
    /// Only write docs/conformance.md anew, from what was found before.
    #[arg(long)]
    page: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Suite {
    Librdkafka,
    Tools,
}

#[derive(Clone, Copy, ValueEnum)]
enum Whom {
    Vltava,
    Kafka,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Classic,
    Consumer,
}

fn run(cli: Cli) -> Outcome {
    if cli.page {
        return page::write();
    }
    if cli.suite != Some(Suite::Tools) {
        let options = librdkafka::Options {
            peer: match cli.peer {
                Whom::Vltava => Peer::Vltava,
                Whom::Kafka => Peer::Kafka,
            },
            protocol: match cli.protocol {
                Protocol::Classic => "classic".to_owned(),
                Protocol::Consumer => "consumer".to_owned(),
            },
            only: cli.only.clone(),
            jobs: cli.jobs,
            logs: cli.logs.clone(),
        };
        let found = librdkafka::run(&options)?;
        let count = |state| found.values().filter(|result| result.state == state).count();
        println!(
            "{} passed, {} failed, {} skipped",
            count(results::State::Passed),
            count(results::State::Failed),
            count(results::State::Skipped)
        );
    }
    if cli.suite != Some(Suite::Librdkafka) {
        tools::run(&cli.only)?;
    }
    page::write()
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}
