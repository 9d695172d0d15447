//! How a process is told to end.

pub use tokio_util::sync::CancellationToken;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for the first SIGTERM or SIGINT and returns its name.
///
/// # Errors
/// If the process may not handle signals.
pub async fn signalled() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
