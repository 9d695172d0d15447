//! Other programs, run in the workspace's folder.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the workspace").to_path_buf()
}

/// The cargo that runs this.
pub fn cargo_command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs cargo with words separated by blanks, then with `rest` as it is.
pub fn cargo(words: &str, rest: &[String]) -> Result<(), String> {
    let mut command = cargo_command();
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

/// Runs a program to its end and returns what it printed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = format!("{command:?}");
    let output = command
        .current_dir(root())
        .output()
        .map_err(|error| format!("{name} could not be started: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} ended with {}: {}", output.status, error.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The target that this machine compiles for by itself, as `x86_64-unknown-linux-gnu`.
pub fn host_target() -> Result<String, String> {
    let text = output(Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc -vV names no host: {text}"))
}
