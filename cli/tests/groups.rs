//! Groups of all kinds, as a person looks at them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, eventually};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use vltava_client::{ClientError, Cluster as Client, ClusterOptions};
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ShareGroupHeartbeatRequest};
use vltava_wire::{ErrorCode, Request};

#[path = "local/cluster.rs"]
#[allow(dead_code, reason = "each file of tests uses what it needs")]
mod cluster;

/// Does something by the Kafka protocol.
fn by_client<T>(cluster: &Cluster, does: impl AsyncFnOnce(&Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let address = format!("127.0.0.1:{}", cluster.ports[0]);
        let client = Client::new(&address, ClusterOptions::default());
        does(&client.expect("an address")).await
    })
}

/// Joins a group of the new protocol (KIP-848). The member stays for its session, 45 s.
fn join(cluster: &Cluster, group: &str, member: &str) {
    let request = ConsumerGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(vec!["orders".into()]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    ask(cluster, group, &request, |answer| answer.error_code);
}

/// Asks a group's coordinator until it answers as such: it may just have been elected.
fn ask<R: Request>(
    cluster: &Cluster,
    group: &str,
    request: &R,
    code: impl Fn(&R::Response) -> ErrorCode,
) {
    by_client(cluster, async |client| {
        let call = || async {
            let coordinator = client.group_coordinator(group).await?;
            let answer = client.node(coordinator).await?.call(request).await?;
            match code(&answer) {
                ErrorCode::NONE => Ok(()),
                code => {
                    let what = format!("group {group}");
                    Err(ClientError::Refused { what, code, message: None })
                }
            }
        };
        client.retry(call).await.expect("it is let in");
    });
}

/// Joins a share group (KIP-932).
fn share(cluster: &Cluster, group: &str, member: &str) {
    let request = ShareGroupHeartbeatRequest {
        group_id: group.into(),
        member_id: member.into(),
        subscribed_topic_names: Some(vec!["orders".into()]),
        ..Default::default()
    };
    ask(cluster, group, &request, |answer| answer.error_code);
}

fn described(cluster: &Cluster, group: &str) -> Value {
    cluster.json(&["group", "describe", group, "--json"])
}

#[test]
fn groups_of_every_kind_are_described_alike() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "{name: orders}");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let text = text.replace(
        "num.partitions: 1",
        "num.partitions: 1, share.coordinator.state.topic.replication.factor: 1, \
         share.coordinator.state.topic.min.isr: 1",
    );
    std::fs::write(&file, text).expect("it can be written");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.produce(&["orders"], "a\nb\nc\n");

    join(&cluster, "fresh", "m1");
    let of_m1 = json!(["orders-0"]);
    eventually("the assignment", || {
        described(&cluster, "fresh")["members"][0]["partitions"] == of_m1
    });
    let fresh = described(&cluster, "fresh");
    assert_eq!((&fresh["state"], &fresh["assignor"]), (&json!("Stable"), &json!("uniform")));
    assert_eq!(fresh["members"][0]["member_id"], "m1");
    let row = &fresh["offsets"][0];
    assert_eq!((&row["end"], &row["member_id"]), (&json!(3), &json!("m1")), "nothing is committed");
    let table = cluster.run(&["group", "describe", "fresh"]);
    assert!(
        table.starts_with("group fresh  state Stable  assignor uniform  members 1\n"),
        "{table}"
    );
    assert!(table.lines().any(|line| line.starts_with("orders") && line.contains("m1")), "{table}");

    let refused =
        cluster.output(&["group", "reset-offsets", "fresh", "--topic", "orders", "--to", "latest"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        words.contains("group fresh has a member; stop what consumes there first: "),
        "{words}"
    );
    assert!(words.contains(" at 127.0.0.1"), "{words}");

    for member in ["s1", "s2"] {
        share(&cluster, "shared", member);
    }
    eventually("both members", || {
        let members = described(&cluster, "shared")["members"].as_array().map(Vec::len);
        members == Some(2)
    });
    assert_eq!(described(&cluster, "shared")["state"], "Stable");
    let refused = cluster.output(&[
        "group",
        "reset-offsets",
        "shared",
        "--topic",
        "orders",
        "--to",
        "latest",
    ]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("group shared has 2 members"), "{words}");

    let none = cluster.output(&["group", "describe", "other"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no group other"));
}

/// Starts `consume` in a group, and waits until it has printed what was there, and what is produced
/// then, the offset of which it does not commit for a second.
fn consumes(cluster: &Cluster, group: &str) -> Child {
    let mut command = cluster.command(&["consume", "orders", "--from-beginning", "--group", group]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it is text");
    cluster.produce(&["orders"], &format!("{group}\n"));
    while !line.ends_with(&format!("{group}\n")) {
        assert!(output.read_line(&mut line).expect("it is text") > 0, "it ended: {line}");
    }
    child
}

fn interrupt(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id() as i32).expect("it is a pid");
    rustix::process::kill_process(pid, signal).expect("it runs");
}

#[test]
fn an_interrupted_consumer_ends_soon_though_its_coordinator_stands_still() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "{name: orders}");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.produce(&["orders"], "first\n");
    let patient = interrupted(&cluster, "patient", &[Signal::INT]);
    assert!(patient < Duration::from_secs(20), "{patient:?}");
    // They are other signals, as two of a kind may come as one. A busy machine may be slow once.
    let is_quick = |attempt: u32| {
        let took =
            interrupted(&cluster, &format!("impatient-{attempt}"), &[Signal::INT, Signal::TERM]);
        took < Duration::from_millis(2_500)
    };
    assert!((0..5).any(is_quick), "a second signal ends it at once");
}

/// How long a consumer takes to end while the coordinator of its group stands still.
fn interrupted(cluster: &Cluster, group: &str, signals: &[Signal]) -> Duration {
    let consumer = consumes(cluster, group);
    let broker = cluster.pid("broker-1");
    rustix::process::kill_process(broker, Signal::STOP).expect("it runs");
    let begun = Instant::now();
    signals.iter().for_each(|signal| interrupt(&consumer, *signal));
    let output = consumer.wait_with_output().expect("it ends");
    let took = begun.elapsed();
    rustix::process::kill_process(broker, Signal::CONT).expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("what was printed last is not committed"), "{group}: {words}");
    // The broker was put aside for as long as it stood.
    eventually("the broker", || cluster.told(&["group", "list"]).is_some());
    took
}
