//! What is noted of what brokers were told, so that it is given back one day: on their set, and on
//! the claim of the first one. Volumes that are retained outlive the set, and what brokers were
//! told outlives it with them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Walk;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::Component;

type Notes<'a> = BTreeMap<&'a str, &'a str>;

impl Walk<'_> {
    /// What was noted on the brokers' set.
    pub(super) fn note_of_set(&self, key: &str) -> Option<String> {
        let set = self.found.sets.get(&names::set(self.cluster, Component::Broker))?;
        set.annotations().get(key).cloned()
    }

    /// What was noted last, be it by a set that is gone.
    pub(super) fn noted(&self, key: &str) -> Option<String> {
        self.note_of_set(key).or_else(|| self.first_claim()?.annotations().get(key).cloned())
    }

    /// Notes something on the brokers' set alone.
    pub(super) async fn annotate_set(&self, key: &str, value: &str) -> Outcome {
        let name = names::set(self.cluster, Component::Broker);
        self.annotate::<StatefulSet>(&name, &Notes::from([(key, value)])).await
    }

    /// Notes something for as long as the brokers' volumes are there.
    pub(super) async fn note_down(&self, key: &str, value: &str) -> Outcome {
        if let Some(name) = self.first_claim().and_then(|claim| claim.metadata.name.clone()) {
            let notes = Notes::from([(key, value)]);
            self.annotate::<PersistentVolumeClaim>(&name, &notes).await?;
        }
        self.annotate_set(key, value).await
    }

    /// Brings what the set says to the claim, which may be a new one, or older than that it is
    /// noted there. What only the claim says stays: the set is a new one then.
    pub(super) async fn notes(&self) -> Outcome {
        let Some(claim) = self.first_claim() else { return Ok(()) };
        let notes: Vec<(&str, String)> =
            names::NOTES.iter().filter_map(|key| Some((*key, self.note_of_set(key)?))).collect();
        let known = claim.annotations();
        let news: Notes<'_> = notes
            .iter()
            .filter(|(key, value)| known.get(*key) != Some(value))
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        self.annotate::<PersistentVolumeClaim>(&claim.name_any(), &news).await
    }

    /// The claim of the broker that is there as long as the cluster is.
    fn first_claim(&self) -> Option<&PersistentVolumeClaim> {
        let claim = self.found.claims.get(&names::claim(self.cluster, Component::Broker, 1))?;
        claim.metadata.deletion_timestamp.is_none().then_some(claim)
    }

    async fn annotate<K>(&self, name: &str, notes: &Notes<'_>) -> Outcome
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned,
    {
        let namespace = names::namespace(self.cluster);
        let api = Api::<K>::namespaced(self.context.client.clone(), namespace);
        let patch = json!({"metadata": {"annotations": notes}});
        let written = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        written.map(|_| ()).map_err(OperatorError::write(format!("a note on {name}")))
    }
}
