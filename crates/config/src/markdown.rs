//! The reference of every key, as Markdown.

use std::fmt::Write as _;

use crate::foreign;
use crate::keys;
use crate::spec::{Importance, Scope, Spec};
use crate::topic;

const HEAD: &str = "\
<!-- Generated from the table in crates/config by `cargo xtask docs`; edit the table. -->
# Configuration

Brokers and coordinators read Kafka's own property names from a `.properties` file (`--config FILE`)
and from environment variables above it.
";

/// The text of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    out
}
