//! librdkafka's own tests, from the sources that the crate `rdkafka-sys` carries.
//!
//! They are built once in the user's cache folder, and run number by number: tests that share a
//! number cannot be told apart on the runner's command line.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::results::{self, Results};
use super::units::{Entry, Unit, entries, units};
use super::{Peer, Subject};
use crate::{Outcome, kafka};

/// The suite's name in commands and files.
pub const SUITE: &str = "librdkafka";

/// What trivup gives the brokers of librdkafka's own runs.
const CONFIG: &[(&str, &str)] = &[("num.partitions", "4"), ("default.replication.factor", "3")];

/// The key of the scenario in which topics are not made by being asked for.
const AUTO_CREATE: &str = "auto.create.topics.enable";

/// The tests' own time limits are for a machine that does nothing else.
const PATIENCE: &str = "2";

/// Apache's tools that the tests call by name.
const TOOLS: &[(&str, &str)] = &[
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
];

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Against whom.
    pub peer: Peer,
    /// `classic` or `consumer`: by which protocol the tests' consumers join their groups.
    pub protocol: String,
    /// The numbers of the tests (`0039`); all if there are none.
    pub only: Vec<String>,
    /// How many run at a time.
    pub jobs: usize,
    /// Where to keep what the tests print.
    pub logs: PathBuf,
}

/// Builds the tests if they are not built, runs them, and writes down what came of each.
///
/// # Errors
/// If the tests cannot be built or the cluster does not start. A test that fails is a result.
pub fn run(options: &Options) -> Outcome<Results> {
    let tests = build()?;
    let entries = entries(&tests.join("test.c"))?;
    let wanted = |entry: &Entry| {
        options.only.is_empty() || options.only.iter().any(|number| *number == entry.number())
    };
    let wanted: Vec<Entry> = entries.into_iter().filter(wanted).collect();
    if wanted.is_empty() {
        return Err(format!("there is no test {}", options.only.join(", ")));
    }
    std::fs::create_dir_all(&options.logs)
        .map_err(|error| format!("{}: {error}", options.logs.display()))?;
    let mut all = Results::new();
    for scenario in ["default", "noautocreate"] {
        let units = units(&wanted, scenario);
        if !units.is_empty() {
            all.extend(run_scenario(&tests, scenario, units, options)?);
        }
    }
    Ok(all)
}

fn run_scenario(
    tests: &Path,
    scenario: &str,
    units: Vec<Unit>,
    options: &Options,
) -> Outcome<Results> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut config: Vec<(String, String)> =
        CONFIG.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    config.push((AUTO_CREATE.to_owned(), (scenario == "default").to_string()));
    let cluster = Subject::start(options.peer, &folder.path().join("cluster"), &config)?;
    let home = kafka_home(&folder.path().join("kafka"))?;
    let settings = folder.path().join("test.conf");
    let text = format!(
        "metadata.broker.list={}\ntest.timeout.multiplier={PATIENCE}\n",
        cluster.bootstrap()
    );
    std::fs::write(&settings, text).map_err(|error| error.to_string())?;
    let command = || {
        let mut command = Command::new(tests.join("test-runner"));
        command
            .current_dir(tests)
            .args(["-L", "-p1", "-s", scenario])
            .env("LD_LIBRARY_PATH", library_path(tests))
            .env("RDKAFKA_TEST_CONF", &settings)
            .env("BROKERS", cluster.bootstrap())
            .env("KAFKA_PATH", &home)
            .env("TEST_KAFKA_VERSION", "4.2.1")
            .env("TEST_CONSUMER_GROUP_PROTOCOL", &options.protocol);
        command
    };
    let path = results::file(SUITE, options.peer, &options.protocol);
    super::units::run(units, options.jobs, &options.logs, command, |results| {
        results::merge(&path, results)
    })
}

fn library_path(tests: &Path) -> String {
    let root = tests.join("..");
    format!("{}:{}", root.join("src").display(), root.join("src-cpp").display())
}

/// Builds the tests in the user's cache folder, unless they are there; returns their folder.
fn build() -> Outcome<PathBuf> {
    let source = source()?;
    let version = source.version;
    let cache = cache_folder()?.join("vltava-librdkafka");
    let built = cache.join(&version);
    let tests = built.join("tests");
    if tests.join("test-runner").is_file() {
        return Ok(tests);
    }
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    println!("building librdkafka {version} and its tests in {}", built.display());
    let copy = format!("cp -r {} {}", source.folder.display(), built.display());
    // The configuration takes files called `configure.*` for parts of itself: no log goes there.
    let steps = ["./configure --enable-devel", "make -j2 libs", "make -j2 -C tests build"];
    if !built.is_dir() {
        shell(&copy, &cache)?;
    }
    steps.iter().try_for_each(|step| shell(step, &built))?;
    shell("make -s -C java KAFKA_PATH=$JARS KAFKA_JARS=$JARS", &tests)?;
    Ok(tests)
}

fn shell(line: &str, folder: &Path) -> Outcome {
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("JARS", kafka::jars()?)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let end: Vec<&str> = text.lines().rev().take(20).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    Err(format!("{line} ended with {}:\n{}", output.status, end.join("\n")))
}

struct Source {
    folder: PathBuf,
    version: String,
}

/// Where cargo keeps the sources of `rdkafka-sys`, of which the version of librdkafka is a part.
fn source() -> Outcome<Source> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut named = packages.filter(|package| package["name"] == "rdkafka-sys");
    let package = named.next().ok_or("no package here depends on rdkafka-sys")?;
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let version = text("version");
    let version = version.split_once('+').map_or(version.as_str(), |(_, own)| own).to_owned();
    let manifest = PathBuf::from(text("manifest_path"));
    Ok(Source { folder: manifest.with_file_name("librdkafka"), version })
}

fn cache_folder() -> Outcome<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
    Ok(Path::new(&home).join(".cache"))
}

/// A folder as Apache's archive has it, as far as the tests look into it: `bin/` and `libs/`.
fn kafka_home(folder: &Path) -> Outcome<PathBuf> {
    let jars = kafka::jars()?;
    let bin = folder.join("bin");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&bin).map_err(failed)?;
    std::os::unix::fs::symlink(&jars, folder.join("libs")).map_err(failed)?;
    let java = "exec java -Xmx256M -XX:+UseSerialGC -XX:TieredStopAtLevel=1";
    let all = format!("{}/*", jars.display());
    let script = |name: &str, line: String| -> Outcome {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).map_err(failed)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).map_err(failed)
    };
    for (name, class) in TOOLS {
        script(name, format!("{java} -cp '{all}' {class} \"$@\""))?;
    }
    script("kafka-run-class.sh", format!("{java} -cp \"$CLASSPATH:{all}\" \"$@\""))?;
    Ok(folder.to_path_buf())
}
