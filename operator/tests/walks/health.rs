//! What is told of a cluster that is not well: in the status, and by events that are not repeated.

use serde_json::{Value, json};

use crate::lab::{NAMESPACE, context, declare, lab, prague, resource, rest, step, trouble};
use crate::server::Server;

fn degraded(server: &Server) -> (String, String, String) {
    let status = resource(server, "prague").status.expect("it is told");
    let it = status.conditions.into_iter().find(|it| it.type_ == "Degraded").expect("it is there");
    (it.status, it.reason, it.message)
}

/// The reasons of the events about a cluster.
fn events(server: &Server) -> Vec<String> {
    let state = server.state.lock().expect("no panic");
    let events = state.objects.iter().filter(|(key, _)| key.0 == "events");
    let mut reasons: Vec<String> =
        events.filter_map(|(_, it)| it["reason"].as_str().map(str::to_owned)).collect();
    reasons.sort();
    reasons
}

#[tokio::test]
async fn a_pod_that_crashes_is_told_once_and_no_change_is_blamed() {
    let server = lab();
    rest(&server, "prague").await;
    trouble(&server, "prague-broker-2");
    let first = context(server.client());
    for _ in 0..3 {
        assert!(step(&server, &first, "prague").await);
    }
    // Nor does an operator that starts anew tell it again.
    assert!(step(&server, &context(server.client()), "prague").await);
    let expected = "prague-broker-2 does not come up: CrashLoopBackOff: no room";
    let (status, reason, message) = degraded(&server);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "PodInTrouble"));
    assert_eq!(message, expected);
    assert_eq!(events(&server), ["PodInTrouble"]);
}

#[tokio::test]
async fn a_machine_that_died_is_told_though_nothing_is_asked_for() {
    let server = lab();
    rest(&server, "prague").await;
    server.edit("nodes", "", "node-1", |node| {
        node["status"]["conditions"] = json!([
            {"type": "Ready", "status": "Unknown"},
        ]);
    });
    server.edit("pods", NAMESPACE, "prague-broker-2", |pod| {
        pod["status"]["startTime"] = json!("2020-01-01T00:00:00Z");
        pod["status"]["containerStatuses"] = json!([{
            "name": "broker", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}},
        }]);
        pod["status"]["conditions"] = json!([{
            "type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z",
        }]);
    });
    let context = context(server.client());
    for _ in 0..3 {
        assert!(step(&server, &context, "prague").await);
    }
    let (status, reason, message) = degraded(&server);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "PodUnready"));
    let expected = "prague-broker-2 is not ready, as its machine node-1 does not answer";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(events(&server), ["PodUnready"]);
}

#[tokio::test]
async fn an_impossible_manifest_has_an_event() {
    let server = lab();
    rest(&server, "prague").await;
    let mut spec = prague();
    spec["brokers"] = json!({"config": {"num.partition": "3"}});
    declare(&server, "prague", spec);
    let context = context(server.client());
    for _ in 0..2 {
        assert!(step(&server, &context, "prague").await);
    }
    assert_eq!(events(&server), ["Invalid"]);
}

#[tokio::test]
async fn what_is_too_long_for_an_event_is_cut() {
    let server = lab();
    let mut spec = prague();
    let unknown = |at| (format!("a.key.that.nobody.knows.ü.{at}"), json!("3"));
    let config: serde_json::Map<_, _> = (0..40).map(unknown).collect();
    spec["brokers"] = json!({"config": config});
    declare(&server, "prague", spec);
    assert!(step(&server, &context(server.client()), "prague").await);
    assert_eq!(events(&server), ["Invalid"]);
    assert!(degraded(&server).2.contains("knows.ü.39"), "the status has all of it");
}

fn image(server: &Server, pod: &str) -> Value {
    let pod = server.get("pods", NAMESPACE, pod).expect("it is there");
    pod["spec"]["containers"][0]["image"].clone()
}

#[tokio::test]
async fn the_version_is_the_one_that_runs_until_the_last_has_changed() {
    let server = lab();
    rest(&server, "prague").await;
    let version = |server: &Server| resource(server, "prague").status.and_then(|it| it.version);
    assert_eq!(version(&server).as_deref(), Some("1"));
    server.edit("kafkaclusters", NAMESPACE, "prague", |it| {
        it["spec"]["image"] = json!("vltava-broker:2");
    });
    // Nobody can say here who may go, so the pods are replaced by hand.
    for broker in 1..=3 {
        rest(&server, "prague").await;
        assert_eq!(version(&server).as_deref(), Some("1"), "before broker {broker}");
        server.remove("pods", NAMESPACE, &format!("prague-broker-{broker}"));
    }
    rest(&server, "prague").await;
    assert_eq!(image(&server, "prague-broker-3"), "vltava-broker:2");
    assert_eq!(version(&server).as_deref(), Some("2"));
}
