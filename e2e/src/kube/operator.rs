//! The operator of the scenarios: installed by Helm as a user does, asked for its metrics, killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::images::Images;
use super::{Shell, pods};
use crate::{Outcome, until};

/// Where the operator is.
pub const NAMESPACE: &str = "vltava-system";
/// The Helm release.
pub const RELEASE: &str = "vltava";
/// By which labels its pods are found.
const SELECTOR: &str = "app.kubernetes.io/name=vltava-operator";

/// Installs or upgrades the operator and waits until it is available.
///
/// # Errors
/// What helm said.
pub fn install(shell: &Shell, root: &Path, images: &Images, more: &[&str]) -> Outcome {
    let chart = root.join("charts/vltava").display().to_string();
    let tag = format!("image.tag={}", images.tag());
    let mut arguments = vec![
        "upgrade",
        "--install",
        RELEASE,
        chart.as_str(),
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--set",
        tag.as_str(),
        "--wait",
        "--timeout",
        "120s",
    ];
    arguments.extend(more);
    shell.run("helm", &arguments).map(|_| ())
}

/// Takes the operator away with all that it left. The resources and the clusters stay.
///
/// # Errors
/// What helm or kubectl said.
pub fn uninstall(shell: &Shell) -> Outcome {
    let arguments =
        ["uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait"];
    shell.run("helm", &arguments)?;
    // The Lease, too: one that was cut off from giving it back would keep the next one waiting.
    let arguments = ["delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait"];
    shell.kubectl(&arguments).map(|_| ())
}

/// The name of the operator's pod that is up.
///
/// # Errors
/// If none is within two minutes.
pub fn pod(shell: &Shell) -> Outcome<String> {
    until("the operator", Duration::from_secs(120), || {
        let list = shell.json(&["get", "pods", "-n", NAMESPACE, "-l", SELECTOR])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let up = items.iter().find(|pod| pods::is_up(pod));
        let name = up.and_then(|pod| pod["metadata"]["name"].as_str());
        name.map(str::to_owned).ok_or_else(|| "no pod of it is ready".to_owned())
    })
}

/// Kills the operator's pods without a warning.
///
/// # Errors
/// What kubectl said.
pub fn kill(shell: &Shell) -> Outcome {
    let arguments =
        ["delete", "pods", "-n", NAMESPACE, "-l", SELECTOR, "--grace-period=0", "--force"];
    shell.kubectl(&arguments).map(|_| ())
}

/// The operator's metrics: name with labels → value.
///
/// # Errors
/// If it does not answer.
pub fn metrics(shell: &Shell) -> Outcome<BTreeMap<String, f64>> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{}:8080/proxy/metrics", pod(shell)?);
    let body = shell.kubectl(&["get", "--raw", &path])?;
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(body.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
}

/// The last lines that the operator has logged.
pub fn log(shell: &Shell, lines: u32) -> String {
    let tail = format!("--tail={lines}");
    let arguments = ["logs", "-n", NAMESPACE, "-l", SELECTOR, tail.as_str()];
    shell.kubectl(&arguments).unwrap_or_else(|error| error)
}
