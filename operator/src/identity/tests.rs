//! What is left of an earlier cluster of the same name, and what becomes of it.

use serde_json::{Value, json};
use vltava_crd::KafkaCluster;

use super::{Identity, identify, orphaned};
use crate::dereference::Found;

fn cluster() -> KafkaCluster {
    serde_json::from_value(json!({
        "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": "prague", "namespace": "lab", "uid": "now"}, "spec": {},
    }))
    .expect("a manifest")
}

fn owner(kind: &str, uid: &str) -> Value {
    json!([{"apiVersion": "v1", "kind": kind, "name": "prague", "uid": uid}])
}

/// A set with its uid, and the uid of the resource that it belongs to.
fn with_set(found: &mut Found, uid: &str, resource: &str) {
    let set = json!({"metadata": {
        "name": "prague-broker", "uid": uid, "ownerReferences": owner("KafkaCluster", resource),
    }});
    found.sets.insert("prague-broker".to_owned(), serde_json::from_value(set).expect("a set"));
}

fn with_claim(found: &mut Found, name: &str, owners: Value) {
    let claim = json!({"metadata": {
        "name": name, "ownerReferences": owners,
        "annotations": {"vltava.dev/cluster-id": "AAAAAAAAAAAAAAAAAAAAAQ"},
    }});
    found.claims.insert(name.to_owned(), serde_json::from_value(claim).expect("a claim"));
}

fn identity(found: &Found) -> Identity {
    identify(&cluster(), found, None, &mut || 7)
}

#[test]
fn what_is_on_its_way_out_is_waited_for_at_every_moment_of_it() {
    type Scene = fn(&mut Found);
    let table: [(&str, Scene, bool); 7] = [
        ("nothing is there", |_| {}, false),
        ("all of it is ours", |found| with_set(found, "set", "now"), false),
        ("the set's resource is gone", |found| with_set(found, "set", "before"), true),
        (
            "the claim's set is gone, and the claim is not marked yet",
            |found| with_claim(found, "data-prague-broker-1", owner("StatefulSet", "set")),
            true,
        ),
        (
            "another set is there already",
            |found| {
                with_set(found, "another", "now");
                with_claim(found, "data-prague-broker-1", owner("StatefulSet", "set"));
            },
            true,
        ),
        (
            "the claim goes with its set one day",
            |found| {
                with_set(found, "set", "now");
                with_claim(found, "data-prague-broker-1", owner("StatefulSet", "set"));
            },
            false,
        ),
        (
            "the claim was retained",
            |found| with_claim(found, "data-prague-broker-1", json!([])),
            false,
        ),
    ];
    for (what, scene, waits) in table {
        let mut found = Found::default();
        scene(&mut found);
        assert_eq!(identity(&found) == Identity::Waits, waits, "{what}");
    }
}

#[test]
fn volumes_of_which_nobody_knows_who_founds_are_told() {
    let mut found = Found::default();
    assert_eq!(orphaned(&identity(&found), &found), None, "it is new");
    with_claim(&mut found, "data-prague-broker-1", json!([]));
    let told = orphaned(&identity(&found), &found).expect("it is told");
    assert!(told.contains("(data-prague-broker-1)"), "{told}");
    let claim = found.claims.get_mut("data-prague-broker-1").expect("it is there");
    let notes = claim.metadata.annotations.get_or_insert_default();
    notes.insert("vltava.dev/founded".to_owned(), "true".to_owned());
    assert_eq!(orphaned(&identity(&found), &found), None, "the quorum is lost, which is another");
}
