//! Clusters on this machine, from `up` to `down`, as a person runs them.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use cluster::{Cluster, eventually};

#[path = "local/cluster.rs"]
mod cluster;

/// Starts `up` in the foreground and waits until it says `ready`.
fn foreground(cluster: &Cluster, file: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = cluster.command(&["up", "-f", file]);
    let mut up = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut output = BufReader::new(up.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while line != "ready\n" {
        line.clear();
        let read = output.read_line(&mut line).expect("it is text");
        assert!(read > 0, "`up` ended before it was ready");
    }
    (up, output)
}

#[test]
fn a_cluster_comes_up_serves_and_goes_down() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "{name: orders, partitions: 3, config: {flush.ms: 9}}");
    let said = cluster.run(&["up", "-d", "-f", &file]);
    assert!(said.contains("topic orders created") && said.ends_with("ready\n"), "{said}");
    assert!(cluster.states().iter().all(|(_, state)| state == "running"));

    let topic = &cluster.json(&["topic", "describe", "orders", "--json"])[0];
    assert_eq!(topic["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(topic["config"]["flush.ms"], "9");

    cluster.produce(&["orders", "--key-delimiter", ":"], "a:1\nb:2\nc:3\n");
    let consumed = cluster.run(&[
        "consume",
        "orders",
        "--from-beginning",
        "--group",
        "g",
        "-m",
        "3",
        "-k",
        "=",
    ]);
    let mut lines: Vec<&str> = consumed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a=1", "b=2", "c=3"]);
    let group = cluster.json(&["group", "describe", "g", "--json"]);
    let lag = |row: &Value| row["lag"].as_i64().unwrap_or(-1);
    let offsets = group["offsets"].as_array().expect("it is a list");
    assert!(!offsets.is_empty() && offsets.iter().all(|row| lag(row) == 0), "{group}");
    cluster.run(&["group", "reset-offsets", "g", "--topic", "orders", "--to", "earliest"]);
    let again = cluster.run(&["consume", "orders", "--group", "g", "-m", "3"]);
    assert_eq!(again.lines().count(), 3);

    let status = cluster.run(&["quorum", "status"]);
    assert!(status.starts_with("coordinator-1 -> Mode: leader\n"), "{status}");
    assert!(status.contains(" active "), "{status}");
    for command in [&["topic", "alter", "orders"][..], &["config", "alter", "brokers"]] {
        let wrong = cluster.output(&[command, &["--reset", "log.retention.msx"]].concat());
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert!(!wrong.status.success() && said.contains("there is no setting"), "{said}");
    }
    cluster.run(&["topic", "alter", "orders", "--reset", "flush.ms"]);
    cluster.run(&["kill", "broker-1"]);
    let status = cluster.run(&["quorum", "status"]);
    assert!(status.contains(" unreachable "), "no broker answers, and one is known: {status}");

    cluster.run(&["down"]);
    assert!(cluster.states().iter().all(|(_, state)| state == "stopped"));
    cluster.run(&["up", "-d"]);
    let kept = cluster.run(&["consume", "orders", "--from-beginning", "-m", "3"]);
    assert_eq!(kept.lines().count(), 3, "what was written outlives `down`");
    cluster.run(&["down", "--volumes"]);
    assert!(!cluster.dir.path().join("data").exists());
}

#[test]
fn nodes_are_killed_seen_dead_and_started_again() {
    let cluster = Cluster::new(2);
    let file = cluster.manifest(2, 3, "{name: orders, replicationFactor: 2}");
    cluster.run(&["up", "-d", "-f", &file]);
    assert_eq!(cluster.run(&["kill", "broker-2"]), "broker-2 killed\n");
    // And one from outside, which nobody told us of.
    rustix::process::kill_process(cluster.pid("coordinator-3"), Signal::KILL).expect("it runs");
    eventually("the death of coordinator-3", || {
        let dead = |name: &str| cluster.states().contains(&(name.to_owned(), "dead".to_owned()));
        dead("coordinator-3") && dead("broker-2")
    });
    eventually("an ISR of one", || {
        let topics = cluster.json_if_told(&["topic", "describe", "orders", "--json"]);
        topics[0]["partitions"][0]["isr"] == serde_json::json!([1])
    });
    let status = cluster.run(&["quorum", "status"]);
    assert!(status.contains("coordinator-3 -> Mode: unreachable"), "{status}");
    let said = cluster.run(&["start", "broker-2", "coordinator-3", "broker-1"]);
    assert!(said.contains("broker-1 runs already") && said.contains("broker-2 started"), "{said}");
    eventually("an ISR of two", || {
        let topics = cluster.json_if_told(&["topic", "describe", "orders", "--json"]);
        topics[0]["partitions"][0]["isr"].as_array().map(Vec::len) == Some(2)
    });
    let unknown = cluster.output(&["stop", "broker-3"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no node broker-3"));
}

#[test]
fn a_broker_that_stands_still_lets_its_clients_go_and_serves_again_when_it_goes_on() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "{name: orders}");
    cluster.run(&["up", "-d", "-f", &file]);
    let broker = cluster.pid("broker-1");
    let mut connected = connect(cluster.ports[0]);
    rustix::process::kill_process(broker, Signal::STOP).expect("it runs");
    let let_go = is_ended(&mut connected);
    let log = cluster.run(&["logs", "broker-1"]);
    if !let_go && log.contains("the watchdog of this broker cannot do its work") {
        let why = "left out: this system lets no process duplicate the sockets of another";
        writeln!(std::io::stderr(), "{why}").expect("stderr");
        rustix::process::kill_process(broker, Signal::CONT).expect("it runs");
        return;
    }
    assert!(let_go, "who is connected is let go: {log}");
    assert!(is_ended(&mut connect(cluster.ports[0])), "and who comes then is turned away");
    rustix::process::kill_process(broker, Signal::CONT).expect("it runs");
    cluster.produce(&["orders"], "it goes on\n");

    let children = format!("/proc/{0}/task/{0}/children", broker.as_raw_nonzero());
    let children = std::fs::read_to_string(children).expect("the broker lives");
    let watchdog = children.trim().parse::<i32>().expect("it has one child");
    cluster.run(&["kill", "broker-1"]);
    eventually("the end of the watchdog", || {
        let stat = std::fs::read_to_string(format!("/proc/{watchdog}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    });
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the system takes connections");
    stream.set_read_timeout(Some(cluster::PATIENCE)).expect("it is not zero");
    stream
}

/// Whether the other side of a connection ends it, to which nothing is said.
fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn ctrl_c_ends_the_foreground_in_order() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "");
    let (mut up, mut output) = foreground(&cluster, &file);
    let pid = Pid::from_raw(up.id() as i32).expect("it is a pid");
    rustix::process::kill_process(pid, Signal::INT).expect("it runs");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).expect("it is text");
    assert_eq!(up.wait().expect("it ends").code(), Some(0));
    let stopped: Vec<&str> =
        rest.lines().filter(|line| line.ends_with(" stopped") && !line.contains('|')).collect();
    assert_eq!(stopped, ["broker-1 stopped", "coordinator-1 stopped"], "{rest}");
    assert!(rest.contains("broker-1      | "), "log lines are marked with their node: {rest}");
    assert!(cluster.states().iter().all(|(_, state)| state == "stopped"));
}

#[test]
fn a_second_ctrl_c_kills_what_does_not_end() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "");
    let mut command = cluster.command(&["up", "-f", &file]);
    let mut up = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut output = BufReader::new(up.stdout.take().expect("it is piped"));
    let mut until = |words: &str| {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert!(output.read_line(&mut line).expect("it is text") > 0, "{words} never comes");
        }
    };
    until("ready");
    // One that cannot hear that it is to end.
    rustix::process::kill_process(cluster.pid("broker-1"), Signal::STOP).expect("it runs");
    let pid = Pid::from_raw(up.id() as i32).expect("it is a pid");
    rustix::process::kill_process(pid, Signal::INT).expect("it runs");
    until("stopping in order; Ctrl-C once more kills what still runs");
    rustix::process::kill_process(pid, Signal::INT).expect("it runs");
    until("broker-1 killed");
    drop(output);
    let output = up.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        words.lines().last().map(|line| line.contains("killed instead of stopped")),
        Some(true)
    );
    assert!(cluster.states().iter().all(|(_, state)| state != "running"));
}

