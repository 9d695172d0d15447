//! Environment variables as Kafka's images read them: `KAFKA_LOG_RETENTION_MS` is
//! `log.retention.ms`.

use crate::error::{Notice, Origin};
use crate::keys;
use crate::load::Raw;

/// Where an image of old put the output of HOSTNAME_COMMAND into a value.
const HOST_MARK: &str = "_{HOSTNAME_COMMAND}";
const PREFIX: &str = "KAFKA_";

/// Variables that Kafka's or other images read, with what is so here instead.
const REPLACED: &[(&str, &str)] = &[
    ("JMX_PORT", JMX),
    ("KAFKA_JMX_OPTS", JMX),
    ("KAFKA_JMX_PORT", JMX),
    ("KAFKA_JMX_HOSTNAME", JMX),
    ("KAFKA_OPTS", JVM),
    ("KAFKA_HEAP_OPTS", JVM),
    ("KAFKA_HEAP_OPT", JVM),
    ("KAFKA_JVM_PERFORMANCE_OPTS", JVM),
    ("KAFKA_GC_LOG_OPTS", JVM),
    ("KAFKA_DEBUG", JVM),
    ("KAFKA_LOG4J_OPTS", LOGGING),
    ("KAFKA_LOG4J_LOGGERS", LOGGING),
    ("KAFKA_LOG4J_ROOT_LOGLEVEL", LOGGING),
    ("KAFKA_TOOLS_LOG4J_LOGLEVEL", LOGGING),
    ("KAFKA_LOG", LOGGING),
    ("KAFKA_VERSION", IMAGE),
    ("KAFKA_HOME", IMAGE),
    ("KAFKA_CREATE_TOPICS_SEPARATOR", "topics are separated by commas here"),
    ("PORT_COMMAND", COMMAND),
    ("BROKER_ID_COMMAND", "nodes run no commands; set KAFKA_NODE_ID to the node's number"),
    ("RACK_COMMAND", "nodes run no commands; set KAFKA_BROKER_RACK to the rack's name"),
    ("CUSTOM_INIT_SCRIPT", "nodes run no scripts; do it before the node starts"),
    ("START_TIMEOUT", "topics are created as soon as there are enough brokers"),
];
const JMX: &str = "there is no JMX; metrics are served by HTTP at vltava.admin.listener, /metrics";
const JVM: &str = "there is no JVM, so there is nothing to set";
const LOGGING: &str = "set VLTAVA_LOG to the level, and VLTAVA_LOG_FORMAT to human or json";
const IMAGE: &str = "it describes an image of Kafka, and changes nothing here";
const COMMAND: &str = "nodes run no commands; set KAFKA_ADVERTISED_LISTENERS";
const HOSTNAME_COMMAND: &str = "nodes run no commands; what it was for, the host that clients are \
     told, is KAFKA_ADVERTISED_HOST_NAME (or KAFKA_ADVERTISED_LISTENERS), and the machine's own \
     name where that is not set";

/// Puts variables above what the file says.
pub(crate) fn apply(
    variables: impl IntoIterator<Item = (String, String)>,
    raw: &mut Raw,
    notices: &mut Vec<Notice>,
    host_name: &dyn Fn() -> String,
) {
    let mut from_variables = Raw::new();
    for (name, value) in variables {
        let origin = Origin::Variable(name.clone());
        let mut notice = |what: &str, debug: bool| {
            let (key, what) = (name.clone(), what.to_owned());
            notices.push(Notice { key, origin: origin.clone(), what, debug });
        };
        if let Some((_, what)) = REPLACED.iter().find(|(known, _)| *known == name) {
            notice(what, false);
        } else if name == "HOSTNAME_COMMAND" {
            notice(HOSTNAME_COMMAND, false);
        } else if name == "CLUSTER_ID" {
            from_variables.insert(keys::VLTAVA_CLUSTER_ID.name().to_owned(), (value, origin));
        } else if name == "KAFKA_CREATE_TOPICS" {
            let topics = one_line(&value);
            from_variables.insert(keys::VLTAVA_CREATE_TOPICS.name().to_owned(), (topics, origin));
        } else if is_service_link(&name, &value) {
            notice("Kubernetes sets it for a Service of that name; it is ignored", true);
        } else if let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !rest.is_empty()) {
            let value = if value.contains(HOST_MARK) {
                value.replace(HOST_MARK, &host_name())
            } else {
                value
            };
            from_variables.insert(key_of(rest), (value, origin));
        }
    }
    raw.extend(from_variables);
}

/// The key that a variable's name stands for: `_` is a dot, `__` an underscore, `___` a dash.
fn key_of(rest: &str) -> String {
    let mut key = String::with_capacity(rest.len());
    let mut underscores = 0;
    for c in rest.chars().chain(['\0']) {
        if c == '_' {
            underscores += 1;
            continue;
        }
        match underscores {
            0 => {}
            1 => key.push('.'),
            2 => key.push('_'),
            3 => key.push('-'),
            more => key.extend(std::iter::repeat_n('_', more)),
        }
        underscores = 0;
        if c != '\0' {
            key.extend(c.to_lowercase());
        }
    }
    key
}

/// Topics may stand on lines of their own in a compose file.
fn one_line(topics: &str) -> String {
    let parts: Vec<&str> =
        topics.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join(",")
}

/// Whether Kubernetes made this variable for a Service whose name is, or starts with, `kafka`
/// (`enableServiceLinks`): `KAFKA_SERVICE_HOST`, `KAFKA_PORT=tcp://…`, `KAFKA_PORT_9092_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let parts: Vec<&str> = rest.split('_').collect();
    for (index, part) in parts.iter().enumerate() {
        match (*part, &parts[index + 1..]) {
            ("SERVICE", ["HOST"] | ["PORT", ..]) => return true,
            ("PORT", []) => return value.contains("://"),
            ("PORT", [port, protocol, tail @ ..]) => {
                let numbered = port.parse::<u16>().is_ok();
                let protocol = matches!(*protocol, "TCP" | "UDP" | "SCTP");
                let tail = matches!(tail, [] | ["PROTO" | "PORT" | "ADDR"]);
                if numbered && protocol && tail {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
