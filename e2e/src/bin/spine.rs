//! `cargo xtask spine`: holds a running cluster against what it promises, check by check.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use vltava_e2e::spine::{CHECKS, Check, Settings};

#[derive(Parser)]
#[command(bin_name = "cargo xtask spine", about = "Holds a cluster against what it promises")]
struct Cli {
    /// Which checks; all if none is named.
    checks: Vec<String>,
    /// Only say which checks there are.
    #[arg(long)]
    list: bool,
    /// How long the check `saturation` takes.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        CHECKS.iter().for_each(|check| println!("{:<16} {}", check.name, check.promise));
        return ExitCode::SUCCESS;
    }
    if let Some(name) = cli.checks.iter().find(|name| CHECKS.iter().all(|it| it.name != **name)) {
        eprintln!("spine: there is no check {name}; --list names them");
        return ExitCode::FAILURE;
    }
    let wanted =
        |check: &&Check| cli.checks.is_empty() || cli.checks.iter().any(|name| name == check.name);
    let settings = Settings { saturated_for: Duration::from_secs(cli.minutes * 60) };
    let (mut passed, mut failed) = (0, 0);
    for check in CHECKS.iter().filter(wanted) {
        println!("{}: {}", check.name, check.promise);
        let start = Instant::now();
        match (check.run)(&settings) {
            Ok(found) => {
                passed += 1;
                println!("{}: ok in {:.1?}: {found}", check.name, start.elapsed());
            }
            Err(error) => {
                failed += 1;
                println!("{}: FAILED in {:.1?}: {error}", check.name, start.elapsed());
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
