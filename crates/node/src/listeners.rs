//! Where a node listens, and what it tells others to connect to.

use vltava_config::{Listener, Values};
use vltava_net::{BindError, BoundListener, ListenerConfig};

/// Opens the port for people and probes, if the node has one.
///
/// # Errors
/// If it cannot be opened.
pub async fn bind_admin(values: &Values) -> Result<Option<BoundListener>, BindError> {
    let Some(address) = values.admin_listener() else { return Ok(None) };
    let config = ListenerConfig::new("ADMIN", &address.host, address.port);
    config.bind().await.map(Some)
}

/// What others connect to, of the listeners whose port is known: `port` gives the one that a
/// listener is bound to, which is told where the configuration leaves the choice to the system.
pub fn advertised(values: &Values, port: impl Fn(&str) -> Option<u16>) -> Vec<Listener> {
    let listeners = values.advertised_listeners().into_iter();
    let known = listeners.filter_map(|mut listener| {
        let bound = port(&listener.name)?;
        if listener.address.port == 0 {
            listener.address.port = bound;
        }
        Some(listener)
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_system_chose_is_told_and_a_closed_listener_is_not() {
        let values = Values::from_pairs([
            ("listeners", "A://:0,B://:9092,C://:9093"),
            ("advertised.listeners", "A://a:0,B://b:1,C://c:2"),
        ]);
        let bound = |name: &str| match name {
            "A" => Some(4711),
            "B" => Some(9092),
            _ => None,
        };
        let told = advertised(&values.expect("values"), bound);
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["A://a:4711", "B://b:1"]);
    }
}
