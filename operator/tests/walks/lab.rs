//! A Kubernetes in memory with a manifest in it, and its controllers.

use kube::Client;
use serde_json::{Value, json};
use vltava_client::{Cluster, ClusterOptions};
use vltava_crd::KafkaCluster;
use vltava_operator::error::Outcome;
use vltava_operator::server::Context;
use vltava_operator::settings::Settings;
use vltava_operator::template::digest;
use vltava_operator::walk::walk;

use crate::server::Server;

/// Where all of it is.
pub const NAMESPACE: &str = "lab";
/// As many walks as anything may need to come to rest.
const WALKS_MAX: usize = 40;

/// No broker ever answers here.
fn nobody(_: &str) -> Outcome<Cluster> {
    let options = ClusterOptions { deadline: std::time::Duration::ZERO, ..Default::default() };
    Cluster::new("127.0.0.1:1", options).map_err(vltava_operator::error::OperatorError::Ask)
}

/// What walks are given.
pub fn context(client: Client) -> Context {
    let settings = Settings {
        broker_image: "vltava-broker:1".to_owned(),
        coordinator_image: "vltava-coordinator:1".to_owned(),
        identity: "operator-0".to_owned(),
        namespace: "vltava".to_owned(),
        admin_port: 0,
    };
    Context::new(client, settings, nobody, Default::default())
}

/// A person's manifest, applied.
pub fn declare(server: &Server, name: &str, spec: Value) {
    server.put(
        "kafkaclusters",
        json!({
            "apiVersion": "vltava.dev/v1alpha1",
            "kind": "KafkaCluster",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": spec,
        }),
    );
}

/// A manifest.
pub fn prague() -> Value {
    json!({
        "listeners": [
            {"name": "internal", "port": 9092, "type": "Internal"},
            {"name": "external", "port": 9094, "type": "NodePort", "nodePorts": [32001],
             "advertisedHost": "localhost"},
        ],
    })
}

/// The resource as it is now.
pub fn resource(server: &Server, name: &str) -> KafkaCluster {
    let object = server.get("kafkaclusters", NAMESPACE, name).expect("it is declared");
    serde_json::from_value(object).expect("the resource can be read")
}

/// One walk; whether it came to its end.
pub async fn step(server: &Server, context: &Context, name: &str) -> bool {
    walk(context, &resource(server, name)).await.is_ok()
}

/// Walks, with the controllers of Kubernetes doing their part, until a walk writes nothing.
pub async fn rest(server: &Server, name: &str) {
    let context = context(server.client());
    for _ in 0..WALKS_MAX {
        let ok = step(server, &context, name).await;
        let moved = controllers(server);
        if ok && server.writes().is_empty() && !moved {
            return;
        }
    }
    panic!("{name} did not come to rest within {WALKS_MAX} walks");
}

/// What Kubernetes makes of StatefulSets: claims and pods; whether it made any.
pub fn controllers(server: &Server) -> bool {
    let mut made = false;
    for set in server.names("statefulsets", NAMESPACE) {
        let object = server.get("statefulsets", NAMESPACE, &set).expect("it was listed");
        let spec = &object["spec"];
        let revision = format!("{set}-{}", digest(&spec["template"]));
        let status = json!({
            "observedGeneration": object["metadata"]["generation"], "updateRevision": revision,
        });
        if object["status"] != status {
            server.edit("statefulsets", NAMESPACE, &set, |set| set["status"] = status);
            made = true;
        }
        let replicas = spec["replicas"].as_i64().unwrap_or(0);
        for pod in server.names("pods", NAMESPACE) {
            let ordinal = pod.strip_prefix(&format!("{set}-")).and_then(|it| it.parse().ok());
            if ordinal.is_some_and(|ordinal: i64| ordinal > replicas) {
                server.remove("pods", NAMESPACE, &pod);
                made = true;
            }
        }
        for ordinal in 1..=replicas {
            made |= member(server, &set, &object, ordinal, &revision);
        }
    }
    made
}

fn member(server: &Server, set: &str, object: &Value, ordinal: i64, revision: &str) -> bool {
    let (pod, claim) = (format!("{set}-{ordinal}"), format!("data-{set}-{ordinal}"));
    let mut made = false;
    if server.get("persistentvolumeclaims", NAMESPACE, &claim).is_none() {
        let mut wanted = object["spec"]["volumeClaimTemplates"][0].clone();
        wanted["metadata"]["name"] = json!(claim);
        wanted["metadata"]["namespace"] = json!(NAMESPACE);
        server.put("persistentvolumeclaims", wanted);
        made = true;
    }
    if server.get("pods", NAMESPACE, &pod).is_none() {
        let mut labels = object["spec"]["template"]["metadata"]["labels"].clone();
        labels["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
        labels["controller-revision-hash"] = json!(revision);
        let spec = &object["spec"]["template"]["spec"];
        let mut spec = spec.clone();
        spec["nodeName"] = json!(format!("node-{}", (ordinal - 1) % 3));
        server.put(
            "pods",
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": pod, "namespace": NAMESPACE, "labels": labels},
                "spec": spec,
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "containerStatuses": [],
                },
            }),
        );
        made = true;
    }
    made
}

fn machines(server: &Server) {
    for index in 0..3 {
        let zone = json!({"topology.kubernetes.io/zone": format!("zone-{index}")});
        server.put(
            "nodes",
            json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": format!("node-{index}"), "labels": zone},
                "status": {"addresses": [
                    {"type": "InternalIP", "address": format!("10.0.0.{index}")},
                ]},
            }),
        );
    }
}

/// A server with machines and a manifest.
pub fn lab() -> Server {
    let server = Server::default();
    machines(&server);
    declare(&server, "prague", prague());
    server
}

/// A class of volumes that can grow, or cannot.
pub fn class(server: &Server, grows: bool) {
    server.put(
        "storageclasses",
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "fast"}, "provisioner": "example.com/disk",
            "allowVolumeExpansion": grows,
        }),
    );
}

/// A pod's container crashes again and again.
pub fn trouble(server: &Server, pod: &str) {
    server.edit("pods", NAMESPACE, pod, |pod| {
        pod["status"]["conditions"][0]["status"] = json!("False");
        pod["status"]["containerStatuses"] = json!([{
            "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "no room"}},
        }]);
    });
}
