//! What a command prints: lines, tables, JSON; and its one line when it fails.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::error::CliError;

/// Whether the command goes on when nobody reads what it prints.
static GOES_ON: AtomicBool = AtomicBool::new(false);

/// What is printed from now on is told beside the work, which must be done whether anybody reads it
/// or not: without this `vltava stop broker-1 broker-2 | head -1` would stop one.
pub(crate) fn need_not_be_read() {
    GOES_ON.store(true, Ordering::Relaxed);
}

/// Prints one line to standard output.
///
/// # Errors
/// [`CliError::BrokenPipe`] if nobody reads any more.
pub fn line(text: impl Display) -> Result<(), CliError> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints bytes to standard output, as they are.
///
/// # Errors
/// [`CliError::BrokenPipe`] if nobody reads any more.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(source) if source.kind() == ErrorKind::BrokenPipe => {
            if GOES_ON.load(Ordering::Relaxed) { Ok(()) } else { Err(CliError::BrokenPipe) }
        }
        outcome => outcome.map_err(CliError::Print),
    }
}

/// Prints a value as indented JSON.
///
/// # Errors
/// [`CliError::BrokenPipe`] if nobody reads any more.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).expect("what is printed has text keys");
    line(text)
}

/// Prints rows below a head, each column as wide as it needs to be.
///
/// # Errors
/// [`CliError::BrokenPipe`] if nobody reads any more.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Result<(), CliError> {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: [&str; N]| {
        let padded: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(padded.join("  ").trim_end())
    };
    print(head)?;
    rows.iter().try_for_each(|row| print(row.each_ref().map(String::as_str)))
}

/// Says on standard error what a person should know, though it is no failure.
pub fn notice(text: impl Display) {
    // If nobody hears it, nothing can be done about it.
    let _ = writeln!(std::io::stderr().lock(), "vltava: {text}");
}

/// Says in one line on standard error why the command failed.
pub(crate) fn complain(error: &CliError) {
    let text = vltava_net::error_chain(error);
    notice(text.lines().map(str::trim).collect::<Vec<_>>().join("; "));
}

/// Whether standard output is a terminal, where colours help.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
