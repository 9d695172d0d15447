//! Configuration as DescribeConfigs answers it (KIP-226, KIP-569).

use std::collections::BTreeMap;

use crate::group;
use crate::keys;
use crate::spec::{Spec, Update};
use crate::subscription;
use crate::topic;
use crate::value::Value;
use crate::values::Values;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The topic's own configuration.
    Topic,
    /// The dynamic configuration of one broker.
    DynamicBroker,
    /// The dynamic configuration of all brokers.
    DynamicDefaultBroker,
    /// The broker's file or environment.
    StaticBroker,
    /// The table.
    Default,
    /// The subscription's own configuration.
    Subscription,
    /// The group's own configuration.
    Group,
}

impl Source {
    /// The number that stands for it on the wire.
    pub const fn code(self) -> i8 {
        match self {
            Self::Topic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::Subscription => 7,
            Self::Group => 8,
        }
    }
}

/// One value that stands, or would stand if those above it were not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The key that gives the value.
    pub name: &'static str,
    /// The value; `None` for "not set", and for what must not be shown.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
}

/// One key of a node or topic.
#[derive(Debug, Clone)]
pub struct Described {
    /// The row of the table: name, type, help.
    pub spec: &'static Spec,
    /// The value; `None` for "not set", and for what must not be shown.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// Whether it cannot change at run time.
    pub read_only: bool,
    /// Whether its value must not be shown.
    pub sensitive: bool,
    /// Every value that is set, the one that stands first, and the default last.
    pub synonyms: Vec<Synonym>,
}

/// Describes every key that a node of this kind reads, by name.
pub fn node(values: &Values, role: crate::Role) -> Vec<Described> {
    let (broker, coordinator) = (role == crate::Role::Broker, role == crate::Role::Coordinator);
    let mut rows: Vec<&'static Spec> =
        keys::all().filter(|spec| spec.scope.is_read_by(broker, coordinator)).collect();
    rows.sort_by_key(|spec| spec.name);
    rows.into_iter().map(|spec| describe(spec, node_synonyms(values, spec))).collect()
}

/// Describes what is set dynamically for all brokers: the answer for the broker without a name.
pub fn cluster_default(values: &Values) -> Vec<Described> {
    let set = values.cluster.keys().filter_map(|name| keys::find(name));
    set.map(|spec| {
        // What a single node was started with is nothing that all brokers have.
        let mut synonyms = node_synonyms(values, spec);
        synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
        describe(spec, synonyms)
    })
    .collect()
}

/// Describes every key of a topic, by name.
pub fn topic(values: &Values, overrides: &BTreeMap<String, String>) -> Vec<Described> {
    let mut rows: Vec<&'static Spec> = topic::keys::all().collect();
    rows.sort_by_key(|spec| spec.name);
    rows.into_iter()
        .map(|spec| {
            let own = overrides.get(spec.name).map(|text| Synonym {
                name: spec.name,
                value: Some(text.clone()),
                source: Source::Topic,
            });
            let broker = spec.fallbacks.first().and_then(|from| keys::find(from.key));
            let inherited = match broker {
                Some(broker) => node_synonyms(values, broker),
                None => Vec::new(),
            };
            let value = values.inherited(spec);
            let mut described = describe(spec, own.into_iter().chain(inherited).collect());
            if described.source != Source::Topic {
                described.value = value.to_text();
            }
            described
        })
        .collect()
}

/// Describes every key of a group, by name.
pub fn group(values: &Values, overrides: &BTreeMap<String, String>) -> Vec<Described> {
    group::all()
        .map(|spec| {
            let synonym = |value, source| Synonym { name: spec.name, value, source };
            let own =
                overrides.get(spec.name).map(|text| synonym(Some(text.clone()), Source::Group));
            // Kafka calls what the brokers say the default, wherever they have it from.
            let inherited = synonym(values.inherited(spec).to_text(), Source::Default);
            describe(spec, vec![own.unwrap_or(inherited)])
        })
        .collect()
}

/// Describes every key of a subscription to metrics, by name.
pub fn subscription(overrides: &BTreeMap<String, String>) -> Vec<Described> {
    subscription::all()
        .map(|spec| match overrides.get(spec.name) {
            Some(text) => {
                let (value, source) = (Some(text.clone()), Source::Subscription);
                describe(spec, vec![Synonym { name: spec.name, value, source }])
            }
            None => {
                let value = spec.default_value().to_text();
                Described { value, ..describe(spec, Vec::new()) }
            }
        })
        .collect()
}

fn describe(spec: &'static Spec, synonyms: Vec<Synonym>) -> Described {
    let (value, source) = synonyms
        .first()
        .map_or((None, Source::Default), |first| (first.value.clone(), first.source));
    Described {
        spec,
        value,
        source,
        read_only: spec.update == Update::ReadOnly,
        sensitive: spec.is_sensitive(),
        synonyms,
    }
}

/// Every value of a node's key, the uppermost first. Keys that stand in for it are not among
/// them, as in Kafka's answers.
fn node_synonyms(values: &Values, spec: &'static Spec) -> Vec<Synonym> {
    let layers = [
        (&values.broker, Source::DynamicBroker),
        (&values.cluster, Source::DynamicDefaultBroker),
        (&values.fixed, Source::StaticBroker),
    ];
    let set = layers.into_iter().filter_map(|(layer, source)| {
        let value = shown(spec, &layer.get(spec.name)?.value);
        Some(Synonym { name: spec.name, value, source })
    });
    set.chain(spec.default.map(|_| default_synonym(spec))).collect()
}

fn default_synonym(spec: &'static Spec) -> Synonym {
    Synonym { name: spec.name, value: shown(spec, &spec.default_value()), source: Source::Default }
}

fn shown(spec: &Spec, value: &Value) -> Option<String> {
    if spec.is_sensitive() { None } else { value.to_text() }
}
