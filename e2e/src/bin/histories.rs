//! `cargo xtask histories`: random clients, transactional and plain, while nodes are killed and
//! paused; what they did and were told is checked against what a log promises.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use vltava_e2e::Outcome;
use vltava_e2e::histories::{self, Settings};

#[derive(Parser)]
#[command(bin_name = "cargo xtask histories", about = "Checks what random clients did and saw")]
struct Cli {
    /// How many histories.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How long the clients of each work, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// The seed of the first; random if none is named. Each further one has the next.
    #[arg(long)]
    seed: Option<u64>,
    /// Keep the histories in this folder, as lines of JSON.
    #[arg(long, value_name = "FOLDER")]
    history_dir: Option<PathBuf>,
    /// Plant a fault (its name, or all in turn), which must be found.
    #[arg(long, value_name = "FAULT", num_args = 0..=1, default_missing_value = "all")]
    planted: Option<String>,
    /// Only check this history again.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    match run(&cli, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("histories: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, seed: u64) -> Outcome {
    if let Some(path) = &cli.check {
        return histories::check_kept(path);
    }
    println!("histories: seed {seed}");
    if let Some(name) = &cli.planted {
        return histories::run_planted(name, seed);
    }
    if let Some(folder) = &cli.history_dir {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    histories::run(&Settings {
        seed,
        count: cli.count,
        lasts: Duration::from_secs(cli.seconds),
        folder: cli.history_dir.clone(),
    })
}
