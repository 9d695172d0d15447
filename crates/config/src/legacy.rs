//! Keys that older Kafkas and their images had for hosts and ports, turned into listeners.
//!
//! Images of Kafka before 1.0 were told `advertised.host.name` and `advertised.port`, and later two
//! names of protocols: one for clients outside, one for brokers inside. Today both are listeners.

use crate::error::{Notice, Origin};
use crate::load::Raw;

/// The old keys, all of which are gone from Kafka.
const OLD: &[&str] = &[
    "host.name",
    "port",
    "advertised.host.name",
    "advertised.port",
    "protocol.name",
    "advertised.protocol.name",
];
const DEFAULT_PORT: &str = "9092";
const DEFAULT_PROTOCOL: &str = "PLAINTEXT";

/// Replaces old keys by `listeners`, `advertised.listeners` and `inter.broker.listener.name`.
///
/// What is set by its present name is left as it is: then the old keys only get a notice.
pub(crate) fn apply(raw: &mut Raw, notices: &mut Vec<Notice>, host_name: &dyn Fn() -> String) {
    let old: Raw = OLD.iter().filter_map(|key| raw.remove_entry(*key)).collect();
    let Some((_, origin)) = old.values().next().cloned() else { return };
    let get = |key: &str| old.get(key).map(|(text, _)| text.trim()).filter(|text| !text.is_empty());

    let port = get("port").unwrap_or(DEFAULT_PORT);
    let protocol = get("protocol.name").unwrap_or(DEFAULT_PROTOCOL);
    let host = get("host.name").unwrap_or_default();
    let inside = format!("{protocol}://{host}:{port}");
    let seen_inside = if host.is_empty() { host_name() } else { host.to_owned() };
    let outside_host =
        get("advertised.host.name").map_or_else(|| seen_inside.clone(), str::to_owned);
    let outside_port = get("advertised.port").unwrap_or(port);

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
            if !raw.contains_key("security.inter.broker.protocol") {
                replaced.push(("inter.broker.listener.name", protocol.to_owned()));
            }
        }
        None => {
            replaced.push(("listeners", inside));
            let advertised = format!("{protocol}://{outside_host}:{outside_port}");
            replaced.push(("advertised.listeners", advertised));
        }
    }
    if raw.contains_key("advertised.listeners") || raw.contains_key("listeners") {
        replaced.clear();
    }
    notice_each(&old, &replaced, notices);
    for (key, text) in replaced {
        raw.entry(key.to_owned()).or_insert((text, origin.clone()));
    }
}

fn notice_each(old: &Raw, replaced: &[(&str, String)], notices: &mut Vec<Notice>) {
    let settings: Vec<String> =
        replaced.iter().map(|(key, text)| format!("{key}={text}")).collect();
    for (key, (_, origin)) in old {
        let what = if replaced.is_empty() {
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
