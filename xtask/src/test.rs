//! `cargo xtask test`: everything that must pass before a change lands.

use std::time::Instant;

use clap::Args;

use crate::{process, say, setup, tidy};

/// What to leave out.
#[derive(Args)]
pub struct Options {
    /// Only the tests: neither tidy, nor formatting, nor clippy.
    #[arg(long)]
    tests_only: bool,
}

/// Runs the parts one after the other and says how long each took.
pub fn run(options: &Options) -> Result<(), String> {
    timed("set-up", setup::packages)?;
    if !options.tests_only {
        timed("tidy", tidy::run)?;
        timed("format", || process::cargo("fmt --all --check", &[]))?;
        timed("clippy", || {
            process::cargo(
                "clippy --quiet --workspace --all-targets --all-features -- -D warnings",
                &[],
            )
        })?;
    }
    // The nodes that the end-to-end tests start.
    timed("build", || process::cargo("build --quiet -p vltava-cli --bin vltava", &[]))?;
    timed("tests", || process::cargo("test --workspace --all-features", &[]))
}

fn timed(name: &str, part: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    part()?;
    say(&format!("xtask: {name}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}
