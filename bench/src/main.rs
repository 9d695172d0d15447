//! `cargo xtask bench`: the same load on Vltava and on Apache Kafka, in turns, and what it cost.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

mod client;
mod consume;
mod figure;
mod ground;
mod latency;
mod machine;
mod members;
mod meter;
mod plot;
mod produce;
mod raw;
mod report;
mod scenario;
mod subject;
mod system;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use ground::{Ground, Scale};
use report::Results;
use scenario::{SCENARIOS, Scenario};
use subject::{Side, Subject};
use vltava_e2e::Outcome;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// Apache Kafka, from its own jars.
    Kafka,
}

#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", about = "Measures Vltava, beside Apache Kafka if asked")]
struct Cli {
    /// With whom to compare.
    #[arg(long)]
    peer: Option<Peer>,
    /// Which scenarios, by name; all if none is named.
    #[arg(long = "scenario")]
    scenarios: Vec<String>,
    /// How often each is measured on each side, after a run that warms it up.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Seconds for each scenario, to see that it works; its figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Where the data of the brokers goes; a folder under the system's temporary one if not said.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Writes the results into this page and plots beside it.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Only say which scenarios there are.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        SCENARIOS.iter().for_each(|it| println!("{:<4}{:<23}{}", it.number, it.name, it.title));
        return ExitCode::SUCCESS;
    }
    match run(&cli) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("bench: {failed} scenarios failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is asked for; returns how many scenarios failed.
fn run(cli: &Cli) -> Outcome<usize> {
    if let Some(name) = cli.scenarios.iter().find(|it| SCENARIOS.iter().all(|s| s.name != **it)) {
        return Err(format!("there is no scenario {name}; --list names them"));
    }
    let wanted =
        |it: &&Scenario| cli.scenarios.is_empty() || cli.scenarios.iter().any(|n| n == it.name);
    let scale = if cli.quick { Scale::quick() } else { Scale::full() };
    let pairs = if cli.quick { 1 } else { cli.pairs.max(1) };
    let machine = machine::Machine::look()?;
    println!("{}", machine.text());
    let mut ground: Option<Ground> = None;
    let mut failed = 0;
    for scenario in SCENARIOS.iter().filter(wanted) {
        let fits = ground.as_ref().is_some_and(|it| it.brokers() == scenario.brokers);
        if !fits {
            // The nodes of the other shape end before new ones start.
            drop(ground.take());
            ground = Some(Ground::new(cli.data.as_deref(), scenario.brokers, scale)?);
        }
        let ground = ground.as_mut().expect("made above");
        println!("\n{} {}: {}", scenario.number, scenario.name, scenario.title);
        match measure(scenario, ground, cli.peer.is_some(), pairs, cli.quick) {
            Ok(results) => {
                println!("{}", results.table());
                if let Some(page) = &cli.report {
                    report::write(page, &machine, scenario, &results, &command())?;
                }
            }
            Err(error) => {
                println!("{}: FAILED: {error}", scenario.name);
                failed += 1;
            }
        }
    }
    Ok(failed)
}

/// One scenario on each subject in turns: a round that warms up, then those that count.
fn measure(
    scenario: &Scenario,
    ground: &mut Ground,
    with_peer: bool,
    pairs: usize,
    quick: bool,
) -> Outcome<Results> {
    let subjects: Vec<Subject> = scenario
        .subjects
        .iter()
        .copied()
        .filter(|it| with_peer || it.side == Side::Vltava)
        .collect();
    let mut results = Results::new(&subjects, pairs);
    let warm_up = usize::from(!quick && scenario.warms_up);
    for round in 0..warm_up + pairs {
        for subject in &subjects {
            let start = Instant::now();
            let sample = (scenario.run)(ground, *subject, round)
                .map_err(|error| format!("{subject}: {error}"))?;
            let name = if round < warm_up { "warm-up" } else { "counts" };
            println!("  {subject:<18} {name:<8} {:>5.1?}  {sample}", start.elapsed());
            if round >= warm_up {
                results.take(*subject, sample);
            }
        }
    }
    Ok(results)
}

/// How this program was called, as a user would call it.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo xtask bench {}", arguments.join(" "))
}
