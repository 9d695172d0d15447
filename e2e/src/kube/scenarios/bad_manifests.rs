//! What is impossible, and what the user hears of it.

use std::time::Duration;

use crate::Outcome;
use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, Steady, World};

/// How long the status may take to say what is the matter.
const SAID: Duration = Duration::from_secs(30);
/// A Service whose injected variables look like the settings of a broker.
const KAFKA_SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: kafka}\nspec:\n  \
     ports: [{port: 9092}]\n  selector: {app: kafka}\n";

/// Manifests, each with what `kubectl apply` or the status must say.
const BAD: &[(&str, &str)] = &[
    ("metadata: {name: Prague-1}\nspec: {}", "Invalid value: \"Prague-1\""),
    (
        "metadata: {name: 1prague}\nspec: {}",
        "metadata.name: `1prague` may hold a to z, 0 to 9 and `-`, and starts with a letter",
    ),
    (
        "metadata: {name: a23456789b23456789c23456789d23456789e23456789}\nspec: {}",
        "is longer than 40 letters; shorten it",
    ),
    ("spec: {brokers: {replicas: 0}}", "so many brokers are impossible; ask for 1 to 2000"),
    ("spec: {coordinators: {replicas: 12}}", "ask for 1, 3, 5, 7 or 9"),
    (
        "spec: {coordinators: {replicas: 2}}",
        "bear no more failures than one less; ask for 1, 3, 5, 7 or 9",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9094, type: \
         NodePort, nodePorts: [34111]}]}",
        "listener `b`: nodePorts must be ports that Kubernetes gives; take 30000 to 32767",
    ),
    ("spec: {brokers: {replicas: three}}", "spec.brokers.replicas: Invalid value: \"string\""),
    ("spec: {broker: {replicas: 3}}", "unknown field \"spec.broker\""),
    (
        "spec: {listeners: []}",
        "listeners: none is of type Internal, by which brokers reach each other; add one",
    ),
    (
        "spec: {listeners: [{name: internal, port: 9092, type: Inside}]}",
        "supported values: \"Internal\", \"NodePort\", \"LoadBalancer\", \"ClusterIP\"",
    ),
    (
        "spec: {listeners: [{name: internal, port: 99092, type: Internal}]}",
        "spec.listeners[0].port: Invalid value: \"integer\": is no port; take 1 to 65535",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9092, type: \
         NodePort}]}",
        "two listeners have the same port; give each its own",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal, nodePorts: [32001]}]}",
        "listener `a`: one of type Internal has no nodePorts; take them out, or make it a NodePort",
    ),
    (
        "spec: {listeners: [{name: controller, port: 9092, type: Internal}]}",
        "`controller` is the coordinators' listener; rename it",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9094, type: \
         NodePort, advertisedHost: \"localhost:9094\"}]}",
        "listener `b`: advertisedHost `localhost:9094` is no host; write a name or an address, \
         without a port",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9094, type: \
         NodePort, advertisedHost: \"b-{zone}.example.com\"}]}",
        "listener `b`: advertisedHost `b-{zone}.example.com` is no host; write a name or an \
         address, without a port, in which {id} alone is the broker's number",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9094, type: \
         NodePort, advertisedHost: localhost, advertisedPort: 443}]}",
        "a NodePort with one advertisedHost and one advertisedPort gives all brokers the same \
         address; put {id} into the host, or take out advertisedPort",
    ),
    (
        "spec: {listeners: [{name: admin, port: 9092, type: Internal}]}",
        "`admin` is the port where nodes serve probes and metrics; rename it",
    ),
    (
        "spec: {listeners: [{name: a-b, port: 9092, type: Internal}, {name: A_b, port: 9094, \
         type: NodePort}]}",
        "two listeners have the same name but for upper and lower case, or `_` and `-`; rename one",
    ),
    (
        "metadata: {name: a23456789b23456789c23456789}\nspec: {listeners: [{name: a, port: 9092, \
         type: Internal}, {name: l23456789l23456789l23456789l23456789, port: 9094, \
         type: NodePort}]}",
        "of 63 letters at most; shorten the listener's name",
    ),
    (
        "spec: {image: \"vltava-broker@sha256:0123\"}",
        "image: `vltava-broker@sha256:0123` does not say where the coordinators' image is, which \
         is of the same name but for `broker`, and of the same tag; name that in \
         coordinators.image",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9094, type: \
         ClusterIP, advertisedHost: kafka.example.com}]}",
        "listener `b`: advertisedHost must hold {id}, the number of the broker, so that clients \
         reach each of them, as broker-{id}.kafka.example.com",
    ),
    (
        "spec: {listeners: [{name: a, port: 9092, type: Internal}, {name: b, port: 9094, type: \
         LoadBalancer, loadBalancerSourceRanges: [abc]}]}",
        "`abc` is no network; write it as 192.0.2.0/24 or 2001:db8::/32",
    ),
    (
        "spec: {imagePullPolicy: Sometimes}",
        "supported values: \"Always\", \"IfNotPresent\", \"Never\"",
    ),
    (
        "spec: {brokers: {pod: {terminationGracePeriodSeconds: -1}}}",
        "is no time; take 0 seconds or more",
    ),
    ("spec: {brokers: {storage: {size: 10GB}}}", "`10GB` is no size; write it as 10Gi or 500Mi"),
    (
        "spec: {brokers: {config: {node.id: \"7\"}}}",
        "node.id follows from the rest of the manifest; take it out",
    ),
    (
        "spec: {topics: [{name: \"or ders\"}]}",
        "`or ders` is no topic's name: it may hold letters, digits, `.`, `_` and `-`, 249 at most",
    ),
    ("spec: {topics: [{name: __mine}]}", "`__mine` is a name of Kafka's own topics; rename it"),
    (
        "spec: {topics: [{name: orders, partitions: 0}]}",
        "so many partitions are impossible; ask for 1 to 100000",
    ),
    ("spec: {topics: [{name: orders}, {name: orders}]}", "spec.topics[1]: Duplicate value"),
    (
        "spec: {topics: [{name: orders, replicationFactor: 5}]}",
        "orders: 5 replicas need as many brokers, and there are 3; lower it or set \
         brokers.replicas to 5",
    ),
    ("spec: {topics: [{name: orders, config: {retention.mss: \"1\"}}]}", "retention.mss"),
    ("spec: {brokers: {config: {log.retention.ms: soon}}}", "spec.brokers.config.log.retention.ms"),
];

