//! `docs/reference.md`: every field of the resource, from the definition that Kubernetes is given.

use std::fmt::Write as _;

use serde_json::Value;

use crate::definition::definition;

/// Fields whose own fields are Kubernetes' and described there.
const FOREIGN: &[(&str, &str)] = &[
    ("resources", "as a container's `resources`"),
    ("affinity", "as a pod's `affinity`"),
    ("tolerations", "as a pod's `tolerations`"),
    ("topologySpreadConstraints", "as a pod's `topologySpreadConstraints`"),
    ("imagePullSecrets", "as a pod's `imagePullSecrets`"),
    ("conditions", "as Kubernetes' own conditions"),
];

const HEAD: &str = "\
<!-- Generated from the types in crates/crd by `cargo xtask crds`: edit the types instead. -->

# KafkaCluster

`apiVersion: vltava.dev/v1alpha1`, `kind: KafkaCluster`, short name `kc`, category `vltava`. One
resource is one cluster: its coordinators, its brokers, how they are reached, and its topics.
`vltava up -f FILE` runs the same manifest on one machine; what is Kubernetes' own in it (resources,
pods, policies) means nothing there.

What is impossible is refused when it is applied, with a sentence that says why. What only the
tables of keys can tell (see [configuration.md](configuration.md)) is said in the status: the
cluster then stays as it is until the manifest is put right.
";

/// The text of `docs/reference.md`.
pub fn markdown() -> String {
    let crd = definition();
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut text = HEAD.to_owned();
    for part in ["spec", "status"] {
        let _ = write!(text, "\n## {part}\n\n| field | type | what it says |\n|---|---|---|\n");
        rows(&mut text, &root["properties"][part], part);
    }
    text.push_str("\n## What is refused\n\nBeside values of the wrong type:\n\n");
    refusals(&mut text, root, "");
    text
}

fn rows(text: &mut String, schema: &Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, field) in properties {
        let place = format!("{path}.{name}");
        let required = schema["required"]
            .as_array()
            .is_some_and(|all| all.iter().any(|required| required.as_str() == Some(name.as_str())));
        let foreign = FOREIGN.iter().find(|(known, _)| known == name);
        let _ = writeln!(
            text,
            "| `{place}` | {} | {}{}{} |",
            kind(field),
            one_line(field["description"].as_str().unwrap_or_default()),
            foreign.map(|(_, like)| format!(" ({like})")).unwrap_or_default(),
            said(field, required),
        );
        if foreign.is_some() {
            continue;
        }
        match field["type"].as_str() {
            Some("array") => rows(text, &field["items"], &format!("{place}[]")),
            _ => rows(text, field, &place),
        }
    }
}

fn kind(field: &Value) -> String {
    let own = |schema: &Value| schema["type"].as_str().unwrap_or("any").to_owned();
    match (field["type"].as_str(), field["additionalProperties"].as_object()) {
        (Some("array"), _) => format!("list of {}", own(&field["items"])),
        (Some("object"), Some(values)) => {
            format!("map to {}", values.get("type").and_then(Value::as_str).unwrap_or("any"))
        }
        _ => own(field),
    }
}

fn said(field: &Value, required: bool) -> String {
    let mut text = String::new();
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<String> =
            values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        let _ = write!(text, " One of {}.", values.join(", "));
    }
    match &field["default"] {
        Value::Null if required => text.push_str(" **Required.**"),
        Value::Null | Value::Object(_) | Value::Array(_) => {}
        default => {
            let _ = write!(text, " Default `{}`.", default.to_string().trim_matches('"'));
        }
    }
    text
}

fn refusals(text: &mut String, schema: &Value, path: &str) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let place = if path.is_empty() { "the resource" } else { path };
        let says = match rule["messageExpression"].as_str() {
            Some(expression) => plain(expression),
            None => rule["message"].as_str().unwrap_or_default().to_owned(),
        };
        let _ = writeln!(text, "- `{place}`: {says}");
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        refusals(text, field, &place);
        refusals(text, &field["items"], &format!("{place}[]"));
    }
}

/// A sentence's expression with `…` where it puts a value in.
fn plain(expression: &str) -> String {
    let mut text = String::new();
    let mut within = false;
    let mut lists = 0;
    let mut characters = expression.chars();
    while let Some(c) = characters.next() {
        match c {
            // A list's elements are no part of the sentence.
            '[' if !within => lists += 1,
            ']' if !within => lists -= 1,
            _ if lists > 0 && c != '\'' => {}
            '\\' if within => text.extend(characters.next()),
            '\'' => within = !within,
            '+' if !within && !text.ends_with('…') => text.push('…'),
            c if within => text.push(c),
            _ => {}
        }
    }
    let text = text.replace("`…`", "…").replace("……", "…");
    if text.starts_with(' ') { format!("…{text}") } else { text }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
