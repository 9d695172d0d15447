//! The pods of a component, with a volume each.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vltava_config::{Role, keys};
use vltava_crd::plan::settings::is_dynamic;
use vltava_crd::{COORDINATOR_LISTENER, KafkaCluster, ListenerType, ReclaimPolicy, config};

use super::{Facts, founding, metadata};
use crate::names;
use crate::plan::Component;
use crate::template;

/// Where a node's data lies.
const DATA: &str = "/var/lib/vltava";
/// Where a broker's rack is told.
const POD_INFO: &str = "/etc/vltava/pod";
/// Whom nodes run as.
const USER: i64 = 65_532;

/// The StatefulSet of a component.
pub(super) fn statefulset(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Value {
    let name = names::set(cluster, component);
    let replicas = match component {
        Component::Broker => facts.brokers,
        Component::Coordinator => facts.coordinators,
    };
    let mut metadata = metadata(cluster, &name, Some(component));
    metadata["annotations"] = json!({names::CLUSTER_ID: facts.cluster_id});
    if component == Component::Coordinator && facts.is_founded {
        metadata["annotations"][names::FOUNDED] = json!("true");
    }
    let mut set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata,
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "ordinals": {"start": 1},
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": after_deletion(cluster, component),
                // A hand that scales the set must take no volume with it. Whose pod the operator
                // itself took away, it deletes the claim of (`walk/volumes.rs`).
                "whenScaled": "Retain",
            },
            "selector": {"matchLabels": names::selector(cluster, component)},
            "template": template(cluster, component, facts),
            "volumeClaimTemplates": [claim(cluster, component, facts)],
        },
    });
    template::note(&mut set, &inputs(cluster, component, facts));
    set
}

/// What becomes of a component's volumes when the cluster is deleted. The coordinators' stay as
/// long as the brokers' do: without them nobody knows what lies on the brokers'.
fn after_deletion(cluster: &KafkaCluster, component: Component) -> &'static str {
    let spec = &cluster.spec;
    let own = match component {
        Component::Broker => spec.brokers.storage.reclaim_policy,
        Component::Coordinator => spec.coordinators.storage.reclaim_policy,
    };
    match (own, spec.brokers.storage.reclaim_policy) {
        (ReclaimPolicy::Delete, ReclaimPolicy::Delete) => "Delete",
        _ => "Retain",
    }
}

/// What of the manifest a template is made from: if it stays, pods stay.
fn inputs(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Value {
    let spec = &cluster.spec;
    let fixed = |config: &BTreeMap<String, String>| {
        let kept = config.iter().filter(|(key, _)| !is_dynamic(key));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    let own = match component {
        Component::Broker => json!({
            "image": facts.broker_image,
            "inside": inside(cluster),
            "resources": spec.brokers.resources,
            "pod": spec.brokers.pod,
        }),
        Component::Coordinator => json!({
            "image": facts.coordinator_image,
            // Brokers alone are told at run time: what coordinators are to know is in force by a
            // restart.
            "config": spec.coordinators.config,
            "resources": spec.coordinators.resources,
            "pod": spec.coordinators.pod,
        }),
    };
    let role = match component {
        Component::Broker => Role::Broker,
        Component::Coordinator => Role::Coordinator,
    };
    let mut shared = fixed(&spec.brokers.config);
    shared.retain(|key, _| config::of_role(spec, role).contains_key(key));
    json!({
        "own": own,
        "config": shared,
        "clusterId": facts.cluster_id,
        "pullPolicy": spec.image_pull_policy,
        "pullSecrets": spec.image_pull_secrets,
    })
}

fn claim(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Value {
    let (storage, default) = match component {
        Component::Broker => (&cluster.spec.brokers.storage, "10Gi"),
        Component::Coordinator => (&cluster.spec.coordinators.storage, "1Gi"),
    };
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": storage.size.as_deref().unwrap_or(default)}},
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = json!(class);
    }
    let mut annotations = json!({names::CLUSTER_ID: facts.cluster_id});
    if component == Component::Coordinator && !facts.founders.is_empty() {
        annotations[names::FOUNDERS] = json!(facts.founders.join(","));
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "labels": names::selector(cluster, component),
            "annotations": annotations,
        },
        "spec": spec,
    })
}

