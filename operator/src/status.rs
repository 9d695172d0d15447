//! What is said about a cluster: pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use vltava_crd::status::{KafkaClusterStatus, NodesStatus, StorageStatus, TopicStatus};
use vltava_crd::{KafkaCluster, Topic};

use crate::dereference::Found;
use crate::plan::health::UNWRITABLE_MAX_S;
use crate::plan::{ClusterView, Component, SetView, voters};
use crate::{listeners, names};

/// A finding in a word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What a walk found out.
#[derive(Debug, Default)]
pub struct Report {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// The brokers' image.
    pub image: Option<String>,
    /// The coordinators' image.
    pub coordinator_image: Option<String>,
    /// The brokers' image where the spec names none.
    pub default_image: Option<String>,
    /// The coordinators' image where the spec names none.
    pub default_coordinator_image: Option<String>,
    /// What is on its way.
    pub progressing: Option<Finding>,
    /// What needs a person: once it is settled, what matters most first.
    pub degraded: Vec<Finding>,
    /// What is impossible about the manifest.
    pub invalid: Option<String>,
    /// Whether what the cluster does not answer says nothing yet.
    pub is_brief: bool,
    /// What a cluster that comes up for the first time still lacks.
    pub starting: Option<String>,
    /// Which partitions take no `acks=all` write, and for how many seconds.
    pub unwritable: Option<(String, i64)>,
    /// A row a topic; `None` if they could not be looked at.
    pub topics: Option<Vec<TopicStatus>>,
    /// Volumes that are not as the manifest says.
    pub storage: Vec<StorageStatus>,
}

/// What may need a person, what matters most first.
const RANKS: [&str; 17] = [
    "Invalid",
    "NoQuorum",
    "Offline",
    "TornVolumes",
    "Unfounded",
    "Failed",
    "RollStopped",
    "ScaleRefused",
    "ConfigRefused",
    "ListenersRefused",
    "Storage",
    "Topics",
    "Moves",
    "PodInTrouble",
    "PodMissing",
    "PodUnready",
    "UnderReplicated",
];

impl Report {
    /// Puts what needs a person in order, and takes out what is said already.
    pub fn settle(&mut self) {
        let rank = |it: &Finding| RANKS.iter().position(|reason| *reason == it.reason);
        self.degraded.sort_by_key(rank);
        self.degraded.dedup();
        // It names the pod, and more.
        if self.degraded.iter().any(|it| it.reason == "RollStopped") {
            self.degraded.retain(|it| !matches!(it.reason, "PodInTrouble" | "PodUnready"));
        }
    }

    /// All that needs a person, what matters most first.
    pub fn findings(&self) -> Vec<Finding> {
        let invalid = self.invalid.iter().map(|what| Finding::new("Invalid", what.clone()));
        invalid.chain(self.degraded.iter().cloned()).collect()
    }
}

/// The status of a cluster. Times of conditions that stay as they are stay, too.
pub fn status(
    cluster: &KafkaCluster,
    found: &Found,
    sets: [&SetView; 2],
    view: Option<&ClusterView>,
    report: &Report,
    now: Timestamp,
) -> KafkaClusterStatus {
    let before = cluster.status.clone().unwrap_or_default();
    let [brokers, coordinators] = sets;
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut status = KafkaClusterStatus {
        observed_generation: cluster.metadata.generation,
        cluster_id: report.cluster_id.clone().or(before.cluster_id.clone()),
        image: report.image.clone().or(before.image.clone()),
        coordinator_image: report.coordinator_image.clone().or(before.coordinator_image.clone()),
        default_image: report.default_image.clone().or(before.default_image.clone()),
        default_coordinator_image: report
            .default_coordinator_image
            .clone()
            .or(before.default_coordinator_image.clone()),
        brokers: Some(nodes(cluster, Component::Broker, brokers)),
        coordinators: Some(nodes(cluster, Component::Coordinator, coordinators)),
        quorum_leader: view.and_then(|view| Some(view.quorum.as_ref()?.leader)),
        under_replicated: view.map(|view| count(view.under_replicated())),
        offline: view.map(|view| count(view.offline())),
        listeners: listeners::status(cluster, found),
        topics: report.topics.clone().unwrap_or(before.topics.clone()),
        storage: report.storage.clone(),
        ..KafkaClusterStatus::default()
    };
    let runs = runs(found, brokers).or_else(|| status.image.clone());
    status.version = runs.as_deref().map(version);
    let conditions = conditions(cluster, sets, view, report);
    status.conditions = conditions
        .into_iter()
        .map(|(kind, holds, finding)| {
            let status = if holds { "True" } else { "False" };
            let old = before.conditions.iter().find(|it| it.type_ == kind && it.status == status);
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: finding.reason.to_owned(),
                message: finding.message,
                observed_generation: cluster.metadata.generation,
                last_transition_time: old.map_or(Time(now), |old| old.last_transition_time.clone()),
            }
        })
        .collect();
    status
}

