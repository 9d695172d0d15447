//! One reconciliation as a straight walk: dereference → validate → identify → ask the cluster →
//! decide → build → apply → delete orphans → act → status.

mod notes;
mod partitions;
mod quorum;
mod roll;
mod settings;
mod volumes;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use vltava_client::Cluster;
use vltava_crd::status::KafkaClusterStatus;
use vltava_crd::{FIRST_COORDINATOR_ID, KafkaCluster};

use crate::build::{self, Facts};
use crate::dereference::{Found, dereference};
use crate::error::{OperatorError, Outcome};
use crate::identity::{Identity, identify, is_leaving, orphaned};
use crate::plan::disruption::disruption;
use crate::plan::rollout::Input;
use crate::plan::{ClusterView, Component, Notice, SetView, health, moves, start, voters};
use crate::server::Context;
use crate::status::{Finding, Report, status};
use crate::verdict::{Verdict, verdict};
use crate::{apply, kafka, listeners, names};

/// When to look again while something is on its way.
const SOON: Duration = Duration::from_secs(1);
/// When to look again at a cluster that is as it should be: what changes in it is not told.
const LATER: Duration = Duration::from_secs(10);

/// How long a walk may take. What it has done by then is done, and the next one begins anew: as
/// after any call that fails.
const WALK_MAX: Duration = Duration::from_secs(120);

/// A walk for one cluster.
struct Walk<'a> {
    context: &'a Context,
    /// What is carried out of the manifest.
    cluster: &'a KafkaCluster,
    /// The manifest as it is.
    declared: &'a KafkaCluster,
    found: Found,
    kafka: Option<Cluster>,
    view: Option<ClusterView>,
    sets: [SetView; 2],
    is_founded: bool,
    /// Whether the cluster comes up for the first time, and may still be waited for.
    comes_up: bool,
    report: Report,
    /// What the API server refused first: the rest does not wait for it, and the end tells it.
    refused: Option<OperatorError>,
}

/// Brings a cluster closer to its manifest; says when to look again.
///
/// # Errors
/// If something cannot be read or written, or nobody answers; the walk begins anew then.
pub async fn walk(context: &Context, cluster: &KafkaCluster) -> Outcome<Duration> {
    let walk = tokio::time::timeout(WALK_MAX, through(context, cluster));
    walk.await.unwrap_or(Err(OperatorError::Slow { seconds: WALK_MAX.as_secs() }))
}

async fn through(context: &Context, declared: &KafkaCluster) -> Outcome<Duration> {
    let found = dereference(&context.client, declared).await?;
    let sets = [
        found.set_view(declared, Component::Broker),
        found.set_view(declared, Component::Coordinator),
    ];
    let mut report = Report::default();
    let verdict = verdict(declared, sets[0].replicas);
    let mut cluster = declared;
    match &verdict {
        Verdict::Possible => {}
        Verdict::Impossible { why } => report.invalid = Some(why.clone()),
        Verdict::BrokersStay { cluster: instead, why } => {
            report.degraded.push(Finding::new("ScaleRefused", why.clone()));
            cluster = instead;
        }
    }
    let mut walk = Walk {
        context,
        cluster,
        declared,
        found,
        kafka: None,
        view: None,
        sets,
        is_founded: false,
        comes_up: false,
        report,
        refused: None,
    };
    walk.ask().await;
    let is_new = walk.note_of_set(names::APPLIED_TOPICS).is_none();
    let answers = walk.view.as_ref().is_some_and(|view| view.quorum.is_some());
    walk.comes_up = context.comes_up(declared, is_new, answers, walk.found.at);
    let outcome = walk.work().await;
    let outcome = walk.refused.take().map_or(outcome, Err);
    if let Err(error) = &outcome {
        let what = vltava_net::error_chain(error);
        walk.degrade(Finding::new("Failed", what));
    }
    walk.starting();
    walk.say().await?;
    outcome?;
    let moves = walk.report.progressing.is_some() || walk.view.is_none();
    Ok(if moves { SOON } else { LATER })
}

