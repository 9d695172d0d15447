//! The table against Kafka's own list of keys.

use std::collections::BTreeSet;

use vltava_config::{Values, describe, keys, spec::Spec, topic};

const KAFKA: &str = include_str!("data/kafka-4.2-keys.txt");

/// Keys whose default differs from Kafka's on purpose; each help text or the design says why.
const OTHER_DEFAULTS: &[&str] = &[
    "controller.listener.names",
    "flush.messages",
    "leader.imbalance.check.interval.seconds",
    "log.dir",
    "log.flush.interval.messages",
    "node.id",
    "process.roles",
];

/// Keys that Kafka has besides its table, as they are only ever set at run time.
const DYNAMIC_ONLY: &[&str] = &[
    "follower.replication.throttled.rate",
    "leader.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

/// Keys of later versions of Kafka.
const LATER: &[&str] = &["cordoned.log.dirs"];

struct Row {
    scope: &'static str,
    name: &'static str,
    kind: &'static str,
    default: &'static str,
}

fn kafka() -> impl Iterator<Item = Row> {
    KAFKA.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut parts = line.splitn(4, ' ');
        let mut part = || parts.next().expect("a line has four parts");
        Row { scope: part(), name: part(), kind: part(), default: part() }
    })
}

fn find(row: &Row) -> Option<&'static Spec> {
    if row.scope == "topic" { topic::keys::find(row.name) } else { keys::find(row.name) }
}

#[test]
fn every_key_of_kafka_is_known() {
    for row in kafka() {
        if find(&row).is_some() {
            continue;
        }
        let default = if row.default == "\"\"" || row.default == "\\N" { "" } else { row.default };
        if row.scope == "topic" {
            if row.name != "internal.segment.bytes" {
                let known = topic::validate([(row.name, default)]);
                assert!(known.is_ok(), "{}: {known:?}", row.name);
            }
        } else {
            let default = default.trim_matches(['[', ']']);
            let known = Values::from_pairs([(row.name, default)]);
            assert!(known.is_ok(), "{}: {:?}", row.name, known.err());
        }
    }
}

#[test]
fn every_key_of_ours_is_kafkas_or_has_our_prefix() {
    let names: BTreeSet<&str> = kafka().map(|row| row.name).collect();
    for spec in keys::all().chain(topic::keys::all()) {
        let ours = spec.name.starts_with("vltava.")
            || DYNAMIC_ONLY.contains(&spec.name)
            || LATER.contains(&spec.name);
        assert!(ours != names.contains(spec.name), "{}", spec.name);
    }
}

#[test]
fn types_and_defaults_are_kafkas() {
    let values = Values::default();
    for row in kafka() {
        let Some(spec) = find(&row) else { continue };
        let is_list_here = matches!(row.name, "listener.security.protocol.map" | "log.dir")
            || row.name == "max.connections.per.ip.overrides";
        if !is_list_here {
            assert_eq!(spec.kind.name(), row.kind, "{}", row.name);
        }
        if OTHER_DEFAULTS.contains(&row.name) || is_list_here {
            continue;
        }
        let described = if row.scope == "topic" {
            describe::topic(&values, &Default::default())
        } else {
            let coordinator = describe::node(&values, vltava_config::Role::Coordinator);
            let mut all = describe::node(&values, vltava_config::Role::Broker);
            all.extend(coordinator);
            all
        };
        let ours = described.iter().find(|one| one.spec.name == row.name);
        let ours = ours.expect("a key of the table is described").value.clone();
        let theirs = match row.default {
            "\\N" => None,
            "\"\"" => Some(String::new()),
            list if row.kind == "list" => Some(list.trim_matches(['[', ']']).replace(", ", ",")),
            text => Some(text.to_owned()),
        };
        assert_eq!(ours, theirs, "{}", row.name);
    }
}

#[test]
fn every_default_is_allowed_by_its_own_row() {
    for spec in keys::all().chain(topic::keys::all()) {
        assert!(!spec.help.is_empty(), "{} says nothing", spec.name);
        if let Some(default) = spec.default.filter(|default| !default.is_empty()) {
            assert!(spec.parse(default).is_ok(), "{}: {default}", spec.name);
        }
        for fallback in spec.fallbacks {
            assert!(keys::find(fallback.key).is_some(), "{}: {}", spec.name, fallback.key);
        }
        assert!(
            spec.nullable || spec.default.is_some() || !spec.fallbacks.is_empty(),
            "{} has no value",
            spec.name
        );
    }
}

#[test]
fn the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let written = std::fs::read_to_string(path).expect("docs/configuration.md is there");
    assert!(written == vltava_config::markdown(), "run `cargo xtask docs`");
}