fn template(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Value {
    let pod = match component {
        Component::Broker => &cluster.spec.brokers.pod,
        Component::Coordinator => &cluster.spec.coordinators.pod,
    };
    let mut labels = pod.labels.clone();
    labels.extend(names::labels_of(cluster, component));
    let grace = match component {
        Component::Broker => 120,
        Component::Coordinator => 30,
    };
    let selector = json!({"matchLabels": names::selector(cluster, component)});
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": pod.termination_grace_period_seconds.unwrap_or(grace),
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname", "labelSelector": selector,
            },
        }]}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
             "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector},
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
             "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector},
        ],
        "containers": [container(cluster, component, facts)],
    });
    if component == Component::Broker {
        let rack = format!("metadata.annotations['{}']", names::RACK);
        spec["volumes"] = json!([{"name": "pod", "downwardAPI": {
            "items": [{"path": "rack", "fieldRef": {"apiVersion": "v1", "fieldPath": rack}}],
        }}]);
    }
    // The API server fills each of these two from the other: one that is only left out is never
    // taken back.
    for field in ["serviceAccountName", "serviceAccount"] {
        spec[field] = json!(pod.service_account_name.as_deref().unwrap_or_default());
    }
    let given = [
        ("affinity", json!(pod.affinity)),
        ("topologySpreadConstraints", json!(pod.topology_spread_constraints)),
        ("priorityClassName", json!(pod.priority_class_name)),
    ];
    for (field, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
        spec[field] = value;
    }
    if !pod.node_selector.is_empty() {
        spec["nodeSelector"] = json!(pod.node_selector);
    }
    if !pod.tolerations.is_empty() {
        spec["tolerations"] = json!(pod.tolerations);
    }
    if !cluster.spec.image_pull_secrets.is_empty() {
        spec["imagePullSecrets"] = json!(cluster.spec.image_pull_secrets);
    }
    let mut metadata = json!({"labels": labels});
    if !pod.annotations.is_empty() {
        metadata["annotations"] = json!(pod.annotations);
    }
    json!({"metadata": metadata, "spec": spec})
}

