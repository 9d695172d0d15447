//! The KafkaCluster resources of the scenarios.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A manifest in the making.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The cluster's name.
    pub name: String,
    /// `spec.image`, if it is named.
    pub image: Option<String>,
    /// How many coordinators.
    pub coordinators: i32,
    /// How many brokers.
    pub brokers: i32,
    /// The brokers' settings.
    pub config: BTreeMap<String, String>,
    /// More fields of `spec.brokers`, as lines of YAML.
    pub broker_fields: Vec<String>,
    /// More fields of `spec.coordinators`, as lines of YAML.
    pub coordinator_fields: Vec<String>,
    /// The listeners, each as YAML in braces.
    pub listeners: Vec<String>,
    /// The topics, each as YAML in braces.
    pub topics: Vec<String>,
    /// More fields of `spec`, as lines of YAML.
    pub fields: Vec<String>,
}

/// The listener that brokers use among themselves.
pub const INTERNAL: &str = "{name: internal, port: 9092, type: Internal}";

/// The topic that the load writes to.
pub const LOAD: &str = "load";

impl Manifest {
    /// Three and three, as a user's first cluster is, with the topic of the load.
    pub fn new(name: &str) -> Self {
        let config = [
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("offsets.topic.replication.factor", "3"),
        ];
        Self {
            name: name.to_owned(),
            image: None,
            coordinators: 3,
            brokers: 3,
            config: config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            broker_fields: vec!["storage: {size: 1Gi}".to_owned()],
            coordinator_fields: vec!["storage: {size: 1Gi}".to_owned()],
            listeners: vec![INTERNAL.to_owned()],
            topics: vec![format!("{{name: {LOAD}, partitions: 6, replicationFactor: 3}}")],
            fields: Vec::new(),
        }
    }

    /// With a listener for clients outside, at node ports that lead here.
    #[must_use]
    pub fn outside(mut self, ports: &[u16]) -> Self {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        self.listeners.push(format!(
            "{{name: external, port: 9094, type: NodePort, nodePorts: [{}], advertisedHost: \
             \"{}\"}}",
            ports.join(", "),
            super::host()
        ));
        self
    }

    /// With a listener for clients outside, at the nodes' own addresses.
    #[must_use]
    pub fn at_nodes(mut self) -> Self {
        self.listeners.push("{name: external, port: 9094, type: NodePort}".to_owned());
        self
    }

    /// With a setting of the brokers.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a topic.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.topics.push(topic.to_owned());
        self
    }

    /// The resource.
    pub fn yaml(&self) -> String {
        let mut text = format!(
            "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: {}}}\nspec:\n",
            self.name
        );
        let mut line = |indent: usize, line: &str| {
            writeln!(text, "{:indent$}{line}", "").expect("a String takes it");
        };
        if let Some(image) = &self.image {
            line(2, &format!("image: {image}"));
        }
        self.fields.iter().for_each(|field| line(2, field));
        line(2, "coordinators:");
        line(4, &format!("replicas: {}", self.coordinators));
        self.coordinator_fields.iter().for_each(|field| line(4, field));
        line(2, "brokers:");
        line(4, &format!("replicas: {}", self.brokers));
        self.broker_fields.iter().for_each(|field| line(4, field));
        line(4, "config:");
        self.config.iter().for_each(|(key, value)| line(6, &format!("{key}: \"{value}\"")));
        line(2, "listeners:");
        self.listeners.iter().for_each(|listener| line(4, &format!("- {listener}")));
        line(2, "topics:");
        self.topics.iter().for_each(|topic| line(4, &format!("- {topic}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn what_was_set_stands_where_it_belongs() {
        let text = Manifest::new("prague").outside(&[32001]).set("a.b", "1").yaml();
        for line in [
            "metadata: {name: prague}",
            "    replicas: 3",
            "      a.b: \"1\"",
            "    - {name: load, partitions: 6, replicationFactor: 3}",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
        assert!(text.contains("nodePorts: [32001], advertisedHost: \"localhost\""), "{text}");
    }
}
