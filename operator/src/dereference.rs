//! What there is on the API server of a cluster: every read of a walk, and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vltava_crd::KafkaCluster;

use crate::build::founding;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::{Component, PodView, SetView};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// When it was read.
    pub at: Timestamp,
    /// The StatefulSets by name.
    pub sets: BTreeMap<String, StatefulSet>,
    /// The pods by name.
    pub pods: BTreeMap<String, Pod>,
    /// The claims by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// The Services by name.
    pub services: BTreeMap<String, Service>,
    /// The ConfigMaps by name.
    pub maps: BTreeMap<String, ConfigMap>,
    /// The PodDisruptionBudgets by name.
    pub budgets: BTreeMap<String, PodDisruptionBudget>,
    /// The NetworkPolicies by name.
    pub policies: BTreeMap<String, NetworkPolicy>,
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
    let instance = names::labels(cluster)
        .into_iter()
        .filter(|(key, _)| !key.ends_with("managed-by"))
        .collect::<BTreeMap<_, _>>();
    let ours = ListParams::default().labels(&names::text(&instance));
    let namespace = names::namespace(cluster);
    let mut sets = list(client, namespace, &ours, "StatefulSets").await?;
    unlabelled(client, cluster, &mut sets).await?;
    let pods: BTreeMap<String, Pod> = list(client, namespace, &ours, "pods").await?;
    let classes = Api::<StorageClass>::all(client.clone()).list(&ListParams::default()).await;
    Ok(Found {
        at: Timestamp::now(),
        nodes: nodes(client, &pods).await?,
        pods,
        sets,
        claims: list(client, namespace, &ours, "volume claims").await?,
        services: list(client, namespace, &ours, "Services").await?,
        maps: list(client, namespace, &ours, "ConfigMaps").await?,
        budgets: list(client, namespace, &ours, "PodDisruptionBudgets").await?,
        policies: list(client, namespace, &ours, "NetworkPolicies").await?,
        classes: by_name(classes.map_err(OperatorError::read("storage classes"))?.items),
    })
}

/// Everything of a kind in a namespace that carries these labels, by name.
async fn list<K>(
    client: &Client,
    namespace: &str,
    ours: &ListParams,
    what: &str,
) -> Outcome<BTreeMap<String, K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    Ok(by_name(api.list(ours).await.map_err(OperatorError::read(what))?.items))
}

