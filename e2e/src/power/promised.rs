//! What nodes promised before a power cut beside records: who they are, in which epoch they voted,
//! to which topic a folder belongs, and that they did not end in order.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cluster::{Cluster, Node};
use crate::{Outcome, admin};

const METADATA_LOG: &str = "__cluster_metadata-0";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// A topic's name and the index of one of its partitions.
pub(super) type Partition = (String, i32);

/// What was promised before the cut.
pub(super) struct Promised {
    /// The quorum's epoch, by coordinator.
    epochs: BTreeMap<String, i64>,
    /// Files that must have the same content afterwards.
    files: BTreeMap<PathBuf, String>,
    /// Where no mark of a clean shutdown may be.
    unmarked: Vec<PathBuf>,
}

/// Where a node's logs lie.
pub(super) fn data_of(node: &Node) -> PathBuf {
    let data = node.data_dir.join("data");
    if data.is_dir() { data } else { node.data_dir.clone() }
}

impl Promised {
    /// What holds in a cluster whose nodes are ready; in each of these partitions all replicas
    /// have acknowledged records.
    pub(super) fn of(cluster: &Cluster, partitions: &[Partition]) -> Outcome<Self> {
        let (mut epochs, mut files) = (BTreeMap::new(), BTreeMap::new());
        let mut unmarked = Vec::new();
        let mut keep = |path: PathBuf| {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
            files.insert(path, text);
            Outcome::Ok(())
        };
        for node in cluster.nodes()? {
            let data = data_of(&node);
            keep(data.join("meta.properties"))?;
            if node.role == "broker" {
                for (topic, index) in partitions {
                    keep(data.join(format!("{topic}-{index}/partition.metadata")))?;
                }
                unmarked.push(data.join(CLEAN_SHUTDOWN));
            } else if node.pid.is_some() {
                epochs.insert(node.name.clone(), admin::quorum_epoch(&node)?);
            }
        }
        Ok(Self { epochs, files, unmarked })
    }

    /// Looks at the files after the cut, before any node starts.
    pub(super) fn still_holds(&self, cluster: &Cluster) -> Outcome {
        for (path, before) in &self.files {
            let now = std::fs::read_to_string(path).map_err(|error| error.to_string());
            if now.as_ref() != Ok(before) {
                let path = path.display();
                return Err(format!("{path} was {before:?}; now it is {now:?}"));
            }
        }
        if let Some(mark) = self.unmarked.iter().find(|mark| mark.exists()) {
            return Err(format!("{}: the mark of a clean shutdown is back", mark.display()));
        }
        // A coordinator that forgets an epoch may vote in it a second time.
        for (name, seen) in &self.epochs {
            let path = cluster.data().join(name).join("data").join(METADATA_LOG);
            let text = std::fs::read_to_string(path.join("quorum-state")).unwrap_or_default();
            let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let epoch = state["leaderEpoch"].as_i64().unwrap_or(0);
            if epoch < *seen {
                return Err(format!("{name} was in epoch {seen}; its quorum-state says {epoch}"));
            }
        }
        Ok(())
    }
}