impl Walk<'_> {
    /// Asks the cluster, if there is one.
    async fn ask(&mut self) {
        if self.sets[0].pods.is_empty() {
            return;
        }
        let servers = kafka::servers(self.cluster, self.sets[0].replicas, &self.found.pods);
        let Ok(kafka) = self.context.kafka(self.cluster, &servers) else { return };
        match kafka::observe(&kafka).await {
            Ok(view) => self.view = Some(view),
            Err(error) => tracing::debug!("{}", vltava_net::error_chain(&error)),
        }
        self.kafka = Some(kafka);
    }

    /// Does what the manifest says, if that is possible.
    async fn work(&mut self) -> Outcome {
        // Whatever becomes of the rest.
        let guarded = self.guard().await;
        self.note(guarded)?;
        match self.report.invalid {
            None => self.keep().await,
            // Brokers that start meanwhile wait for their rack.
            Some(_) => self.racks().await,
        }
    }

    /// Notes what was refused about one object, so that the rest goes on.
    fn note(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Err(error) if error.is_refusal() => {
                self.refused.get_or_insert(error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Which cluster this is: its id, who founds it, and whether it was founded; `None` if nothing
    /// can be done about it now.
    fn identity(&mut self) -> Option<(String, Vec<String>, bool)> {
        let mut random = || rand::random::<u128>();
        let identity = identify(self.cluster, &self.found, self.view.as_ref(), &mut random);
        if let Some(what) = orphaned(&identity, &self.found) {
            self.degrade(Finding::new("Unfounded", what));
            if self.found.sets.is_empty() {
                return None;
            }
        }
        match identity {
            Identity::Waits => {
                let what = "volumes of an earlier cluster are being deleted";
                self.progress("Waiting", what);
                None
            }
            Identity::Torn { ids } => {
                let what = format!(
                    "the volumes belong to different clusters ({}); delete the claims of all but \
                     one",
                    ids.join(", ")
                );
                self.degrade(Finding::new("TornVolumes", what));
                None
            }
            Identity::Known { cluster_id, founders, is_founded } => {
                Some((cluster_id, founders, is_founded))
            }
        }
    }

    /// Everything that is done, in its order. What the API server refuses about one object is told
    /// at the end, and holds up nothing else.
    async fn keep(&mut self) -> Outcome {
        let Some((cluster_id, founders, is_founded)) = self.identity() else { return Ok(()) };
        self.report.cluster_id = Some(cluster_id.clone());
        self.is_founded = is_founded;
        let racks = self.racks().await;
        self.note(racks)?;
        if is_founded {
            self.founded().await?;
        }
        let facts = Facts { founders, is_founded, ..self.facts(cluster_id) };
        let (written, deleted) = self.objects(&facts).await?;
        if written + deleted > 0 {
            self.progress("Applying", "what the cluster is made of changes");
        }
        let noted = self.notes().await;
        self.note(noted)?;
        self.volumes(&facts).await?;
        self.coming_up(&facts);
        if let (Some(kafka), Some(view)) = (self.kafka.clone(), self.view.clone()) {
            self.settings(&kafka, &view).await?;
            self.listeners(&kafka, &view).await;
            self.topics(&kafka, &view).await?;
            if let Err(error) = self.partitions(&kafka, &view).await {
                // The rest goes on, and so do moves that have begun.
                let what = vltava_net::error_chain(&error);
                self.degrade(Finding::new("Moves", what));
                self.progress("Moving", "what moves cannot be told at the moment");
            }
            self.voters(&kafka, &view).await;
            self.leave(&kafka, &view, &facts).await?;
        }
        // Pods that are outdated by what was just written are seen in the next walk.
        if written == 0 {
            self.roll().await?;
        }
        Ok(())
    }

    /// Makes the objects what they should be; returns how many were written, and how many deleted.
    async fn objects(&mut self, facts: &Facts) -> Outcome<(usize, usize)> {
        let (context, cluster) = (self.context, self.cluster);
        let client = &context.client;
        let mut objects = build::objects(cluster, facts);
        // Services hold ports of nodes that others may be about to get.
        let is_service = |kind: &str| kind == "Service";
        let services =
            apply::delete_orphans(client, cluster, &self.found, &objects, is_service).await?;
        let others = |kind: &str| !is_service(kind);
        let claims = self.claims(facts, &objects).await?;
        let wanted = objects.clone();
        if !self.found.sets.is_empty() {
            // The budgets were written before all else.
            objects.retain(|object| object["kind"] != "PodDisruptionBudget");
        }
        let written = apply::apply(client, &self.found, &objects).await?;
        let rest = apply::delete_orphans(client, cluster, &self.found, &wanted, others).await?;
        let counts = (claims + written.count, services.count + rest.count);
        for refused in [services, written, rest].into_iter().filter_map(|done| done.refused) {
            self.refused.get_or_insert(refused);
        }
        Ok(counts)
    }

    /// Something needs a person: it is told in the status, and by an event if it is news.
    fn degrade(&mut self, finding: Finding) {
        self.report.degraded.push(finding);
    }

    /// Keeps the budgets of a running cluster true, whatever comes after it: machines are drained
    /// also while its manifest is impossible, or something cannot be written.
    async fn guard(&mut self) -> Outcome {
        if self.found.sets.is_empty() || is_leaving(self.cluster, &self.found) {
            return Ok(());
        }
        let facts = self.facts(String::new());
        let budgets = build::budgets(self.cluster, &facts);
        let done = apply::apply(&self.context.client, &self.found, &budgets).await?;
        done.refused.map_or(Ok(()), Err)
    }

    fn progress(&mut self, reason: &'static str, what: impl Into<String>) {
        self.report.progressing.get_or_insert(Finding::new(reason, what));
    }

    /// What the objects follow from.
    fn facts(&mut self, cluster_id: String) -> Facts {
        let status = self.cluster.status.clone().unwrap_or_default();
        let spec = &self.cluster.spec;
        let images = &self.context.settings;
        // The defaults are pinned when they are needed first, and apart from what is named: a named
        // image that is taken back leaves nothing behind.
        let broker_image = spec.image.clone().unwrap_or_else(|| {
            let default = status.default_image.unwrap_or_else(|| images.broker_image.clone());
            self.report.default_image.insert(default).clone()
        });
        let coordinator_image = spec.coordinator_image().unwrap_or_else(|| {
            let default = status.default_coordinator_image;
            let default = default.unwrap_or_else(|| images.coordinator_image.clone());
            self.report.default_coordinator_image.insert(default).clone()
        });
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
            founders: Vec::new(),
            is_founded: false,
            old_ports: listeners::ports(self.cluster, &self.found, self.view.as_ref()),
            broker_budget: disruption(&input, Component::Broker),
            coordinator_budget: disruption(&input, Component::Coordinator),
        }
    }

    /// How many brokers there are to be at the moment: one that is to go stays while it holds
    /// anything, or while nobody can say.
    fn brokers(&self) -> i32 {
        let (wanted, now) = (self.cluster.spec.brokers.replicas, self.sets[0].replicas);
        // One that ends already takes no replica any more.
        let runs = |id: i32| {
            let mut pods = self.sets[0].pods.iter().filter(|pod| pod.ordinal == id);
            pods.any(|pod| (pod.ready || pod.running) && !pod.deleting)
        };
        moves::keep(self.view.as_ref(), wanted, now, runs)
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
            let set = self.set(component);
            let up = set.pods.iter().filter(|pod| pod.ready && !pod.deleting).count();
            let wanted = usize::try_from(wanted).unwrap_or(0);
            let trouble = set.pods.iter().find_map(|pod| {
                pod.trouble.as_ref().filter(|_| !pod.ready).map(|what| (&pod.name, what))
            });
            let trouble = trouble.map(|(name, what)| format!("{name} does not come up: {what}"));
            if up != wanted || set.pods.len() != wanted {
                let what = format!("{up} of {wanted} {}s are ready", component.name());
                self.progress("PodsComing", what);
            }
            if let Some(what) = trouble {
                self.degrade(Finding::new("PodInTrouble", what));
            }
        }
        if self.view.is_none() {
            self.progress("Starting", "no broker answers yet");
        }
    }

    /// What is not there yet of a cluster that comes up for the first time.
    fn starting(&mut self) {
        let Some(view) = self.view.as_ref().filter(|_| self.comes_up) else { return };
        let ready = self.sets[0].pods.iter().filter(|pod| pod.ready && !pod.deleting).count();
        let lacks = start::lacks(&start::Input {
            ready: (ready, self.cluster.spec.brokers.replicas),
            closed: listeners::closed(self.cluster, &self.found, view),
            topics: self.report.topics.as_deref(),
        });
        if let Some(what) = &lacks {
            self.progress("Starting", what.clone());
        }
        self.report.starting = lacks;
    }

    fn set(&self, component: Component) -> &SetView {
        let [brokers, coordinators] = &self.sets;
        match component {
            Component::Broker => brokers,
            Component::Coordinator => coordinators,
        }
    }

    /// The pods that a set is to have and does not.
    fn missing(&self, component: Component) -> Vec<String> {
        if !self.found.sets.contains_key(&names::set(self.cluster, component)) {
            return Vec::new();
        }
        let set = self.set(component);
        (1..=set.replicas)
            .filter(|ordinal| !set.pods.iter().any(|pod| pod.ordinal == *ordinal))
            .map(|ordinal| names::pod(self.cluster, component, ordinal))
            .collect()
    }

    async fn tell(&self, notice: Notice) {
        self.context.tell(self.cluster, notice).await;
    }

    /// What is wrong with machines, pods and partitions, and the events of all that is news.
    async fn health(&mut self) {
        let now = self.found.at;
        let coordinators = &self.sets[1].pods;
        let up = coordinators.iter().filter(|pod| pod.ready && !pod.deleting).count();
        let missing = [Component::Broker, Component::Coordinator].map(|it| self.missing(it));
        let input = health::Input {
            cluster: self.view.as_ref(),
            is_founded: self.is_founded,
            coordinators: (up, self.cluster.spec.coordinators.replicas),
            missing: [&missing[0], &missing[1]],
            now,
        };
        let seen = self.context.look(self.cluster, &input);
        self.report.degraded.extend(seen.findings);
        self.report.is_brief = seen.is_brief;
        self.report.unwritable = seen.unwritable;
        let away = self.found.away().map(|what| Finding::new("PodUnready", what));
        self.report.degraded.extend(away);
        self.report.settle();
        for finding in self.context.news(self.cluster, &self.report.findings()) {
            self.tell(Notice::warning(finding.reason, finding.message)).await;
        }
    }

    /// Writes the status, if it says something else than before.
    async fn say(&mut self) -> Outcome {
        self.health().await;
        let [brokers, coordinators] = &self.sets;
        let new = status(
            self.declared,
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
