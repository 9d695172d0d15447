//! Walks against an API server in memory: what is written, what is left alone, and what becomes of
//! it all when any one call fails.

#[path = "walks/health.rs"]
mod health;
#[path = "walks/lab.rs"]
mod lab;
#[path = "walks/leaving.rs"]
mod leaving;
#[path = "api/merge.rs"]
mod merge;
#[path = "walks/ports.rs"]
mod ports;
#[path = "walks/refused.rs"]
mod refused;
#[path = "walks/rights.rs"]
mod rights;
#[path = "api/server.rs"]
mod server;
#[path = "walks/silence.rs"]
mod silence;
#[path = "walks/volumes.rs"]
mod volumes;

use self::lab::{NAMESPACE, context, controllers, declare, lab, prague, resource, rest, step};
use self::server::{Fault, Server};
use serde_json::{Value, json};

/// Everything there is but what differs from life to life: ids, times, versions.
fn shape(server: &Server) -> Vec<String> {
    let kinds = [
        "statefulsets",
        "services",
        "configmaps",
        "poddisruptionbudgets",
        "networkpolicies",
        "persistentvolumeclaims",
        "pods",
    ];
    kinds
        .iter()
        .flat_map(|kind| server.names(kind, NAMESPACE).into_iter().map(move |it| (kind, it)))
        .map(|(kind, name)| format!("{kind}/{name}"))
        .collect()
}

fn cluster_ids(server: &Server) -> std::collections::BTreeSet<String> {
    let names = server.names("persistentvolumeclaims", NAMESPACE);
    let claims =
        names.iter().filter_map(|name| server.get("persistentvolumeclaims", NAMESPACE, name));
    let id = |claim: Value| {
        claim["metadata"]["annotations"]["vltava.dev/cluster-id"].as_str().map(str::to_owned)
    };
    claims.filter_map(id).collect()
}

#[tokio::test]
async fn a_manifest_becomes_objects_and_then_nothing_is_written() {
    let server = lab();
    rest(&server, "prague").await;
    let shape = shape(&server);
    for name in [
        "statefulsets/prague-broker",
        "statefulsets/prague-coordinator",
        "services/prague-broker",
        "services/prague-coordinator",
        "services/prague-bootstrap",
        "services/prague-external-1",
        "services/prague-external-3",
        "configmaps/prague-founding",
        "poddisruptionbudgets/prague-broker",
        "poddisruptionbudgets/prague-coordinator",
        "networkpolicies/prague-broker",
        "networkpolicies/prague-coordinator",
        "pods/prague-broker-3",
    ] {
        assert!(shape.contains(&name.to_owned()), "{name} is missing in {shape:?}");
    }
    let context = context(server.client());
    for _ in 0..3 {
        assert!(step(&server, &context, "prague").await);
        assert_eq!(server.writes(), Vec::<String>::new(), "nothing is to be done");
    }
    assert_eq!(cluster_ids(&server).len(), 1);
}

#[tokio::test]
async fn whichever_call_fails_it_comes_to_the_same_objects() {
    let whole = lab();
    rest(&whole, "prague").await;
    let (expected, calls) = (shape(&whole), whole.state.lock().expect("no panic").calls);
    for fault in [Fault::Before, Fault::After] {
        for call in 1..=calls {
            let server = lab();
            server.state.lock().expect("no panic").fault = Some((call, fault));
            rest(&server, "prague").await;
            assert_eq!(shape(&server), expected, "call {call} failed {fault:?}");
            assert_eq!(cluster_ids(&server).len(), 1, "call {call} failed {fault:?}");
        }
    }
}

#[tokio::test]
async fn an_operator_that_starts_anew_after_every_walk_does_the_same() {
    let (steady, server) = (lab(), lab());
    rest(&steady, "prague").await;
    for _ in 0..6 {
        step(&server, &context(server.client()), "prague").await;
        controllers(&server);
    }
    rest(&server, "prague").await;
    assert_eq!(shape(&server), shape(&steady));
}

