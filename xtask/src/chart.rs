//! `cargo xtask chart`: what follows from the chart's sources and from `crds/`: the template of the
//! resource definition, the README from the values, golden renderings, and `dist/vltava.yaml`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::{process, say};

/// What to do with what follows.
#[derive(Args)]
pub struct Options {
    /// Only hold the files against what they should be
    #[arg(long)]
    check: bool,
}

const CHART: &str = "charts/vltava";
const GOLDEN: &str = "charts/golden";
/// Where the operator is installed by `dist/vltava.yaml`.
const NAMESPACE: &str = "vltava-system";
/// Which Kubernetes is rendered for: Helm asks nobody.
const KUBERNETES: &str = "1.34.0";

/// A file and what it should hold.
struct Made {
    path: String,
    text: String,
}

/// Writes the files, or says which are out of date.
///
/// # Errors
/// If a source cannot be read, helm fails, or, with `--check`, a file is out of date.
pub fn run(options: &Options) -> Result<(), String> {
    versions()?;
    settle(options, vec![definitions()?, readme()?])?;
    if !process::is_installed("helm") {
        say("chart: helm is not installed; lint, golden renderings and dist/ are left out");
        return Ok(());
    }
    process::run(Command::new("helm").args(["lint", "--quiet", "--strict", CHART]))?;
    let mut made = golden()?;
    made.push(dist()?);
    settle(options, made)
}

/// Brings the chart's copy of the definitions up to date.
///
/// # Errors
/// If `crds/` cannot be read or the copy not be written.
pub fn write_definitions() -> Result<(), String> {
    settle(&Options { check: false }, vec![definitions()?])
}

fn settle(options: &Options, files: Vec<Made>) -> Result<(), String> {
    let mut stale = Vec::new();
    for Made { path, text } in files {
        let whole = process::root().join(&path);
        if fs::read_to_string(&whole).is_ok_and(|old| old == text) {
            continue;
        }
        if options.check {
            stale.push(path);
            continue;
        }
        if let Some(folder) = whole.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{path}: {error}"))?;
        }
        fs::write(&whole, text).map_err(|error| format!("{path}: {error}"))?;
        say(&format!("chart: wrote {path}"));
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("{} out of date; run `cargo xtask chart`", stale.join(", ")))
}

/// The chart's versions are the product's.
fn versions() -> Result<(), String> {
    let text = read(&format!("{CHART}/Chart.yaml"))?;
    let version = env!("CARGO_PKG_VERSION");
    for line in [format!("version: {version}"), format!("appVersion: \"{version}\"")] {
        if !text.lines().any(|it| it == line) {
            return Err(format!("{CHART}/Chart.yaml: should say {line}, as Cargo.toml does"));
        }
    }
    Ok(())
}

/// The definitions of `crds/` as a template, so that `helm upgrade` upgrades them, and
/// `helm uninstall` leaves them.
fn definitions() -> Result<Made, String> {
    let mut text = "{{- /* Generated from crds/ by `cargo xtask chart`. */ -}}\n\
                    {{- if .Values.crds.install }}\n"
        .to_owned();
    for name in yaml_files(&process::root().join("crds"))? {
        let definition = read(&format!("crds/{name}"))?;
        let found = definition.lines().filter(|line| *line == "metadata:").count();
        if found != 1 {
            return Err(format!("crds/{name}: {found} lines say `metadata:`; one is needed"));
        }
        text.push_str("---\n");
        for line in definition.lines().filter(|line| !line.starts_with('#')) {
            // What Helm would take for its own.
            text.push_str(&line.replace("{{", "{{ \"{{\" }}"));
            text.push('\n');
            if line == "metadata:" {
                text.push_str("  annotations:\n    helm.sh/resource-policy: keep\n");
                text.push_str("  labels:\n    {{- include \"vltava.labels\" . | nindent 4 }}\n");
            }
        }
    }
    text.push_str("{{- end }}\n");
    Ok(Made { path: format!("{CHART}/templates/definitions.yaml"), text })
}

/// The README: how to install, and a row a value.
fn readme() -> Result<Made, String> {
    let values = read(&format!("{CHART}/values.yaml"))?;
    let mut text = README.to_owned();
    text.push_str("| value | default | what it is |\n|---|---|---|\n");
    for Row { key, default, what } in rows(&values)? {
        writeln!(text, "| `{key}` | `{default}` | {what} |").expect("a String takes it");
    }
    Ok(Made { path: format!("{CHART}/README.md"), text })
}

const README: &str = "<!-- Generated from values.yaml by `cargo xtask chart`. -->

# vltava

The operator of Vltava, Kafka for Kubernetes (1.31 or later). Installed once, it looks after the
`KafkaCluster` resources of every namespace.

```sh
helm install vltava charts/vltava --namespace vltava-system --create-namespace
helm upgrade vltava charts/vltava --namespace vltava-system     # upgrades the definition, too
helm uninstall vltava --namespace vltava-system                 # leaves clusters and their data
```

