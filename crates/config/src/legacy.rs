//! Keys that older Kafkas and their images had for hosts and ports, turned into listeners.
//!
//! Images of Kafka before 1.0 were told `advertised.host.name` and `advertised.port`, and later two
//! names of protocols: one for clients outside, one for brokers inside. Today both are listeners.

use crate::error::{Notice, Origin};
use crate::listeners::{HostPort, Listener, named_once};
use crate::load::Raw;

/// The old keys, all of which are gone from Kafka.
const OLD: &[&str] = &[
    "host.name",
    "port",
    ADVERTISED_HOST,
    ADVERTISED_PORT,
    "protocol.name",
    "advertised.protocol.name",
];
const ADVERTISED_HOST: &str = "advertised.host.name";
const ADVERTISED_PORT: &str = "advertised.port";
const DEFAULT_PORT: &str = "9092";
const DEFAULT_PROTOCOL: &str = "PLAINTEXT";

/// Replaces old keys by `listeners`, `advertised.listeners` and `inter.broker.listener.name`.
///
/// What is set by its present name is left as it is: then the old keys only get a notice. Where
/// that is `listeners` alone, with one listener, clients are told the old advertised host and port,
/// as they were by the Kafkas that had both.
pub(crate) fn apply(raw: &mut Raw, notices: &mut Vec<Notice>, host_name: &dyn Fn() -> String) {
    let old: Raw = OLD.iter().filter_map(|key| raw.remove_entry(*key)).collect();
    let Some((_, origin)) = old.values().next().cloned() else { return };
    let replaced = match (raw.get("advertised.listeners"), raw.get("listeners")) {
        (Some(_), _) => Vec::new(),
        (None, Some((listeners, _))) => advertised(&old, listeners, host_name),
        (None, None) => {
            let is_named = raw.contains_key("security.inter.broker.protocol");
            listeners(&old, is_named, host_name)
        }
    };
    notice_each(&old, &replaced, notices);
    for (key, text) in replaced {
        raw.entry(key.to_owned()).or_insert((text, origin.clone()));
    }
}

fn get<'a>(old: &'a Raw, key: &str) -> Option<&'a str> {
    old.get(key).map(|(text, _)| text.trim()).filter(|text| !text.is_empty())
}

/// What the old keys say beside `listeners`, of which there is one.
fn advertised(
    old: &Raw,
    listeners: &str,
    host_name: &dyn Fn() -> String,
) -> Vec<(&'static str, String)> {
    let (host, port) = (get(old, ADVERTISED_HOST), get(old, ADVERTISED_PORT));
    let listeners = named_once(listeners).unwrap_or_default();
    let ([Listener { name, address }], true) = (&listeners[..], host.or(port).is_some()) else {
        return Vec::new();
    };
    let HostPort { host: own, port: own_port } = address;
    let seen = match own.as_str() {
        "" | "0.0.0.0" | "::" => host_name(),
        own if own.contains(':') => format!("[{own}]"),
        own => own.to_owned(),
    };
    let host = host.map_or(seen, str::to_owned);
    let port = port.map_or_else(|| own_port.to_string(), str::to_owned);
    vec![("advertised.listeners", format!("{name}://{host}:{port}"))]
}

/// The listeners that the old keys mean together.
fn listeners(
    old: &Raw,
    is_protocol_between_set: bool,
    host_name: &dyn Fn() -> String,
) -> Vec<(&'static str, String)> {
    let get = |key| get(old, key);
    let port = get("port").unwrap_or(DEFAULT_PORT);
    let protocol = get("protocol.name").unwrap_or(DEFAULT_PROTOCOL);
    let host = get("host.name").unwrap_or_default();
    let inside = format!("{protocol}://{host}:{port}");
    let seen_inside = if host.is_empty() { host_name() } else { host.to_owned() };
    let outside_host = get(ADVERTISED_HOST).map_or_else(|| seen_inside.clone(), str::to_owned);
    let outside_port = get(ADVERTISED_PORT).unwrap_or(port);

    let mut replaced = Vec::new();
    match get("advertised.protocol.name").filter(|name| *name != protocol) {
        Some(outside) => {
            replaced.push(("listeners", format!("{outside}://:{outside_port},{inside}")));
            replaced.push((
                "advertised.listeners",
                format!(
                    "{outside}://{outside_host}:{outside_port},{protocol}://{seen_inside}:{port}"
                ),
            ));
            if !is_protocol_between_set {
                replaced.push(("inter.broker.listener.name", protocol.to_owned()));
            }
        }
        None => {
            replaced.push(("listeners", inside));
            let advertised = format!("{protocol}://{outside_host}:{outside_port}");
            replaced.push(("advertised.listeners", advertised));
        }
    }
    replaced
}

fn notice_each(old: &Raw, replaced: &[(&str, String)], notices: &mut Vec<Notice>) {
    let settings: Vec<String> =
        replaced.iter().map(|(key, text)| format!("{key}={text}")).collect();
    let all_count = replaced.iter().any(|(key, _)| *key == "listeners");
    for (key, (_, origin)) in old {
        let is_advertised = [ADVERTISED_HOST, ADVERTISED_PORT].contains(&key.as_str());
        let what = if replaced.is_empty() || !(all_count || is_advertised) {
            "it changes nothing, as `listeners` or `advertised.listeners` is set".to_owned()
        } else {
            format!("Kafka no longer has `{key}`; it is read as {}", settings.join(" "))
        };
        let origin: Origin = origin.clone();
        notices.push(Notice { key: key.clone(), origin, what, debug: false });
    }
}

#[cfg(test)]
mod tests;
