//! The objects that a manifest becomes, field by field, as text.
//!
//! `VLTAVA_WRITE_OBJECTS=1 cargo test -p vltava-operator --test objects` writes the texts anew; the
//! change of them is then what there is to review: every field of a pod's template in it restarts
//! pods, unless [`template`](vltava_operator::template) holds it back.

use std::path::Path;

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;
use vltava_operator::build::{Facts, objects};
use vltava_operator::plan::disruption::Budget;

fn cluster(spec: Value) -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "vltava.dev/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": {"name": "prague", "namespace": "lab", "uid": "uid-of-prague"},
        "spec": spec,
    }))
    .expect("a manifest")
}

fn facts() -> Facts {
    Facts {
        cluster_id: "AAAAAAAAAAAAAAAAAAAAAQ".to_owned(),
        broker_image: "vltava-broker:1".to_owned(),
        coordinator_image: "vltava-coordinator:1".to_owned(),
        brokers: 3,
        coordinators: 3,
        founders: vec!["founder-1".to_owned(), "founder-2".to_owned(), "founder-3".to_owned()],
        is_founded: false,
        old_ports: Default::default(),
        broker_budget: Budget { max_unavailable: 0, why: None, broken_may_go: false },
        coordinator_budget: Budget { max_unavailable: 0, why: None, broken_may_go: false },
    }
}

/// Holds what is built against the text of that name.
fn is_as_written(name: &str, built: &[Value]) {
    let mut text = String::new();
    for object in built {
        let mut object = object.clone();
        // The template once more, in a line: it stands in the spec.
        let notes = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        notes.map(|notes| notes.remove("vltava.dev/template"));
        text.push_str("---\n");
        text.push_str(&serde_norway::to_string(&object).expect("plain data"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/objects/{name}.yaml"));
    if std::env::var_os("VLTAVA_WRITE_OBJECTS").is_some() {
        std::fs::write(&path, &text).expect("the text can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = written.lines().zip(text.lines()).find(|(written, built)| written != built);
    assert!(
        written == text,
        "{}: the first line that differs: {differs:?}; if the change is meant, write it anew with \
         VLTAVA_WRITE_OBJECTS=1",
        path.display()
    );
}

#[test]
fn ports_at_which_brokers_still_listen_are_let_through() {
    let ports = |old: &[i32]| {
        let facts = Facts { old_ports: old.iter().copied().collect(), ..facts() };
        let all = objects(&cluster(json!({})), &facts);
        let is_policy = |it: &&Value| {
            it["kind"] == "NetworkPolicy" && it["metadata"]["name"] == "prague-broker"
        };
        let policy = all.iter().find(is_policy).expect("it is there").clone();
        let ports = policy["spec"]["ingress"][0]["ports"].as_array().expect("a list").clone();
        ports.iter().filter_map(|it| it["port"].as_i64()).collect::<Vec<_>>()
    };
    assert_eq!(ports(&[]), [9092, 9404]);
    assert_eq!(ports(&[9092]), [9092, 9404], "nothing else than without");
    assert_eq!(ports(&[9092, 9091]), [9092, 9404, 9091]);
}

#[test]
fn a_manifest_that_says_nothing() {
    is_as_written("default", &objects(&cluster(json!({})), &facts()));
}

/// Every field that a manifest can have, once the quorum is founded.
#[test]
fn a_manifest_that_says_everything() {
    let pod = json!({
        "labels": {"team": "orders"},
        "annotations": {"example.com/scrape": "true"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "kafka", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [
                {"key": "disk", "operator": "In", "values": ["fast"]},
            ]}],
        }}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
        }],
        "priorityClassName": "high",
        "serviceAccountName": "kafka",
        "terminationGracePeriodSeconds": 300,
    });
    let resources = json!({
        "requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"},
    });
    let storage = json!({
        "size": "100Gi", "storageClassName": "fast", "reclaimPolicy": "Delete",
    });
    let spec = json!({
        "image": "registry.example.com/vltava/vltava-broker:2",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "registry"}],
        "coordinators": {
            "replicas": 5, "storage": storage, "resources": resources, "pod": pod,
            "config": {"metadata.max.idle.interval.ms": "1000"},
        },
        "brokers": {
            "replicas": 4, "storage": storage, "resources": resources, "pod": pod,
            "moveRate": "20Mi",
            "config": {"min.insync.replicas": "2", "log.retention.check.interval.ms": "60000"},
        },
        "listeners": [
            {"name": "internal", "port": 9092, "type": "Internal"},
            {"name": "external", "port": 9094, "type": "NodePort", "nodePorts": [32001, 32002],
             "advertisedHost": "localhost", "annotations": {"example.com/dns": "kafka"}},
            {"name": "cloud", "port": 9095, "type": "LoadBalancer",
             "loadBalancerClass": "example.com/lb",
             "loadBalancerSourceRanges": ["192.0.2.0/24"]},
            {"name": "ingress", "port": 9096, "type": "ClusterIP",
             "advertisedHost": "broker-{id}.example.com", "advertisedPort": 443},
        ],
    });
    let facts = Facts {
        broker_image: "registry.example.com/vltava/vltava-broker:2".to_owned(),
        coordinator_image: "registry.example.com/vltava/vltava-coordinator:2".to_owned(),
        brokers: 4,
        coordinators: 5,
        is_founded: true,
        broker_budget: Budget { max_unavailable: 0, why: None, broken_may_go: true },
        coordinator_budget: Budget { max_unavailable: 0, why: None, broken_may_go: true },
        ..facts()
    };
    is_as_written("everything", &objects(&cluster(spec), &facts));
}

