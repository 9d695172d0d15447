//! Ports of nodes that go from one listener to another, and what goes on while one cannot be had.

use serde_json::{Value, json};

use crate::lab::{NAMESPACE, context, declare, lab, resource, rest, step};
use crate::server::{Fault, Server};

fn with(listeners: &[(&str, [i32; 3])]) -> Value {
    let mut all = vec![json!({"name": "internal", "port": 9092, "type": "Internal"})];
    for (at, (name, ports)) in (9094..).zip(listeners) {
        all.push(json!({
            "name": name, "port": at, "type": "NodePort", "nodePorts": ports,
            "advertisedHost": "localhost",
        }));
    }
    json!({"listeners": all})
}

fn ports(server: &Server, listener: &str) -> Vec<i64> {
    let of = |broker: i32| {
        let name = format!("prague-{listener}-{broker}");
        let service = server.get("services", NAMESPACE, &name)?;
        assert_eq!(service["spec"]["type"], "NodePort");
        service["spec"]["ports"][0]["nodePort"].as_i64()
    };
    (1..=3).filter_map(of).collect()
}

fn apply(server: &Server, spec: Value) {
    server.edit("kafkaclusters", NAMESPACE, "prague", |it| it["spec"] = spec);
}

const FIRST: [i32; 3] = [32_001, 32_002, 32_003];
const SECOND: [i32; 3] = [32_011, 32_012, 32_013];

#[tokio::test]
async fn a_listener_that_is_renamed_keeps_its_ports() {
    let server = lab();
    declare(&server, "prague", with(&[("external", FIRST)]));
    rest(&server, "prague").await;
    apply(&server, with(&[("public", FIRST)]));
    rest(&server, "prague").await;
    assert_eq!(ports(&server, "public"), FIRST.map(i64::from));
    assert_eq!(ports(&server, "external"), [0_i64; 0]);
}

#[tokio::test]
async fn two_listeners_swap_their_ports_whichever_call_fails() {
    let swapped = [("external", SECOND), ("public", FIRST)];
    let whole = lab();
    declare(&whole, "prague", with(&[("external", FIRST), ("public", SECOND)]));
    rest(&whole, "prague").await;
    let ip = |server: &Server| {
        let service = server.get("services", NAMESPACE, "prague-public-1").expect("it is there");
        service["metadata"]["uid"].clone()
    };
    let (before, began) = (ip(&whole), whole.state.lock().expect("no panic").calls);
    apply(&whole, with(&swapped));
    rest(&whole, "prague").await;
    assert_eq!(ports(&whole, "external"), SECOND.map(i64::from));
    assert_eq!(ports(&whole, "public"), FIRST.map(i64::from));
    assert_eq!(ip(&whole), before, "the Services are the same");
    let calls = whole.state.lock().expect("no panic").calls - began;
    for call in 1..=calls {
        let server = lab();
        declare(&server, "prague", with(&[("external", FIRST), ("public", SECOND)]));
        rest(&server, "prague").await;
        apply(&server, with(&swapped));
        let fault = [Fault::Before, Fault::After][call % 2];
        {
            let mut state = server.state.lock().expect("no panic");
            state.fault = Some((state.calls + call, fault));
        }
        rest(&server, "prague").await;
        assert_eq!(ports(&server, "external"), SECOND.map(i64::from), "call {call} {fault:?}");
        assert_eq!(ports(&server, "public"), FIRST.map(i64::from), "call {call} {fault:?}");
    }
}

#[tokio::test]
async fn a_port_that_a_broker_was_given_goes_to_the_one_that_names_it() {
    let server = lab();
    declare(&server, "prague", crate::lab::prague());
    rest(&server, "prague").await;
    let given = ports(&server, "external");
    assert_eq!(given, [32_001, 30_000, 30_001]);
    let mut spec = crate::lab::prague();
    spec["listeners"][1]["nodePorts"] = json!([30_001]);
    apply(&server, spec);
    rest(&server, "prague").await;
    let now = ports(&server, "external");
    assert_eq!(now[0], 30_001);
    assert_eq!(now.len(), 3, "the one that had it got another: {now:?}");
}

#[tokio::test]
async fn budgets_are_kept_while_a_port_belongs_to_somebody_else() {
    let server = lab();
    rest(&server, "prague").await;
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"type": "NodePort", "ports": [{"name": "web", "port": 80, "nodePort": 32_009}]},
    });
    server.put("services", theirs);
    let mut spec = crate::lab::prague();
    spec["listeners"][1]["nodePorts"] = json!([32_009]);
    apply(&server, spec);
    for broker in 1..=3 {
        server.edit("pods", NAMESPACE, &format!("prague-broker-{broker}"), |pod| {
            pod["status"]["conditions"][0]["status"] = json!("False");
        });
    }
    let context = context(server.client());
    assert!(!step(&server, &context, "prague").await, "the port is not to be had");
    let budget = server.get("poddisruptionbudgets", NAMESPACE, "prague-broker");
    let budget = budget.expect("it is there");
    assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow", "it was written");
    let status = resource(&server, "prague").status.expect("it is told");
    let degraded = status.conditions.iter().find(|it| it.type_ == "Degraded").expect("it is told");
    assert!(degraded.message.contains("32009"), "{}", degraded.message);
}
