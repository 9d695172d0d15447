//! Changes of a manifest that the running cluster refused: each is said, and none stops the rest.

use std::collections::BTreeSet;
use std::fmt::Display;

use vltava_client::ClientError;
use vltava_crd::{KafkaCluster, KafkaClusterSpec};

use crate::error::CliError;
use crate::output;

/// What was refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: usize,
    topics: BTreeSet<String>,
    settings: BTreeSet<String>,
}

/// The outcome of a change; `None` if the cluster refused it, after `note` was told why.
fn noted<T>(
    outcome: Result<T, ClientError>,
    note: impl FnOnce(String),
) -> Result<Option<T>, CliError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Refused { code, message, .. }) => {
            let why = message.filter(|message| !message.is_empty());
            note(format!("{} ({code})", why.as_deref().unwrap_or("refused")));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

impl Refusals {
    /// Says that a change of a topic is refused, and why.
    pub(crate) fn topic(&mut self, name: &str, why: impl Display) {
        self.topics.insert(name.to_owned());
        self.other(format_args!("topic {name}: {why}"));
    }

    /// Says that some other change is refused.
    pub(crate) fn other(&mut self, what: impl Display) {
        self.count += 1;
        output::notice(what);
    }

    /// Whether something about a topic was refused.
    pub(crate) fn has_topic(&self, name: &str) -> bool {
        self.topics.contains(name)
    }

    /// Takes note of the outcome of a change of a topic; `None` if it was refused.
    ///
    /// # Errors
    /// What is no refusal: that nobody answers, say.
    pub(crate) fn topic_or_note<T>(
        &mut self,
        topic: &str,
        outcome: Result<T, ClientError>,
    ) -> Result<Option<T>, CliError> {
        noted(outcome, |why| self.topic(topic, why))
    }

    /// The same for a setting of all brokers.
    ///
    /// # Errors
    /// As [`topic_or_note`](Self::topic_or_note).
    pub(crate) fn setting_or_note<T>(
        &mut self,
        key: &str,
        outcome: Result<T, ClientError>,
    ) -> Result<Option<T>, CliError> {
        noted(outcome, |why| {
            self.settings.insert(key.to_owned());
            self.other(format_args!("brokers: {key}: {why}"));
        })
    }

    /// Success, if nothing was refused.
    ///
    /// # Errors
    /// [`CliError::PartlyApplied`] otherwise.
    pub(crate) fn outcome(&self) -> Result<(), CliError> {
        match self.count {
            0 => Ok(()),
            count => Err(CliError::PartlyApplied { count }),
        }
    }

    /// What of a manifest is applied: where something was refused, the settings that the manifest
    /// had before are kept as well, so that one day they are taken back.
    pub(crate) fn applied(
        &self,
        wanted: &KafkaCluster,
        before: Option<&KafkaClusterSpec>,
    ) -> KafkaCluster {
        let mut applied = wanted.clone();
        let settings = before.into_iter().flat_map(|spec| &spec.brokers.config);
        for (key, value) in settings.filter(|(key, _)| self.settings.contains(*key)) {
            let all = &mut applied.spec.brokers.config;
            all.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for topic in applied.spec.topics.iter_mut().filter(|it| self.topics.contains(&it.name)) {
            let old = before.into_iter().flat_map(|spec| &spec.topics);
            for (key, value) in old.filter(|old| old.name == topic.name).flat_map(|it| &it.config) {
                topic.config.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::Refusals;
    use vltava_crd::{KafkaCluster, manifest};

    fn cluster(topics: &str) -> KafkaCluster {
        let head = "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {name: a}\n";
        manifest::parse(&format!("{head}spec: {{topics: [{topics}]}}")).expect("it can be read")
    }

    #[test]
    fn what_was_refused_is_given_back_one_day() {
        let before = cluster("{name: a, config: {x: 1}}, {name: b, config: {x: 1}}");
        let wanted = cluster("{name: a, config: {y: 2}}, {name: b, config: {y: 2}}");
        let mut refused = Refusals::default();
        assert!(refused.outcome().is_ok());
        assert_eq!(refused.applied(&wanted, Some(&before.spec)), wanted);
        refused.topic("b", "no");
        let applied = refused.applied(&wanted, Some(&before.spec));
        assert_eq!(applied.spec.topics[0], wanted.spec.topics[0]);
        let keys: Vec<&String> = applied.spec.topics[1].config.keys().collect();
        assert_eq!(keys, ["x", "y"]);
        let text = refused.outcome().expect_err("one was refused").to_string();
        assert_eq!(text, "1 change of the manifest refused, as said above; all else is applied");
    }
}
