//! Other programs, run to their end with a text on their standard input.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::Outcome;

/// Runs a program with this on its standard input until it ends. `line` names it in errors.
///
/// # Errors
/// If it cannot be started, fed or waited for; how it ended is in what is returned.
pub(crate) fn feed(command: &mut Command, line: &str, input: &str) -> Outcome<Output> {
    let failed = |error: std::io::Error| format!("{line}: {error}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(failed)?;
    }
    child.wait_with_output().map_err(failed)
}

/// As [`feed`]; returns what the program printed.
///
/// # Errors
/// What it said on its standard error, if it failed.
pub(crate) fn fed(command: &mut Command, line: &str, input: &str) -> Outcome<String> {
    let output = feed(command, line, input)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
