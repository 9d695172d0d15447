//! The rights that the chart gives the operator are those that it uses: none is missing, none idle.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use vltava_operator::lease::Leadership;

use crate::lab::{NAMESPACE, class, context, controllers, lab, prague, rest, step, trouble};
use crate::server::Server;

/// Verb, group, resource with its part.
type Right = (String, String, String);

fn right(verb: &str, group: &str, resource: &str) -> Right {
    (verb.to_owned(), group.to_owned(), resource.to_owned())
}

/// What the roles of `dist/vltava.yaml` give, which is what the chart gives.
fn given() -> BTreeSet<Right> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/vltava.yaml");
    let text = std::fs::read_to_string(path).expect("it is there");
    let mut given = BTreeSet::new();
    for document in serde_norway::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).expect("it can be read");
        let texts = |value: &Value| -> Vec<String> {
            let items = value.as_array().into_iter().flatten();
            items.filter_map(|it| it.as_str().map(str::to_owned)).collect()
        };
        let is_role = matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"));
        for rule in object["rules"].as_array().into_iter().flatten().filter(|_| is_role) {
            for verb in texts(&rule["verbs"]) {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        given.insert((verb.clone(), group.clone(), resource));
                    }
                }
            }
        }
    }
    given
}

/// A cluster's life, as far as it needs no broker that answers.
async fn live(server: &Server) {
    let edit = |spec: Value| {
        server.edit("kafkaclusters", NAMESPACE, "prague", |it| it["spec"] = spec);
    };
    rest(server, "prague").await;
    // A listener goes, and the network is guarded no more.
    edit(json!({"networkPolicy": {"enabled": false}}));
    rest(server, "prague").await;
    // More brokers, with larger volumes.
    class(server, true);
    for claim in server.names("persistentvolumeclaims", NAMESPACE) {
        server.edit("persistentvolumeclaims", NAMESPACE, &claim, |claim| {
            claim["spec"]["storageClassName"] = json!("fast");
            // The quorum is there, and nobody founds it any more.
            claim["metadata"]["annotations"]["vltava.dev/founded"] = json!("true");
        });
    }
    let mut larger = prague();
    larger["brokers"] = json!({"replicas": 4, "storage": {"size": "20Gi"}});
    edit(larger.clone());
    rest(server, "prague").await;
    // An image that breaks a pod, taken back.
    larger["image"] = json!("vltava-broker:nowhere");
    edit(larger);
    let context = context(server.client());
    for round in 0..4 {
        assert!(step(server, &context, "prague").await, "round {round}");
        controllers(server);
        trouble(server, "prague-broker-1");
    }
}

#[tokio::test]
async fn no_right_is_missing_and_none_is_idle() {
    let server = lab();
    live(&server).await;
    let settings = context(server.client()).settings;
    let mut leadership = Leadership::new(&server.client(), &settings);
    leadership.gain().await;
    leadership.leave().await;
    let asked = server.state.lock().expect("no panic").asked.clone();
    let given = given();
    let missing: Vec<&Right> = asked.difference(&given).collect();
    assert!(missing.is_empty(), "the chart does not give {missing:?}");
    // What no walk here comes to.
    let beside = [
        // The controller follows what it looks after.
        right("list", "vltava.dev", "kafkaclusters"),
        right("watch", "vltava.dev", "kafkaclusters"),
        right("watch", "apps", "statefulsets"),
        right("watch", "", "services"),
        right("watch", "", "pods"),
        // A pod that is ready goes once brokers answer.
        right("create", "", "pods/eviction"),
        // An event that comes again is counted.
        right("patch", "events.k8s.io", "events"),
        // The volume of a broker that left, once brokers say so.
        right("delete", "", "persistentvolumeclaims"),
        // A budget under a name that is wanted no longer.
        right("delete", "policy", "poddisruptionbudgets"),
    ];
    let used: BTreeSet<Right> = asked.into_iter().chain(beside).collect();
    let idle: Vec<&Right> = given.difference(&used).collect();
    assert!(idle.is_empty(), "nothing uses {idle:?}");
}
