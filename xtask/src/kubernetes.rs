//! `cargo xtask e2e`: builds the images, then runs the scenarios on a real Kubernetes.

use clap::Args;

use crate::{images, process, setup};

/// What to run, and on what.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Options {
    /// Use the images that are there
    #[arg(long)]
    built: bool,
    /// Goes to the program as it is; --help says what it takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the scenarios.
///
/// # Errors
/// If something cannot be built, or a scenario fails.
pub fn run(options: &Options) -> Result<(), String> {
    setup::packages()?;
    let asks = |word: &str| options.rest.iter().any(|it| it == word);
    if !options.built && !asks("--help") && !asks("--list") {
        let tag = options.rest.iter().skip_while(|word| *word != "--tag").nth(1);
        images::build(tag.map(String::as_str))?;
    }
    let program = "run --release --quiet -p vltava-e2e --bin kube --";
    process::cargo(program, &options.rest)
}