#[tokio::test]
async fn what_we_own_is_put_right_and_what_others_own_is_left() {
    let server = lab();
    rest(&server, "prague").await;
    server.edit("services", NAMESPACE, "prague-bootstrap", |service| {
        service["metadata"]["labels"]["team"] = json!("payments");
        service["metadata"]["annotations"]["example.com/tool"] = json!("was here");
        service["spec"]["sessionAffinity"] = json!("ClientIP");
        service["spec"]["ports"][0]["port"] = json!(1);
    });
    server.edit("statefulsets", NAMESPACE, "prague-broker", |set| {
        set["spec"]["template"]["spec"]["enableServiceLinks"] = json!(true);
    });
    rest(&server, "prague").await;
    let service = server.get("services", NAMESPACE, "prague-bootstrap").expect("it is there");
    assert_eq!(service["spec"]["ports"][0]["port"], 9092);
    assert_eq!(service["metadata"]["labels"]["team"], "payments");
    assert_eq!(service["metadata"]["annotations"]["example.com/tool"], "was here");
    assert_eq!(service["spec"]["sessionAffinity"], "ClientIP");
    let set = server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there");
    assert_eq!(set["spec"]["template"]["spec"]["enableServiceLinks"], false);
}

#[tokio::test]
async fn a_field_that_is_wanted_no_longer_is_taken_back() {
    let server = lab();
    let mut spec = prague();
    spec["listeners"][1]["annotations"] = json!({"example.com/dns": "kafka"});
    declare(&server, "prague", spec);
    rest(&server, "prague").await;
    let annotation = |server: &Server| {
        let service = server.get("services", NAMESPACE, "prague-external-1").expect("it is there");
        service["metadata"]["annotations"]["example.com/dns"].clone()
    };
    assert_eq!(annotation(&server), "kafka");
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| cluster["spec"] = prague());
    rest(&server, "prague").await;
    assert_eq!(annotation(&server), Value::Null);
}

#[tokio::test]
async fn a_service_account_that_is_named_no_longer_is_taken_back() {
    let server = lab();
    rest(&server, "prague").await;
    let template = |server: &Server| {
        let set = server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there");
        set["spec"]["template"]["spec"].clone()
    };
    let before = template(&server);
    let mut spec = prague();
    spec["brokers"] = json!({"pod": {"serviceAccountName": "nobody"}});
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| cluster["spec"] = spec);
    rest(&server, "prague").await;
    assert_eq!(template(&server)["serviceAccountName"], "nobody");
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| cluster["spec"] = prague());
    rest(&server, "prague").await;
    assert_eq!(template(&server), before);
}

#[tokio::test]
async fn two_clusters_in_a_namespace_keep_apart() {
    let server = lab();
    declare(&server, "brno", json!({"brokers": {"replicas": 1}, "coordinators": {"replicas": 1}}));
    rest(&server, "prague").await;
    rest(&server, "brno").await;
    rest(&server, "prague").await;
    assert!(server.names("pods", NAMESPACE).contains("brno-broker-1"));
    assert_eq!(cluster_ids(&server).len(), 2);
    let context = context(server.client());
    for name in ["prague", "brno"] {
        assert!(step(&server, &context, name).await);
        assert_eq!(server.writes(), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_taken_over() {
    let server = lab();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "prague-bootstrap", "namespace": NAMESPACE},
        "spec": {"type": "ClusterIP", "ports": [{"name": "web", "port": 80}]},
    });
    server.put("services", theirs);
    let context = context(server.client());
    assert!(!step(&server, &context, "prague").await);
    let service = server.get("services", NAMESPACE, "prague-bootstrap").expect("it is there");
    assert_eq!(service["spec"]["ports"][0]["port"], 80);
    let status = resource(&server, "prague").status.expect("it is told");
    let degraded = status.conditions.iter().find(|it| it.type_ == "Degraded").expect("it is told");
    assert!(degraded.message.contains("belongs to something else"), "{}", degraded.message);
}

