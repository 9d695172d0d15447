//! What the API server refuses, or the manifest makes impossible, about one thing: everything else
//! is done.

use serde_json::{Value, json};

use crate::lab::{NAMESPACE, context, controllers, declare, lab, prague, resource, rest, step};
use crate::server::Server;

fn image(server: &Server, set: &str) -> Value {
    let set = server.get("statefulsets", NAMESPACE, set).expect("it is there");
    set["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

/// The reason and message of what needs a person.
fn degraded(server: &Server) -> (String, String) {
    let status = resource(server, "prague").status.expect("it is told");
    let it = status.conditions.into_iter().find(|it| it.type_ == "Degraded").expect("it is there");
    assert_eq!(it.status, "True", "{}", it.message);
    (it.reason, it.message)
}

#[tokio::test]
async fn what_is_refused_about_one_object_holds_up_no_other() {
    let server = lab();
    rest(&server, "prague").await;
    let why = "spec.loadBalancerClass: Invalid value: may not change once set".to_owned();
    server.state.lock().expect("no panic").refused =
        Some(("prague-external-1".to_owned(), why.clone()));
    let mut spec = prague();
    // What is refused, and what waits for nothing of it: another Service, other pods.
    spec["listeners"][1]["annotations"] = json!({"example.com/dns": "kafka"});
    spec["image"] = json!("vltava-broker:2");
    server.edit("kafkaclusters", NAMESPACE, "prague", |it| it["spec"] = spec);
    let context = context(server.client());
    for _ in 0..3 {
        assert!(!step(&server, &context, "prague").await, "it is told");
        controllers(&server);
    }
    assert_eq!(image(&server, "prague-broker"), "vltava-broker:2");
    assert_eq!(image(&server, "prague-coordinator"), "vltava-coordinator:2");
    let other = server.get("services", NAMESPACE, "prague-external-2").expect("it is there");
    assert_eq!(other["metadata"]["annotations"]["example.com/dns"], "kafka");
    let (reason, message) = degraded(&server);
    assert_eq!(reason, "Failed");
    assert!(message.contains("Service prague-external-1") && message.contains(&why), "{message}");
}

#[tokio::test]
async fn a_budget_of_somebody_else_under_our_name_holds_up_nothing() {
    let server = lab();
    server.put(
        "poddisruptionbudgets",
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "prague-broker", "namespace": NAMESPACE},
            "spec": {"minAvailable": 1},
        }),
    );
    let context = context(server.client());
    for _ in 0..3 {
        assert!(!step(&server, &context, "prague").await, "it is told");
        controllers(&server);
    }
    assert!(server.get("pods", NAMESPACE, "prague-broker-3").is_some());
    let (_, message) = degraded(&server);
    assert!(message.contains("PodDisruptionBudget prague-broker"), "{message}");
    let theirs = server.get("poddisruptionbudgets", NAMESPACE, "prague-broker");
    assert_eq!(theirs.expect("it is there")["spec"], json!({"minAvailable": 1}));
}

#[tokio::test]
async fn so_few_brokers_are_refused_and_all_else_of_the_manifest_is_done() {
    let server = lab();
    let with = |brokers: i32, image: &str| {
        let mut spec = prague();
        spec["brokers"] = json!({"replicas": brokers});
        spec["topics"] = json!([{"name": "orders", "replicationFactor": 3}]);
        spec["image"] = json!(image);
        spec
    };
    declare(&server, "prague", with(3, "vltava-broker:1"));
    rest(&server, "prague").await;
    let spec = with(2, "vltava-broker:2");
    server.edit("kafkaclusters", NAMESPACE, "prague", |it| it["spec"] = spec);
    rest(&server, "prague").await;
    let set = server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there");
    assert_eq!(set["spec"]["replicas"], 3);
    assert_eq!(image(&server, "prague-broker"), "vltava-broker:2");
    let (reason, message) = degraded(&server);
    assert_eq!(reason, "ScaleRefused");
    assert!(message.contains("orders: 3 replicas need as many brokers"), "{message}");
    let status = resource(&server, "prague").status.expect("it is told");
    assert_eq!(status.brokers.expect("it is told").summary, "3/2");
}
