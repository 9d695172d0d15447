//! Restarting pods, one at a time, by eviction.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, EvictParams, Preconditions};

use super::Walk;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::rollout::{Evicted, Input, Step, rollout};
use crate::plan::{Component, Notice, PodView};
use crate::status::Finding;

impl Walk<'_> {
    /// Restarts the next pod that is outdated, if one may go.
    pub(super) async fn roll(&mut self) -> Outcome {
        let set = self.found.sets.get(&names::set(self.cluster, Component::Broker));
        let note = set.and_then(|set| set.metadata.annotations.as_ref()?.get(names::EVICTED));
        let last = note.and_then(|note| {
            let (pod, uid) = note.split_once('/')?;
            Some(Evicted { pod: pod.to_owned(), uid: uid.to_owned() })
        });
        let [brokers, coordinators] = &self.sets;
        if brokers.pods.is_empty() || coordinators.pods.is_empty() {
            return Ok(());
        }
        let input =
            Input { brokers, coordinators, cluster: self.view.as_ref(), last: last.as_ref() };
        let seen = self.context.watch(self.cluster, &input);
        let decided = rollout(&input);
        let waits = self.sets.iter().flat_map(|set| {
            set.pods.iter().filter(|pod| Some(&pod.revision) != set.update_revision.as_ref())
        });
        let outdated = waits.count();
        for notice in seen.into_iter().chain(decided.notices) {
            self.tell(notice).await;
        }
        match decided.step {
            Step::Done => Ok(()),
            Step::Wait { why } => {
                if outdated > 0 {
                    self.progress("Rolling", why);
                } else {
                    self.progress("Settling", why);
                }
                Ok(())
            }
            Step::Stopped { why } => {
                let finding = Finding::new("RollStopped", why.clone());
                self.degrade(finding).await;
                self.progress("Rolling", why);
                Ok(())
            }
            Step::Evict { pod, why } => {
                self.progress("Rolling", format!("restarting {}: {why}", pod.pod));
                self.evict(&pod, &why).await
            }
        }
    }

    async fn evict(&self, pod: &Evicted, why: &str) -> Outcome {
        self.annotate_set(names::EVICTED, &format!("{}/{}", pod.pod, pod.uid)).await?;
        let namespace = names::namespace(self.cluster);
        let api = Api::<Pod>::namespaced(self.context.client.clone(), namespace);
        let is = |it: &&PodView| it.name == pod.pod;
        let ready = self.sets.iter().flat_map(|set| &set.pods).find(is).is_some_and(|it| it.ready);
        let exact = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let gone = match ready {
            true => {
                let params = EvictParams { delete_options: Some(exact), ..EvictParams::default() };
                api.evict(&pod.pod, &params).await.map(|_| ())
            }
            // No budget counts a pod that is not ready.
            false => api.delete(&pod.pod, &exact).await.map(|_| ()),
        };
        match gone {
            Ok(()) => {
                let what = format!("restarting {}: {why}", pod.pod);
                self.tell(Notice::normal("Restarting", what)).await;
                Ok(())
            }
            // Gone already, or the budget says no at this moment.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 429) => Ok(()),
            Err(error) => Err(OperatorError::write(format!("the eviction of {}", pod.pod))(error)),
        }
    }
}
