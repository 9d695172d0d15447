//! A cluster of real processes for one test, by the commands that a person uses.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long something may take on a busy machine before the test says that it never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Among the ports that manifests may name, those that neither the default cluster has nor `up`
/// gives to nodes among themselves.
const PORTS: std::ops::Range<u16> = 31_000..32_000;

/// A cluster of one test; whatever happens, its nodes are stopped in the end.
pub struct Cluster {
    pub dir: TempDir,
    pub ports: Vec<u16>,
}

impl Cluster {
    /// A cluster of at most so many brokers, which does not run yet.
    pub fn new(brokers: usize) -> Self {
        let ports = (0..brokers).map(|_| free_port()).collect();
        Self { dir: TempDir::new().expect("a folder can be made"), ports }
    }

    /// One of the binary\'s commands.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vltava"));
        command.args(args).env("VLTAVA_DATA_DIR", self.dir.path().join("data"));
        command
    }

    /// Runs a command, and returns all of its outcome.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// Runs a command that must work, and returns what it printed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("it is text")
    }

    /// Runs a command that must work, and reads the JSON that it printed.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.run(args)).expect("it is JSON")
    }

    /// As [`run`](Self::run), where the command may fail for a while: then it is asked again.
    #[allow(dead_code, reason = "each file of tests uses what it needs")]
    pub fn told(&self, args: &[&str]) -> Option<String> {
        let output = self.output(args);
        output.status.success().then(|| String::from_utf8(output.stdout).expect("it is text"))
    }

    /// As [`json`](Self::json), where the command may fail for a while: then it is null.
    pub fn json_if_told(&self, args: &[&str]) -> Value {
        let text = self.told(args);
        text.map_or(Value::Null, |text| serde_json::from_str(&text).expect("it is JSON"))
    }

    /// Writes a manifest with so many of the brokers, and so many coordinators.
    pub fn manifest(&self, brokers: usize, coordinators: usize, topics: &str) -> String {
        let ports: Vec<String> = self.ports[..brokers].iter().map(ToString::to_string).collect();
        let text = format!(
            "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: test}}\nspec:\n\
             \x20 coordinators: {{replicas: {coordinators}}}\n\
             \x20 brokers: {{replicas: {brokers}, config: {{num.partitions: 1}}}}\n\
             \x20 listeners:\n\
             \x20   - {{name: internal, port: 9092, type: Internal}}\n\
             \x20   - {{name: external, port: 9094, type: NodePort, nodePorts: [{}]}}\n\
             \x20 topics: [{topics}]\n",
            ports.join(", ")
        );
        let path = self.dir.path().join("cluster.yaml");
        std::fs::write(&path, text).expect("the manifest can be written");
        path.display().to_string()
    }

    /// The state of each node, by name.
    pub fn states(&self) -> Vec<(String, String)> {
        let rows = self.json(&["ps", "--json"]);
        let text = |row: &Value, key: &str| row[key].as_str().expect("it is text").to_owned();
        let rows = rows.as_array().expect("it is a list").iter();
        rows.map(|row| (text(row, "name"), text(row, "state"))).collect()
    }

    /// The process of a node that runs.
    pub fn pid(&self, name: &str) -> Pid {
        let rows = self.json(&["ps", "--json"]);
        let row = rows.as_array().expect("it is a list").iter().find(|row| row["name"] == name);
        let pid = row.expect("the node is there")["pid"].as_i64().expect("it runs");
        Pid::from_raw(pid as i32).expect("it is a pid")
    }

    /// Produces lines.
    pub fn produce(&self, args: &[&str], text: &str) {
        let mut command = self.command(&["produce"]);
        let mut child = command.args(args).stdin(Stdio::piped()).spawn().expect("the binary runs");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(text.as_bytes()).expect("it reads");
        drop(input);
        assert!(child.wait().expect("it ends").success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.output(&["down", "--volumes"]);
    }
}

/// A port that a manifest may name, that is free at the moment, and that no other test has got.
fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().expect("nobody panicked");
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = std::iter::repeat_with(|| rand::random_range(PORTS));
    let port = ports.find(|port| !given.contains(port) && is_free(port));
    let port = port.expect("the search goes on");
    given.insert(port);
    port
}

/// Waits for something that comes by itself.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never comes");
        std::thread::sleep(Duration::from_millis(20));
    }
}
