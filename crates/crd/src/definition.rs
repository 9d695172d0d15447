//! The CustomResourceDefinition: the types' schema, with bounds and rules that Kubernetes checks.

use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::config::MANAGED;
use crate::resource::{KafkaCluster, PULL_POLICIES};
use crate::rules::{RULES, Rule, Says};

/// Where the definition lies, from the root of the repository.
pub const FILE: &str = "crds/kafkaclusters.yaml";

/// Bounds on what a manifest may hold; Kubernetes needs them to know what checking costs.
pub(crate) const BOUNDS: &[(&str, &str, i64)] = &[
    ("spec.image", "maxLength", 512),
    ("spec.coordinators.image", "maxLength", 512),
    ("spec.imagePullSecrets", "maxItems", 16),
    ("spec.listeners", "maxItems", 16),
    ("spec.listeners.[].name", "maxLength", 40),
    ("spec.listeners.[].nodePorts", "maxItems", 2000),
    ("spec.listeners.[].advertisedHost", "maxLength", 253),
    ("spec.listeners.[].annotations", "maxProperties", 64),
    ("spec.listeners.[].loadBalancerSourceRanges", "maxItems", 256),
    ("spec.listeners.[].loadBalancerSourceRanges.[]", "maxLength", 64),
    ("spec.topics", "maxItems", 1000),
    ("spec.topics.[].name", "maxLength", 256),
    ("spec.topics.[].config", "maxProperties", 64),
    ("spec.brokers.config", "maxProperties", 256),
    ("spec.coordinators.config", "maxProperties", 256),
    ("spec.brokers.storage.size", "maxLength", 32),
    ("spec.coordinators.storage.size", "maxLength", 32),
    ("spec.brokers.storage.storageClassName", "maxLength", 253),
    ("spec.coordinators.storage.storageClassName", "maxLength", 253),
];

/// Lists whose items have a name, by which changes of several writers are merged.
const MAPS: &[(&str, &str)] = &[
    ("spec.listeners", "name"),
    ("spec.topics", "name"),
    ("spec.imagePullSecrets", "name"),
    ("status.conditions", "type"),
    ("status.listeners", "name"),
    ("status.listeners.[].brokers", "id"),
    ("status.topics", "name"),
    ("status.storage", "name"),
];

/// The CustomResourceDefinition of [`KafkaCluster`].
pub fn definition() -> Value {
    let mut crd = serde_json::to_value(KafkaCluster::crd()).expect("a definition is plain data");
    let root = crd
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .expect("the derived definition has a schema");
    for (path, bound, value) in BOUNDS {
        fields(root, path).insert((*bound).to_owned(), json!(value));
    }
    for (path, key) in MAPS {
        let list = fields(root, path);
        list.insert("x-kubernetes-list-type".to_owned(), json!("map"));
        list.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
    }
    let ports = fields(root, "spec.listeners.[].nodePorts");
    ports.insert("x-kubernetes-list-type".to_owned(), json!("set"));
    fields(root, "spec.imagePullPolicy").insert("enum".to_owned(), json!(PULL_POLICIES));
    // The name of a secret is a key of its list, so it has to be there.
    fields(root, "spec.imagePullSecrets.[]").insert("required".to_owned(), json!(["name"]));
    for role in ["brokers", "coordinators"] {
        let pod = &mut root["properties"]["spec"]["properties"][role]["properties"]["pod"];
        for field in ["affinity", "topologySpreadConstraints", "tolerations"] {
            silence(&mut pod["properties"][field]);
        }
    }
    for rule in RULES {
        let rules =
            fields(root, rule.path).entry("x-kubernetes-validations").or_insert_with(|| json!([]));
        if let Value::Array(rules) = rules {
            rules.push(written(rule));
        }
    }
    crd
}

/// The definition as it lies in `crds/`.
pub fn yaml() -> String {
    let text = serde_norway::to_string(&definition()).expect("a definition is plain data");
    format!("# Generated from the types in crates/crd by `cargo xtask crds`.\n{text}")
}

fn written(rule: &Rule) -> Value {
    let managed: Vec<String> = MANAGED.iter().map(|key| format!("'{key}'")).collect();
    let managed = format!("[{}]", managed.join(", "));
    let whole = |text: &str| text.replace("MANAGED", &managed);
    match rule.says {
        // A sentence is needed in case that its expression fails, too.
        Says::Made(expression) => json!({
            "rule": whole(rule.rule),
            "messageExpression": whole(expression),
            "message": "is not possible; docs/reference.md says what is",
        }),
        Says::Text(text) => json!({"rule": whole(rule.rule), "message": text}),
    }
}

/// Takes out what Kubernetes says about its own fields: twice a hundred kilobytes of it would leave
/// `kubectl apply` no room for its annotation.
fn silence(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    for (name, inner) in fields {
        match (name.as_str(), inner) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(silenced);
            }
            ("items" | "additionalProperties", inner) => {
                silenced(inner);
            }
            _ => {}
        }
    }
}

fn silenced(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("description");
    }
    silence(schema);
}

/// The schema at a path, to be added to.
fn fields<'a>(root: &'a mut Value, path: &str) -> &'a mut Map<String, Value> {
    let mut schema = root;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        schema = match step {
            "[]" => &mut schema["items"],
            field => &mut schema["properties"][field],
        };
    }
    schema.as_object_mut().unwrap_or_else(|| panic!("the schema has no `{path}`"))
}