/// Adds the sets that lost their labels: whose claims would be taken for those of nobody.
async fn unlabelled(
    client: &Client,
    cluster: &KafkaCluster,
    sets: &mut BTreeMap<String, StatefulSet>,
) -> Outcome {
    let api = Api::<StatefulSet>::namespaced(client.clone(), names::namespace(cluster));
    for component in [Component::Coordinator, Component::Broker] {
        let name = names::set(cluster, component);
        if sets.contains_key(&name) {
            continue;
        }
        let what = format!("StatefulSet {name}");
        let set = api.get_opt(&name).await.map_err(OperatorError::read(what))?;
        let is_ours = |owner: &OwnerReference| {
            owner.kind == "KafkaCluster" && owner.name == names::name(cluster)
        };
        if let Some(set) = set.filter(|set| set.owner_references().iter().any(is_ours)) {
            sets.insert(name, set);
        }
    }
    Ok(())
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

fn as_value<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn by_name<K: kube::Resource>(items: Vec<K>) -> BTreeMap<String, K> {
    items.into_iter().map(|it| (it.meta().name.clone().unwrap_or_default(), it)).collect()
}

/// The ordinal in the name of a pod or claim.
pub fn ordinal(name: &str) -> Option<i32> {
    name.rsplit('-').next()?.parse().ok()
}

impl Found {
    /// What the coordinators are told of the founding of their quorum, while it is to be founded.
    pub fn founding(&self, cluster: &KafkaCluster) -> Option<&str> {
        let data = self.maps.get(&names::founding(cluster))?.data.as_ref()?;
        data.get(founding::KEY).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// An object that was found, as the API server has it.
    pub fn live(&self, kind: &str, name: &str) -> Option<Value> {
        match kind {
            "StatefulSet" => self.sets.get(name).map(as_value),
            "Service" => self.services.get(name).map(as_value),
            "ConfigMap" => self.maps.get(name).map(as_value),
            "PodDisruptionBudget" => self.budgets.get(name).map(as_value),
            "NetworkPolicy" => self.policies.get(name).map(as_value),
            _ => None,
        }
    }

    /// What was found of the kinds that a cluster may have more or fewer of.
    pub fn may_be_orphans(&self) -> impl Iterator<Item = Value> + '_ {
        let services = self.services.values().map(as_value);
        let budgets = self.budgets.values().map(as_value);
        services.chain(budgets).chain(self.policies.values().map(as_value))
    }

    /// The pods that have not been ready for long, and those that do not go: what there is to do
    /// about each. Those that do not come up in Kubernetes' own words are told by them.
    pub fn away(&self) -> impl Iterator<Item = String> + '_ {
        let pods = self.pods.values().filter(|pod| trouble(pod, self.at).is_none());
        pods.filter_map(|pod| {
            let machine = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            let node = machine.and_then(|name| self.nodes.get(name));
            away(pod, machine.zip(Some(node.is_some_and(answers))), self.at)
        })
    }

    /// The pods of a component as the plans see them.
    pub fn set_view(&self, cluster: &KafkaCluster, component: Component) -> SetView {
        let set = self.sets.get(&names::set(cluster, component));
        let status = set.and_then(|set| set.status.as_ref());
        let seen = set.and_then(|set| set.metadata.generation)
            == status.and_then(|status| status.observed_generation);
        SetView {
            replicas: match set {
                Some(set) => set.spec.replicas.unwrap_or(1),
                None => self.left_behind(cluster, component),
            },
            update_revision: status
                .filter(|_| seen)
                .and_then(|status| status.update_revision.clone()),
            pods: self.pod_views(component),
        }
    }

    /// How many pods a set that is not there had at least: one that is made anew adopts those that
    /// run, and deletes those beyond its number, with what they hold.
    fn left_behind(&self, cluster: &KafkaCluster, component: Component) -> i32 {
        let prefix = format!("{}-", names::set(cluster, component));
        let pods = self.pods.keys().filter_map(|name| name.strip_prefix(&prefix));
        let claims = self.claims.keys().filter_map(|name| {
            name.strip_prefix("data-").and_then(|name| name.strip_prefix(&prefix))
        });
        pods.chain(claims).filter_map(|ordinal| ordinal.parse().ok()).max().unwrap_or(0)
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
                    trouble: trouble(pod, self.at),
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

/// How long a pod may be away before it is told, in seconds.
const AWAY_MAX_S: i64 = 60;

/// Whether a machine says that it is well.
fn answers(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|it| it.type_ == "Ready").all(|it| it.status == "True")
}

/// What is told of a pod that is away for long; `machine` is where it runs, and whether that
/// answers.
fn away(pod: &Pod, machine: Option<(&String, bool)>, now: Timestamp) -> Option<String> {
    let name = pod.metadata.name.as_deref()?;
    let is_long = |since: Timestamp| now.as_second() - since.as_second() > AWAY_MAX_S;
    let dead = machine.filter(|(_, answers)| !answers).map(|(name, _)| name);
    let bring_back = "bring it back; or, if it is gone for good, delete its Node object, the \
                      pod, and the pod's volume claim if the volume was on it";
    if pod.metadata.deletion_timestamp.as_ref().is_some_and(|it| is_long(it.0)) {
        return Some(match dead {
            Some(node) => {
                format!("{name} cannot end, as its machine {node} does not answer: {bring_back}")
            }
            None => format!(
                "{name} was to be gone more than {AWAY_MAX_S} s ago and is not: see its events, \
                 and its finalizers"
            ),
        });
    }
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|it| it.type_ == "Ready" && it.status != "True");
    ready.next()?.last_transition_time.as_ref().filter(|it| is_long(it.0))?;
    Some(match dead {
        Some(node) => {
            format!("{name} is not ready, as its machine {node} does not answer: {bring_back}")
        }
        None => format!(
            "{name} has not been ready for more than {AWAY_MAX_S} s: its log and its /readyz say \
             why"
        ),
    })
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
/// How long a container may take to be started, in seconds. An image that is pulled from nowhere
/// may not be refused for many minutes: kubelet says nothing meanwhile but that it creates it.
const STARTS_MAX_S: i64 = 60;
/// What kubelet says of a container that it is about to start. Whatever else one waits for
/// (`ErrImagePull`, `RegistryUnavailable`, `CrashLoopBackOff`, and a dozen more) does not come by
/// itself.
const STARTS: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why a pod does not come up by itself, in Kubernetes' words where it has any.
fn trouble(pod: &Pod, now: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut waits_for = None;
    let mut has_started = false;
    for container in status.container_statuses.iter().flatten() {
        let state = container.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.clone()).unwrap_or_default();
        if !reason.is_empty() && !STARTS.contains(&reason.as_str()) {
            let message = waiting.and_then(|waiting| waiting.message.clone()).unwrap_or_default();
            return Some(format!("{reason}: {message}"));
        }
        if container.restart_count >= RESTARTS && !container.ready {
            return Some(format!("it was restarted {} times", container.restart_count));
        }
        has_started |= waiting.is_none() || container.restart_count > 0;
        waits_for = waits_for.or(Some(reason).filter(|reason| !reason.is_empty()));
    }
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|it| it.type_ == "PodScheduled" && it.reason.as_deref() == Some("Unschedulable"));
    if let Some(condition) = unschedulable {
        return Some(format!("Unschedulable: {}", condition.message.clone().unwrap_or_default()));
    }
    let since = status.start_time.as_ref().or(pod.metadata.creation_timestamp.as_ref())?;
    let seconds = now.as_second() - since.0.as_second();
    (!has_started && seconds > STARTS_MAX_S).then(|| {
        let what = waits_for.unwrap_or_else(|| "no machine has begun".to_owned());
        format!("it has not started within {STARTS_MAX_S} s ({what}); its events say why")
    })
}

#[cfg(test)]
mod tests;
