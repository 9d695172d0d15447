//! The table of node keys: every key that a broker or a coordinator reads.
//!
//! Names, types and defaults are Kafka 4.2's. Where a default differs, the help text says so.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::spec::Spec;

/// Declares keys: a help text, then
/// `NAME: type = "kafka.name", default, check, scope, update mode, importance [, fallbacks];`.
macro_rules! keys {
    ($(
        $(#[doc = $help:literal])+
        $name:ident: $type:ty = $key:literal, $default:expr, $check:expr, $scope:ident,
        $update:ident, $importance:ident $(, from $($from:literal * $times:literal),+)?;
    )*) => {
        $(
            $(#[doc = $help])+
            #[doc = concat!("\n\nKafka's `", $key, "`.")]
            pub const $name: crate::key::Key<$type> = crate::key::Key::new(&crate::spec::Spec {
                name: $key,
                kind: <$type as crate::key::FromValue>::KIND,
                nullable: <$type as crate::key::FromValue>::NULLABLE,
                default: $default,
                check: $check,
                scope: crate::spec::Scope::$scope,
                update: crate::spec::Update::$update,
                importance: crate::spec::Importance::$importance,
                fallbacks: &[$($(crate::spec::Fallback { key: $from, times: $times }),+)?],
                help: concat!($($help),+).trim_ascii(),
            });
        )*

        /// The rows of this part of the table, in its order.
        pub(crate) const ROWS: &[&crate::spec::Spec] = &[$($name.spec()),*];
    };
}
pub(crate) use keys;

mod cleaner;
mod groups;
mod log;
mod network;
mod node;
mod quorum;
mod replication;
mod share;
mod topics;
mod transactions;
mod vltava;

pub use cleaner::*;
pub use groups::*;
pub use log::*;
pub use network::*;
pub use node::*;
pub use quorum::*;
pub use replication::*;
pub use share::*;
pub use topics::*;
pub use transactions::*;
pub use vltava::*;

/// The parts of the table in the order of the reference, each with its heading.
pub(crate) const PARTS: &[(&str, &[&Spec])] = &[
    ("The node", node::ROWS),
    ("Listeners and connections", network::ROWS),
    ("The metadata quorum", quorum::ROWS),
    ("Topics", topics::ROWS),
    ("Logs", log::ROWS),
    ("Compaction", cleaner::ROWS),
    ("Replication", replication::ROWS),
    ("Groups and producers", groups::ROWS),
    ("Transactions", transactions::ROWS),
    ("Share groups", share::ROWS),
    ("Vltava's own", vltava::ROWS),
];

/// Every row of the table.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    PARTS.iter().flat_map(|(_, rows)| rows.iter().copied())
}

/// The row of a key, if the table has it.
pub fn find(name: &str) -> Option<&'static Spec> {
    static BY_NAME: OnceLock<BTreeMap<&'static str, &'static Spec>> = OnceLock::new();
    BY_NAME.get_or_init(|| all().map(|spec| (spec.name, spec)).collect()).get(name).copied()
}
