//! Other programs, run in the workspace's folder.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// Runs cargo with words separated by blanks, then with `rest` as it is.
pub fn cargo(words: &str, rest: &[String]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(words.split(' ')).args(rest);
    run(&mut command)
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let status = command
        .current_dir(root())
        .status()
        .map_err(|error| format!("{name} could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}")) }
}

/// Whether a program is on the PATH.
pub fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}
