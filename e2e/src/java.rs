//! Apache Kafka's own tools, from their jars, which Maven fetches once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::feed::feed;

/// Apache's tools, ready to run.
pub struct Tools {
    jars: PathBuf,
}

impl Tools {
    /// Fetches the jars into the build's folder, unless they are there.
    ///
    /// # Errors
    /// If there is no Java or no Maven, or the jars cannot be had.
    pub fn fetch() -> Outcome<Self> {
        let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/pom.xml");
        Ok(Self { jars: fetch(&pom, "kafka-tools-4.2.1")? })
    }

    /// Runs a tool by its class and returns all that it printed.
    ///
    /// # Errors
    /// What it printed, if it failed.
    pub fn run(&self, class: &str, arguments: &[&str], input: &str) -> Outcome<String> {
        let line = format!("{class} {}", arguments.join(" "));
        let mut java = Command::new("java");
        java.args(["-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(format!("{}/*", self.jars.display()))
            .arg(class)
            .args(arguments);
        let output = feed(&mut java, &line, input)?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if output.status.success() { Ok(text) } else { Err(format!("{line}: {}", text.trim())) }
    }
}

/// The folder of that name in the build's folder, with the jars that a pom names; Maven fetches
/// them if it is not there.
///
/// # Errors
/// If there is no Java or no Maven, or the jars cannot be had.
pub fn fetch(pom: &Path, name: &str) -> Outcome<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("../target"), Into::into);
    let jars = target.join(name);
    if jars.is_dir() {
        return Ok(jars);
    }
    let part = target.join(format!("{name}-part"));
    let status = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", part.display()))
        .status()
        .map_err(|error| format!("mvn: {error}; install maven and a Java 17"))?;
    if !status.success() {
        return Err(format!("mvn ended with {status}"));
    }
    std::fs::rename(&part, &jars).map_err(|error| error.to_string())?;
    Ok(jars)
}
