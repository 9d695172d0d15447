//! Runs the quorum's simulator over many seeds, or shows that it finds planted bugs.
//!
//! `simulate [--seeds N] [--seed S] [--steps N] [--planted NAME|all]`: N seeds from S on; prints
//! what happened in each, and for a run that fails how to repeat it. With `--planted`, the seeds
//! are tried until one finds the bug.

use std::io::Write;
use std::process::ExitCode;

use vltava_quorum::sim::{Recipe, STEPS, Stats, run};

const USAGE: &str = "simulate [--seeds N] [--seed S] [--steps N] [--quiet] [--trail N]
         [--planted NAME|all]

  --seeds N       how many seeds to run (default 100)
  --seed S        the first seed (default 1)
  --steps N       how many steps trouble lasts in each run
  --quiet         print the totals alone
  --trail N       of a run that fails, print the last N events and effects
  --planted NAME  build with --features planted: show in how many seeds a planted bug is found";

#[derive(Debug)]
struct Options {
    seeds: u64,
    seed: u64,
    steps: u64,
    quiet: bool,
    trail: usize,
    planted: Option<String>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return say(USAGE, ExitCode::SUCCESS),
        Err(what) => return complain(&format!("{what}\n{USAGE}")),
    };
    match options.planted.clone() {
        Some(name) => planted::hunt(&name, &options),
        None => survey(&options),
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let (seeds, seed, steps) = (100, 1, STEPS);
    let mut options = Options { seeds, seed, steps, quiet: false, trail: 0, planted: None };
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "-h" | "--help" => return Ok(None),
            "--quiet" => options.quiet = true,
            "--planted" => options.planted = Some(value(&name, arguments.next())?),
            "--seeds" => options.seeds = number(&name, arguments.next())?,
            "--seed" => options.seed = number(&name, arguments.next())?,
            "--trail" => options.trail = number(&name, arguments.next())? as usize,
            "--steps" => options.steps = number(&name, arguments.next())?,
            _ => return Err(format!("unknown argument {name}")),
        }
    }
    Ok(Some(options))
}

fn value(name: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("{name} needs a value"))
}

fn number(name: &str, given: Option<String>) -> Result<u64, String> {
    let given = value(name, given)?;
    given.parse().map_err(|_| format!("{name} needs a number, not {given}"))
}

/// Runs all seeds; the first failure ends it.
fn survey(options: &Options) -> ExitCode {
    let mut total = Stats::default();
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        let Options { steps, trail, .. } = *options;
        let recipe = Recipe { steps, trail, ..Recipe::new(seed) };
        match run(recipe) {
            Ok(stats) => {
                if !options.quiet {
                    say(&format!("seed {seed}: {stats}"), ExitCode::SUCCESS);
                }
                total.add(&stats);
            }
            Err(failure) => {
                let lines = [failure.trail.join("\n"), failure.nodes.join("\n")].join("\n");
                let (stats, again) = (&failure.stats, failure.command());
                return complain(&format!("{lines}\n{failure}\n{stats}\nagain: {again}"));
            }
        }
    }
    say(&format!("{} seeds passed: {total}", options.seeds), ExitCode::SUCCESS)
}

/// Prints a line, and ends quietly if nobody reads it.
fn say(text: &str, code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) -> ExitCode {
    // If nobody reads the complaint, the exit code is left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

#[cfg(not(feature = "planted"))]
mod planted {
    //! Without planted bugs there is nothing to hunt.

    use std::process::ExitCode;

    pub(super) fn hunt(_: &str, _: &super::Options) -> ExitCode {
        super::complain("--planted needs a build with --features planted")
    }
}

#[cfg(feature = "planted")]
mod planted {
    //! Shows in how many seeds each planted bug is found.

    use std::process::ExitCode;

    use vltava_quorum::planted::Bug;
    use vltava_quorum::sim::{Recipe, find};

    use super::{Options, complain, say};

    pub(super) fn hunt(name: &str, options: &Options) -> ExitCode {
        let named = |bug: &Bug| name == "all" || name.eq_ignore_ascii_case(&format!("{bug:?}"));
        let bugs: Vec<Bug> = Bug::ALL.into_iter().filter(named).collect();
        if bugs.is_empty() {
            return complain(&format!("no planted bug {name}; there are {:?}", Bug::ALL));
        }
        let mut code = ExitCode::SUCCESS;
        for bug in bugs {
            let recipe = Recipe { steps: options.steps, ..Recipe::new(options.seed) };
            let within = bug.seeds_max();
            match find(bug, recipe) {
                Some(failure) => {
                    let nth = failure.recipe.seed - options.seed + 1;
                    let text = format!("{bug:?}: seed {nth} of at most {within}: {}", failure.what);
                    say(&text, ExitCode::SUCCESS);
                }
                None => code = complain(&format!("{bug:?}: not found in {within} seeds")),
            }
        }
        code
    }
}
