//! Variables of images and of Kubernetes, one scenario each.

use super::{apply, key_of};
use crate::load::Raw;

struct Read {
    raw: Raw,
    lines: Vec<(String, bool)>,
}

fn read(variables: &[(&str, &str)]) -> Read {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let (mut raw, mut notices) = (Raw::new(), Vec::new());
    apply(variables, &mut raw, &mut notices, &|| "host7".to_owned());
    let lines = notices.iter().map(|notice| (notice.to_string(), notice.debug)).collect();
    Read { raw, lines }
}

impl Read {
    fn value(&self, key: &str) -> &str {
        &self.raw[key].0
    }
}

#[test]
fn underscores_stand_for_dots_underscores_and_dashes() {
    assert_eq!(key_of("LOG_RETENTION_MS"), "log.retention.ms");
    assert_eq!(key_of("A__B_C___D"), "a_b.c-d");
    assert_eq!(key_of("NODE_ID"), "node.id");
}

#[test]
fn variables_stand_above_the_file() {
    let mut raw = Raw::new();
    let file = crate::Origin::File { path: "x".into(), line: 1 };
    raw.insert("node.id".into(), ("1".into(), file));
    let variables = [("KAFKA_NODE_ID".to_owned(), "2".to_owned())];
    apply(variables, &mut raw, &mut Vec::new(), &String::new);
    assert_eq!(raw["node.id"].0, "2");
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let read = read(&[("PATH", "/bin"), ("KAFKA_", "x"), ("MY_KAFKA_PORT", "1")]);
    assert!(read.raw.is_empty());
    assert!(read.lines.is_empty());
}

#[test]
fn a_service_called_kafka_changes_nothing() {
    let read = read(&[
        ("KAFKA_PORT", "tcp://10.0.0.7:9092"),
        ("KAFKA_SERVICE_HOST", "10.0.0.7"),
        ("KAFKA_SERVICE_PORT", "9092"),
        ("KAFKA_SERVICE_PORT_NAME", "x"),
        ("KAFKA_SERVICE_PORT_TCP_CLIENTS", "9092"),
        ("KAFKA_PORT_9092_TCP", "tcp://10.0.0.7:9092"),
        ("KAFKA_PORT_9092_TCP_PROTO", "tcp"),
        ("KAFKA_PORT_9092_TCP_PORT", "9092"),
        ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.7"),
        ("KAFKA_HEADLESS_SERVICE_HOST", "10.0.0.8"),
        ("KAFKA_BROKER_1_PORT", "tcp://10.0.0.8:9092"),
        ("KAFKA_BROKER_1_PORT_9092_TCP_ADDR", "10.0.0.8"),
    ]);
    assert!(read.raw.is_empty(), "{:?}", read.raw.keys());
    assert_eq!(read.lines.len(), 12);
    assert!(read.lines.iter().all(|(_, debug)| *debug));
}

#[test]
fn a_port_that_is_a_number_is_a_setting() {
    assert_eq!(read(&[("KAFKA_PORT", "9092")]).value("port"), "9092");
}

#[test]
fn java_and_zookeeper_have_replacements() {
    let read = read(&[
        ("KAFKA_JMX_OPTS", "-Dcom.sun.management.jmxremote"),
        ("JMX_PORT", "1099"),
        ("KAFKA_HEAP_OPTS", "-Xmx1G"),
        ("KAFKA_LOG4J_ROOT_LOGLEVEL", "WARN"),
    ]);
    assert!(read.raw.is_empty());
    let text: Vec<&str> = read.lines.iter().map(|(line, _)| line.as_str()).collect();
    assert!(text[0].contains("vltava.admin.listener"), "{text:?}");
    assert!(text[1].starts_with("JMX_PORT: "), "{text:?}");
    assert!(text[2].contains("no JVM"), "{text:?}");
    assert!(text[3].contains("VLTAVA_LOG"), "{text:?}");
}

#[test]
fn the_host_name_command_is_not_run_but_its_purpose_is_served() {
    let read = read(&[
        ("HOSTNAME_COMMAND", "docker info | grep ^Name:"),
        ("KAFKA_ADVERTISED_LISTENERS", "OUTSIDE://_{HOSTNAME_COMMAND}:9094"),
    ]);
    assert!(read.lines[0].0.contains("KAFKA_ADVERTISED_HOST_NAME"));
    assert_eq!(read.value("advertised.listeners"), "OUTSIDE://host7:9094");
}

#[test]
fn topics_to_create_may_stand_on_lines_of_their_own() {
    let read = read(&[("KAFKA_CREATE_TOPICS", "myTopic:3:3\n anotherTopic:2:2,\n")]);
    assert_eq!(read.value("vltava.create.topics"), "myTopic:3:3,anotherTopic:2:2");
}

#[test]
fn the_cluster_id_of_an_image_is_ours() {
    let read = read(&[("CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw")]);
    assert_eq!(read.value("vltava.cluster.id"), "4L6g3nShT-eMCtK--X86sw");
}