An upgrade of the operator restarts no broker: a cluster keeps the images that it began with, until
its manifest names others.

## Values

";

/// A value of the chart.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    key: String,
    default: String,
    what: String,
}

/// The values of a file in which each stands below the comment that explains it.
fn rows(values: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut comment = String::new();
    // The keys that enclose the line, with their indents.
    let mut above: Vec<(usize, &str)> = Vec::new();
    let lines: Vec<&str> = values.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(words) = line.strip_prefix('#') {
            comment = format!("{comment} {}", words.trim()).trim().to_owned();
            continue;
        }
        let Some((key, default)) = line.split_once(':') else {
            comment.clear();
            continue;
        };
        above.retain(|(its, _)| *its < indent);
        let names = above.iter().map(|(_, name)| *name).chain([key]);
        let whole = names.collect::<Vec<_>>().join(".");
        let what = std::mem::take(&mut comment);
        let deeper = |next: &&&str| next.len() - next.trim_start().len() > indent;
        let has_more = lines.get(index + 1).filter(deeper).is_some();
        match (default.trim(), what.is_empty()) {
            ("", false) if has_more => {
                // A default that takes lines of its own.
                let block = lines[index + 1..].iter().take_while(deeper).map(|it| it.trim());
                let default = block.collect::<Vec<_>>().join("; ");
                rows.push(Row { key: whole, default, what });
                above.push((indent, "\0"));
            }
            ("", _) => above.push((indent, key)),
            (_, true) if above.iter().any(|(_, name)| *name == "\0") => {}
            (_, true) => return Err(format!("{CHART}/values.yaml: {whole} has no comment")),
            (default, false) => {
                rows.push(Row { key: whole, default: default.to_owned(), what });
            }
        }
    }
    Ok(rows)
}

/// The renderings for each file of values in the folder of golden files.
fn golden() -> Result<Vec<Made>, String> {
    let folder = process::root().join(GOLDEN);
    let mut made = Vec::new();
    for name in yaml_files(&folder)?.iter().filter_map(|name| name.strip_suffix(".values.yaml")) {
        let values = format!("{GOLDEN}/{name}.values.yaml");
        let text = template(&["--values", &values])?;
        made.push(Made { path: format!("{GOLDEN}/{name}.golden"), text });
    }
    Ok(made)
}

/// All that the operator needs, for `kubectl apply` alone.
fn dist() -> Result<Made, String> {
    let rendered = template(&[])?;
    let mut text = format!(
        "# The operator of Vltava {}, for those who use kubectl alone:\n#\n#   kubectl apply \
         --server-side -f vltava.yaml\n#\n# Generated from charts/vltava by `cargo xtask \
         chart`.\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  \
         labels:\n    pod-security.kubernetes.io/enforce: restricted\n",
        env!("CARGO_PKG_VERSION")
    );
    for line in rendered.lines() {
        // What only Helm makes something of.
        if line.starts_with("# Source:") || line.contains("helm.sh/chart") {
            continue;
        }
        text.push_str(&line.replace("managed-by: Helm", "managed-by: kubectl"));
        text.push('\n');
    }
    Ok(Made { path: "dist/vltava.yaml".to_owned(), text })
}

fn template(more: &[&str]) -> Result<String, String> {
    let mut helm = Command::new("helm");
    helm.args(["template", "vltava", CHART, "--namespace", NAMESPACE]);
    helm.args(["--kube-version", KUBERNETES]).args(more);
    process::output(&mut helm)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(process::root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// The YAML files of a folder, in order.
fn yaml_files(folder: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{Row, rows};

    fn row(key: &str, default: &str, what: &str) -> Row {
        Row { key: key.to_owned(), default: default.to_owned(), what: what.to_owned() }
    }

    #[test]
    fn each_value_is_explained_by_the_comment_above_it() {
        let values = "# The name,\n# in full.\nname: a\n\nimage:\n  # Its tag.\n  tag: \"\"\n\n\
                      # What it asks.\nresources:\n  requests: {cpu: 1}\n  limits: {cpu: 2}\n\
                      # The last.\nlast: 1\n";
        let expected = vec![
            row("name", "a", "The name, in full."),
            row("image.tag", "\"\"", "Its tag."),
            row("resources", "requests: {cpu: 1}; limits: {cpu: 2}", "What it asks."),
            row("last", "1", "The last."),
        ];
        assert_eq!(rows(values), Ok(expected));
    }

    #[test]
    fn a_value_without_a_comment_is_refused() {
        let error = rows("image:\n  tag: a\n").expect_err("it has no comment");
        assert!(error.ends_with("image.tag has no comment"), "{error}");
    }

    #[test]
    fn the_generated_files_are_up_to_date() {
        for made in [super::definitions(), super::readme()] {
            let made = made.expect("the sources are there");
            let now = super::read(&made.path).expect("the file is there");
            assert!(now == made.text, "{}: run `cargo xtask chart`", made.path);
        }
    }
}
