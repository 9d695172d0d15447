//! The reference of every key, as Markdown.

use std::fmt::Write as _;

use crate::foreign;
use crate::group;
use crate::keys;
use crate::spec::{Importance, Scope, Spec};
use crate::topic;

const HEAD: &str = "\
<!-- Generated from the table in crates/config by `cargo xtask docs`: edit the table instead. -->

# Configuration

Brokers and coordinators are configured by Kafka's own property names, from two places:

- a `.properties` file, in Java's syntax (`vltava broker --config FILE`);
- environment variables, which stand above the file: `KAFKA_LOG_RETENTION_MS` is
  `log.retention.ms`. `_` stands for a dot, `__` for an underscore, `___` for a dash. `CLUSTER_ID`
  is `vltava.cluster.id`, and `KAFKA_CREATE_TOPICS` is `vltava.create.topics`.

A key that nobody knows and a value that is not allowed are refused at start, with the file and
line or the variable, and what to do. Defaults are those of Kafka 4.2; where one differs, its text
says so. Keys that can change at run time are marked *cluster-wide* (for all brokers at once, or
for one) or *per-broker*; the rest needs a restart. A negative limit or time means that there is
none.

";

const OLD_IMAGES: &str = "\
## Variables of older images

Compose files written for older images of Kafka go on working. Their variables are read as follows;
each gets a line in the node's log.

| variable | read as |
|---|---|
| `KAFKA_BROKER_ID` | `broker.id`, the older name of `node.id` |
| `KAFKA_PORT`, `KAFKA_HOST_NAME`, `KAFKA_PROTOCOL_NAME` | the listener for brokers inside |
| `KAFKA_ADVERTISED_HOST_NAME`, `KAFKA_ADVERTISED_PORT`, `KAFKA_ADVERTISED_PROTOCOL_NAME` | \
the listener for clients outside, in `listeners` and `advertised.listeners`; \
beside `KAFKA_LISTENERS` with one listener, what that one advertises |
| `KAFKA_CREATE_TOPICS` | `vltava.create.topics` |
| `HOSTNAME_COMMAND` | not run; the machine's own name is used, unless \
`KAFKA_ADVERTISED_HOST_NAME` or `KAFKA_ADVERTISED_LISTENERS` says otherwise. \
`_{HOSTNAME_COMMAND}` in a value is that name |
| `KAFKA_ZOOKEEPER_CONNECT` | nothing: coordinators keep the metadata, see \
`controller.quorum.bootstrap.servers` |
| `KAFKA_JMX_OPTS`, `JMX_PORT` | nothing: metrics are served at `vltava.admin.listener` |
| `KAFKA_HEAP_OPTS`, `KAFKA_OPTS` and their like | nothing: there is no JVM |
| `KAFKA_LOG4J_…` | nothing: set `VLTAVA_LOG` and `VLTAVA_LOG_FORMAT` |

Variables that Kubernetes sets for a Service called `kafka` (`KAFKA_PORT=tcp://…`,
`KAFKA_SERVICE_HOST`, `KAFKA_PORT_9092_TCP_ADDR`) are known for what they are and ignored.

";

/// The text of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    for (heading, rows) in keys::PARTS {
        section(&mut out, heading, rows);
    }
    out.push_str("## What a topic may set for itself\n\n");
    out.push_str("Where a topic sets nothing, the brokers' key holds.\n\n");
    let rows: Vec<&Spec> = topic::keys::all().collect();
    rows.iter().for_each(|spec| row(&mut out, spec));
    out.push_str("## What a group may set for itself\n\n");
    out.push_str("Where a group sets nothing, the brokers' key holds.\n\n");
    group::all().for_each(|spec| row(&mut out, spec));
    out.push_str(OLD_IMAGES);
    foreign_keys(&mut out);
    out
}

fn section(out: &mut String, heading: &str, rows: &[&Spec]) {
    line(out, format_args!("## {heading}\n"));
    rows.iter().for_each(|spec| row(out, spec));
}

fn row(out: &mut String, spec: &Spec) {
    line(out, format_args!("### `{}`\n", spec.name));
    line(out, format_args!("{}\n", spec.help));
    let mut facts = vec![format!("{}: {}", spec.kind.name(), spec.allowed())];
    facts.push(format!("default {}", default(spec)));
    match spec.scope {
        Scope::Topic | Scope::Group | Scope::Subscription => {}
        scope => {
            facts.push(reader(scope).to_owned());
            facts.push(spec.update.name().to_owned());
        }
    }
    if spec.importance == Importance::High {
        facts.push("important".to_owned());
    }
    if spec.is_sensitive() {
        facts.push("never shown".to_owned());
    }
    line(out, format_args!("*{}*\n", facts.join(" · ")));
}

fn default(spec: &Spec) -> String {
    if let Some(default) = spec.default {
        return if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
    }
    match spec.fallbacks {
        [] => "not set".to_owned(),
        fallbacks => {
            let names: Vec<String> =
                fallbacks.iter().map(|fallback| format!("`{}`", fallback.key)).collect();
            format!("what {} says", names.join(", then "))
        }
    }
}

const fn reader(scope: Scope) -> &'static str {
    match scope {
        Scope::Broker => "brokers",
        Scope::Coordinator => "coordinators",
        Scope::Node => "brokers and coordinators",
        Scope::Topic => "topics",
        Scope::Group => "groups",
        Scope::Subscription => "subscriptions",
    }
}

fn foreign_keys(out: &mut String) {
    out.push_str("## Keys of Kafka that change nothing here\n\n");
    out.push_str(
        "They are accepted, and a line in the node's log says why they change nothing.\n\n",
    );
    for (why, names) in foreign::accepted_groups() {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        line(out, format_args!("{}: {}.\n", capital(why), names.join(", ")));
    }
    out.push_str("## Keys of Kafka that are refused\n\n");
    out.push_str("A cluster may rely on their effect, so a node does not start with them.\n\n");
    for (name, what) in foreign::refused_names() {
        line(out, format_args!("- `{name}`: {what}."));
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes all that is written");
}
