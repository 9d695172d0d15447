//! What the command refuses, without any cluster: each with one clear line and a failing exit.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn vltava(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vltava"))
        .args(args)
        .env("VLTAVA_DATA_DIR", dir.join("data"))
        .output()
        .expect("the binary runs")
}

/// Runs a command that must fail, and returns its one line.
fn refused(dir: &Path, args: &[&str]) -> String {
    let output = vltava(dir, args);
    assert_eq!(output.status.code(), Some(1), "{args:?} must fail: {output:?}");
    let text = String::from_utf8(output.stderr).expect("it is text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_start_matches("vltava: ").trim_end().to_owned()
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder can be made")
}

fn manifest(dir: &Path, spec: &str) -> String {
    let path = dir.join("cluster.yaml");
    let text = format!(
        "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: test}}\n\
         spec: {spec}\n"
    );
    std::fs::write(&path, text).expect("the manifest can be written");
    path.display().to_string()
}

#[test]
fn without_a_cluster_the_local_verbs_say_how_to_make_one() {
    let dir = folder();
    for args in [
        vec!["ps"],
        vec!["stop", "broker-1"],
        vec!["kill", "broker-1"],
        vec!["start", "broker-1"],
        vec!["logs"],
        vec!["down"],
    ] {
        let line = refused(dir.path(), &args);
        assert!(line.contains("start one with `vltava up`"), "{line}");
    }
}

#[test]
fn without_a_cluster_the_others_say_how_to_name_one() {
    let dir = folder();
    for args in [
        vec!["topic", "list"],
        vec!["group", "list"],
        vec!["quorum", "status"],
        vec!["config", "describe", "brokers"],
        vec!["consume", "orders"],
        vec!["produce", "orders"],
    ] {
        let line = refused(dir.path(), &args);
        assert!(line.ends_with("or name one with --bootstrap-server"), "{line}");
    }
}

#[test]
fn a_cluster_that_nobody_serves_is_named() {
    let dir = folder();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    // Told at once rather than retried for long: nothing listens there.
    let line = refused(dir.path(), &["quorum", "status", "-b", &address]);
    assert!(line.contains(&address), "{line}");
    let line = refused(dir.path(), &["topic", "list", "-b", "nowhere"]);
    assert!(line.contains("is not host:port"), "{line}");
}

#[test]
fn an_impossible_manifest_starts_nothing() {
    let dir = folder();
    let file = manifest(
        dir.path(),
        "{brokers: {replicas: 1}, topics: [{name: a, replicationFactor: 3}, {name: b c}]}",
    );
    let line = refused(dir.path(), &["up", "-d", "-f", &file]);
    assert!(line.contains("spec.topics[0].replicationFactor: a: 3 replicas"), "{line}");
    assert!(line.contains("spec.topics[1].name"), "all that is wrong is told: {line}");
    assert!(!dir.path().join("data").exists());

    let file = manifest(dir.path(), "{brokers: {replica: 1}}");
    let line = refused(dir.path(), &["up", "-d", "-f", &file]);
    assert!(line.contains("spec.brokers.replica: there is no such field"), "{line}");
    let line = refused(dir.path(), &["up", "-d", "-f", "/nonexistent.yaml"]);
    assert!(line.starts_with("cannot read /nonexistent.yaml"), "{line}");
}

#[test]
fn what_kubernetes_would_refuse_starts_nothing_here_either() {
    let dir = folder();
    for (spec, words) in [
        (
            "{brokers: {replicas: 1}, listeners: [{name: a, port: 1, type: Internal}, \
             {name: b, port: 2, type: NodePort, nodePorts: [34111]}]}",
            "spec.listeners[1].nodePorts: 34111 is none that Kubernetes gives; take 30000 to 32767",
        ),
        (
            "{brokers: {replicas: 1}, coordinators: {replicas: 2}}",
            "spec.coordinators.replicas: 2 bear no more failures than 1; ask for 1",
        ),
    ] {
        let line = refused(dir.path(), &["up", "-d", "-f", &manifest(dir.path(), spec)]);
        assert!(line.ends_with(words), "{line}");
        assert!(!dir.path().join("data").exists());
    }
}

#[test]
fn a_port_that_is_taken_starts_nothing() {
    let dir = folder();
    let mut ports = (30_500..32_000).map(|port| TcpListener::bind(("127.0.0.1", port)));
    let taken = ports.find_map(Result::ok).expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let file = manifest(
        dir.path(),
        &format!(
            "{{brokers: {{replicas: 1}}, coordinators: {{replicas: 1}}, listeners: [\
             {{name: a, port: 1, type: Internal}}, \
             {{name: b, port: 2, type: NodePort, nodePorts: [{port}]}}]}}"
        ),
    );
    let output = vltava(dir.path(), &["up", "-d", "-f", &file]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().last().unwrap_or_default();
    assert!(line.contains(&format!("port {port} on 127.0.0.1 is taken, and broker-1")), "{text}");
    assert!(!dir.path().join("data").exists(), "nothing is left behind");
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let dir = folder();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a folder can be made");
    std::fs::write(data.join("thesis.tex"), "x").expect("a file can be written");
    let line = refused(dir.path(), &["up", "-d"]);
    assert!(line.contains("holds something else than a cluster"), "{line}");
    refused(dir.path(), &["down", "--volumes"]);
    assert!(data.join("thesis.tex").exists());
}

#[test]
fn a_node_whose_settings_are_wrong_says_where_and_what() {
    let dir = folder();
    let file = dir.path().join("broker.properties");
    std::fs::write(&file, "node.id=1\nmin.insync.replica=2\n").expect("a file can be written");
    let line = refused(dir.path(), &["broker", "--config", &file.display().to_string()]);
    assert!(line.contains("broker.properties:2: min.insync.replica: is unknown"), "{line}");
    assert!(line.contains("did you mean `min.insync.replicas`?"), "{line}");
}

#[test]
fn every_command_has_help_with_examples() {
    let dir = folder();
    for command in [
        "up",
        "ps",
        "stop",
        "kill",
        "start",
        "logs",
        "down",
        "topic",
        "produce",
        "consume",
        "group",
        "config",
        "broker",
        "coordinator",
    ] {
        let output = vltava(dir.path(), &[command, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("Examples:"), "{command}: {text}");
    }
    let output = vltava(dir.path(), &["quorum", "status", "--help"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Examples:"));
}

#[test]
fn what_cannot_be_typed_is_refused_in_one_line() {
    let dir = folder();
    for args in [
        vec![],
        vec!["topic"],
        vec!["topic", "create"],
        vec!["topic", "create", "a", "--partitions", "0"],
        vec!["topic", "create", "a\nb", "--partition", "1"],
        vec!["topic", "alter", "a", "--config", "retention.ms"],
        vec!["group", "reset-offsets", "g", "--topic", "a"],
        vec!["config", "describe", "topic"],
        vec!["start"],
        vec!["up", "--timeout", "soon\n"],
        vec!["frobnicate"],
    ] {
        let output = vltava(dir.path(), &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let text = String::from_utf8(output.stderr).expect("it is text");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(text.starts_with("vltava: ") && text.ends_with("--help'\n"), "{args:?}: {text}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
