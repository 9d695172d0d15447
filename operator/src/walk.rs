//! One reconciliation as a straight walk: dereference → validate → identify → ask the cluster →
//! decide → build → apply → delete orphans → act → status.

mod roll;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use vltava_client::{AlterOp, Cluster, ConfigResource, RaftVoter};
use vltava_crd::status::{KafkaClusterStatus, StorageStatus};
use vltava_crd::validate::{Target, validate};
use vltava_crd::{
    COORDINATOR_LISTENER, FIRST_COORDINATOR_ID, KafkaCluster, KafkaClusterSpec, ReclaimPolicy,
    Topic,
};

use crate::build::{self, Facts, is_dynamic};
use crate::dereference::{Found, dereference, ordinal};
use crate::error::{OperatorError, Outcome};
use crate::identity::{Identity, identify};
use crate::plan::config;
use crate::plan::disruption::disruption;
use crate::plan::moves::{self, moves};
use crate::plan::rollout::Input;
use crate::plan::voters::{self, Change};
use crate::plan::{ClusterView, Component, Notice, SetView};
use crate::server::Context;
use crate::status::{Finding, Report, status};
use crate::{apply, kafka, listeners, names, topics};

/// When to look again while something is on its way.
const SOON: Duration = Duration::from_secs(1);
/// When to look again at a cluster that is as it should be: what changes in it is not told.
const LATER: Duration = Duration::from_secs(10);

/// A walk for one cluster.
struct Walk<'a> {
    context: &'a Context,
    cluster: &'a KafkaCluster,
    found: Found,
    kafka: Option<Cluster>,
    view: Option<ClusterView>,
    sets: [SetView; 2],
    report: Report,
}

/// Brings a cluster closer to its manifest; says when to look again.
///
/// # Errors
/// If something cannot be read or written; the walk begins anew then.
pub async fn walk(context: &Context, cluster: &KafkaCluster) -> Outcome<Duration> {
    let found = dereference(&context.client, cluster).await?;
    let sets = [
        found.set_view(cluster, Component::Broker),
        found.set_view(cluster, Component::Coordinator),
    ];
    let mut walk =
        Walk { context, cluster, found, kafka: None, view: None, sets, report: Report::default() };
    walk.ask().await;
    let problems = validate(cluster, Target::Kubernetes).problems;
    let outcome = if problems.is_empty() {
        walk.keep().await
    } else {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        walk.report.invalid = Some(all.join("; "));
        Ok(())
    };
    if let Err(error) = &outcome {
        let what = vltava_net::error_chain(error);
        walk.report.degraded.get_or_insert(Finding::new("Failed", what));
    }
    walk.say().await?;
    outcome?;
    let moves = walk.report.progressing.is_some() || walk.view.is_none();
    Ok(if moves { SOON } else { LATER })
}