#[test]
fn a_cluster_whose_reader_goes_away_is_stopped() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "");
    let (mut up, output) = foreground(&cluster, &file);
    drop(output);
    // Something must be said for `up` to notice that nobody reads. It may have noticed already, by
    // what nodes said when they started.
    cluster.run(&["stop", "broker-1"]);
    assert_eq!(up.wait().expect("it ends").code(), Some(0));
    assert!(cluster.states().iter().all(|(_, state)| state == "stopped"));
}

#[test]
fn the_foreground_tells_nodes_that_died_from_nodes_that_were_stopped() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "");
    let command = || {
        let mut command = cluster.command(&["up", "-f", &file]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut up = command.spawn().expect("the binary runs");
        let output = up.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
        assert!(ready.is_some(), "`up` ended before it was ready");
        // Somebody reads on.
        std::thread::spawn(move || lines.for_each(drop));
        up
    };
    let up = command();
    for node in ["broker-1", "coordinator-1"] {
        rustix::process::kill_process(cluster.pid(node), Signal::KILL).expect("it runs");
    }
    let output = up.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("no node runs any more: "), "{words}");
    assert!(words.contains("broker-1 killed (SIGKILL)"), "{words}");

    for args in [&["down"][..], &["down", "--volumes"]] {
        let up = command();
        cluster.run(args);
        let output = up.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    }
}

