//! `cargo xtask clients`: programs that use a cluster by the client libraries of other languages.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

use std::process::ExitCode;

use clap::Parser;
use vltava_e2e::clients::{CLIENTS, run};

#[derive(Parser)]
#[command(bin_name = "cargo xtask clients", about = "Runs a program for each client library")]
struct Cli {
    /// Which clients; all if none is named.
    clients: Vec<String>,
    /// Leave out those for which a library in C is compiled first.
    #[arg(long)]
    quick: bool,
    /// Only say which clients there are.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for client in CLIENTS {
            println!("{:<26} needs {}", client.name, client.tools.join(", "));
        }
        return ExitCode::SUCCESS;
    }
    match run(&cli.clients, cli.quick) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clients: {error}");
            ExitCode::FAILURE
        }
    }
}
