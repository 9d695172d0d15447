//! What the processes of brokers and coordinators have in common: how they begin, the limits that
//! their configuration sets, where they listen and what they tell others to connect to.

mod command;
mod hand_over;
mod listeners;
pub mod loggers;
pub mod named;
pub mod refused;

use std::sync::Arc;
use std::time::Duration;

use vltava_config::{Loaded, Values, keys};
use vltava_net::{Budget, Limits, logging};

pub use command::main;
pub use hand_over::{HandOverError, hand_over};
pub use listeners::{advertised, bind_admin};

/// Begins a process: its log, what is worth saying about its configuration, its descriptors.
///
/// # Errors
/// If the log cannot be set up as the environment says.
pub fn begin(loaded: &Loaded) -> Result<(), logging::LogError> {
    logging::LogConfig::from_env(logging::LogOutput::Stderr).and_then(|config| config.init())?;
    end_with_a_panic();
    for notice in &loaded.notices {
        match notice.debug {
            true => tracing::debug!("{notice}"),
            false => tracing::warn!("{notice}"),
        }
    }
    vltava_net::raise_descriptor_limit();
    Ok(())
}

/// From here on a panic of any thread or task ends the process, once it has been told. What
/// panicked would be missing from then on, and whatever it was changing may be half changed: a node
/// that is gone is replaced and heals, one that lives on without a part of itself does not.
fn end_with_a_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
}

/// The limits of connections and requests.
pub fn limits(values: &Values) -> Limits {
    let count = |number: i32| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        request_max_bytes: count(values.get(keys::SOCKET_REQUEST_MAX_BYTES)),
        connections_max: count(values.get(keys::MAX_CONNECTIONS)),
        connections_per_ip_max: count(values.get(keys::MAX_CONNECTIONS_PER_IP)),
        idle_max: milliseconds(values.get(keys::CONNECTIONS_MAX_IDLE_MS)),
        ..Limits::default()
    }
}

/// The memory that requests may take at once.
pub fn budget(values: &Values) -> Arc<Budget> {
    let bytes = values.get(keys::VLTAVA_MEMORY_BUDGET_BYTES);
    Budget::new(usize::try_from(bytes).unwrap_or(usize::MAX), limits(values).request_max_bytes)
}

/// A time as keys give it; a negative one means "never".
pub fn milliseconds(number: impl TryInto<u64>) -> Duration {
    number.try_into().map_or(Duration::MAX, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_what_the_configuration_says() {
        let values = Values::from_pairs([
            ("max.connections", "7"),
            ("max.connections.per.ip", "3"),
            ("connections.max.idle.ms", "-1"),
        ]);
        let limits = limits(&values.expect("values"));
        assert_eq!((limits.connections_max, limits.connections_per_ip_max), (7, 3));
        assert_eq!(limits.idle_max, Duration::MAX, "never");
    }
}
