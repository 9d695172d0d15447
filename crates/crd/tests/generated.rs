//! What is generated from the types is as the types are now.

use std::path::Path;

use serde::Deserialize;
use vltava_crd::definition::{FILE, definition, yaml};

fn written(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_definition_and_the_reference_are_up_to_date() {
    assert!(written(FILE) == yaml(), "{FILE} is old; run `cargo xtask crds`");
    let reference = "docs/reference.md";
    assert!(written(reference) == vltava_crd::reference(), "old; run `cargo xtask crds`");
}

/// Helm makes that file, and not every machine has it; what is in it of ours is held here.
#[test]
fn what_kubectl_alone_installs_has_the_definition_of_now() {
    let file = "dist/vltava.yaml";
    let written = written(file);
    let objects = serde_norway::Deserializer::from_str(&written)
        .map(|object| serde_json::Value::deserialize(object).expect("it is YAML"));
    let definitions: Vec<_> =
        objects.filter(|object| object["kind"] == "CustomResourceDefinition").collect();
    assert_eq!(definitions.len(), 1);
    assert!(
        definitions[0]["spec"] == definition()["spec"],
        "{file} is old; run `cargo xtask chart`, with Helm on the path"
    );
}

#[test]
fn kubectl_finds_its_names_its_scale_and_its_columns() {
    let crd = definition();
    let names = &crd["spec"]["names"];
    assert_eq!(names["shortNames"], serde_json::json!(["kc"]));
    assert_eq!(names["categories"], serde_json::json!(["vltava"]));
    let version = &crd["spec"]["versions"][0];
    let scale = &version["subresources"]["scale"];
    assert_eq!(scale["specReplicasPath"], ".spec.brokers.replicas");
    assert_eq!(scale["statusReplicasPath"], ".status.brokers.replicas");
    assert_eq!(scale["labelSelectorPath"], ".status.brokers.selector");
    let columns: Vec<&str> = version["additionalPrinterColumns"]
        .as_array()
        .expect("there are columns")
        .iter()
        .filter_map(|column| column["name"].as_str())
        .collect();
    for name in ["Brokers", "Coordinators", "Under-replicated", "Version", "Age"] {
        assert!(columns.contains(&name), "{columns:?}");
    }
}

/// `kubectl apply` keeps the whole object in an annotation, which has a limit.
#[test]
fn the_definition_fits_into_the_annotation_of_kubectl() {
    let json = serde_json::to_string(&definition()).expect("it is plain data");
    assert!(json.len() < 200_000, "{} bytes", json.len());
}

#[test]
fn conditions_and_rows_are_merged_by_their_names() {
    let schema = &definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let status = &schema["properties"]["status"]["properties"];
    for (list, key) in [("conditions", "type"), ("listeners", "name"), ("topics", "name")] {
        assert_eq!(status[list]["x-kubernetes-list-type"], "map", "{list}");
        assert_eq!(status[list]["x-kubernetes-list-map-keys"], serde_json::json!([key]));
    }
}

#[test]
fn what_is_not_said_has_its_default_in_the_definition() {
    let schema = &definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = &schema["properties"]["spec"]["properties"];
    assert_eq!(spec["brokers"]["properties"]["replicas"]["default"], 3);
    assert_eq!(spec["brokers"]["default"]["replicas"], 3);
    assert_eq!(spec["listeners"]["default"][0]["type"], "Internal");
}