/// As small as it can be, with nothing that guards the network.
#[test]
fn a_cluster_of_one_and_one_without_network_policies() {
    let spec = json!({
        "coordinators": {"replicas": 1},
        "brokers": {"replicas": 1},
        "networkPolicy": {"enabled": false},
    });
    let facts = Facts {
        brokers: 1,
        coordinators: 1,
        founders: vec!["founder-1".to_owned()],
        broker_budget: Budget { max_unavailable: 1, why: None, broken_may_go: false },
        coordinator_budget: Budget { max_unavailable: 1, why: None, broken_may_go: false },
        ..facts()
    };
    is_as_written("smallest", &objects(&cluster(spec), &facts));
}

/// What a set's first container is told, and the digest of what its template was made from.
fn told(spec: &Value, component: &str) -> (std::collections::BTreeMap<String, String>, String) {
    let objects = objects(&cluster(spec.clone()), &facts());
    let name = format!("prague-{component}");
    let is_set = |it: &&Value| it["kind"] == "StatefulSet" && it["metadata"]["name"] == name;
    let set = objects.iter().find(is_set).expect("it is built");
    let environment = &set["spec"]["template"]["spec"]["containers"][0]["env"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let told = environment.as_array().expect("a list").iter();
    let told = told.filter_map(|it| Some((text(&it["name"])?, text(&it["value"])?)));
    let inputs = &set["metadata"]["annotations"]["vltava.dev/template-inputs"];
    (told.collect(), text(inputs).expect("it is noted"))
}

#[test]
fn what_coordinators_alone_are_to_know_is_told_by_a_restart_also_where_brokers_take_it_running() {
    let keys = [
        ("min.insync.replicas", "KAFKA_MIN_INSYNC_REPLICAS", "2"),
        ("max.connections", "KAFKA_MAX_CONNECTIONS", "50"),
        ("max.connections.per.ip", "KAFKA_MAX_CONNECTIONS_PER_IP", "5"),
        ("unclean.leader.election.enable", "KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE", "true"),
    ];
    let plain = json!({});
    for (key, variable, value) in keys {
        let own = json!({"coordinators": {"config": {key: value}}});
        let (told_so, inputs) = told(&own, "coordinator");
        assert_eq!(told_so.get(variable).map(String::as_str), Some(value), "{key}");
        assert_ne!(inputs, told(&plain, "coordinator").1, "{key} restarts coordinators");
        assert_eq!(told(&own, "broker"), told(&plain, "broker"), "{key} concerns no broker");
        // What is said of brokers is told at run time, and restarts nobody.
        let shared = json!({"brokers": {"config": {key: value}}});
        for component in ["broker", "coordinator"] {
            assert_eq!(told(&shared, component), told(&plain, component), "{key}");
        }
    }
}

#[test]
fn volumes_go_with_the_cluster_only_where_nothing_is_left_that_needs_them() {
    // What is said of brokers, and of coordinators; what becomes of each.
    for (brokers, coordinators, expected) in [
        ("Retain", "Retain", ["Retain", "Retain"]),
        ("Delete", "Delete", ["Delete", "Delete"]),
        ("Retain", "Delete", ["Retain", "Retain"]),
        ("Delete", "Retain", ["Delete", "Retain"]),
    ] {
        let storage = |policy: &str| json!({"storage": {"reclaimPolicy": policy}});
        let spec = json!({"brokers": storage(brokers), "coordinators": storage(coordinators)});
        let objects = objects(&cluster(spec), &facts());
        for (set, expected) in ["prague-broker", "prague-coordinator"].iter().zip(expected) {
            let is_set =
                |it: &&Value| it["kind"] == "StatefulSet" && it["metadata"]["name"] == *set;
            let set = objects.iter().find(is_set).expect("it is built");
            assert_eq!(
                set["spec"]["persistentVolumeClaimRetentionPolicy"],
                json!({"whenDeleted": expected, "whenScaled": "Retain"}),
                "{brokers} and {coordinators}"
            );
        }
    }
}

#[test]
fn the_command_in_every_pod_finds_the_cluster_whichever_port_it_listens_on() {
    let spec = json!({"listeners": [{"name": "inside", "port": 9095, "type": "Internal"}]});
    let server = |component: &str| told(&spec, component).0.remove("VLTAVA_BOOTSTRAP_SERVER");
    let all = "prague-bootstrap.lab.svc:9095";
    assert_eq!(server("coordinator").as_deref(), Some(all));
    assert_eq!(server("broker"), Some(format!("localhost:9095,{all}")));
}