fn container(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Value {
    let (image, resources, port) = match component {
        Component::Broker => (&facts.broker_image, &cluster.spec.brokers.resources, 9092),
        Component::Coordinator => (
            &facts.coordinator_image,
            &cluster.spec.coordinators.resources,
            names::COORDINATOR_PORT,
        ),
    };
    let mut mounts = vec![json!({"name": "data", "mountPath": DATA})];
    if component == Component::Broker {
        mounts.push(json!({"name": "pod", "mountPath": POD_INFO}));
    }
    let probe = |path: &str, period: i32, failures: i32| {
        json!({
            "httpGet": {"path": path, "port": "admin"},
            "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures,
        })
    };
    let mut container = json!({
        "name": component.name(),
        "image": image,
        "env": environment(cluster, component, facts),
        "ports": [
            {"name": "kafka", "containerPort": port, "protocol": "TCP"},
            {"name": "admin", "containerPort": names::ADMIN_PORT, "protocol": "TCP"},
        ],
        // A broker that recovers a large log lives, and is not ready. Until it answers for the
        // first time it has an hour.
        "startupProbe": probe("/livez", 1, 3600),
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    });
    if component == Component::Broker {
        // Leadership is elsewhere before the broker is told to end. Of the coordinators the active
        // one resigns by itself.
        let command = ["/vltava-broker", "hand-over"];
        container["lifecycle"] = json!({"preStop": {"exec": {"command": command}}});
    }
    if let Some(resources) = resources {
        container["resources"] = json!(resources);
    }
    if let Some(policy) = &cluster.spec.image_pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    container
}

/// What a node is told.
fn environment(cluster: &KafkaCluster, component: Component, facts: &Facts) -> Vec<Value> {
    let field = |name: &str, path: &str| {
        let from = json!({"fieldRef": {"apiVersion": "v1", "fieldPath": path}});
        json!({"name": name, "valueFrom": from})
    };
    let mut environment = vec![
        field("POD_INDEX", &format!("metadata.labels['{}']", names::POD_INDEX)),
        field("POD_NAME", "metadata.name"),
        field("KAFKA_VLTAVA_POD_UID", "metadata.uid"),
    ];
    if component == Component::Coordinator {
        environment.push(json!({
            "name": variable(keys::VLTAVA_INITIAL_CONTROLLERS.name()),
            "valueFrom": {"configMapKeyRef": {
                "name": names::founding(cluster), "key": founding::KEY,
            }},
        }));
    }
    let values = settings(cluster, component);
    environment
        .extend(values.iter().map(|(key, value)| json!({"name": variable(key), "value": value})));
    environment.push(json!({"name": "CLUSTER_ID", "value": facts.cluster_id}));
    // For the `vltava` command in the pod. A broker asks itself first, also while no pod is ready.
    let (port, all) = (inside(cluster).1, names::bootstrap(cluster));
    let all = format!("{all}.{}.svc:{port}", names::namespace(cluster));
    let servers = match component {
        Component::Broker => format!("localhost:{port},{all}"),
        Component::Coordinator => all,
    };
    environment.push(json!({"name": "VLTAVA_BOOTSTRAP_SERVER", "value": servers}));
    environment
}

/// The settings that a restart brings into force.
fn settings(cluster: &KafkaCluster, component: Component) -> BTreeMap<String, String> {
    let role = match component {
        Component::Broker => Role::Broker,
        Component::Coordinator => Role::Coordinator,
    };
    let mut settings = config::of_role(&cluster.spec, role);
    let own = match component {
        Component::Broker => None,
        Component::Coordinator => Some(&cluster.spec.coordinators.config),
    };
    settings.retain(|key, _| !is_dynamic(key) || own.is_some_and(|own| own.contains_key(key)));
    let host = names::host_of_set(cluster, component);
    let quorum = names::host_of_set(cluster, Component::Coordinator);
    let (node_id, listener, port) = match component {
        Component::Broker => ("$(POD_INDEX)", inside(cluster).0, inside(cluster).1),
        Component::Coordinator => {
            ("300$(POD_INDEX)", COORDINATOR_LISTENER.to_owned(), names::COORDINATOR_PORT)
        }
    };
    let mut put = |key: &str, value: String| settings.insert(key.to_owned(), value);
    put("node.id", node_id.to_owned());
    put("listeners", format!("{listener}://:{port}"));
    put("advertised.listeners", format!("{listener}://$(POD_NAME).{host}:{port}"));
    put("controller.listener.names", COORDINATOR_LISTENER.to_owned());
    put("controller.quorum.bootstrap.servers", format!("{quorum}:{}", names::COORDINATOR_PORT));
    put("log.dirs", DATA.to_owned());
    put("vltava.admin.listener", format!(":{}", names::ADMIN_PORT));
    let mut protocols = format!("{COORDINATOR_LISTENER}:PLAINTEXT");
    if component == Component::Broker {
        protocols = format!("{listener}:PLAINTEXT,{protocols}");
        put("inter.broker.listener.name", listener);
        put("vltava.rack.file", format!("{POD_INFO}/rack"));
    }
    put("listener.security.protocol.map", protocols);
    settings
}

/// The listener by which brokers reach each other: the first inside.
pub fn inside(cluster: &KafkaCluster) -> (String, i32) {
    let mut listeners = cluster.spec.listeners.iter();
    let first = listeners.find(|listener| listener.kind == ListenerType::Internal);
    first.map_or_else(|| ("INTERNAL".to_owned(), 9092), |it| (it.key(), it.port))
}

/// The environment's form of a key.
fn variable(key: &str) -> String {
    let mut name = "KAFKA_".to_owned();
    for c in key.chars() {
        match c {
            '.' => name.push('_'),
            '_' => name.push_str("__"),
            '-' => name.push_str("___"),
            c => name.extend(c.to_uppercase()),
        }
    }
    name
}
