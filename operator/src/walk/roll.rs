//! Restarting pods, one at a time, by eviction.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, EvictParams, Preconditions};
use kube::core::Status;

use super::Walk;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::plan::disruption::{disruption, is_its_own_obstacle};
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
        for notice in seen {
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
                self.degrade(Finding::new("RollStopped", why.clone()));
                self.progress("Rolling", why);
                Ok(())
            }
            Step::Evict { pod, why } => {
                let is = |it: &&PodView| it.uid == pod.uid;
                let view = self.sets.iter().flat_map(|set| &set.pods).find(is);
                // No budget counts a pod that is not ready.
                let by_force = view.is_some_and(|it| !it.ready || is_its_own_obstacle(&input, it));
                self.restart(&pod, &why, by_force, decided.notices).await
            }
        }
    }

    /// Restarts a pod; what is to be known about it is told once it goes.
    async fn restart(
        &mut self,
        pod: &Evicted,
        why: &str,
        by_force: bool,
        notices: Vec<Notice>,
    ) -> Outcome {
        let what = format!("restarting {}: {why}", pod.pod);
        match self.evict(pod, by_force).await? {
            Gone::Now => {
                for notice in notices {
                    self.tell(notice).await;
                }
                self.tell(Notice::normal("Restarting", what.clone())).await;
                self.progress("Rolling", what);
            }
            Gone::Before => self.progress("Rolling", what),
            Gone::Not { why } => {
                let name = &pod.pod;
                self.progress("Rolling", format!("{name} is to restart and may not yet: {why}"));
            }
        }
        Ok(())
    }

    async fn evict(&self, pod: &Evicted, by_force: bool) -> Outcome<Gone> {
        let note = format!("{}/{}", pod.pod, pod.uid);
        // Tried again each second while a budget refuses.
        if self.note_of_set(names::EVICTED).as_ref() != Some(&note) {
            self.annotate_set(names::EVICTED, &note).await?;
        }
        let namespace = names::namespace(self.cluster);
        let api = Api::<Pod>::namespaced(self.context.client.clone(), namespace);
        let exact = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let gone = if by_force {
            api.delete(&pod.pod, &exact).await.map(|_| ())
        } else {
            let params = EvictParams { delete_options: Some(exact), ..EvictParams::default() };
            api.evict(&pod.pod, &params).await.map(|_| ())
        };
        match gone {
            Ok(()) => Ok(Gone::Now),
            Err(kube::Error::Api(status)) => match status.code {
                404 | 409 => Ok(Gone::Before),
                429 => Ok(Gone::Not { why: self.held_by(&status) }),
                _ => {
                    let what = format!("the eviction of {}", pod.pod);
                    Err(OperatorError::write(what)(kube::Error::Api(status)))
                }
            },
            Err(error) => Err(OperatorError::write(format!("the eviction of {}", pod.pod))(error)),
        }
    }

    /// Why a budget holds a pod: what ours says, or else what the API server does, where the budget
    /// is somebody else's.
    fn held_by(&self, refused: &Status) -> String {
        let [brokers, coordinators] = &self.sets;
        let input = Input { brokers, coordinators, cluster: self.view.as_ref(), last: None };
        let all = [Component::Broker, Component::Coordinator];
        let ours = all.into_iter().find_map(|component| disruption(&input, component).why);
        ours.unwrap_or_else(|| refused.message.clone())
    }
}

/// What became of an eviction.
enum Gone {
    /// The pod goes.
    Now,
    /// It was gone already.
    Before,
    /// A budget holds it.
    Not {
        /// Why.
        why: String,
    },
}