/// The image that brokers run: that of the outdated ones while there are any.
fn runs(found: &Found, brokers: &SetView) -> Option<String> {
    let is_new = |revision: &str| brokers.update_revision.as_deref() == Some(revision);
    let pod = brokers.pods.iter().min_by_key(|pod| is_new(&pod.revision))?;
    let containers = &found.pods.get(&pod.name)?.spec.as_ref()?.containers;
    let named = containers.iter().find(|it| it.name == Component::Broker.name())?;
    named.image.clone()
}

/// The tag of an image, or its digest where it has no tag.
fn version(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let (name, digest) = last.split_once('@').map_or((last, None), |(name, it)| (name, Some(it)));
    let tag = name.split_once(':').map(|(_, tag)| tag);
    tag.or(digest).unwrap_or("latest").to_owned()
}

fn nodes(cluster: &KafkaCluster, component: Component, set: &SetView) -> NodesStatus {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let asked = match component {
        Component::Broker => cluster.spec.brokers.replicas,
        Component::Coordinator => cluster.spec.coordinators.replicas,
    };
    let ready = count(set.pods.iter().filter(|pod| pod.ready && !pod.deleting).count());
    let is_new = |revision: &str| set.update_revision.as_deref() == Some(revision);
    NodesStatus {
        replicas: count(set.pods.len()),
        ready,
        updated: count(set.pods.iter().filter(|pod| is_new(&pod.revision)).count()),
        summary: format!("{ready}/{asked}"),
        selector: Some(names::text(&names::selector(cluster, component))),
    }
}

fn conditions(
    cluster: &KafkaCluster,
    sets: [&SetView; 2],
    view: Option<&ClusterView>,
    report: &Report,
) -> Vec<(&'static str, bool, Finding)> {
    let is_ready = is_ready(cluster, sets, view, report);
    let progressing = match (&report.invalid, &report.progressing) {
        (None, Some(finding)) => (true, finding.clone()),
        _ => (false, Finding::new("Settled", "nothing is on its way")),
    };
    let findings = report.findings();
    let degraded = match findings.first() {
        Some(first) => {
            let all: Vec<&str> = findings.iter().map(|it| it.message.as_str()).collect();
            (true, Finding::new(first.reason, all.join("; ")))
        }
        None => (false, Finding::new("AsAsked", "all is as the manifest says")),
    };
    let topics = topics_ready(cluster, report);
    let (holds, finding) = match is_ready {
        Ok(finding) => (true, finding),
        Err(finding) => (false, finding),
    };
    vec![
        ("Ready", holds, finding),
        ("Progressing", progressing.0, progressing.1),
        ("Degraded", degraded.0, degraded.1),
        ("TopicsReady", topics.0, topics.1),
    ]
}

/// Whether clients can use the cluster, and why.
fn is_ready(
    cluster: &KafkaCluster,
    sets: [&SetView; 2],
    view: Option<&ClusterView>,
    report: &Report,
) -> Result<Finding, Finding> {
    let [ready, coordinators] =
        sets.map(|set| set.pods.iter().filter(|pod| pod.ready && !pod.deleting).count());
    let asked = cluster.spec.brokers.replicas;
    let serving = || Finding::new("Serving", format!("{ready} of {asked} brokers are ready"));
    let mut before = cluster.status.iter().flat_map(|status| &status.conditions);
    let was_ready = before.any(|it| it.type_ == "Ready" && it.status == "True");
    let is_silent = view.is_none_or(|view| view.quorum.is_none());
    match (&report.invalid, view) {
        (Some(what), _) if ready == 0 => Err(Finding::new("Invalid", what.clone())),
        _ if is_silent && report.is_brief && was_ready && ready > 0 => Ok(serving()),
        (_, None) => Err(Finding::new("NotReached", "no broker answers yet; see the pods")),
        (_, Some(view)) if view.quorum.is_none() => {
            let what = match report.is_brief {
                true => "the quorum has no leader yet".to_owned(),
                false => voters::lost(coordinators, cluster.spec.coordinators.replicas),
            };
            Err(Finding::new("NoQuorum", what))
        }
        (_, Some(view)) if view.offline() > 0 => {
            let offline = view.offline();
            Err(Finding::new("Offline", format!("{offline} partitions have no leader")))
        }
        (_, Some(_)) if ready == 0 => {
            Err(Finding::new("NoBroker", format!("none of {asked} brokers is ready")))
        }
        // Clients are to find all that is declared: until then they would be refused, or make the
        // topics themselves.
        _ if !was_ready && report.starting.is_some() => {
            Err(Finding::new("Starting", report.starting.clone().unwrap_or_default()))
        }
        _ => match &report.unwritable {
            Some((what, lasts)) if !was_ready || *lasts > UNWRITABLE_MAX_S => {
                Err(Finding::new("NotWritable", what.clone()))
            }
            _ => Ok(serving()),
        },
    }
}