/// The resource is deleted, and what it owned goes with it; volumes stay.
fn delete_resource(server: &Server) {
    let gone = [
        "statefulsets",
        "services",
        "configmaps",
        "pods",
        "kafkaclusters",
        "poddisruptionbudgets",
        "networkpolicies",
    ];
    let state = &mut server.state.lock().expect("no panic");
    state.objects.retain(|key, _| !gone.contains(&key.0.as_str()));
    state.applied.clear();
}

fn founders(server: &Server) -> Option<Value> {
    let map = server.get("configmaps", NAMESPACE, "prague-founding")?;
    Some(map["data"]["initial-controllers"].clone())
}

#[tokio::test]
async fn volumes_that_stayed_give_the_same_cluster_and_found_nothing_anew() {
    let server = lab();
    rest(&server, "prague").await;
    let id = cluster_ids(&server);
    // The quorum was there once: it is noted on every claim.
    for claim in server.names("persistentvolumeclaims", NAMESPACE) {
        server.edit("persistentvolumeclaims", NAMESPACE, &claim, |claim| {
            claim["metadata"]["annotations"]["vltava.dev/founded"] = json!("true");
        });
    }
    delete_resource(&server);
    // All of the coordinators' volumes are lost besides: the brokers' still say what was.
    server
        .state
        .lock()
        .expect("no panic")
        .objects
        .retain(|key, _| key.0 != "persistentvolumeclaims" || !key.2.contains("coordinator"));
    declare(&server, "prague", prague());
    rest(&server, "prague").await;
    assert_eq!(cluster_ids(&server), id);
    assert_eq!(founders(&server), Some(json!("")), "it was founded; and pods need it to start");
    let set = server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there");
    let environment = &set["spec"]["template"]["spec"]["containers"][0]["env"];
    let told = environment.as_array().into_iter().flatten().find(|it| it["name"] == "CLUSTER_ID");
    assert_eq!(told.and_then(|it| it["value"].as_str()), id.first().map(String::as_str));
}

#[tokio::test]
async fn what_brokers_were_told_stays_noted_as_long_as_their_volumes() {
    let server = lab();
    rest(&server, "prague").await;
    let notes = [
        ("vltava.dev/applied-config", "log.retention.ms"),
        ("vltava.dev/applied-topics", "[]"),
        ("vltava.dev/cordoned", "4"),
        ("vltava.dev/throttled", ""),
    ];
    server.edit("statefulsets", NAMESPACE, "prague-broker", |set| {
        for (key, value) in notes {
            set["metadata"]["annotations"][key] = json!(value);
        }
    });
    rest(&server, "prague").await;
    let has = |server: &Server| {
        let claim = server.get("persistentvolumeclaims", NAMESPACE, "data-prague-broker-1");
        let annotations = claim.expect("it is there")["metadata"]["annotations"].clone();
        notes.iter().all(|(key, value)| annotations[*key] == *value)
    };
    assert!(has(&server));
    // Deleted and applied again: the new set knows of nothing, and takes nothing away.
    delete_resource(&server);
    declare(&server, "prague", prague());
    rest(&server, "prague").await;
    assert!(has(&server));
    // A claim that is made anew is told again by a set that knows.
    server.edit("statefulsets", NAMESPACE, "prague-broker", |set| {
        set["metadata"]["annotations"]["vltava.dev/cordoned"] = json!("5");
    });
    server.remove("persistentvolumeclaims", NAMESPACE, "data-prague-broker-1");
    rest(&server, "prague").await;
    let claim = server.get("persistentvolumeclaims", NAMESPACE, "data-prague-broker-1");
    let claim = claim.expect("it is there");
    assert_eq!(claim["metadata"]["annotations"]["vltava.dev/cordoned"], "5");
}

