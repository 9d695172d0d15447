//! One cluster of a scenario, as its user sees it.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::manifest::Manifest;
use super::pods::{self, Watch};
use super::{SETTLES, Shell, conditions};
use crate::{Outcome, until};

/// A cluster in a namespace.
pub struct Cluster {
    /// What kubectl is run with.
    pub shell: Shell,
    /// Where it is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
}

impl Cluster {
    /// Applies a manifest of the cluster.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn apply(&self, manifest: &Manifest) -> Outcome {
        self.shell.apply(&self.namespace, &manifest.yaml()).map(|_| ())
    }

    /// `kubectl` in the namespace.
    ///
    /// # Errors
    /// What it said.
    pub fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments);
        self.shell.kubectl(&all)
    }

    /// `kubectl … -o json` in the namespace.
    ///
    /// # Errors
    /// What it said.
    pub fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments);
        self.shell.json(&all)
    }

    /// The resource.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn resource(&self) -> Outcome<Value> {
        self.json(&["get", "kafkacluster", &self.name])
    }

    /// Waits until a condition is of the present generation and has this status.
    ///
    /// # Errors
    /// The conditions as they are, if it does not come.
    pub fn condition(&self, kind: &str, status: &str, limit: Duration) -> Outcome<Value> {
        until(&format!("{kind}={status} of {}", self.name), limit, || {
            let resource = self.resource()?;
            if conditions::holds(&resource, kind, status) {
                return Ok(resource);
            }
            Err(conditions::line(&resource))
        })
    }

    /// Waits until the cluster is what its manifest says, and nothing moves any more.
    ///
    /// # Errors
    /// The conditions as they are, if it does not come.
    pub fn settled(&self) -> Outcome<Value> {
        until(&format!("{} to settle", self.name), SETTLES, || {
            let resource = self.resource()?;
            let is = |kind, status| conditions::holds(&resource, kind, status);
            if is("Ready", "True") && is("Progressing", "False") && is("Degraded", "False") {
                return Ok(resource);
            }
            Err(conditions::line(&resource))
        })
    }

    /// Waits until a condition's message holds this text.
    ///
    /// # Errors
    /// The conditions as they are, if it does not come.
    pub fn says(&self, text: &str, limit: Duration) -> Outcome {
        until(&format!("{} to say {text:?}", self.name), limit, || {
            let resource = self.resource()?;
            let status = resource["status"].to_string();
            if status.contains(text) { Ok(()) } else { Err(conditions::line(&resource)) }
        })
    }

    /// Waits for an event about the cluster whose note holds this text.
    ///
    /// # Errors
    /// The events that there are, if it does not come.
    pub fn event(&self, text: &str, limit: Duration) -> Outcome {
        until(&format!("an event that says {text:?}"), limit, || {
            let events = self.json(&["get", "events"])?;
            let list = events["items"].as_array().cloned().unwrap_or_default();
            let ours = list.iter().filter(|it| it["involvedObject"]["kind"] == "KafkaCluster");
            let notes: Vec<&str> = ours.filter_map(|it| it["message"].as_str()).collect();
            match notes.iter().any(|note| note.contains(text)) {
                true => Ok(()),
                false => Err(notes.join(" | ")),
            }
        })
    }

    /// The pods of a component (`broker` or `coordinator`).
    ///
    /// # Errors
    /// What kubectl said.
    pub fn pods(&self, component: &str) -> Outcome<Vec<Value>> {
        let instance = format!("app.kubernetes.io/instance={}", self.name);
        let selector = format!("{instance},app.kubernetes.io/component={component}");
        let list = self.json(&["get", "pods", "-l", &selector])?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The uid of each pod of a component, by the pod's name.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn uids(&self, component: &str) -> Outcome<Vec<(String, String)>> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pods = self.pods(component)?;
        let pair = |pod: &Value| (text(&pod["metadata"]["name"]), text(&pod["metadata"]["uid"]));
        Ok(pods.iter().map(pair).collect())
    }

    /// Waits until so many pods of a component are up.
    ///
    /// # Errors
    /// How many are, if they do not come.
    pub fn pods_up(&self, component: &str, count: usize, limit: Duration) -> Outcome {
        until(&format!("{count} {component}s up"), limit, || {
            let pods = self.pods(component)?;
            let up = pods.iter().filter(|pod| pods::is_up(pod)).count();
            if up == count && pods.len() == count { Ok(()) } else { Err(format!("{up} are up")) }
        })
    }

    /// Watches the pods from now on.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn watch(&self) -> Outcome<Watch> {
        let watch = Watch::start(&self.shell, &self.namespace, &self.name)?;
        until("the first look at the pods", Duration::from_secs(10), || {
            if watch.seen().is_empty() { Err("nothing seen".to_owned()) } else { Ok(()) }
        })?;
        Ok(watch)
    }

    /// The command inside a broker's pod.
    ///
    /// # Errors
    /// What it said.
    pub fn vltava(&self, broker: i32, arguments: &[&str]) -> Outcome<String> {
        let pod = format!("{}-broker-{broker}", self.name);
        let mut all = vec!["exec", pod.as_str(), "--", "/vltava"];
        all.extend(arguments);
        self.kubectl(&all)
    }

    /// The number of the coordinator that leads the quorum, as a broker knows it.
    ///
    /// # Errors
    /// If none leads within a minute.
    pub fn active_coordinator(&self) -> Outcome<i64> {
        until("a leader of the quorum", Duration::from_secs(60), || {
            let resource = self.resource()?;
            let leader = resource["status"]["quorumLeader"].as_i64();
            leader.ok_or_else(|| format!("no leader in {}", resource["status"]))
        })
    }

    /// The number of elections so far: the epoch of the quorum, as one of its brokers says. One
    /// question.
    ///
    /// # Errors
    /// If the broker does not know.
    pub fn quorum_epoch(&self, broker: i32) -> Outcome<i64> {
        let text = self.vltava(broker, &["quorum", "status", "--json"])?;
        let status: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        status["epoch"].as_i64().ok_or_else(|| format!("no epoch in {status}"))
    }

    /// Where clients outside begin, as the status says.
    ///
    /// # Errors
    /// If the status names no address within a minute.
    pub fn bootstrap(&self, listener: &str) -> Outcome<String> {
        until(&format!("addresses of {listener}"), Duration::from_secs(60), || {
            let resource = self.resource()?;
            let listeners = resource["status"]["listeners"].as_array().cloned();
            let list = listeners.unwrap_or_default();
            let found = list.iter().find(|it| it["name"] == listener);
            let addresses = found.and_then(|it| it["bootstrap"].as_str());
            match addresses {
                Some(addresses) if !addresses.is_empty() => Ok(addresses.to_owned()),
                _ => Err(format!("status says {list:?}")),
            }
        })
    }

    /// Who leads a partition, as the brokers say.
    ///
    /// # Errors
    /// If they do not say within half a minute.
    pub fn leader(&self, bootstrap: &str, topic: &str, partition: i32) -> Outcome<i32> {
        until("a leader", Duration::from_secs(30), || {
            let found = partitions(bootstrap)?
                .into_iter()
                .find(|it| it.topic == topic && it.partition == partition && it.leader > 0);
            found.map(|it| it.leader).ok_or_else(|| format!("{topic}-{partition} has none"))
        })
    }

    /// Waits until every partition has a leader and all replicas in sync.
    ///
    /// # Errors
    /// The partition that is not whole in time.
    pub fn whole(&self, bootstrap: &str, limit: Duration) -> Outcome<Duration> {
        let start = Instant::now();
        until("a whole ISR", limit, || {
            let partitions = partitions(bootstrap)?;
            match partitions.iter().find(|it| it.isr.len() < it.replicas.len() || it.leader < 0) {
                None => Ok(()),
                Some(short) => Err(format!("{short:?}")),
            }
        })?;
        Ok(start.elapsed())
    }
}

/// A partition as the brokers describe it.
#[derive(Clone, Debug)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The leader, −1 for none.
    pub leader: i32,
    /// Who is to have it.
    pub replicas: Vec<i32>,
    /// Who has all of it.
    pub isr: Vec<i32>,
}

/// Every partition of a cluster.
///
/// # Errors
/// If no broker answers.
pub fn partitions(bootstrap: &str) -> Outcome<Vec<Partition>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .map_err(|error| error.to_string())?;
    let metadata = consumer
        .fetch_metadata(None, Duration::from_secs(10))
        .map_err(|error| format!("metadata from {bootstrap}: {error}"))?;
    let mut found = Vec::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            found.push(Partition {
                topic: topic.name().to_owned(),
                partition: partition.id(),
                leader: partition.leader(),
                replicas: partition.replicas().to_vec(),
                isr: partition.isr().to_vec(),
            });
        }
    }
    Ok(found)
}
