//! How a process is told to end.

pub use tokio_util::sync::CancellationToken;

use tokio::signal::unix::{SignalKind, signal};

/// Waits for the first SIGTERM or SIGINT and returns its name. Both are handled from the call on,
/// before the future is awaited: a process with the id 1, as in a container, would otherwise never
/// see one that comes while it starts. Must be called within a runtime.
///
/// # Errors
/// If the process may not handle signals.
pub fn signalled() -> std::io::Result<impl Future<Output = &'static str> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
