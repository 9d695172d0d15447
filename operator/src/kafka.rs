//! The cluster as the Kafka protocol shows it, and what the plans ask of it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use vltava_client::{Cluster, ClusterOptions, ConfigResource, ConnectOptions};
use vltava_crd::KafkaCluster;

use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::{
    BrokerView, ClusterView, Component, ConfigValue, PartitionView, QuorumView, TopicView,
};

/// How long one call may take with its retries: what cannot be asked now is asked again soon.
const CALL: Duration = Duration::from_secs(5);
/// How long one attempt may take: a broker whose machine died has a connection that is open still,
/// and there must be time to ask another one.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);
/// Where a topic's own setting comes from, as Kafka numbers it.
const OF_TOPIC: i8 = 1;
/// Where a broker's own setting at run time comes from.
const OF_BROKER: i8 = 2;
/// Where a setting of all brokers at run time comes from.
const OF_ALL_BROKERS: i8 = 3;
/// Keys of a broker that the plans look at.
const LOOKED_AT: [&str; 5] = [
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "vltava.pod.uid",
    "cordoned.log.dirs",
];

/// Where a cluster's brokers are reached inside: at the port that each pod was started with, and at
/// the one that the manifest says, which may be one that no pod knows of yet.
pub fn servers(cluster: &KafkaCluster, brokers: i32, pods: &BTreeMap<String, Pod>) -> String {
    let (_, declared) = crate::build::inside(cluster);
    let mut addresses = Vec::new();
    for ordinal in 1..=brokers.max(1) {
        let host = names::host(cluster, Component::Broker, ordinal);
        let pod = pods.get(&names::pod(cluster, Component::Broker, ordinal));
        let started = pod.and_then(port_of).filter(|port| *port != declared);
        addresses.extend(started.map(|port| format!("{host}:{port}")));
        addresses.push(format!("{host}:{declared}"));
    }
    addresses.join(",")
}

/// The port that a pod was told to listen on.
pub fn port_of(pod: &Pod) -> Option<i32> {
    let mut told = pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|it| &it.env);
    let listeners = told.find_map(|env| env.iter().find(|it| it.name == "KAFKA_LISTENERS"))?;
    listeners.value.as_ref()?.rsplit(':').next()?.parse().ok()
}

/// A connection to the brokers at these addresses.
///
/// # Errors
/// If they are none.
pub fn connect(servers: &str) -> Outcome<Cluster> {
    let connect = ConnectOptions {
        connect_timeout: CONNECT,
        request_timeout: ATTEMPT,
        ..ConnectOptions::named(names::MANAGER)
    };
    let options = ClusterOptions { connect, deadline: CALL, ..ClusterOptions::default() };
    Cluster::new(servers, options).map_err(OperatorError::Ask)
}

/// Asks the cluster for all that the plans decide by.
///
/// *Invariant:* brokers are asked for their settings first, then the quorum, then the topics: so
/// that a broker which says that it is cordoned was so when the topics were listed.
///
/// # Errors
/// If no broker answers. What only some cannot answer is left out.
pub async fn observe(kafka: &Cluster) -> Outcome<ClusterView> {
    let described = kafka.describe_cluster().await.map_err(OperatorError::Ask)?;
    let mut view =
        ClusterView { cluster_id: described.cluster_id.to_string(), ..ClusterView::default() };
    for broker in &described.brokers {
        let config = match broker.is_fenced {
            true => BTreeMap::new(),
            false => broker_config(kafka, broker.broker_id).await.unwrap_or_default(),
        };
        let rack = broker.rack.as_ref().map(ToString::to_string);
        view.brokers
            .insert(broker.broker_id, BrokerView { fenced: broker.is_fenced, rack, config });
    }
    view.quorum = kafka.describe_quorum().await.ok().and_then(|answer| QuorumView::of(&answer));
    let all = kafka.describe_configs(&ConfigResource::all_brokers(), false).await;
    for entry in all.map_err(OperatorError::Ask)? {
        if entry.source == OF_ALL_BROKERS && !entry.sensitive {
            // One that was told to be "not set" was told all the same.
            let value = entry.value.map(|value| value.to_string()).unwrap_or_default();
            view.config.insert(entry.name.to_string(), value);
        }
    }
    topics(kafka, &mut view).await?;
    Ok(view)
}

async fn broker_config(kafka: &Cluster, id: i32) -> Outcome<BTreeMap<String, ConfigValue>> {
    let resource = ConfigResource::broker(id);
    let entries = kafka.describe_configs(&resource, false).await.map_err(OperatorError::Ask)?;
    let looked_at = entries.into_iter().filter(|entry| LOOKED_AT.contains(&&*entry.name));
    Ok(looked_at
        .map(|entry| {
            let dynamic = entry.source == OF_BROKER;
            let value = entry.value.map(|value| value.to_string());
            (entry.name.to_string(), ConfigValue { value, dynamic })
        })
        .collect())
}

async fn topics(kafka: &Cluster, view: &mut ClusterView) -> Outcome {
    let listed = kafka.list_topics().await.map_err(OperatorError::Ask)?;
    for topic in listed {
        let name = topic.name.to_string();
        let entries = kafka.describe_configs(&ConfigResource::topic(&name), false).await;
        let entries = entries.map_err(OperatorError::Ask)?;
        let mut found = TopicView { internal: topic.internal, ..TopicView::default() };
        for entry in entries {
            let Some(value) = entry.value else { continue };
            if &*entry.name == "min.insync.replicas" {
                found.min_insync_replicas = value.parse().unwrap_or(1);
            }
            if entry.source == OF_TOPIC {
                found.config.insert(entry.name.to_string(), value.to_string());
            }
        }
        for partition in &topic.partitions {
            let state = PartitionView {
                leader: partition.leader,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                ..PartitionView::default()
            };
            found.partitions.insert(partition.index, state);
        }
        view.topics.insert(name, found);
    }
    let moving = match kafka.list_reassignments().await {
        Ok(moving) => moving,
        // Nobody decides about moves then, so nothing begins; the rest is worth seeing.
        Err(_) if view.quorum.is_none() => return Ok(()),
        Err(error) => return Err(OperatorError::Ask(error)),
    };
    for moving in moving {
        let topic = view.topics.get_mut(&*moving.topic);
        if let Some(partition) = topic.and_then(|it| it.partitions.get_mut(&moving.partition)) {
            partition.adding = moving.adding;
            partition.removing = moving.removing;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;
    use vltava_crd::KafkaCluster;

    use super::servers;

    #[test]
    fn brokers_are_asked_at_the_port_that_they_listen_on_also_before_a_new_one_has_come() {
        let cluster: KafkaCluster = serde_json::from_value(json!({
            "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"listeners": [{"name": "internal", "port": 9095, "type": "Internal"}]},
        }))
        .expect("a manifest");
        let pod = |port: i32| -> Pod {
            let value = format!("INTERNAL://:{port}");
            let env = json!([{"name": "POD_NAME"}, {"name": "KAFKA_LISTENERS", "value": value}]);
            serde_json::from_value(json!({"spec": {"containers": [{"name": "a", "env": env}]}}))
                .expect("a pod")
        };
        let pods = BTreeMap::from([
            ("a-broker-1".to_owned(), pod(9095)),
            ("a-broker-2".to_owned(), pod(9092)),
        ]);
        assert_eq!(
            servers(&cluster, 3, &pods),
            "a-broker-1.a-broker.b.svc:9095,a-broker-2.a-broker.b.svc:9092,\
             a-broker-2.a-broker.b.svc:9095,a-broker-3.a-broker.b.svc:9095"
        );
    }
}