impl Walk<'_> {
    /// Asks the cluster, if there is one.
    async fn ask(&mut self) {
        let brokers = self.sets[0].replicas;
        if self.sets[0].pods.is_empty() {
            return;
        }
        let Ok(kafka) = self.context.kafka(self.cluster, brokers) else { return };
        match kafka::observe(&kafka).await {
            Ok(view) => self.view = Some(view),
            Err(error) => tracing::debug!("{}", vltava_net::error_chain(&error)),
        }
        self.kafka = Some(kafka);
    }

    /// Everything that is done, in its order.
    async fn keep(&mut self) -> Outcome {
        let mut random = || rand::random::<u128>();
        let identity = identify(self.cluster, &self.found, self.view.as_ref(), &mut random);
        let (cluster_id, founders) = match identity {
            Identity::Waits => {
                let what = "volumes of an earlier cluster are being deleted";
                self.progress("Waiting", what);
                return Ok(());
            }
            Identity::Torn { ids } => {
                let what = format!(
                    "the volumes belong to different clusters ({}); delete the claims of all but \
                     one",
                    ids.join(", ")
                );
                self.report.degraded = Some(Finding::new("TornVolumes", what));
                return Ok(());
            }
            Identity::Known { cluster_id, founders } => (cluster_id, founders),
        };
        self.report.cluster_id = Some(cluster_id.clone());
        self.racks().await?;
        let facts = self.facts(cluster_id, founders);
        let objects = build::objects(self.cluster, &facts);
        let written = apply::apply(&self.context.client, &objects).await?;
        let deleted = apply::delete_orphans(&self.context.client, self.cluster, &objects).await?;
        if written + deleted > 0 {
            self.progress("Applying", "what the cluster is made of changes");
        }
        self.volumes(&facts).await?;
        self.coming_up(&facts);
        if let (Some(kafka), Some(view)) = (self.kafka.clone(), self.view.clone()) {
            self.settings(&kafka, &view).await?;
            self.listeners(&kafka, &view).await;
            self.topics(&kafka, &view).await?;
            self.partitions(&kafka, &view).await;
            self.voters(&kafka, &view).await;
            self.leave(&kafka, &view, &facts).await?;
        }
        // Pods that are outdated by what was just written are seen in the next walk.
        if written == 0 {
            self.roll().await?;
        }
        Ok(())
    }

    fn progress(&mut self, reason: &'static str, what: impl Into<String>) {
        self.report.progressing.get_or_insert(Finding::new(reason, what));
    }

    /// What the objects follow from.
    fn facts(&mut self, cluster_id: String, founders: Option<Vec<String>>) -> Facts {
        let status = self.cluster.status.clone().unwrap_or_default();
        let spec = &self.cluster.spec;
        let images = &self.context.settings;
        let broker_image =
            spec.image.clone().or(status.image).unwrap_or_else(|| images.broker_image.clone());
        let coordinator_image = match &spec.image {
            Some(image) => beside(image),
            None => status.coordinator_image.unwrap_or_else(|| images.coordinator_image.clone()),
        };
        self.report.image = Some(broker_image.clone());
        self.report.coordinator_image = Some(coordinator_image.clone());
        let [brokers, coordinators] = &self.sets;
        let input = Input { brokers, coordinators, cluster: self.view.as_ref(), last: None };
        Facts {
            cluster_id,
            broker_image,
            coordinator_image,
            brokers: self.brokers(),
            coordinators: self.coordinators(),
            founders,
            max_unavailable: disruption(&input).max_unavailable,
        }
    }

    /// How many brokers there are to be at the moment: one that is to go stays while it holds
    /// anything, or while nobody can say.
    fn brokers(&self) -> i32 {
        let (wanted, now) = (self.cluster.spec.brokers.replicas, self.sets[0].replicas);
        moves::keep(self.view.as_ref(), wanted, now)
    }

    /// How many coordinators there are to be at the moment: one that votes stays.
    fn coordinators(&self) -> i32 {
        let (wanted, now) = (self.cluster.spec.coordinators.replicas, self.sets[1].replicas);
        let quorum = self.view.as_ref().and_then(|view| view.quorum.as_ref());
        voters::keep(quorum, wanted, now, FIRST_COORDINATOR_ID)
    }

    /// Tells each broker's pod its rack, once it is known where it runs.
    async fn racks(&self) -> Outcome {
        let namespace = names::namespace(self.cluster);
        let api = Api::<Pod>::namespaced(self.context.client.clone(), namespace);
        for view in &self.sets[0].pods {
            let Some(pod) = self.found.pods.get(&view.name) else { continue };
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            let Some(node) = node.and_then(|node| self.found.nodes.get(node)) else { continue };
            let labels = node.metadata.labels.as_ref();
            let zone = labels.and_then(|it| it.get("topology.kubernetes.io/zone"));
            let rack = zone.map_or("-", String::as_str);
            let known = pod.metadata.annotations.as_ref().and_then(|it| it.get(names::RACK));
            if known.map(String::as_str) == Some(rack) {
                continue;
            }
            let patch = json!({"metadata": {"annotations": {names::RACK: rack}}});
            let what = format!("the rack of {}", view.name);
            match api.patch(&view.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                outcome => outcome.map(|_| ()).map_err(OperatorError::write(what))?,
            }
        }
        Ok(())
    }

    /// Says what is not up yet.
    fn coming_up(&mut self, facts: &Facts) {
        for (component, wanted) in
            [(Component::Coordinator, facts.coordinators), (Component::Broker, facts.brokers)]
        {
            let set = &self.sets[usize::from(component == Component::Coordinator)];
            let up = set.pods.iter().filter(|pod| pod.ready && !pod.deleting).count();
            let wanted = usize::try_from(wanted).unwrap_or(0);
            let trouble = set.pods.iter().find_map(|pod| {
                pod.trouble.as_ref().filter(|_| !pod.ready).map(|what| (&pod.name, what))
            });
            if let Some((name, what)) = trouble {
                let what = format!("{name} does not come up: {what}");
                self.report.degraded.get_or_insert(Finding::new("PodInTrouble", what));
            }
            if up != wanted || set.pods.len() != wanted {
                let what = format!("{up} of {wanted} {}s are ready", component.name());
                self.progress("PodsComing", what);
            }
        }
        if self.view.is_none() {
            self.progress("Starting", "no broker answers yet");
        }
    }

    /// Settings of all brokers that change at run time.
    async fn settings(&mut self, kafka: &Cluster, view: &ClusterView) -> Outcome {
        let wanted: BTreeMap<&str, &str> = self
            .cluster
            .spec
            .brokers
            .config
            .iter()
            .filter(|(key, _)| is_dynamic(key))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let set = self.found.sets.get(&names::set(self.cluster, Component::Broker));
        let note = set
            .and_then(|set| set.metadata.annotations.as_ref()?.get(names::APPLIED_CONFIG).cloned())
            .unwrap_or_default();
        let owned: BTreeSet<&str> = note.split(',').filter(|key| !key.is_empty()).collect();
        let changes = config::changes(&wanted, &owned, &view.config);
        let listed = |keys: BTreeSet<&str>| keys.into_iter().collect::<Vec<_>>().join(",");
        // What is about to be set is noted first: so it is given back one day, come what may.
        let both = listed(wanted.keys().copied().chain(owned.iter().copied()).collect());
        let now = listed(wanted.keys().copied().collect());
        let next = if changes.is_empty() { now } else { both };
        if next != note {
            self.annotate_set(names::APPLIED_CONFIG, &next).await?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = changes.iter().map(|(key, _)| *key).collect();
        match kafka.alter_configs(&ConfigResource::all_brokers(), &changes, false).await {
            Ok(()) => {
                let what = format!("{} changed at run time", keys.join(", "));
                self.tell(Notice::normal("Configured", what.clone())).await;
                self.progress("Configuring", what);
            }
            Err(error) => {
                let what = format!("{}: {}", keys.join(", "), vltava_net::error_chain(&error));
                self.report.degraded = Some(Finding::new("ConfigRefused", what));
            }
        }
        Ok(())
    }

    /// Listeners that brokers open and close at run time.
    async fn listeners(&mut self, kafka: &Cluster, view: &ClusterView) {
        for id in 1..=self.sets[0].replicas {
            let told = listeners::told(self.cluster, &self.found, id);
            let Some((set, reset)) = listeners::changes(&told, view, id) else { continue };
            let set = set.into_iter().map(|(key, value)| (key, AlterOp::Set(value.to_owned())));
            let changes: Vec<(&str, AlterOp)> =
                set.chain(reset.into_iter().map(|key| (key, AlterOp::Delete))).collect();
            match kafka.alter_configs(&ConfigResource::broker(id), &changes, false).await {
                Ok(()) => {
                    self.progress("Listening", format!("the listeners of broker {id} change"))
                }
                Err(error) => {
                    let why = vltava_net::error_chain(&error);
                    let what = format!("the listeners of broker {id} cannot change: {why}");
                    self.report.degraded = Some(Finding::new("ListenersRefused", what));
                }
            }
        }
    }

    async fn topics(&mut self, kafka: &Cluster, view: &ClusterView) -> Outcome {
        let live = view.brokers.values().filter(|broker| !broker.fenced).count();
        let asked = self.cluster.spec.topics.iter().filter_map(|topic| topic.replication_factor);
        let most = usize::try_from(asked.max().unwrap_or(1)).unwrap_or(1);
        if live < most && self.found.founding.is_some() {
            return Ok(());
        }
        let set = self.found.sets.get(&names::set(self.cluster, Component::Broker));
        let has_set = set.is_some();
        let written = set
            .and_then(|set| set.metadata.annotations.as_ref()?.get(names::APPLIED_TOPICS).cloned());
        let previous: Option<Vec<Topic>> =
            written.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let previous =
            previous.map(|topics| KafkaClusterSpec { topics, ..self.cluster.spec.clone() });
        let rows = topics::follow(kafka, self.cluster, previous.as_ref(), view).await;
        if rows.iter().any(|row| matches!(row.state.as_str(), "Pending" | "Changing")) {
            self.progress("Topics", "topics become as they are declared");
        }
        self.report.topics = Some(rows);
        // Those that were declared once stay noted as long as they exist: the status of a walk may
        // not have come back when the next one begins.
        let before = previous.map(|spec| spec.topics).unwrap_or_default();
        let is_declared = |name: &str| self.cluster.spec.topics.iter().any(|it| it.name == name);
        let kept = before
            .into_iter()
            .filter(|it| !is_declared(&it.name) && view.topics.contains_key(&it.name));
        let now: Vec<Topic> = self.cluster.spec.topics.iter().cloned().chain(kept).collect();
        let now = serde_json::to_string(&now).unwrap_or_default();
        if has_set && written.as_ref() != Some(&now) {
            self.annotate_set(names::APPLIED_TOPICS, &now).await?;
        }
        Ok(())
    }

    /// Notes something on the brokers' set.
    async fn annotate_set(&self, key: &str, value: &str) -> Outcome {
        let name = names::set(self.cluster, Component::Broker);
        let namespace = names::namespace(self.cluster);
        let api = Api::<k8s_openapi::api::apps::v1::StatefulSet>::namespaced(
            self.context.client.clone(),
            namespace,
        );
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let written = api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        written.map(|_| ()).map_err(OperatorError::write(format!("a note on {name}")))
    }

    /// Partitions that move: off brokers that go, onto new ones, to more or fewer replicas.
    async fn partitions(&mut self, kafka: &Cluster, view: &ClusterView) {
        let wanted = self.cluster.spec.brokers.replicas;
        let replicas: BTreeMap<String, usize> = self
            .cluster
            .spec
            .topics
            .iter()
            .filter_map(|topic| {
                let replicas = usize::try_from(topic.replication_factor?).ok()?;
                Some((topic.name.clone(), replicas))
            })
            .collect();
        let input = moves::Input { cluster: view, brokers: wanted, replicas: &replicas };
        if let Some(why) = moves::refused(&input) {
            self.report.degraded = Some(Finding::new("ScaleRefused", why));
        }
        let next = moves(&input);
        for it in &next {
            let id = &it.partition;
            tracing::info!("moving {id} to {:?}", it.replicas);
            let moved = kafka.reassign_partition(&id.topic, id.index, Some(it.replicas.clone()));
            if let Err(error) = moved.await {
                tracing::warn!("{id} cannot move: {}", vltava_net::error_chain(&error));
            }
        }
        let moving = view.partitions().filter(|(_, _, it)| it.is_moving()).count();
        if !next.is_empty() && moving == 0 {
            let what = format!("{} partitions begin to move", next.len());
            self.tell(Notice::normal("Moving", what)).await;
        }
        if moving + next.len() > 0 {
            self.progress("Moving", format!("{} partitions move", moving + next.len()));
        }
    }

    /// Who votes among the coordinators.
    async fn voters(&mut self, kafka: &Cluster, view: &ClusterView) {
        let Some(quorum) = &view.quorum else { return };
        let wanted = self.cluster.spec.coordinators.replicas;
        let ids: Vec<i32> = (0..wanted).map(|index| FIRST_COORDINATOR_ID + index).collect();
        let Some(change) = voters::next(quorum, &ids) else {
            if quorum.voters.len() != ids.len() {
                let (voters, wanted) = (quorum.voters.len(), ids.len());
                self.progress("Voters", format!("{voters} coordinators vote, {wanted} are to"));
            }
            return;
        };
        let outcome = self.change(kafka, &change).await;
        match outcome {
            Ok(what) => {
                self.tell(Notice::normal("Voters", what.clone())).await;
                self.progress("Voters", what);
            }
            Err(what) => self.progress("Voters", what),
        }
    }

    async fn change(&self, kafka: &Cluster, change: &Change) -> Result<String, String> {
        let (id, directory) = match change {
            Change::Add { id, directory } | Change::Remove { id, directory } => (*id, directory),
        };
        let directory_id =
            directory.parse().map_err(|_| format!("{directory} is no directory id"))?;
        let voter = RaftVoter { id, directory_id };
        let chain = |error| vltava_net::error_chain(&error);
        match change {
            Change::Add { .. } => {
                let ordinal = id - FIRST_COORDINATOR_ID + 1;
                let host = names::host(self.cluster, Component::Coordinator, ordinal);
                let port = u16::try_from(names::COORDINATOR_PORT).unwrap_or_default();
                let listeners = [(COORDINATOR_LISTENER, host.as_str(), port)];
                kafka.add_raft_voter(&voter, &listeners).await.map_err(chain)?;
                Ok(format!("coordinator {id} votes now"))
            }
            Change::Remove { .. } => {
                kafka.remove_raft_voter(&voter).await.map_err(chain)?;
                Ok(format!("coordinator {id} with the disk {directory} votes no more"))
            }
        }
    }

    /// Takes brokers off the books that are gone.
    async fn leave(&mut self, kafka: &Cluster, view: &ClusterView, facts: &Facts) -> Outcome {
        let has_pod = |id: i32| self.sets[0].pods.iter().any(|pod| pod.ordinal == id);
        for id in moves::gone(view, facts.brokers, has_pod) {
            let what = format!("broker {id} is taken off the books");
            kafka.unregister_broker(id).await.map_err(OperatorError::tell(what.clone()))?;
            self.tell(Notice::normal("BrokerLeft", what)).await;
        }
        let gone = |id: &i32| *id > facts.brokers;
        if view.brokers.keys().any(gone) || facts.brokers != self.cluster.spec.brokers.replicas {
            self.progress("Leaving", "brokers leave");
        }
        Ok(())
    }

    /// Volumes that grow, and those that go with their node.
    async fn volumes(&mut self, facts: &Facts) -> Outcome {
        let namespace = names::namespace(self.cluster);
        let client = self.context.client.clone();
        let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        for component in [Component::Broker, Component::Coordinator] {
            let (storage, count) = match component {
                Component::Broker => (&self.cluster.spec.brokers.storage, facts.brokers),
                Component::Coordinator => {
                    (&self.cluster.spec.coordinators.storage, facts.coordinators)
                }
            };
            let prefix = format!("data-{}-", names::set(self.cluster, component));
            for (name, claim) in self.found.claims.iter().filter(|it| it.0.starts_with(&prefix)) {
                let its = ordinal(name).unwrap_or(0);
                let away = its > count && storage.reclaim_policy == ReclaimPolicy::Delete;
                if away || claim.metadata.deletion_timestamp.is_some() {
                    continue;
                }
                let Some(wanted) = storage.size.as_deref() else { continue };
                match crate::storage::compare(claim, wanted, &self.found.classes) {
                    crate::storage::Size::Same => {}
                    crate::storage::Size::Grows => {
                        let patch =
                            json!({"spec": {"resources": {"requests": {"storage": wanted}}}});
                        let written =
                            api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                        written.map_err(OperatorError::write(format!("the claim {name}")))?;
                    }
                    crate::storage::Size::Cannot(message) => {
                        self.report.storage.push(StorageStatus { name: name.clone(), message });
                    }
                }
            }
        }
        if let Some(first) = self.report.storage.first() {
            let what = format!("{}: {}", first.name, first.message);
            self.report.degraded.get_or_insert(Finding::new("Storage", what));
        }
        Ok(())
    }

    async fn tell(&self, notice: Notice) {
        self.context.tell(self.cluster, notice).await;
    }

    /// Writes the status, if it says something else than before.
    async fn say(&mut self) -> Outcome {
        for (id, topic, partition) in self.view.iter().flat_map(ClusterView::partitions) {
            let alone = partition.leader.is_none() && !topic.internal;
            if alone && self.report.degraded.is_none() {
                let what = format!(
                    "{id} has no leader: the brokers {:?} had all of it; bring one back with its \
                     volume, or, if the data is lost, set unclean.leader.election.enable of the \
                     topic",
                    partition.isr
                );
                self.report.degraded = Some(Finding::new("Offline", what.clone()));
                self.tell(Notice::warning("Offline", what)).await;
            }
        }
        let [brokers, coordinators] = &self.sets;
        let new = status(
            self.cluster,
            &self.found,
            [brokers, coordinators],
            self.view.as_ref(),
            &self.report,
            Timestamp::now(),
        );
        if self.cluster.status.as_ref() == Some(&new) {
            return Ok(());
        }
        write_status(&self.context.client, self.cluster, &new).await
    }
}

async fn write_status(
    client: &Client,
    cluster: &KafkaCluster,
    status: &KafkaClusterStatus,
) -> Outcome {
    let api = Api::<KafkaCluster>::namespaced(client.clone(), names::namespace(cluster));
    let patch = json!({
        "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster", "status": status,
    });
    let params = PatchParams::apply(names::MANAGER).force();
    match api.patch_status(names::name(cluster), &params, &Patch::Apply(&patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        outcome => outcome.map(|_| ()).map_err(OperatorError::write("the status")),
    }
}

/// The coordinators' image beside a brokers' image: of the same place and tag.
fn beside(image: &str) -> String {
    match image.rsplit_once('/') {
        Some((place, last)) => format!("{place}/{}", last.replace("broker", "coordinator")),
        None => image.replace("broker", "coordinator"),
    }
}
