//! What brokers are told at run time: their settings, their listeners, the topics.

use std::collections::BTreeSet;

use vltava_client::{AlterOp, Cluster, ConfigResource};
use vltava_crd::{KafkaClusterSpec, Topic};

use super::Walk;
use crate::error::Outcome;
use crate::plan::{ClusterView, Component, Notice, settings};
use crate::status::Finding;
use crate::{listeners, names, topics};

/// How long a note may be, in bytes: all annotations of an object together may have 256 KiB.
const NOTE_MAX: usize = 192 * 1024;

/// What is noted of topics: what they are called, and which of their settings were declared.
fn noted(topics: impl Iterator<Item = Topic>) -> String {
    let short = topics.map(|topic| Topic {
        partitions: None,
        replication_factor: None,
        config: topic.config.into_keys().map(|key| (key, String::new())).collect(),
        name: topic.name,
    });
    serde_json::to_string(&short.collect::<Vec<_>>()).unwrap_or_default()
}

/// What is to be noted of topics before anything is done about them: those that are declared, and
/// as long as they exist those that were (the status of a walk may not have come back when the next
/// one begins); with the settings that were declared, until they are given back.
fn to_note(declared: &[Topic], before: Vec<Topic>, view: &ClusterView, is_done: bool) -> String {
    let of = |name: &str| before.iter().find(|it| it.name == name).filter(|_| !is_done);
    let both = declared.iter().map(|topic| {
        let mut topic = topic.clone();
        let had = of(&topic.name).map(|it| it.config.clone()).unwrap_or_default();
        topic.config.extend(had);
        topic
    });
    let both: Vec<Topic> = both.collect();
    let is_declared = |name: &str| declared.iter().any(|it| it.name == name);
    let kept = before
        .into_iter()
        .filter(|it| !is_declared(&it.name) && view.topics.contains_key(&it.name));
    noted(both.into_iter().chain(kept))
}