/// Each bad manifest, beside a good cluster that does not notice, and a Service called kafka.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("bad-manifests");
    world.namespace(&namespace)?;
    world.shell.apply(&namespace, KAFKA_SERVICE)?;
    let cluster = world.named(&namespace, "prague");
    cluster.apply(&Manifest::new("prague").outside(&PORTS))?;
    cluster.settled()?;
    let load = Steady::start(&outside())?;
    let (mut at_once, mut later) = (0, 0);
    for (index, (manifest, expected)) in BAD.iter().enumerate() {
        let bad = world.named(&namespace, &format!("bad-{index}"));
        match tried(&bad, manifest, expected)? {
            When::AtOnce => at_once += 1,
            When::Later => later += 1,
        }
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("{at_once} refused by kubectl apply, {later} in the status; {found}"))
}

/// When a manifest was refused.
enum When {
    AtOnce,
    Later,
}

fn tried(cluster: &Cluster, manifest: &str, expected: &str) -> Outcome<When> {
    let mut text = "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\n".to_owned();
    if !manifest.starts_with("metadata") {
        text.push_str(&format!("metadata: {{name: {}}}\n", cluster.name));
    }
    text.push_str(manifest);
    match cluster.shell.apply(&cluster.namespace, &text) {
        Err(said) if said.contains(expected) => Ok(When::AtOnce),
        Err(said) => Err(format!("{manifest} should be refused by {expected:?}, and is by {said}")),
        Ok(_) => {
            cluster.says(expected, SAID)?;
            let none = cluster.pods("broker")?;
            cluster.kubectl(&["delete", "kafkacluster", &cluster.name])?;
            if none.is_empty() { Ok(When::Later) } else { Err(format!("{manifest} made pods")) }
        }
    }
}
