//! The bill of materials of a program, as CycloneDX JSON: every crate that is compiled into it, as
//! cargo resolved it, and the C library.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::process;

/// What cargo knows of the workspace and of all that it depends on, on this machine's target.
///
/// # Errors
/// If cargo fails, as it does when Cargo.lock is out of date.
pub fn metadata() -> Result<Value, String> {
    let target = process::host_target()?;
    let mut cargo = process::cargo_command();
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target]);
    let text = process::output(&mut cargo)?;
    serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
}

/// The bill of materials of what these packages of the workspace are compiled into.
///
/// # Errors
/// If there is no such package.
pub fn cyclone_dx(metadata: &Value, name: &str, packages: &[&str]) -> Result<String, String> {
    let by_id: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let links = links(metadata);
    let members: BTreeSet<&str> =
        list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let mut roots = Vec::new();
    for wanted in packages {
        let found = members.iter().find(|id| text(&by_id[*id]["name"]) == *wanted);
        roots.push(*found.ok_or_else(|| format!("the workspace has no package {wanted}"))?);
    }
    let mut reached = BTreeSet::new();
    let mut waiting = roots.clone();
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(links.get(id).into_iter().flatten());
        }
    }
    let reference = |id: &str| purl(by_id[id]);
    let mut components: Vec<Value> = reached.iter().map(|id| component(by_id[id])).collect();
    components.push(c_library());
    let mut dependencies: Vec<Value> = vec![json!({
        "ref": name,
        "dependsOn": roots.iter().map(|id| reference(id)).collect::<Vec<_>>(),
    })];
    dependencies.extend(reached.iter().map(|id| {
        let on: Vec<String> = links[id].iter().map(|id| reference(id)).collect();
        json!({"ref": reference(id), "dependsOn": on})
    }));
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container", "bom-ref": name, "name": name,
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    serde_json::to_string_pretty(&bom).map_err(|error| error.to_string())
}

/// Which packages each is compiled with; what builds or tests it alone is left out.
fn links(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let is_normal =
        |dependency: &&Value| list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
    list(&metadata["resolve"]["nodes"])
        .map(|node| {
            let normal = list(&node["deps"]).filter(is_normal);
            (text(&node["id"]), normal.map(|dependency| text(&dependency["pkg"])).collect())
        })
        .collect()
}

fn component(package: &Value) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    });
    if let Some(license) = package["license"].as_str() {
        // Crates of old wrote `MIT/Apache-2.0`, which SPDX does not know.
        let expression = license.replace('/', " OR ");
        component["licenses"] = json!([{"expression": expression}]);
    }
    component
}

/// glibc, which is linked in.
fn c_library() -> Value {
    let version = process::output(std::process::Command::new("getconf").arg("GNU_LIBC_VERSION"));
    let version = version.unwrap_or_default();
    let version = version.trim().strip_prefix("glibc ").unwrap_or("unknown").to_owned();
    let purl = format!("pkg:generic/glibc@{version}");
    json!({
        "type": "library", "bom-ref": purl, "name": "glibc", "version": version, "purl": purl,
        "licenses": [{"expression": "LGPL-2.1-or-later"}],
    })
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::cyclone_dx;
    use serde_json::{Value, json};

    fn metadata() -> Value {
        let package = |name: &str, license: &str| {
            let (id, version) = (name, "1.0.0");
            json!({"id": id, "name": name, "version": version, "license": license})
        };
        json!({
            "packages": [package("ours", "Apache-2.0"), package("used", "MIT/Apache-2.0"),
                         package("tests-only", "MIT"), package("elsewhere", "MIT")],
            "workspace_members": ["ours"],
            "resolve": {"nodes": [
                {"id": "ours", "deps": [
                    {"pkg": "used", "dep_kinds": [{"kind": null}]},
                    {"pkg": "tests-only", "dep_kinds": [{"kind": "dev"}]},
                ]},
                {"id": "used", "deps": []},
                {"id": "tests-only", "deps": []},
                {"id": "elsewhere", "deps": []},
            ]},
        })
    }

    #[test]
    fn a_program_lists_what_it_is_compiled_from_and_nothing_else() {
        let text = cyclone_dx(&metadata(), "image", &["ours"]).expect("the package is there");
        let bom: Value = serde_json::from_str(&text).expect("it is JSON");
        let names: Vec<&str> = bom["components"]
            .as_array()
            .expect("there are components")
            .iter()
            .filter_map(|component| component["name"].as_str())
            .collect();
        assert_eq!(names, ["ours", "used", "glibc"]);
        assert_eq!(bom["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bom["dependencies"][1]["dependsOn"], json!(["pkg:cargo/used@1.0.0"]));
    }

    #[test]
    fn an_unknown_package_is_named() {
        let error = cyclone_dx(&metadata(), "image", &["other"]).expect_err("it is not there");
        assert_eq!(error, "the workspace has no package other");
    }
}
