//! The volumes: what is noted on them, and how large they are.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};
use vltava_crd::ReclaimPolicy;
use vltava_crd::status::StorageStatus;

use super::Walk;
use crate::build::Facts;
use crate::covers::covers;
use crate::dereference::ordinal;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::{Component, Notice};
use crate::status::Finding;
use crate::storage::{Size, compare, is_given_up, resizing};

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

    /// Makes the claims of pods that are to come, where the template of their set would make them
    /// otherwise than the manifest says: it is for life. Returns how many.
    pub(super) async fn claims(&self, facts: &Facts, objects: &[Value]) -> Outcome<usize> {
        let namespace = names::namespace(self.cluster);
        let client = self.context.client.clone();
        let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        let mut made = 0;
        for component in [Component::Coordinator, Component::Broker] {
            let count = match component {
                Component::Broker => facts.brokers,
                Component::Coordinator => facts.coordinators,
            };
            let set = names::set(self.cluster, component);
            let Some(live) = self.found.live("StatefulSet", &set) else { continue };
            let template = |set: &Value| set["spec"]["volumeClaimTemplates"][0].clone();
            let is_set = |it: &&Value| it["kind"] == "StatefulSet" && it["metadata"]["name"] == set;
            let Some(wanted) = objects.iter().find(is_set).map(template) else { continue };
            if covers(&template(&live), &wanted) {
                continue;
            }
            for ordinal in 1..=count {
                let name = format!("data-{set}-{ordinal}");
                if self.found.claims.contains_key(&name) {
                    continue;
                }
                let mut claim = wanted.clone();
                claim["metadata"]["name"] = json!(name);
                claim["metadata"]["namespace"] = json!(namespace);
                let Ok(claim) = serde_json::from_value(claim) else { continue };
                match api.create(&PostParams::default(), &claim).await {
                    // The controller of the set was quicker; it is brought to its size later.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    made_one => match refused(made_one.map(|_| ()), &name)? {
                        Some(why) => tracing::warn!("the claim {name} cannot be made: {why}"),
                        None => made += 1,
                    },
                }
            }
        }
        Ok(made)
    }

    /// Deletes the volumes of nodes that left, where the manifest says so. (A set that did it would
    /// do it as well where a hand scales it.)
    async fn give_up(&mut self, facts: &Facts) -> Outcome {
        let Some(view) = self.view.clone() else { return Ok(()) };
        let spec = &self.cluster.spec;
        for (component, count, policy) in [
            (Component::Broker, facts.brokers, spec.brokers.storage.reclaim_policy),
            (Component::Coordinator, facts.coordinators, spec.coordinators.storage.reclaim_policy),
        ] {
            if policy == ReclaimPolicy::Retain {
                continue;
            }
            let set = self.set(component);
            let is_there = |its: i32| {
                its <= set.replicas.max(count) || set.pods.iter().any(|pod| pod.ordinal == its)
            };
            let prefix = format!("data-{}-", names::set(self.cluster, component));
            let claims = self.found.claims.iter().filter(|it| it.0.starts_with(&prefix));
            let left: Vec<(String, bool, Option<String>)> = claims
                .filter_map(|(name, claim)| {
                    let its = ordinal(name).filter(|its| !is_there(*its))?;
                    let is_deleted = claim.metadata.deletion_timestamp.is_some();
                    let goes = !is_deleted && is_given_up(&view, component, its);
                    Some((name.clone(), goes, claim.metadata.uid.clone()))
                })
                .collect();
            for (name, goes, uid) in left {
                self.progress("Leaving", format!("the volume {name} of a node that left goes"));
                if goes {
                    self.delete_claim(&name, uid).await?;
                }
            }
        }
        Ok(())
    }

    async fn delete_claim(&mut self, name: &str, uid: Option<String>) -> Outcome {
        let namespace = names::namespace(self.cluster);
        let client = self.context.client.clone();
        let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let exact = DeleteParams { preconditions, ..DeleteParams::default() };
        match refused(api.delete(name, &exact).await.map(|_| ()), name)? {
            None => {
                let what = format!("the volume {name} is deleted, as its node left");
                self.tell(Notice::normal("VolumeDeleted", what)).await;
            }
            Some(why) => {
                let message = format!("it cannot be deleted: {why}");
                self.degrade(Finding::new("Storage", format!("{name}: {message}")));
                self.report.storage.push(StorageStatus { name: name.to_owned(), message });
            }
        }
        Ok(())
    }

    /// Volumes that grow, and those that go with their node.
    pub(super) async fn volumes(&mut self, facts: &Facts) -> Outcome {
        self.give_up(facts).await?;
        let namespace = names::namespace(self.cluster);
        let client = self.context.client.clone();
        let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
        let mut rows = Vec::new();
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
                match compare(claim, wanted, &self.found.classes) {
                    Size::Same if its > count => {}
                    Size::Same => rows
                        .extend(resizing(claim).map(|it| (name.clone(), it.message, it.is_stuck))),
                    Size::Grows => {
                        let patch =
                            json!({"spec": {"resources": {"requests": {"storage": wanted}}}});
                        let written =
                            api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                        rows.push(match refused(written.map(|_| ()), name)? {
                            Some(why) => {
                                let what = format!("it cannot grow to {wanted}: {why}");
                                (name.clone(), what, true)
                            }
                            None => (name.clone(), format!("it is to grow to {wanted}"), false),
                        });
                    }
                    Size::Cannot(message) => rows.push((name.clone(), message, true)),
                }
            }
        }
        self.sizes(rows);
        Ok(())
    }

    /// Tells which volumes are not as large as they are to be, why, and if that needs a person.
    fn sizes(&mut self, rows: Vec<(String, String, bool)>) {
        let told = |needs: bool| {
            let mut its = rows.iter().filter(|row| row.2 == needs);
            its.next().map(|(name, message, _)| format!("{name}: {message}"))
        };
        if let Some(what) = told(true) {
            self.degrade(Finding::new("Storage", what));
        }
        if let Some(what) = told(false) {
            self.progress("Resizing", what);
        }
        let rows = rows.into_iter().map(|(name, message, _)| StorageStatus { name, message });
        self.report.storage.extend(rows);
    }
}

/// Why the API server refuses a claim (a quota, one that is bound to no volume yet), if it does:
/// it is told, and the rest goes on. One that is gone is no matter.
fn refused(written: Result<(), kube::Error>, name: &str) -> Outcome<Option<String>> {
    match written {
        Ok(()) => Ok(None),
        Err(kube::Error::Api(status)) => match status.code {
            404 => Ok(None),
            400 | 403 | 409 | 422 => Ok(Some(status.message.clone())),
            _ => Err(OperatorError::write(format!("the claim {name}"))(kube::Error::Api(status))),
        },
        Err(error) => Err(OperatorError::write(format!("the claim {name}"))(error)),
    }
}