#[tokio::test]
async fn a_founding_that_a_deletion_interrupted_goes_on_as_it_began() {
    let server = lab();
    rest(&server, "prague").await;
    let (id, began) = (cluster_ids(&server), founders(&server).expect("it is being founded"));
    delete_resource(&server);
    // One of the claims had not been made yet.
    server
        .state
        .lock()
        .expect("no panic")
        .objects
        .retain(|key, _| key.2 != "data-prague-coordinator-3");
    declare(&server, "prague", prague());
    rest(&server, "prague").await;
    assert_eq!(cluster_ids(&server), id);
    assert_eq!(founders(&server), Some(began), "the same directory ids");
}

#[tokio::test]
async fn a_quorum_that_was_founded_is_not_founded_on_empty_disks_again() {
    let server = lab();
    rest(&server, "prague").await;
    server.edit("persistentvolumeclaims", NAMESPACE, "data-prague-broker-1", |claim| {
        claim["metadata"]["annotations"]["vltava.dev/founded"] = json!("true");
    });
    rest(&server, "prague").await;
    assert_eq!(founders(&server), Some(json!("")));
    for claim in server.names("persistentvolumeclaims", NAMESPACE) {
        let claim = server.get("persistentvolumeclaims", NAMESPACE, &claim).expect("it is there");
        assert_eq!(claim["metadata"]["annotations"]["vltava.dev/founded"], "true", "{claim}");
    }
    // Every coordinator loses its disk, and the set makes new ones.
    server
        .state
        .lock()
        .expect("no panic")
        .objects
        .retain(|key, _| !(key.0 == "persistentvolumeclaims" && key.2.contains("coordinator")));
    rest(&server, "prague").await;
    assert_eq!(founders(&server), Some(json!("")));
}

fn all_brokers_are_unready(server: &Server) {
    for ordinal in 1..=3 {
        server.edit("pods", NAMESPACE, &format!("prague-broker-{ordinal}"), |pod| {
            pod["status"]["conditions"][0]["status"] = json!("False");
        });
    }
}

fn evictions_of_the_unhealthy(server: &Server) -> Value {
    let budget =
        server.get("poddisruptionbudgets", NAMESPACE, "prague-broker").expect("it is there");
    budget["spec"]["unhealthyPodEvictionPolicy"].clone()
}

#[tokio::test]
async fn pods_that_nobody_would_miss_may_be_drained_whatever_the_budget_says() {
    for spec in [prague(), json!({"brokers": {"config": {"num.partition": "3"}}})] {
        let server = lab();
        rest(&server, "prague").await;
        assert_eq!(evictions_of_the_unhealthy(&server), "IfHealthyBudget");
        // Also while the manifest is impossible.
        server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| cluster["spec"] = spec.clone());
        all_brokers_are_unready(&server);
        let context = context(server.client());
        step(&server, &context, "prague").await;
        assert_eq!(evictions_of_the_unhealthy(&server), "AlwaysAllow", "{spec}");
    }
}

#[tokio::test]
async fn a_pod_is_told_the_zone_of_its_machine() {
    let server = lab();
    rest(&server, "prague").await;
    for ordinal in 1..=3 {
        let name = format!("prague-broker-{ordinal}");
        let pod = server.get("pods", NAMESPACE, &name).expect("it is there");
        let rack = &pod["metadata"]["annotations"]["vltava.dev/rack"];
        assert_eq!(*rack, format!("zone-{}", ordinal - 1));
    }
}

#[tokio::test]
async fn a_pod_that_starts_while_the_manifest_is_impossible_is_told_its_zone() {
    let server = lab();
    rest(&server, "prague").await;
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| {
        cluster["spec"]["brokers"] = json!({"config": {"num.partition": "3"}});
    });
    server.remove("pods", NAMESPACE, "prague-broker-2");
    rest(&server, "prague").await;
    let pod = server.get("pods", NAMESPACE, "prague-broker-2").expect("it is there");
    assert_eq!(pod["metadata"]["annotations"]["vltava.dev/rack"], "zone-1");
}

