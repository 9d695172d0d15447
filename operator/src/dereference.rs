//! What there is on the API server of a cluster: every read of a walk, and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client};
use vltava_crd::KafkaCluster;

use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::{Component, PodView, SetView};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The StatefulSets by name.
    pub sets: BTreeMap<String, StatefulSet>,
    /// The pods by name.
    pub pods: BTreeMap<String, Pod>,
    /// The claims by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// The Services by name.
    pub services: BTreeMap<String, Service>,
    /// The ConfigMap by which the quorum is founded, while there is one.
    pub founding: Option<ConfigMap>,
    /// The machines that run pods of the cluster, by name.
    pub nodes: BTreeMap<String, Node>,
    /// The storage classes by name.
    pub classes: BTreeMap<String, StorageClass>,
}

/// Reads what there is.
///
/// # Errors
/// If the API server does not answer, or forbids it.
pub async fn dereference(client: &Client, cluster: &KafkaCluster) -> Outcome<Found> {
    let namespace = names::namespace(cluster);
    let instance = names::labels(cluster)
        .into_iter()
        .filter(|(key, _)| !key.ends_with("managed-by"))
        .collect::<BTreeMap<_, _>>();
    let ours = ListParams::default().labels(&names::text(&instance));
    let sets = Api::<StatefulSet>::namespaced(client.clone(), namespace);
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
    let services = Api::<Service>::namespaced(client.clone(), namespace);
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let read = OperatorError::read;
    let sets = sets.list(&ours).await.map_err(read("StatefulSets"))?;
    let pods = pods.list(&ours).await.map_err(read("pods"))?;
    let claims = claims.list(&ours).await.map_err(read("volume claims"))?;
    let services = services.list(&ours).await.map_err(read("Services"))?;
    let founding = maps.get_opt(&names::founding(cluster)).await.map_err(read("founding"))?;
    let mut found = Found {
        sets: by_name(sets.items),
        pods: by_name(pods.items),
        claims: by_name(claims.items),
        services: by_name(services.items),
        founding,
        ..Found::default()
    };
    found.nodes = nodes(client, &found.pods).await?;
    let classes = Api::<StorageClass>::all(client.clone());
    let classes = classes.list(&ListParams::default()).await.map_err(read("storage classes"))?;
    found.classes = by_name(classes.items);
    Ok(found)
}

async fn nodes(client: &Client, pods: &BTreeMap<String, Pod>) -> Outcome<BTreeMap<String, Node>> {
    let api = Api::<Node>::all(client.clone());
    let mut nodes = BTreeMap::new();
    let names = pods.values().filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
    for name in names {
        if nodes.contains_key(&name) {
            continue;
        }
        let what = format!("node {name}");
        if let Some(node) = api.get_opt(&name).await.map_err(OperatorError::read(what))? {
            nodes.insert(name, node);
        }
    }
    Ok(nodes)
}

fn by_name<K: kube::Resource>(items: Vec<K>) -> BTreeMap<String, K> {
    items.into_iter().map(|it| (it.meta().name.clone().unwrap_or_default(), it)).collect()
}

/// The ordinal in the name of a pod or claim.
pub fn ordinal(name: &str) -> Option<i32> {
    name.rsplit('-').next()?.parse().ok()
}

impl Found {
    /// The pods of a component as the plans see them.
    pub fn set_view(&self, cluster: &KafkaCluster, component: Component) -> SetView {
        let set = self.sets.get(&names::set(cluster, component));
        let status = set.and_then(|set| set.status.as_ref());
        let seen = set.and_then(|set| set.metadata.generation)
            == status.and_then(|status| status.observed_generation);
        SetView {
            replicas: set.and_then(|set| set.spec.replicas).unwrap_or(0),
            update_revision: status
                .filter(|_| seen)
                .and_then(|status| status.update_revision.clone()),
            pods: self.pod_views(component),
        }
    }

    /// The pods of a component.
    pub fn pod_views(&self, component: Component) -> Vec<PodView> {
        let label = |pod: &Pod, key: &str| {
            pod.metadata.labels.as_ref().and_then(|labels| labels.get(key).cloned())
        };
        let is = |pod: &&Pod| {
            label(pod, "app.kubernetes.io/component").as_deref() == Some(component.name())
        };
        let mut views: Vec<PodView> = self
            .pods
            .values()
            .filter(is)
            .filter_map(|pod| {
                let name = pod.metadata.name.clone()?;
                Some(PodView {
                    ordinal: ordinal(&name)?,
                    uid: pod.metadata.uid.clone()?,
                    component,
                    revision: label(pod, "controller-revision-hash").unwrap_or_default(),
                    ready: is_ready(pod),
                    running: is_running(pod),
                    deleting: pod.metadata.deletion_timestamp.is_some(),
                    trouble: trouble(pod),
                    name,
                })
            })
            .collect();
        views.sort_by_key(|pod| pod.ordinal);
        views
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready =
        |it: &k8s_openapi::api::core::v1::PodCondition| it.type_ == "Ready" && it.status == "True";
    conditions.is_some_and(|conditions| conditions.iter().any(ready))
}

fn is_running(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let runs = |it: &k8s_openapi::api::core::v1::ContainerStatus| {
        it.state.as_ref().is_some_and(|state| state.running.is_some())
    };
    statuses.is_some_and(|statuses| !statuses.is_empty() && statuses.iter().all(runs))
}

/// Restarts of a container after which it counts as one that does not come up.
const RESTARTS: i32 = 2;

/// Why a pod does not come up by itself.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    for container in status.container_statuses.iter().flatten() {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or_default();
        let lasting = [
            "CrashLoopBackOff",
            "ImagePullBackOff",
            "ErrImagePull",
            "InvalidImageName",
            "CreateContainerConfigError",
            "CreateContainerError",
            "ErrImageNeverPull",
            "RunContainerError",
        ];
        if lasting.contains(&reason.as_str()) {
            let message = waiting.and_then(|waiting| waiting.message.clone()).unwrap_or_default();
            return Some(format!("{reason}: {message}"));
        }
        if container.restart_count >= RESTARTS && !container.ready {
            return Some(format!("it was restarted {} times", container.restart_count));
        }
    }
    let unschedulable =
        status.conditions.iter().flatten().find(|it| {
            it.type_ == "PodScheduled" && it.reason.as_deref() == Some("Unschedulable")
        })?;
    Some(format!("Unschedulable: {}", unschedulable.message.clone().unwrap_or_default()))
}
