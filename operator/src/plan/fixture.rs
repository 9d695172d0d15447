//! A healthy cluster of three and three, for tests to break.

use std::collections::BTreeMap;

use super::rollout::{Evicted, Input};
use super::{
    BrokerView, ClusterView, Component, ConfigValue, PartitionView, PodView, QuorumView,
    ReplicaView, SetView, TopicView,
};

/// A cluster with its pods.
#[derive(Debug, Clone)]
pub(crate) struct Prague {
    pub(crate) brokers: SetView,
    pub(crate) coordinators: SetView,
    pub(crate) cluster: ClusterView,
    pub(crate) last: Option<Evicted>,
}

impl Prague {
    /// Three and three; the topic `orders` of three partitions with three replicas, two of which
    /// must be in sync. All pods are of revision `old`, and the sets ask for `new`.
    pub(crate) fn rolling() -> Self {
        let mut prague = Self {
            brokers: set(Component::Broker, 3),
            coordinators: set(Component::Coordinator, 3),
            cluster: ClusterView {
                cluster_id: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
                quorum: Some(quorum(3)),
                ..ClusterView::default()
            },
            last: None,
        };
        for id in 1..=3 {
            prague.cluster.brokers.insert(id, broker(&format!("broker-{id}-a")));
        }
        prague.topic("orders", 2, &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]]);
        prague
    }

    pub(crate) fn topic(&mut self, name: &str, min_isr: i32, partitions: &[&[i32]]) {
        let partitions = partitions.iter().map(|replicas| partition(replicas));
        let partitions = (0..).zip(partitions).collect();
        let topic = TopicView { min_insync_replicas: min_isr, partitions, ..TopicView::default() };
        self.cluster.topics.insert(name.to_owned(), topic);
    }

    /// A broker falls out of all ISRs and is fenced.
    pub(crate) fn lose(&mut self, id: i32) {
        self.cluster.brokers.get_mut(&id).expect("it is registered").fenced = true;
        for partition in self.all_partitions() {
            if partition.isr.len() > 1 {
                partition.isr.retain(|member| *member != id);
            } else if partition.isr == [id] {
                partition.leader = None;
            }
            if partition.leader == Some(id) {
                partition.leader = partition.isr.first().copied();
            }
        }
    }

    pub(crate) fn all_partitions(&mut self) -> impl Iterator<Item = &mut PartitionView> {
        self.cluster.topics.values_mut().flat_map(|topic| topic.partitions.values_mut())
    }

    pub(crate) fn pod(&mut self, name: &str) -> &mut PodView {
        let pods = self.brokers.pods.iter_mut().chain(&mut self.coordinators.pods);
        pods.into_iter().find(|pod| pod.name == name).expect("there is such a pod")
    }

    /// A pod is replaced by one of the newest revision, which is ready at once.
    pub(crate) fn replace(&mut self, name: &str) {
        let pod = self.pod(name);
        pod.revision = "new".to_owned();
        pod.uid = format!("{name}-b");
        let (component, id, uid) = (pod.component, pod.ordinal, pod.uid.clone());
        if component == Component::Broker {
            self.cluster.brokers.insert(id, broker(&uid));
        }
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            brokers: &self.brokers,
            coordinators: &self.coordinators,
            cluster: Some(&self.cluster),
            last: self.last.as_ref(),
        }
    }

    pub(crate) fn quorum(&mut self) -> &mut QuorumView {
        self.cluster.quorum.as_mut().expect("it is there")
    }
}

fn set(component: Component, replicas: i32) -> SetView {
    let pod = |ordinal| {
        let name = format!("{}-{ordinal}", component.name());
        PodView {
            uid: format!("{name}-a"),
            name,
            component,
            ordinal,
            revision: "old".to_owned(),
            ready: true,
            running: true,
            deleting: false,
            trouble: None,
        }
    };
    SetView {
        replicas,
        update_revision: Some("new".to_owned()),
        pods: (1..=replicas).map(pod).collect(),
    }
}

fn broker(uid: &str) -> BrokerView {
    let uid = ConfigValue { value: Some(uid.to_owned()), dynamic: false };
    let config: BTreeMap<String, ConfigValue> = [("vltava.pod.uid".to_owned(), uid)].into();
    BrokerView { fenced: false, rack: None, config }
}

fn partition(replicas: &[i32]) -> PartitionView {
    PartitionView {
        leader: replicas.first().copied(),
        replicas: replicas.to_vec(),
        isr: replicas.to_vec(),
        ..PartitionView::default()
    }
}

/// A quorum whose voters have all caught up; 3001 leads.
pub(crate) fn quorum(voters: i32) -> QuorumView {
    let replica = |ordinal: i32| ReplicaView {
        id: 3000 + ordinal,
        directory_id: format!("directory-{ordinal}"),
        log_end_offset: 100,
        last_fetch_ms: 10_000,
        last_caught_up_ms: 10_000,
    };
    QuorumView {
        leader: 3001,
        epoch: 1,
        high_watermark: 100,
        voters: (1..=voters).map(replica).collect(),
        observers: Vec::new(),
    }
}
