//! The project's own commands: `cargo xtask --help`.

mod chart;
mod images;
mod kubernetes;
mod process;
mod sbom;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The project's own commands", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks what the compiler does not: lengths of files and functions, headers, leftovers.
    Tidy,
    /// Installs what the tests need, then runs tidy, formatting, clippy and every test.
    Test(test::Options),
    /// Runs the simulator of the quorum: `--seeds N [--seed S] [--planted NAME|all]`.
    Simulate(PassedOn),
    /// Kills and pauses nodes of a real cluster under load, then checks every record.
    Chaos(PassedOn),
    /// Checks what random clients, transactional and plain, did and saw while nodes die or pause.
    Histories(PassedOn),
    /// Tries bad input, full disks, idle crowds and the other checks of a running cluster.
    Spine(PassedOn),
    /// Measures Vltava, and Apache Kafka beside it: `--peer kafka`, `--scenario NAME`, `--list`.
    Bench(PassedOn),
    /// Runs one small program for each client library that this machine has the tools for.
    Clients(PassedOn),
    /// Runs suites that others wrote: librdkafka's tests, and Apache's tools on both systems.
    Conformance(PassedOn),
    /// Writes the generated documents anew: docs/configuration.md, docs/protocol.md.
    Docs,
    /// Writes crds/, the chart's copy of it and docs/reference.md anew, from the types.
    Crds,
    /// Builds the images with `docker build` and prints their names, one a line.
    Images(images::Options),
    /// Writes what follows from the chart: definition, README, golden renderings, dist/.
    Chart(chart::Options),
    /// Tries the product on a real Kubernetes, scenario by scenario (`--list` names them).
    E2e(kubernetes::Options),
    /// Checks licences, bans and sources of the dependencies (cargo-deny).
    Deny,
}

/// What needs no database of advisories, which is not to be had everywhere.
const DENY: &str = "deny --all-features check bans licenses sources";

/// Options that go to another program as they are.
#[derive(Args)]
#[command(disable_help_flag = true)]
struct PassedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Tidy => tidy::run(),
        Command::Test(options) => test::run(&options),
        Command::Simulate(passed) => simulate(&passed.rest),
        Command::Chaos(passed) => chaos(&passed.rest),
        Command::Histories(passed) => e2e("histories", &passed.rest),
        Command::Spine(passed) => e2e("spine", &passed.rest),
        Command::Clients(passed) => e2e("clients", &passed.rest),
        Command::Conformance(passed) => conformance(&passed.rest),
        Command::Bench(passed) => bench(&passed.rest),
        Command::Docs => docs(),
        Command::Crds => process::cargo("run --quiet -p vltava-crd --bin crds", &[])
            .and_then(|()| chart::write_definitions()),
        Command::Images(options) => images::run(&options),
        Command::Chart(options) => chart::run(&options),
        Command::E2e(options) => kubernetes::run(&options),
        Command::Deny => setup::cargo_deny().and_then(|()| process::cargo(DENY, &[])),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Planted bugs are built in only where they are asked for.
fn simulate(rest: &[String]) -> Result<(), String> {
    let planted = rest.iter().any(|argument| argument.starts_with("--planted"));
    let features = if planted { "planted" } else { "sim" };
    let run = "run --release --quiet -p vltava-quorum --bin simulate --features";
    process::cargo(&format!("{run} {features} --"), rest)
}

/// A power cut needs, beside the release binary, one that keeps apart what was synced. It is built
/// without optimisation, as the tests are: what it is about is not speed.
fn chaos(rest: &[String]) -> Result<(), String> {
    if rest.iter().any(|argument| argument == "--power") {
        process::cargo("build --quiet -p vltava-cli --features power-cut", &[])?;
        let built = process::target().join("debug/vltava");
        let kept = process::target().join("release/vltava-power-cut");
        let copied = std::fs::create_dir_all(process::target().join("release"))
            .and_then(|()| std::fs::copy(&built, &kept));
        copied.map_err(|error| format!("{}: {error}", kept.display()))?;
    }
    e2e("chaos", rest)
}

/// The end-to-end programs work on the release binary, which is built first.
fn e2e(program: &str, rest: &[String]) -> Result<(), String> {
    setup::packages()?;
    process::cargo("build --release --quiet -p vltava-cli", &[])?;
    process::cargo(&format!("run --release --quiet -p vltava-e2e --bin {program} --"), rest)
}

/// The page of the protocol is written by the test that holds it: both tables meet there.
fn docs() -> Result<(), String> {
    let mut keys = process::cargo_command();
    keys.args(["run", "--quiet", "-p", "vltava-config", "--bin", "config-docs"]);
    let path = process::root().join("docs/configuration.md");
    std::fs::write(&path, process::output(&mut keys)?)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    let mut protocol = process::cargo_command();
    protocol.args(["test", "--quiet", "-p", "vltava-cli", "--test", "protocol"]);
    process::run(protocol.env("VLTAVA_WRITE_DOCS", "1"))
}

/// librdkafka's tests want the headers of RapidJSON beside compilers and Java.
fn conformance(rest: &[String]) -> Result<(), String> {
    setup::rapidjson()?;
    e2e("conformance", rest)
}

/// The bench works on the release binary, too.
fn bench(rest: &[String]) -> Result<(), String> {
    setup::packages()?;
    process::cargo("build --release --quiet -p vltava-cli", &[])?;
    process::cargo("run --release --quiet -p vltava-bench --", rest)
}

#[allow(clippy::print_stderr, reason = "a command says what failed")]
fn report(error: &str) {
    eprintln!("xtask: {error}");
}

/// One line of progress.
#[allow(clippy::print_stdout, reason = "a command says what it does")]
fn say(line: &str) {
    println!("{line}");
}
