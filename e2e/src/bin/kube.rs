//! `cargo xtask e2e`: the product on a real Kubernetes, scenario by scenario.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use vltava_e2e::kube::images::{Images, kind_load};
use vltava_e2e::kube::scenarios::{SCENARIOS, Scenario};
use vltava_e2e::kube::{Bounds, Shell, World};
use vltava_e2e::{Outcome, seconds};

#[derive(Parser)]
#[command(bin_name = "cargo xtask e2e", about = "The product on a real Kubernetes")]
struct Cli {
    /// Which cluster; kubectl's own choice where it is not said
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Only this scenario; may be repeated
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Every scenario, and not only those that run each time
    #[arg(long)]
    all: bool,
    /// Only say which scenarios there are
    #[arg(long)]
    list: bool,
    /// The command that brings images to the nodes and gets their names; '' if they are there
    /// [default: kind load docker-image]
    #[arg(long, value_name = "COMMAND")]
    load: Option<String>,
    /// The tag of the images
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// How many seconds may pass without an acknowledgement when a leader's pod is killed
    #[arg(long, default_value = "3", value_name = "SECONDS", value_parser = seconds)]
    gap_max: Duration,
    /// How many seconds may pass from nothing to the first record
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    first_record_max: Duration,
    /// Leave the namespaces of scenarios that fail as they are
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for Scenario { name, promise, always, .. } in SCENARIOS {
            println!("{name:<16} {} {promise}", if *always { "*" } else { " " });
        }
        println!("Those marked * run where none is named.");
        return ExitCode::SUCCESS;
    }
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("e2e: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is wanted; says whether all of it passed.
fn run(cli: &Cli) -> Outcome<bool> {
    let known = |name: &&String| SCENARIOS.iter().any(|it| it.name == **name);
    if let Some(name) = cli.scenario.iter().find(|name| !known(name)) {
        return Err(format!("there is no scenario {name}; --list names them"));
    }
    let world = world(cli)?;
    world.find_host()?;
    world.operator()?;
    let wanted = |scenario: &&Scenario| match cli.scenario.as_slice() {
        [] => cli.all || scenario.always,
        names => names.iter().any(|name| name == scenario.name),
    };
    let (mut passed, mut failed) = (0, Vec::new());
    let start = Instant::now();
    for scenario in SCENARIOS.iter().filter(wanted) {
        match try_one(scenario, &world, cli.keep) {
            Ok(()) => passed += 1,
            Err(failure) => failed.push(failure),
        }
    }
    println!("{passed} passed, {} failed in {:.0?}", failed.len(), start.elapsed());
    // Once more at the end: what there is to see of a failure is long, and buries its reason.
    for failure in &failed {
        println!("{failure}");
    }
    Ok(failed.is_empty())
}

/// Tries one; what it says if it fails is its name, its time and the reason.
fn try_one(scenario: &Scenario, world: &World, keep: bool) -> Result<(), String> {
    println!("{}: {}", scenario.name, scenario.promise);
    let start = Instant::now();
    let outcome = (scenario.run)(world);
    let took = start.elapsed();
    match outcome {
        Ok(found) => {
            println!("{}: ok in {took:.1?}: {found}", scenario.name);
            Ok(())
        }
        Err(error) => {
            let failure = format!("{}: FAILED in {took:.1?}: {error}", scenario.name);
            println!("{failure}\n{}", world.evidence(scenario.name));
            if !keep {
                world.tidy_up(scenario.name);
            }
            Err(failure)
        }
    }
}

fn world(cli: &Cli) -> Outcome<World> {
    let shell = Shell::new(cli.kubeconfig.clone());
    let load = match cli.load.as_deref() {
        None => Some(kind_load(&shell)?),
        Some("") => None,
        Some(command) => Some(command.split_whitespace().map(str::to_owned).collect()),
    };
    let images = Images::new(&cli.tag, load);
    images.load(&shell)?;
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().ok_or("e2e lies in no workspace")?.to_path_buf();
    let bounds = Bounds { gap: cli.gap_max, first_record: cli.first_record_max };
    Ok(World { shell, images, root, bounds })
}