/// Whether the topics are as they are declared. Where they could not be looked at for a moment, or
/// the manifest is impossible, what was so before is so still, as far as they were looked at.
fn topics_ready(cluster: &KafkaCluster, report: &Report) -> (bool, Finding) {
    let Some(rows) = &report.topics else {
        let before = cluster.status.as_ref().filter(|before| {
            let is_known = |topic: &Topic| {
                let mut rows = before.topics.iter().filter(|row| row.name == topic.name);
                let same = |row: &TopicStatus| {
                    topic.partitions.is_none_or(|it| row.partitions == Some(it))
                };
                rows.any(same)
            };
            (report.is_brief || report.invalid.is_some())
                && cluster.spec.topics.iter().all(is_known)
        });
        let conditions = before.iter().flat_map(|before| &before.conditions);
        let kept = conditions.into_iter().find(|it| it.type_ == "TopicsReady");
        return match kept.map(|it| (it.reason.as_str(), it)) {
            Some(("AsDeclared", it)) => (true, Finding::new("AsDeclared", it.message.clone())),
            Some(("NotAsDeclared", it)) => {
                (false, Finding::new("NotAsDeclared", it.message.clone()))
            }
            _ => (false, Finding::new("NotReached", "the topics cannot be looked at yet")),
        };
    };
    let off: Vec<String> = rows
        .iter()
        .filter(|row| !matches!(row.state.as_str(), "Ready" | "Kept"))
        .map(|row| format!("{}: {}", row.name, row.message.clone().unwrap_or_default()))
        .collect();
    match off.is_empty() {
        true => (true, Finding::new("AsDeclared", "every topic is as it is declared")),
        false => (false, Finding::new("NotAsDeclared", off.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vltava_crd::KafkaCluster;

    use super::{Finding, Report, conditions, topics_ready, version};
    use crate::plan::fixture::Prague;

    /// Whether a cluster that said so of itself before is ready, and why.
    fn ready(
        before: &str,
        prague: &Prague,
        is_asked: bool,
        is_brief: bool,
    ) -> (bool, &'static str) {
        let report = Report { is_brief, ..Report::default() };
        reported(before, prague, is_asked, &report)
    }

    fn reported(
        before: &str,
        prague: &Prague,
        is_asked: bool,
        report: &Report,
    ) -> (bool, &'static str) {
        let condition = json!({
            "type": "Ready", "status": before, "reason": "So", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let cluster: KafkaCluster = serde_json::from_value(json!({
            "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "a"}, "spec": {}, "status": {"conditions": [condition]},
        }))
        .expect("a manifest");
        let (sets, view) = ([&prague.brokers, &prague.coordinators], Some(&prague.cluster));
        let mut all = conditions(&cluster, sets, view.filter(|_| is_asked), report).into_iter();
        let (_, holds, finding) = all.find(|it| it.0 == "Ready").expect("it is there");
        (holds, finding.reason)
    }

    #[test]
    fn a_cluster_is_ready_first_once_all_of_it_is_there_and_then_stays_so() {
        let starting = Some("2 of 3 brokers are ready".to_owned());
        let report = Report { starting, is_brief: true, ..Report::default() };
        let prague = Prague::rolling();
        assert_eq!(reported("False", &prague, true, &report), (false, "Starting"));
        assert_eq!(reported("True", &prague, true, &report), (true, "Serving"));
    }

    #[test]
    fn a_cluster_that_takes_no_write_is_not_ready_and_one_that_served_has_patience() {
        let prague = Prague::rolling();
        let after = |before: &str, seconds: i64| {
            let unwritable = Some(("orders-0".to_owned(), seconds));
            let report = Report { unwritable, is_brief: true, ..Report::default() };
            reported(before, &prague, true, &report)
        };
        assert_eq!(after("True", 15), (true, "Serving"));
        assert_eq!(after("True", 16), (false, "NotWritable"));
        assert_eq!(after("False", 0), (false, "NotWritable"), "nor does it flap");
    }

    #[test]
    fn what_is_not_answered_for_a_moment_makes_no_cluster_unready_that_served() {
        let (whole, mut leaderless, mut down) =
            (Prague::rolling(), Prague::rolling(), Prague::rolling());
        leaderless.cluster.quorum = None;
        down.brokers.pods.iter_mut().for_each(|pod| pod.ready = false);
        assert_eq!(ready("False", &whole, true, true), (true, "Serving"));
        for (prague, is_asked, reason) in
            [(&leaderless, true, "NoQuorum"), (&whole, false, "NotReached")]
        {
            assert_eq!(ready("True", prague, is_asked, true), (true, "Serving"), "{reason}");
            assert_eq!(ready("True", prague, is_asked, false), (false, reason));
            assert_eq!(ready("False", prague, is_asked, true), (false, reason));
        }
        assert_eq!(ready("True", &down, false, true), (false, "NotReached"), "no pod is ready");
    }

    #[test]
    fn topics_that_cannot_be_looked_at_for_a_moment_are_as_they_were() {
        let cluster = |partitions: i32, reason: &str| -> KafkaCluster {
            serde_json::from_value(json!({
                "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
                "metadata": {"name": "a"},
                "spec": {"topics": [{"name": "orders", "partitions": partitions}]},
                "status": {
                    "topics": [{"name": "orders", "state": "Ready", "partitions": 3}],
                    "conditions": [{
                        "type": "TopicsReady", "status": "True", "reason": reason,
                        "message": "so it was", "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }],
                },
            }))
            .expect("a manifest")
        };
        let look = |partitions, before: &str, is_brief, invalid: Option<&str>| {
            let invalid = invalid.map(str::to_owned);
            let report = Report { is_brief, invalid, ..Report::default() };
            let (holds, it) = topics_ready(&cluster(partitions, before), &report);
            (holds, it.reason)
        };
        let kept = (true, "AsDeclared");
        assert_eq!(look(3, "AsDeclared", true, None), kept);
        assert_eq!(look(3, "AsDeclared", false, Some("spec: no")), kept);
        assert_eq!(look(3, "NotAsDeclared", true, None), (false, "NotAsDeclared"));
        let not_reached = (false, "NotReached");
        assert_eq!(look(3, "AsDeclared", false, None), not_reached, "it lasts");
        assert_eq!(look(6, "AsDeclared", true, None), not_reached, "it never had so many");
        assert_eq!(look(3, "NotReached", true, None), not_reached);
    }

    #[test]
    fn a_version_is_the_tag_or_the_digest() {
        for (image, expected) in [
            ("vltava-broker:1.2", "1.2"),
            ("registry.example.com:5000/a/vltava-broker:1.2", "1.2"),
            ("registry.example.com:5000/a/vltava-broker", "latest"),
            ("a/vltava-broker:1.2@sha256:abc", "1.2"),
            ("a/vltava-broker@sha256:abc", "sha256:abc"),
        ] {
            assert_eq!(version(image), expected, "{image}");
        }
    }

    #[test]
    fn what_matters_most_is_said_first_and_nothing_twice() {
        let reasons = ["PodInTrouble", "Storage", "Offline", "UnderReplicated", "Offline"];
        let findings = reasons.map(|reason| Finding::new(reason, "so it is"));
        let mut report = Report { degraded: findings.into(), ..Report::default() };
        report.settle();
        let order =
            |report: &Report| report.findings().iter().map(|it| it.reason).collect::<Vec<_>>();
        assert_eq!(order(&report), ["Offline", "Storage", "PodInTrouble", "UnderReplicated"]);
        report.degraded.push(Finding::new("RollStopped", "broker-1 does not come up"));
        report.invalid = Some("spec: no".to_owned());
        report.settle();
        let expected = ["Invalid", "Offline", "RollStopped", "Storage", "UnderReplicated"];
        assert_eq!(order(&report), expected);
    }
}
