//! Volumes: what becomes of them, and of who holds what is on them.

use serde_json::{Value, json};

use crate::lab::{
    NAMESPACE, class, context, controllers, declare, lab, prague, resource, rest, step,
};
use crate::server::Server;

fn with_size(size: &str) -> Value {
    let mut spec = prague();
    spec["brokers"] = json!({"storage": {"size": size, "storageClassName": "fast"}});
    spec
}

fn asked(server: &Server, broker: i32) -> Value {
    let name = format!("data-prague-broker-{broker}");
    let claim = server.get("persistentvolumeclaims", NAMESPACE, &name);
    claim.expect("it is there")["spec"]["resources"]["requests"]["storage"].clone()
}

#[tokio::test]
async fn a_volume_that_cannot_change_is_said_and_breaks_nothing() {
    for (grows, size, why) in [(false, "20Gi", "does not allow it"), (true, "5Gi", "cannot shrink")]
    {
        let server = lab();
        class(&server, grows);
        declare(&server, "prague", with_size("10Gi"));
        rest(&server, "prague").await;
        server.edit("kafkaclusters", NAMESPACE, "prague", |it| it["spec"] = with_size(size));
        rest(&server, "prague").await;
        assert_eq!(asked(&server, 1), "10Gi");
        let status = resource(&server, "prague").status.expect("it is told");
        assert!(status.storage[0].message.contains(why), "{:?}", status.storage);
    }
}

fn set(server: &Server) -> Value {
    server.get("statefulsets", NAMESPACE, "prague-broker").expect("it is there")
}

fn with(brokers: i32, size: &str) -> Value {
    let mut spec = with_size(size);
    spec["brokers"]["replicas"] = json!(brokers);
    spec
}

fn apply(server: &Server, spec: Value) {
    server.edit("kafkaclusters", NAMESPACE, "prague", |it| it["spec"] = spec);
}

#[tokio::test]
async fn volumes_grow_and_their_set_stays_with_all_that_is_noted_on_it() {
    let server = lab();
    class(&server, true);
    declare(&server, "prague", with(3, "10Gi"));
    rest(&server, "prague").await;
    server.edit("statefulsets", NAMESPACE, "prague-broker", |set| {
        set["metadata"]["labels"]["team"] = json!("payments");
        set["metadata"]["annotations"]["vltava.dev/throttled"] = json!("orders");
        set["metadata"]["annotations"]["vltava.dev/cordoned"] = json!("3");
    });
    let before = set(&server);
    apply(&server, with(3, "20Gi"));
    rest(&server, "prague").await;
    let after = set(&server);
    assert_eq!(asked(&server, 1), "20Gi");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "it is the same set");
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"]["team"], "payments");
    for note in ["throttled", "cordoned", "template", "template-inputs", "cluster-id"] {
        let of = |set: &Value| set["metadata"]["annotations"][format!("vltava.dev/{note}")].clone();
        assert!(of(&after).is_string(), "{note}");
        assert_eq!(of(&after), of(&before), "{note}");
    }
}

#[tokio::test]
async fn nobody_goes_because_volumes_grow_while_brokers_are_to_leave() {
    let server = lab();
    class(&server, true);
    declare(&server, "prague", with(4, "10Gi"));
    rest(&server, "prague").await;
    let last = || server.get("pods", NAMESPACE, "prague-broker-4").map(|it| it["metadata"].clone());
    let before = last();
    assert!(before.is_some(), "there are four");
    // Nobody can say here what it holds.
    apply(&server, with(3, "20Gi"));
    let context = context(server.client());
    for _ in 0..6 {
        step(&server, &context, "prague").await;
        controllers(&server);
        assert_eq!(last().map(|it| it["uid"].clone()), before.as_ref().map(|it| it["uid"].clone()));
    }
    assert_eq!(set(&server)["spec"]["replicas"], 4);
    assert_eq!(asked(&server, 4), "20Gi");
}

#[tokio::test]
async fn a_set_that_somebody_deleted_comes_back_with_all_of_its_pods() {
    for gone in ["pods", "persistentvolumeclaims"] {
        let server = lab();
        declare(&server, "prague", with(4, "10Gi"));
        rest(&server, "prague").await;
        // `kubectl delete --cascade=orphan`; and what is left of the last broker is one thing.
        server.remove("statefulsets", NAMESPACE, "prague-broker");
        let name = match gone {
            "pods" => "prague-broker-4",
            _ => "data-prague-broker-4",
        };
        server.remove(gone, NAMESPACE, name);
        apply(&server, with(3, "10Gi"));
        rest(&server, "prague").await;
        assert_eq!(set(&server)["spec"]["replicas"], 4, "without its {gone}");
    }
}

