//! What a broker checks of changes to its own configuration before the active coordinator hears of
//! them: only the broker knows what it was started with, and so whether its listeners would still
//! agree with that.

use std::sync::Arc;

use vltava_config::{Values, edit_list, keys};
use vltava_metadata::configuration::pairs;
use vltava_metadata::{ConfigMap, ResourceType};
use vltava_wire::Str;

use crate::server::Broker;

/// What is to become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// It gets this value.
    Set(&'a Str),
    /// It is not set any more.
    Delete,
    /// Its list gets these elements.
    Append(&'a Str),
    /// Its list loses these elements.
    Subtract(&'a Str),
}

/// Keys that are checked against what the broker was started with.
fn is_about_listeners(key: &str) -> bool {
    [
        keys::LISTENERS.name(),
        keys::ADVERTISED_LISTENERS.name(),
        keys::LISTENER_SECURITY_PROTOCOL_MAP.name(),
    ]
    .contains(&key)
}

/// Whether a resource is this broker.
pub fn is_own(broker: &Broker, kind: i8, name: &str) -> bool {
    ResourceType(kind) == ResourceType::BROKER && name.parse() == Ok(broker.id.get())
}

/// What is set on this broker now.
pub fn present(broker: &Broker) -> Arc<ConfigMap> {
    broker.cluster.image().broker_config(broker.id)
}

/// What would be set after some edits.
pub fn edited<'a>(
    present: &ConfigMap,
    edits: impl IntoIterator<Item = (&'a Str, Edit<'a>)>,
) -> ConfigMap {
    let mut wanted = present.clone();
    for (key, edit) in edits {
        let edited = |append, elements: &str| {
            let inherited = || keys::find(key)?.default_value().to_text();
            let base = wanted.get(key.as_str()).map(|text| text.as_str().to_owned());
            edit_list(&base.or_else(inherited).unwrap_or_default(), append, elements).into()
        };
        let value = match edit {
            Edit::Set(value) => value.clone(),
            Edit::Append(elements) => edited(true, elements),
            Edit::Subtract(elements) => edited(false, elements),
            Edit::Delete => {
                wanted.remove(key.as_str());
                continue;
            }
        };
        wanted.insert(key.clone(), value);
    }
    wanted
}

/// Checks what is to be set on this broker.
///
/// # Errors
/// A sentence that says why the broker could not go on with it.
pub fn check(broker: &Broker, wanted: &ConfigMap) -> Result<(), String> {
    let present = broker.cluster.values();
    let all = broker.cluster.image().cluster_config();
    check_listeners(&present, &all, &self::present(broker), wanted)
}

fn check_listeners(
    values: &Values,
    all: &ConfigMap,
    present: &ConfigMap,
    wanted: &ConfigMap,
) -> Result<(), String> {
    let differs = |key: &Str| is_about_listeners(key) && present.get(key) != wanted.get(key);
    if !wanted.keys().chain(present.keys()).any(differs) {
        return Ok(());
    }
    let (next, notices) = values.with_dynamic(pairs(all), pairs(wanted));
    if let Some(notice) = notices.iter().find(|notice| is_about_listeners(&notice.key)) {
        return Err(format!("{}: {}", notice.key, notice.what));
    }
    next.check_listeners(values).map_err(|problem| format!("{}: {}", problem.key, problem.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> ConfigMap {
        pairs.iter().map(|(key, value)| (Str::from(*key), Str::from(*value))).collect()
    }

    #[test]
    fn edits_build_upon_what_is_set() {
        let present = map(&[("a", "1"), ("listeners", "IN://:1")]);
        let (a, listeners) = (Str::from("a"), Str::from("listeners"));
        let (more, less) = (Str::from("OUT://:2"), Str::from("IN://:1"));
        let edits = [
            (&a, Edit::Delete),
            (&listeners, Edit::Append(&more)),
            (&listeners, Edit::Subtract(&less)),
        ];
        assert_eq!(edited(&present, edits), map(&[("listeners", "OUT://:2")]));
    }

    #[test]
    fn a_listener_that_others_need_is_not_taken_away() {
        let values = Values::from_pairs([
            ("node.id", "1"),
            ("listeners", "IN://:9092"),
            ("controller.quorum.bootstrap.servers", "c:9093"),
        ]);
        let values = values.expect("a broker's configuration");
        let check = |wanted: &ConfigMap| {
            check_listeners(&values, &ConfigMap::new(), &ConfigMap::new(), wanted)
        };
        check(&map(&[("listeners", "IN://:9092,OUT://:9094")])).expect("another listener");
        let refused = check(&map(&[("listeners", "OUT://:9094")])).expect_err("it is needed");
        assert!(refused.starts_with("listeners: other brokers come by IN://:9092"), "{refused}");
        let malformed = check(&map(&[("listeners", "OUT")])).expect_err("no address");
        assert!(malformed.contains("NAME://host:port"), "{malformed}");
        check(&map(&[("log.retention.ms", "x")])).expect("it is not about listeners");
    }
}
