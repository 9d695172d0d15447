//! A cluster that is deleted and applied again at once, while the first one goes; and what is left
//! of one of which nobody knows who founds it.

use serde_json::{Value, json};

use crate::cluster_ids;
use crate::lab::{NAMESPACE, context, declare, lab, prague, resource, rest, step};
use crate::server::Server;

const CLAIMS: &str = "persistentvolumeclaims";

/// The status, reason and message of a condition.
fn condition(server: &Server, kind: &str) -> (String, String, String) {
    let status = resource(server, "prague").status.expect("it is told");
    let it = status.conditions.into_iter().find(|it| it.type_ == kind).expect("it is there");
    (it.status, it.reason, it.message)
}

/// Walks, and says what was written but for the status.
async fn written(server: &Server) -> Vec<String> {
    let context = context(server.client());
    server.writes();
    assert!(step(server, &context, "prague").await);
    server.writes().into_iter().filter(|it| !it.starts_with("STATUS")).collect()
}

/// Takes everything of these kinds away.
fn remove(server: &Server, kinds: &[&str]) {
    for kind in kinds {
        for name in server.names(kind, NAMESPACE) {
            server.remove(kind, NAMESPACE, &name);
        }
    }
}

#[tokio::test]
async fn nothing_begins_between_the_end_of_the_sets_and_that_of_their_claims() {
    let server = lab();
    rest(&server, "prague").await;
    let first = cluster_ids(&server);
    // The claims go with their sets, as `reclaimPolicy: Delete` says, and the quorum was founded.
    for claim in server.names(CLAIMS, NAMESPACE) {
        let set = if claim.contains("broker") { "prague-broker" } else { "prague-coordinator" };
        let set = server.get("statefulsets", NAMESPACE, set).expect("it is there");
        server.edit(CLAIMS, NAMESPACE, &claim, |claim| {
            claim["metadata"]["annotations"]["vltava.dev/founded"] = json!("true");
            claim["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
            }]);
        });
    }
    rest(&server, "prague").await;
    // Deleted and applied again: the garbage collector has not begun.
    server.remove("kafkaclusters", NAMESPACE, "prague");
    declare(&server, "prague", prague());
    let waits = |server: &Server| {
        let (status, reason, _) = condition(server, "Progressing");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "Waiting"));
        assert_eq!(condition(server, "Degraded").0, "False");
    };
    assert_eq!(written(&server).await, Vec::<String>::new());
    waits(&server);
    // The sets are gone, and nothing says yet that the claims go too.
    remove(&server, &["statefulsets", "pods", "services", "configmaps"]);
    remove(&server, &["poddisruptionbudgets", "networkpolicies"]);
    assert_eq!(written(&server).await, Vec::<String>::new());
    waits(&server);
    // One is being deleted, the last.
    remove(&server, &[CLAIMS]);
    rest(&server, "prague").await;
    let second = cluster_ids(&server);
    assert_eq!(second.len(), 1);
    assert_ne!(second, first, "it is a cluster of its own");
    assert!(server.get("configmaps", NAMESPACE, "prague-founding").is_some(), "it is founded");
}

#[tokio::test]
async fn volumes_without_those_that_say_who_founds_are_told_and_nothing_is_made() {
    let server = lab();
    rest(&server, "prague").await;
    remove(&server, &["kafkaclusters", "statefulsets", "pods", "services", "configmaps"]);
    remove(&server, &["poddisruptionbudgets", "networkpolicies"]);
    for claim in server.names(CLAIMS, NAMESPACE).iter().filter(|it| it.contains("coordinator")) {
        server.remove(CLAIMS, NAMESPACE, claim);
    }
    declare(&server, "prague", prague());
    assert_eq!(written(&server).await, Vec::<String>::new());
    let (status, reason, message) = condition(&server, "Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Unfounded"));
    assert!(message.contains("data-prague-broker-1, data-prague-broker-2"), "{message}");
    remove(&server, &[CLAIMS]);
    rest(&server, "prague").await;
    assert_eq!(condition(&server, "Degraded").0, "False");
    let founding = server.get("configmaps", NAMESPACE, "prague-founding");
    assert!(founding.is_some_and(|it| it["data"] != Value::Null));
}
