//! Where scenarios run: one Kubernetes with the operator, and a namespace for each scenario.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::images::Images;
use super::manifest::Manifest;
use super::{Cluster, Shell, operator};
use crate::{Outcome, until};

/// The node ports that lead to this machine.
pub const PORTS: [u16; 3] = [32001, 32002, 32003];

/// The host at which the node ports are reached.
static HOST: OnceLock<String> = OnceLock::new();

/// The host at which the node ports are reached: this machine, where they are mapped to it.
pub fn host() -> &'static str {
    HOST.get().map_or("localhost", String::as_str)
}

/// Where clients outside begin.
pub fn outside() -> String {
    PORTS.map(|port| format!("{}:{port}", host())).join(",")
}

/// What times are held against: those of a machine that does little else, where nobody says
/// otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest time without an acknowledgement when a leader's pod is killed.
    pub gap: Duration,
    /// The longest time from nothing to the first record, on nodes that have the images.
    pub first_record: Duration,
}

/// What a scenario is given.
pub struct World {
    /// What kubectl and helm are run with.
    pub shell: Shell,
    /// The images under test.
    pub images: Images,
    /// The folder of the sources, where the chart is.
    pub root: PathBuf,
    /// What times are held against.
    pub bounds: Bounds,
}

impl World {
    /// Finds out where the node ports are reached: on this machine, or else at a node's address.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn find_host(&self) -> Outcome {
        // What maps a port listens on it, whether anything is behind it or not.
        if TcpStream::connect(("127.0.0.1", PORTS[0])).is_ok() {
            return Ok(());
        }
        let workers = self.workers()?;
        let (_, address) = workers.first().ok_or("there is no node that runs pods")?;
        HOST.get_or_init(|| address.clone());
        Ok(())
    }

    /// Makes a namespace anew. Pods in it must hold to the strictest of Kubernetes' standards.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn namespace(&self, name: &str) -> Outcome {
        self.remove_namespace(name)?;
        self.shell.kubectl(&["create", "namespace", name])?;
        let label = "pod-security.kubernetes.io/enforce=restricted";
        self.shell.kubectl(&["label", "namespace", name, label]).map(|_| ())
    }

    /// Deletes a namespace with all that is in it.
    ///
    /// # Errors
    /// If it is still there after two minutes: something wedged it.
    pub fn remove_namespace(&self, name: &str) -> Outcome {
        let arguments =
            ["delete", "namespace", name, "--ignore-not-found", "--wait", "--timeout=120s"];
        self.shell.kubectl(&arguments).map(|_| ())
    }

    /// Sees to it that the operator of these sources runs.
    ///
    /// # Errors
    /// What helm said.
    pub fn operator(&self) -> Outcome {
        operator::install(&self.shell, &self.root, &self.images, &[])
    }

    /// A cluster in a namespace of its own, once it is what its manifest says.
    ///
    /// # Errors
    /// What kubectl said, or the conditions as they are if it does not settle.
    pub fn cluster(&self, namespace: &str, manifest: &Manifest) -> Outcome<Cluster> {
        self.namespace(namespace)?;
        let cluster = self.named(namespace, &manifest.name);
        cluster.apply(manifest)?;
        cluster.settled()?;
        Ok(cluster)
    }

    /// A cluster that is, or will be, in a namespace.
    pub fn named(&self, namespace: &str, name: &str) -> Cluster {
        Cluster {
            shell: self.shell.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The machines of the cluster that run pods, by name, with their own addresses.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn workers(&self) -> Outcome<Vec<(String, String)>> {
        let list = self.shell.json(&["get", "nodes"])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let mut found = Vec::new();
        for node in &items {
            let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            if taints.iter().any(|taint| taint["effect"] == "NoSchedule") {
                continue;
            }
            let addresses = node["status"]["addresses"].as_array().cloned().unwrap_or_default();
            let inside = addresses.iter().find(|address| address["type"] == "InternalIP");
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let address = inside.map(|address| text(&address["address"])).unwrap_or_default();
            found.push((text(&node["metadata"]["name"]), address));
        }
        Ok(found)
    }

    /// Waits until a machine is ready, or no longer.
    ///
    /// # Errors
    /// If it does not become so.
    pub fn node_ready(&self, node: &str, ready: bool, limit: Duration) -> Outcome {
        until(&format!("{node} ready={ready}"), limit, || {
            let node = self.shell.json(&["get", "node", node])?;
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
            if is == ready { Ok(()) } else { Err(format!("ready={is}")) }
        })
    }
}

/// The namespace of a scenario.
pub fn namespace_of(scenario: &str) -> String {
    format!("e2e-{scenario}")
}

impl World {
    /// What there is to see of a scenario that failed.
    pub fn evidence(&self, scenario: &str) -> String {
        let namespace = namespace_of(scenario);
        let mut text = String::new();
        for words in [
            ["get", "kc,pods,pvc,svc,pdb,sts", "-o", "wide"].as_slice(),
            ["get", "events", "--sort-by=.lastTimestamp"].as_slice(),
            ["get", "kc", "-o", "jsonpath={range .items[*]}{.status}{\"\\n\"}{end}"].as_slice(),
        ] {
            let mut all = vec!["-n", namespace.as_str()];
            all.extend(words);
            let found = self.shell.kubectl(&all).unwrap_or_else(|error| error);
            let lines: Vec<&str> = found.lines().collect();
            let tail = lines.len().saturating_sub(EVIDENCE_LINES);
            text.push_str(&format!(
                "--- kubectl {}\n{}\n",
                all.join(" "),
                lines[tail..].join("\n")
            ));
        }
        text.push_str(&format!("--- operator\n{}", operator::log(&self.shell, 60)));
        text
    }

    /// Takes away what a scenario made.
    pub fn tidy_up(&self, scenario: &str) {
        let _ = self.remove_namespace(&namespace_of(scenario));
    }
}

/// How many lines of each listing are shown of a scenario that failed.
const EVIDENCE_LINES: usize = 40;