#[tokio::test]
async fn a_new_broker_has_a_volume_of_the_size_that_is_asked_for_now() {
    for grows in [true, false] {
        let server = lab();
        class(&server, grows);
        declare(&server, "prague", with(3, "10Gi"));
        rest(&server, "prague").await;
        apply(&server, with(4, "20Gi"));
        rest(&server, "prague").await;
        assert_eq!(asked(&server, 4), "20Gi");
        assert_eq!(asked(&server, 3), if grows { "20Gi" } else { "10Gi" });
        let name = "data-prague-broker-4";
        let new = server.get("persistentvolumeclaims", NAMESPACE, name).expect("it is there");
        let old = server.get("persistentvolumeclaims", NAMESPACE, "data-prague-broker-3");
        let old = old.expect("it is there");
        let id = |claim: &Value| claim["metadata"]["annotations"]["vltava.dev/cluster-id"].clone();
        assert_eq!(id(&new), id(&old));
        assert_eq!(new["metadata"]["labels"], old["metadata"]["labels"]);
        assert_eq!(new["spec"]["storageClassName"], "fast");
    }
}

#[tokio::test]
async fn a_claim_that_cannot_be_changed_is_told_and_nothing_waits_for_it() {
    let server = lab();
    class(&server, true);
    declare(&server, "prague", with(3, "10Gi"));
    rest(&server, "prague").await;
    let why = "spec: Forbidden: only dynamically provisioned pvc can be resized".to_owned();
    server.state.lock().expect("no panic").refused = Some(("data-prague-broker-1".to_owned(), why));
    apply(&server, with(4, "20Gi"));
    let context = context(server.client());
    for _ in 0..6 {
        assert!(step(&server, &context, "prague").await, "the walk comes to its end");
        controllers(&server);
    }
    assert_eq!([1, 2].map(|broker| asked(&server, broker)), ["10Gi", "20Gi"]);
    assert!(server.get("pods", NAMESPACE, "prague-broker-4").is_some());
    let status = resource(&server, "prague").status.expect("it is told");
    assert_eq!(
        status.storage[0].message,
        "it cannot grow to 20Gi: spec: Forbidden: only dynamically provisioned pvc can be resized"
    );
}

#[tokio::test]
async fn a_volume_is_on_its_way_until_it_is_as_large_as_its_claim_asks_for() {
    let server = lab();
    class(&server, true);
    declare(&server, "prague", with(3, "10Gi"));
    rest(&server, "prague").await;
    apply(&server, with(3, "20Gi"));
    rest(&server, "prague").await;
    // What a cloud would write.
    let status = |capacity: &str, condition: &str| {
        server.edit("persistentvolumeclaims", NAMESPACE, "data-prague-broker-2", |claim| {
            claim["status"] = json!({"phase": "Bound", "capacity": {"storage": capacity}});
            if !condition.is_empty() {
                claim["status"]["conditions"] =
                    json!([{"type": condition, "status": "True", "message": "so it says"}]);
            }
        });
    };
    let context = context(server.client());
    // Its condition, what is on its way, and what needs a person.
    for (capacity, condition, progressing, degraded) in [
        ("10Gi", "FileSystemResizePending", "Resizing", "AsAsked"),
        ("10Gi", "ControllerResizeError", "Starting", "Storage"),
        ("20Gi", "", "Starting", "AsAsked"),
    ] {
        status(capacity, condition);
        assert!(step(&server, &context, "prague").await);
        let told = resource(&server, "prague").status.expect("it is told");
        let reason = |kind: &str| {
            let found = told.conditions.iter().find(|it| it.type_ == kind);
            found.expect("it is there").reason.clone()
        };
        assert_eq!(reason("Progressing"), progressing, "{condition}");
        assert_eq!(reason("Degraded"), degraded, "{condition}");
        let rows: Vec<&str> = told.storage.iter().map(|it| it.message.as_str()).collect();
        let what = format!("it is to grow to 20Gi and has 10Gi so far: {condition}: so it says");
        let expected = if condition.is_empty() { vec![] } else { vec![what.as_str()] };
        assert_eq!(rows, expected);
    }
}
