//! The volumes: what is noted on them, and how large they are.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use vltava_crd::ReclaimPolicy;
use vltava_crd::status::StorageStatus;

use super::Walk;
use crate::build::Facts;
use crate::dereference::ordinal;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::Component;
use crate::status::Finding;

impl Walk<'_> {
    /// Notes on every volume that the quorum was founded. It is noted before anything else lets go
    /// of it, and for good.
    pub(super) async fn founded(&self) -> Outcome {
        let namespace = names::namespace(self.cluster);
        let client = self.context.client.clone();
        let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        for (name, claim) in &self.found.claims {
            let annotations = claim.metadata.annotations.as_ref();
            let knows = annotations.is_some_and(|it| it.contains_key(names::FOUNDED));
            if knows || claim.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let patch = json!({"metadata": {"annotations": {names::FOUNDED: "true"}}});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                outcome => {
                    outcome
                        .map(|_| ())
                        .map_err(OperatorError::write(format!("the claim {name}")))?;
                }
            }
        }
        Ok(())
    }

    /// Volumes that grow, and those that go with their node.
    pub(super) async fn volumes(&mut self, facts: &Facts) -> Outcome {
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
}
