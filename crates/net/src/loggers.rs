//! Loggers: parts of a node whose log level is changed while it runs (KIP-412).
//!
//! A logger is a target of `tracing`: a crate of ours, or a module of one, which takes the level of
//! what it is part of as long as it has none of its own. `root` is what all are part of. Their
//! names have dots (`vltava_broker.txn`), as Kafka's tools take no others. A change lasts until the
//! node ends.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::EnvFilter;

/// What all loggers are part of.
pub const ROOT: &str = "root";

/// The loggers that there are without anybody having set one.
const LOGGERS: [&str; 21] = [
    "vltava_broker",
    "vltava_broker.api",
    "vltava_broker.group",
    "vltava_broker.lifecycle",
    "vltava_broker.metadata",
    "vltava_broker.partition",
    "vltava_broker.replication",
    "vltava_broker.server",
    "vltava_broker.shard",
    "vltava_broker.share",
    "vltava_broker.txn",
    "vltava_client",
    "vltava_config",
    "vltava_coordinator",
    "vltava_coordinator.controller",
    "vltava_coordinator.driver",
    "vltava_log",
    "vltava_metadata",
    "vltava_net",
    "vltava_node",
    "vltava_quorum",
];

/// The levels, as Kafka names them, and what they are here.
pub const LEVELS: [(&str, &str); 6] = [
    ("FATAL", "error"),
    ("ERROR", "error"),
    ("WARN", "warn"),
    ("INFO", "info"),
    ("DEBUG", "debug"),
    ("TRACE", "trace"),
];

/// What of the log can be changed: the filter that it began with, and what was set since.
struct Loggers {
    initial: String,
    set: Mutex<BTreeMap<String, &'static str>>,
    reload: Box<dyn Fn(EnvFilter) + Send + Sync>,
}

static ALL: OnceLock<Loggers> = OnceLock::new();

/// From here on levels can be changed.
pub(crate) fn begin(initial: &str, reload: Box<dyn Fn(EnvFilter) + Send + Sync>) {
    let set = Mutex::default();
    // A process has one log, and setting it up twice has been refused.
    let _ = ALL.set(Loggers { initial: initial.to_owned(), set, reload });
}

/// Whether there is such a logger: `root`, a crate of ours, or a module of one.
pub fn exists(name: &str) -> bool {
    let owner = name.split('.').next().unwrap_or_default();
    let is_path = |part: &str| {
        !part.is_empty() && part.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
    };
    name == ROOT || (LOGGERS.contains(&owner) && name.split('.').all(is_path))
}

/// Every logger that is known by name, with its level in Kafka's words.
pub fn levels() -> Vec<(String, &'static str)> {
    let Some(all) = ALL.get() else { return Vec::new() };
    let set = all.set.lock();
    let directives = directives(&all.initial, &set);
    let mut names: Vec<String> = LOGGERS.iter().map(|name| (*name).to_owned()).collect();
    names.extend(set.keys().filter(|name| *name != ROOT).cloned());
    names.sort();
    names.dedup();
    names.push(ROOT.to_owned());
    names.into_iter().map(|name| (name.clone(), level_of(&directives, &name))).collect()
}

/// Sets levels, by Kafka's names, or removes (`None`) what was set. Names and levels that there are
/// not change nothing; ask [`exists`] first.
pub fn set(changes: &[(&str, Option<&str>)]) {
    let Some(all) = ALL.get() else { return };
    let mut set = all.set.lock();
    for (name, level) in changes {
        match level.and_then(|level| LEVELS.iter().find(|(kafkas, _)| *kafkas == level)) {
            Some((_, level)) => drop(set.insert((*name).to_owned(), level)),
            None => drop(set.remove(*name)),
        }
    }
    let text: Vec<String> = directives(&all.initial, &set)
        .into_iter()
        .map(|(logger, level)| match logger.as_str() {
            ROOT => level,
            logger => format!("{}={level}", logger.replace('.', "::")),
        })
        .collect();
    match EnvFilter::try_new(text.join(",")) {
        Ok(filter) => (all.reload)(filter),
        Err(error) => tracing::error!(%error, "the log levels stay as they are"),
    }
}

/// The filter's parts as logger and level; what was set stands above what it began with.
fn directives(initial: &str, set: &BTreeMap<String, &'static str>) -> BTreeMap<String, String> {
    let began = initial.split(',').map(str::trim).filter(|part| !part.is_empty());
    let mut all: BTreeMap<String, String> = began
        .map(|part| match part.split_once('=') {
            Some((target, level)) => (target.replace("::", "."), level.to_owned()),
            None => (ROOT.to_owned(), part.to_owned()),
        })
        .collect();
    all.extend(set.iter().map(|(target, level)| (target.clone(), (*level).to_owned())));
    all
}

/// The level of a logger, in Kafka's words: its own, or that of what it is part of.
fn level_of(directives: &BTreeMap<String, String>, name: &str) -> &'static str {
    let is_part_of = |owner: &str| {
        name == owner || name.strip_prefix(owner).is_some_and(|rest| rest.starts_with('.'))
    };
    let owners = directives.iter().filter(|(target, _)| is_part_of(target));
    let nearest = owners.max_by_key(|(target, _)| target.len()).map(|(_, level)| level);
    let level = nearest.or_else(|| directives.get(ROOT)).map_or("error", String::as_str);
    // The last one of a name: what Kafka calls FATAL is an error here.
    let known = LEVELS.iter().rev().find(|(_, ours)| level.eq_ignore_ascii_case(ours));
    known.map_or("OFF", |(kafkas, _)| *kafkas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels_of(initial: &str, set: &[(&str, &'static str)], names: &[&str]) -> Vec<&'static str> {
        let set = set.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect();
        let directives = directives(initial, &set);
        names.iter().map(|name| level_of(&directives, name)).collect()
    }

    #[test]
    fn a_logger_takes_the_level_of_what_it_is_part_of() {
        let names = ["root", "vltava_broker", "vltava_broker.txn.end", "vltava_brokers"];
        assert_eq!(levels_of("info", &[], &names), ["INFO"; 4]);
        let initial = "warn, vltava_broker=debug, vltava_broker::txn=info";
        assert_eq!(levels_of(initial, &[], &names), ["WARN", "DEBUG", "INFO", "WARN"]);
        let set = [("root", "error"), ("vltava_broker.txn", "trace")];
        assert_eq!(levels_of(initial, &set, &names), ["ERROR", "DEBUG", "TRACE", "ERROR"]);
        assert_eq!(levels_of("off", &[], &["root"]), ["OFF"]);
    }

    #[test]
    fn loggers_are_parts_of_ours() {
        for name in ["root", "vltava_log", "vltava_broker.api.produce"] {
            assert!(exists(name), "{name}");
        }
        for name in
            ["", "kafka.server", "vltava_broker.", "vltava_broker.a b", "tokio", "vltava_log::log"]
        {
            assert!(!exists(name), "{name}");
        }
    }
}