#[tokio::test]
async fn addresses_are_those_that_the_cloud_gave() {
    let server = lab();
    let mut spec = prague();
    spec["listeners"][1] = json!({"name": "lb", "port": 9094, "type": "LoadBalancer"});
    declare(&server, "prague", spec);
    rest(&server, "prague").await;
    let addresses = |server: &Server| {
        let status = resource(server, "prague").status.expect("it is told");
        status.listeners.into_iter().find(|it| it.name == "lb").expect("there is a row")
    };
    assert!(addresses(&server).brokers.is_empty());
    assert!(addresses(&server).message.expect("it is told").contains("no address yet"));
    for ordinal in 1..=3 {
        server.edit("services", NAMESPACE, &format!("prague-lb-{ordinal}"), |service| {
            let ingress = json!([{"ip": format!("192.0.2.{ordinal}")}]);
            service["status"] = json!({"loadBalancer": {"ingress": ingress}});
        });
    }
    rest(&server, "prague").await;
    assert_eq!(addresses(&server).bootstrap, "192.0.2.1:9094,192.0.2.2:9094,192.0.2.3:9094");
    assert_eq!(addresses(&server).message, None);
}

#[tokio::test]
async fn node_ports_beyond_the_list_are_allocated_and_shown() {
    let server = lab();
    rest(&server, "prague").await;
    let status = resource(&server, "prague").status.expect("it is told");
    let external = status.listeners.iter().find(|it| it.name == "external").expect("a row");
    let addresses: Vec<&str> = external.brokers.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(addresses, ["localhost:32001", "localhost:30000", "localhost:30001"]);
}

#[tokio::test]
async fn the_image_is_pinned_when_the_operator_is_upgraded() {
    let server = lab();
    rest(&server, "prague").await;
    let before = server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there");
    let mut newer = context(server.client());
    newer.settings.broker_image = "vltava-broker:2".to_owned();
    newer.settings.coordinator_image = "vltava-coordinator:2".to_owned();
    assert!(step(&server, &newer, "prague").await);
    let after = server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there");
    assert_eq!(after["spec"]["template"], before["spec"]["template"]);
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_that_was_named_and_is_named_no_more_leaves_nothing_behind() {
    let server = lab();
    rest(&server, "prague").await;
    let images = |server: &Server| {
        ["prague-broker", "prague-coordinator"].map(|set| {
            let set = server.get("statefulsets", NAMESPACE, set).expect("it is there");
            set["spec"]["template"]["spec"]["containers"][0]["image"].clone()
        })
    };
    let before = images(&server);
    // The operator is upgraded meanwhile: its default is another by then.
    let mut newer = context(server.client());
    newer.settings.broker_image = "vltava-broker:2".to_owned();
    newer.settings.coordinator_image = "vltava-coordinator:2".to_owned();
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| {
        cluster["spec"]["image"] = json!("vltava-broker:nowhere");
    });
    assert!(step(&server, &newer, "prague").await);
    assert_eq!(images(&server), ["vltava-broker:nowhere", "vltava-coordinator:nowhere"]);
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| cluster["spec"] = prague());
    assert!(step(&server, &newer, "prague").await);
    assert_eq!(images(&server), before);
}

#[tokio::test]
async fn an_impossible_manifest_is_told_and_the_cluster_goes_on() {
    let server = lab();
    rest(&server, "prague").await;
    server.edit("kafkaclusters", NAMESPACE, "prague", |cluster| {
        cluster["spec"]["brokers"] = json!({"config": {"num.partition": "3"}});
    });
    let before = shape(&server);
    rest(&server, "prague").await;
    assert_eq!(shape(&server), before);
    let status = resource(&server, "prague").status.expect("it is told");
    let degraded = status.conditions.iter().find(|it| it.type_ == "Degraded").expect("a condition");
    assert_eq!(
        degraded.message,
        "spec.brokers.config.num.partition: is unknown; did you mean `num.partitions`?"
    );
    assert_eq!(degraded.status, "True");
}