#[test]
fn a_cluster_that_is_wanted_while_the_old_one_is_removed_is_a_new_one() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "{name: new}");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.run(&["topic", "create", "old"]);
    let mut command = cluster.command(&["down", "--volumes"]);
    let mut down = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let mut output = BufReader::new(down.stdout.take().expect("it is piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it is text");
    assert_eq!(line, "broker-1 stopped\n", "it is in the middle of it");
    cluster.run(&["up", "-d", "-f", &file]);
    assert!(down.wait().expect("it ends").success());
    let topics = cluster.run(&["topic", "list"]);
    assert!(topics.contains("new") && !topics.contains("old"), "{topics}");
}

#[test]
fn nodes_outlive_the_up_that_was_killed() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "");
    let (mut up, _output) = foreground(&cluster, &file);
    up.kill().expect("it runs");
    up.wait().expect("it ends");
    assert!(cluster.states().iter().all(|(_, state)| state == "running"));
    cluster.run(&["topic", "create", "a"]);
    cluster.run(&["down"]);
    assert!(cluster.states().iter().all(|(_, state)| state == "stopped"));
}

#[test]
fn a_changed_manifest_is_applied_to_a_cluster_that_runs() {
    let cluster = Cluster::new(2);
    let file = cluster.manifest(1, 1, "{name: a, partitions: 2, config: {flush.ms: 9}}, {name: b}");
    cluster.run(&["up", "-d", "-f", &file]);
    let file = cluster.manifest(2, 1, "{name: a, partitions: 4, config: {retention.ms: 7}}");
    let said = cluster.run(&["up", "-d", "-f", &file]);
    for words in [
        "broker-2 is up",
        "topic a: 2 partitions became 4",
        "topic a: retention.ms=7, flush.ms as the brokers say",
        "topic b is no longer declared; it is kept",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(cluster.run(&["topic", "list"]), "a\nb\n");

    let file = cluster.manifest(2, 1, "{name: a, partitions: 1}, {name: c, replicationFactor: 2}");
    let output = cluster.output(&["up", "-d", "-f", &file]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("topic a: has 4 partitions and cannot go down to 1"), "{words}");
    let last = words.lines().last().unwrap_or_default();
    assert!(last.contains("1 change of the manifest refused, as said above"), "{words}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("topic c created") && said.ends_with("ready\n"), "{said}");
    assert!(cluster.states().iter().all(|(_, state)| state == "running"), "the others go on");

    let file = cluster.manifest(1, 1, "");
    let output = cluster.output(&["up", "-d", "-f", &file]);
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = "1 broker cannot hold the 2 replicas of c; lower the replication factor first";
    assert!(words.contains(refused), "{words}");

    let file = cluster.manifest(1, 1, "{name: c, replicationFactor: 1}");
    let said = cluster.run(&["up", "-d", "-f", &file]);
    assert!(said.contains("broker-2 is taken out"), "its replicas moved first: {said}");
    let described = cluster.run(&["topic", "describe", "a", "c", "--json"]);
    assert!(described.contains("\"replicas\""), "{described}");
    let numbers: String = described.split_whitespace().collect();
    assert!(!numbers.contains("\"leader\":2") && !numbers.contains("\"leader\":null"), "{numbers}");
    let file = cluster.manifest(2, 1, "{name: c, replicationFactor: 2}");
    let said = cluster.run(&["up", "-d", "-f", &file]);
    assert!(said.contains("topic c: from 1 to 2 replicas"), "{said}");
    let described = cluster.run(&["topic", "describe", "c", "--json"]);
    let numbers: String = described.split_whitespace().collect();
    let both = ["\"isr\":[1,2]", "\"isr\":[2,1]"];
    assert!(both.iter().any(|isr| numbers.contains(isr)), "{numbers}");

    let file = cluster.manifest(2, 3, "");
    let output = cluster.output(&["up", "-d", "-f", &file]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("has 1 coordinators and the manifest asks for 3"), "{words}");
}

#[test]
fn settings_that_change_at_run_time_are_told_and_others_ask_for_a_restart() {
    let cluster = Cluster::new(2);
    let file = cluster.manifest(2, 1, "");
    let with = |name: &str, settings: &str| {
        let text = std::fs::read_to_string(&file).expect("it is there");
        let text = text.replace("config: {num.partitions: 1}", &format!("config: {{{settings}}}"));
        let other = cluster.dir.path().join(name);
        std::fs::write(&other, text).expect("it can be written");
        other.display().to_string()
    };
    let effective = |key: &str| {
        let settings = cluster.json(&["config", "describe", "broker", "2", "--all", "--json"]);
        let all = settings.as_array().expect("it is a list");
        let setting = all.iter().find(|setting| setting["name"] == key).expect("it is known");
        setting["value"].as_str().unwrap_or("-").to_owned()
    };
    cluster.run(&["up", "-d", "-f", &file]);

    let more =
        with("more", "num.partitions: 1, log.retention.ms: 777000, message.max.bytes: 2000000");
    let said = cluster.run(&["up", "-d", "-f", &more]);
    assert!(said.contains("brokers: log.retention.ms=777000\n"), "{said}");
    assert!(said.contains("brokers: message.max.bytes=2000000\n"), "{said}");
    assert!(!said.contains("restart"), "{said}");
    assert_eq!(effective("log.retention.ms"), "777000");
    let again = cluster.run(&["up", "-d", "-f", &more]);
    assert!(!again.contains("brokers: "), "nothing is left to do: {again}");

    let both =
        with("both", "num.partitions: 5, log.retention.ms: 888000, message.max.bytes: 2000000");
    let said = cluster.run(&["up", "-d", "-f", &both]);
    assert!(said.contains("brokers: log.retention.ms=888000\n"), "{said}");
    let asks = "coordinator-1, broker-1, broker-2 need a restart for num.partitions: `vltava stop";
    assert!(said.contains(asks), "{said}");
    assert_eq!(effective("num.partitions"), "1");
    cluster.run(&["stop", "broker-2"]);
    cluster.run(&["start", "broker-2"]);
    assert_eq!(effective("num.partitions"), "5");
    assert_eq!(effective("log.retention.ms"), "888000");

    // What a node read when it started it keeps, until it starts anew.
    let said = cluster.run(&["up", "-d", "-f", &file]);
    assert!(said.contains("brokers: log.retention.ms is no longer set for all of them"), "{said}");
    assert!(said.contains("need a restart for log.retention.ms, message.max.bytes"), "{said}");
    cluster.run(&["down"]);
    cluster.run(&["up", "-d"]);
    assert_ne!(effective("log.retention.ms"), "777000");
    assert_eq!(effective("message.max.bytes"), "1048588");

    // And what changed while nothing ran holds as soon as it runs.
    let said = cluster.run(&["up", "-d", "-f", &more]);
    assert!(said.contains("brokers: log.retention.ms=777000\n"), "{said}");
    cluster.run(&["down"]);
    let other = with("other", "num.partitions: 1, log.retention.ms: 999000");
    cluster.run(&["up", "-d", "-f", &other]);
    assert_eq!(effective("log.retention.ms"), "999000");
}

/// Runs a command whose output nobody reads.
fn unread(cluster: &Cluster, args: &[&str]) -> Option<i32> {
    let mut child = cluster.command(args).stdout(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    child.wait().expect("it ends").code()
}

#[test]
fn what_is_to_be_done_is_done_though_nobody_reads_what_is_said() {
    let cluster = Cluster::new(2);
    let file = cluster.manifest(2, 1, "{name: a}, {name: b}");
    let states = |wanted: &str| cluster.states().iter().filter(|(_, it)| it == wanted).count();
    assert_eq!(unread(&cluster, &["up", "-d", "-f", &file]), Some(0));
    assert_eq!(states("running"), 3);
    assert_eq!(unread(&cluster, &["topic", "delete", "a", "b"]), Some(0));
    assert_eq!(cluster.run(&["topic", "list"]), "");
    assert_eq!(unread(&cluster, &["kill", "broker-1", "broker-2"]), Some(0));
    assert_eq!(states("dead"), 2);
    assert_eq!(unread(&cluster, &["start", "broker-1", "broker-2"]), Some(0));
    assert_eq!(states("running"), 3);
    // What only prints ends with its reader, and that is no failure.
    assert_eq!(unread(&cluster, &["ps"]), Some(0));
    assert_eq!(unread(&cluster, &["down"]), Some(0));
    assert_eq!(states("stopped"), 3);
    let output = cluster.output(&["start", "broker-1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = "broker-1 is started, and cannot be ready yet: 0 of 1 coordinators run, and 1 is \
                 needed; `vltava start coordinator-1`";
    assert!(said.contains(words), "{said}");
}

#[test]
fn without_a_majority_of_coordinators_changes_are_refused_soon_and_say_whom_to_start() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 3, "{name: orders}");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.run(&["kill", "coordinator-1", "coordinator-3"]);
    let words = "no active coordinator answers, so nothing can be changed: 1 of 3 coordinators \
                 runs, and 2 are needed; `vltava start coordinator-1 coordinator-3`";
    for args in [
        vec!["topic", "create", "more"],
        vec!["config", "alter", "topic", "orders", "--set", "retention.ms=7"],
        vec!["consume", "orders", "--group", "g"],
    ] {
        let begun = Instant::now();
        let output = cluster.output(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said, format!("vltava: {words}\n"), "{args:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{args:?}: {:?}", begun.elapsed());
    }
    // What brokers know by themselves they still say.
    assert_eq!(cluster.run(&["topic", "list"]), "orders\n");
    cluster.run(&["start", "coordinator-1", "coordinator-3"]);
    // Another name: the one that was refused may be there by now, if the coordinator that was left
    // had it in its log, and leads again.
    cluster.run(&["topic", "create", "another"]);
}