impl Walk<'_> {
    /// Settings of all brokers that change at run time.
    pub(super) async fn settings(&mut self, kafka: &Cluster, view: &ClusterView) -> Outcome {
        let wanted = settings::dynamic(&self.cluster.spec);
        let note = self.noted(names::APPLIED_CONFIG).unwrap_or_default();
        let owned: BTreeSet<&str> = note.split(',').filter(|key| !key.is_empty()).collect();
        let changes = settings::changes(&wanted, &owned, &view.config);
        let listed = |keys: BTreeSet<&str>| keys.into_iter().collect::<Vec<_>>().join(",");
        // What is about to be set is noted first: so it is given back one day, come what may.
        let both = listed(wanted.keys().copied().chain(owned.iter().copied()).collect());
        let now = listed(wanted.keys().copied().collect());
        let next = if changes.is_empty() { now } else { both };
        if next != note {
            self.note_down(names::APPLIED_CONFIG, &next).await?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = changes.iter().map(|(key, _)| *key).collect();
        let changes: Vec<(&str, AlterOp)> =
            changes.into_iter().map(|(key, value)| (key, AlterOp::to(value))).collect();
        match kafka.alter_configs(&ConfigResource::all_brokers(), &changes, false).await {
            Ok(()) => {
                let what = format!("{} changed at run time", keys.join(", "));
                self.tell(Notice::normal("Configured", what.clone())).await;
                self.progress("Configuring", what);
            }
            Err(error) => {
                let what = format!("{}: {}", keys.join(", "), vltava_net::error_chain(&error));
                self.degrade(Finding::new("ConfigRefused", what));
            }
        }
        Ok(())
    }

    /// Listeners that brokers open and close at run time.
    pub(super) async fn listeners(&mut self, kafka: &Cluster, view: &ClusterView) {
        for id in 1..=self.sets[0].replicas {
            let told = listeners::told(self.cluster, &self.found, view, id);
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
                    self.degrade(Finding::new("ListenersRefused", what));
                }
            }
        }
    }

    /// Topics become as they are declared.
    pub(super) async fn topics(&mut self, kafka: &Cluster, view: &ClusterView) -> Outcome {
        let live = view.brokers.values().filter(|broker| !broker.fenced).count();
        let asked = self.cluster.spec.topics.iter().filter_map(|topic| topic.replication_factor);
        let most = usize::try_from(asked.max().unwrap_or(1)).unwrap_or(1);
        if live < most && self.found.founding(self.cluster).is_some() {
            return Ok(());
        }
        let has_set = self.found.sets.contains_key(&names::set(self.cluster, Component::Broker));
        let written = self.noted(names::APPLIED_TOPICS);
        // The first topics are spread over all brokers and racks, which come one after the other.
        let wanted = usize::try_from(self.cluster.spec.brokers.replicas).unwrap_or(0);
        if written.is_none() && live < wanted && self.comes_up {
            return Ok(());
        }
        let previous: Option<Vec<Topic>> =
            written.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let previous =
            previous.map(|topics| KafkaClusterSpec { topics, ..self.cluster.spec.clone() });
        let plan = topics::plan(self.cluster, previous.as_ref(), view);
        let before = previous.map(|spec| spec.topics).unwrap_or_default();
        let is_done = plan.create.is_empty() && plan.alter.is_empty();
        let now = to_note(&self.cluster.spec.topics, before, view, is_done);
        if now.len() > NOTE_MAX {
            let what = "so many topics, and settings of them, cannot be noted: settings that are \
                        taken out of the manifest from now on stay as they are until they are \
                        taken back by hand";
            self.degrade(Finding::new("Topics", what));
        } else if has_set && self.note_of_set(names::APPLIED_TOPICS).as_ref() != Some(&now) {
            self.note_down(names::APPLIED_TOPICS, &now).await?;
        }
        let rows = topics::follow(kafka, self.cluster, &plan, view).await;
        if rows.iter().any(|row| matches!(row.state.as_str(), "Pending" | "Changing")) {
            self.progress("Topics", "topics become as they are declared");
        }
        self.report.topics = Some(rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vltava_crd::plan::{PresentTopic, topics as plan_topics};

    use super::*;

    #[test]
    fn a_setting_of_a_topic_is_noted_before_it_is_set_and_until_it_is_given_back() {
        let topic = |name: &str, keys: &[&str]| Topic {
            name: name.to_owned(),
            partitions: None,
            replication_factor: None,
            config: keys.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect(),
        };
        let mut view = ClusterView::default();
        view.topics.insert("old".to_owned(), Default::default());
        let before = || vec![topic("a", &["retention.ms"]), topic("old", &[]), topic("gone", &[])];
        let declared = [topic("a", &["segment.ms"]), topic("new", &["retention.ms"])];
        let note = |is_done| to_note(&declared, before(), &view, is_done);
        assert_eq!(
            note(false),
            r#"[{"name":"a","config":{"retention.ms":"","segment.ms":""}},"#.to_owned()
                + r#"{"name":"new","config":{"retention.ms":""}},{"name":"old"}]"#
        );
        assert_eq!(
            note(true),
            r#"[{"name":"a","config":{"segment.ms":""}},"#.to_owned()
                + r#"{"name":"new","config":{"retention.ms":""}},{"name":"old"}]"#
        );
    }

    #[test]
    fn what_is_noted_of_topics_is_short_and_says_which_settings_they_had() {
        let topic = |config: &[(&str, &str)]| Topic {
            name: "orders".to_owned(),
            partitions: Some(6),
            replication_factor: Some(3),
            config: config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        let note = noted([topic(&[("retention.ms", "604800000")])].into_iter());
        assert_eq!(note, r#"[{"name":"orders","config":{"retention.ms":""}}]"#);
        let declared: Vec<Topic> = serde_json::from_str(&note).expect("it can be read again");
        let spec = |topics| KafkaClusterSpec { topics, ..serde_json::from_str("{}").expect("all") };
        let config = [("retention.ms".to_owned(), "604800000".to_owned())].into();
        let present = PresentTopic { partitions: 6, replication_factor: 3, config };
        let present = [("orders".to_owned(), present)].into();
        let plan = plan_topics(&spec(vec![topic(&[])]), Some(&spec(declared)), &present);
        assert!(plan.alter[0].reset.contains("retention.ms"), "{plan:?}");
    }
}
