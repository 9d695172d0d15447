//! Which pod may be replaced next, so that it takes the newest revision.
//!
//! One at a time, brokers before coordinators, the active coordinator last. A broker goes only if
//! no partition falls below its effective min ISR, a coordinator only if a caught-up majority
//! remains, and nobody before the last one is whole again. What is not known counts as not given:
//! without a view of the cluster nobody goes.
//!
//! An unready pod of an outdated revision is the exception: it goes first, if it serves nothing
//! that others lack. So a roll that made a pod crash is rolled back by taking the change back.

use std::collections::BTreeMap;

use super::{ClusterView, Component, Notice, PartitionId, PodView, QuorumView, SetView};

/// What is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The brokers' StatefulSet and pods.
    pub brokers: &'a SetView,
    /// The coordinators' StatefulSet and pods.
    pub coordinators: &'a SetView,
    /// The cluster, asked after the pods were listed; `None` if it could not be asked.
    pub cluster: Option<&'a ClusterView>,
    /// The pod that was evicted last, as it was written down before it was.
    pub last: Option<&'a Evicted>,
}

/// A pod that the operator evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// Its name.
    pub pod: String,
    /// Its uid: the pod of that name that is to be seen no more.
    pub uid: String,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: every pod is of its newest revision.
    Done,
    /// Nothing yet.
    Wait {
        /// For what, as a sentence without its full stop.
        why: String,
    },
    /// Nothing: the newest revision does not come up, and a person has to change it.
    Stopped {
        /// Which pod, and what Kubernetes says about it.
        why: String,
    },
    /// Evict this pod, by its uid.
    Evict {
        /// The pod.
        pod: Evicted,
        /// Why this one, as a sentence without its full stop.
        why: String,
    },
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// What to do now.
    pub step: Step,
    /// What a person should know about it; only with a step that is taken.
    pub notices: Vec<Notice>,
}

impl From<Step> for Rollout {
    fn from(step: Step) -> Self {
        Self { step, notices: Vec::new() }
    }
}

/// Decides which pod goes next.
pub fn rollout(input: &Input<'_>) -> Rollout {
    if let Some(set) = input.sets().find(|set| set.update_revision.is_none()) {
        let which = set.pods.first().map_or("a", |pod| pod.component.name());
        let why = format!("the controller has not seen the newest {which} StatefulSet");
        return Step::Wait { why }.into();
    }
    if let Some(pod) = input.useless() {
        let why = format!(
            "{} is not ready, of an outdated revision, and serves nothing that others lack",
            pod.name
        );
        return evict(pod, why, Vec::new());
    }
    if let Some(step) = input.unsettled() {
        return step.into();
    }
    if input.outdated().next().is_none() {
        return Step::Done.into();
    }
    input.next()
}

fn evict(pod: &PodView, why: String, notices: Vec<Notice>) -> Rollout {
    let pod = Evicted { pod: pod.name.clone(), uid: pod.uid.clone() };
    Rollout { step: Step::Evict { pod, why }, notices }
}

impl<'a> Input<'a> {
    fn sets(&self) -> impl Iterator<Item = &'a SetView> + use<'a> {
        [self.brokers, self.coordinators].into_iter()
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &'a PodView> + use<'a> {
        self.sets().flat_map(|set| &set.pods)
    }

    pub(super) fn set_of(&self, component: Component) -> &'a SetView {
        match component {
            Component::Broker => self.brokers,
            Component::Coordinator => self.coordinators,
        }
    }

    fn is_outdated(&self, pod: &PodView) -> bool {
        self.set_of(pod.component).update_revision.as_ref() != Some(&pod.revision)
    }

    fn outdated(&self) -> impl Iterator<Item = &'a PodView> {
        self.pods().filter(|pod| self.is_outdated(pod))
    }

    /// An unready pod of an outdated revision that nobody would miss.
    fn useless(&self) -> Option<&'a PodView> {
        let mut unready = self.outdated().filter(|pod| !pod.ready && !pod.deleting);
        unready.find(|pod| self.can_be_spared(pod))
    }

    /// Whether a pod that is not ready serves nothing that others lack.
    pub(super) fn can_be_spared(&self, pod: &PodView) -> bool {
        !pod.running || self.nobody_misses(pod)
    }

    fn is_last(&self, pod: &PodView) -> bool {
        self.last.is_some_and(|last| last.pod == pod.name && last.uid == pod.uid)
    }

    fn nobody_misses(&self, pod: &PodView) -> bool {
        let Some(cluster) = self.cluster else {
            // Nobody answers, and nobody is ready: there is nothing to lose.
            return self.set_of(pod.component).pods.iter().all(|pod| !pod.ready);
        };
        let id = pod.node_id();
        match pod.component {
            Component::Broker => match cluster.brokers.get(&id) {
                None => true,
                Some(broker) if broker.fenced => true,
                Some(_) => cluster
                    .partitions()
                    .all(|(_, topic, partition)| cluster.bears_loss_of(topic, partition, id)),
            },
            Component::Coordinator => cluster.quorum.as_ref().is_some_and(|quorum| {
                quorum.leader != id && (quorum.voter(id).is_none() || quorum.bears_loss_of(id))
            }),
        }
    }

    /// Why nobody else may go at the moment, if the last one is not back or not whole.
    fn unsettled(&self) -> Option<Step> {
        let wait = |why: String| Some(Step::Wait { why });
        if let Some(pod) = self.pods().find(|pod| pod.deleting) {
            return wait(format!("{} is on its way out", pod.name));
        }
        for component in [Component::Broker, Component::Coordinator] {
            let set = self.set_of(component);
            let has = |ordinal| set.pods.iter().any(|pod| pod.ordinal == ordinal);
            if let Some(missing) = (1..=set.replicas).find(|ordinal| !has(*ordinal)) {
                return wait(format!("{}-{missing} has no pod", component.name()));
            }
        }
        for pod in self.pods().filter(|pod| !self.is_outdated(pod)) {
            if let Some(trouble) = pod.trouble.as_ref().filter(|_| !pod.ready) {
                if self.outdated().next().is_none() {
                    // Nothing rolls: there is no change to take back.
                    return wait(format!("{} does not come up: {trouble}", pod.name));
                }
                let why = format!(
                    "{} does not come up with revision {}: {trouble}; correct the manifest or \
                     take the change back",
                    pod.name, pod.revision
                );
                return Some(Step::Stopped { why });
            }
            if let Err(why) = is_settled(pod, self.cluster) {
                return wait(why);
            }
        }
        None
    }

    /// The next pod, the quorum and all partitions permitting.
    fn next(&self) -> Rollout {
        let wait = |why: String| Step::Wait { why }.into();
        let Some(cluster) = self.cluster else {
            return wait("the cluster cannot be asked".to_owned());
        };
        let Some(quorum) = &cluster.quorum else {
            return wait("the quorum has no leader".to_owned());
        };
        let caught_up = quorum.voters.iter().filter(|voter| quorum.is_caught_up(voter)).count();
        if caught_up < quorum.majority() {
            let voters = quorum.voters.len();
            return wait(format!("{caught_up} of {voters} coordinators have caught up"));
        }
        // One whose eviction is written down, and that is there all the same, was not evicted: the
        // budget said no, or the operator ended meanwhile. It is the one to evict, and no other: if
        // the list is older than it should be, nobody else goes by it.
        let mut pods: Vec<&PodView> = self.outdated().collect();
        if pods.iter().any(|pod| self.is_last(pod)) {
            pods.retain(|pod| self.is_last(pod));
        }
        let leads = |pod: &PodView| pod.node_id() == quorum.leader;
        pods.sort_by_key(|pod| (pod.component, leads(pod), pod.ready, pod.ordinal));
        let mut blocked: Option<(Component, String)> = None;
        for pod in pods {
            // Coordinators after brokers, and the active one when it is the only one left.
            if blocked.as_ref().is_some_and(|(first, _)| *first != pod.component || leads(pod)) {
                break;
            }
            let may_go = match pod.component {
                Component::Broker => broker_may_go(pod, cluster),
                Component::Coordinator => coordinator_may_go(pod, quorum),
            };
            match may_go {
                Ok(notices) => return evict(pod, outdated(pod), notices),
                Err(why) => blocked = blocked.or(Some((pod.component, why))),
            }
        }
        blocked.map_or(Step::Done.into(), |(_, why)| wait(why))
    }
}

fn outdated(pod: &PodView) -> String {
    format!("{} is of revision {}, which is outdated", pod.name, pod.revision)
}

/// Whether a pod is back and whole: judged by what the cluster says of the node, and by which pod
/// it says to be in, as the pod's readiness may be that of an earlier one.
///
/// # Errors
/// What it lacks.
pub(super) fn is_settled(pod: &PodView, cluster: Option<&ClusterView>) -> Result<(), String> {
    let name = &pod.name;
    if !pod.ready {
        return Err(format!("{name} is not ready"));
    }
    let cluster = cluster.ok_or_else(|| "the cluster cannot be asked".to_owned())?;
    match pod.component {
        Component::Broker => broker_is_settled(pod, cluster),
        Component::Coordinator => coordinator_is_settled(pod, cluster),
    }
}

fn broker_is_settled(pod: &PodView, cluster: &ClusterView) -> Result<(), String> {
    let (name, id) = (&pod.name, pod.node_id());
    let broker = match cluster.brokers.get(&id) {
        None => return Err(format!("{name} is not registered")),
        Some(broker) if broker.fenced => return Err(format!("{name} is fenced")),
        Some(broker) => broker,
    };
    if broker.config.is_empty() {
        return Err(format!("{name} does not answer"));
    }
    if broker.pod_uid().is_some_and(|uid| uid != pod.uid) {
        return Err(format!("broker {id} is still the pod that {name} replaced"));
    }
    // One without a leader waits for another broker, not for this one.
    let lacking = cluster.partitions().filter(|(_, _, partition)| {
        partition.leader.is_some()
            && partition.replicas.contains(&id)
            && !partition.adding.contains(&id)
            && !partition.isr.contains(&id)
    });
    let lacking: Vec<PartitionId> = lacking.map(|(partition, _, _)| partition).collect();
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(format!("{name} has not caught up in {}", named(&lacking))),
    }
}

fn coordinator_is_settled(pod: &PodView, cluster: &ClusterView) -> Result<(), String> {
    let (name, id) = (&pod.name, pod.node_id());
    let quorum = cluster.quorum.as_ref().ok_or_else(|| "the quorum has no leader".to_owned())?;
    let replica = quorum
        .voter(id)
        .or_else(|| quorum.observers.iter().find(|observer| observer.id == id))
        .ok_or_else(|| format!("{name} is not part of the quorum"))?;
    match quorum.is_caught_up(replica) {
        true => Ok(()),
        false => Err(format!("{name} has not caught up with the active coordinator")),
    }
}

/// Whether no partition would miss the broker; with what is told about those that would always.
fn broker_may_go(pod: &PodView, cluster: &ClusterView) -> Result<Vec<Notice>, String> {
    let (name, id) = (&pod.name, pod.node_id());
    let (mut short, mut bare) = (Vec::new(), Vec::new());
    for (partition, topic, state) in cluster.partitions() {
        let least = topic.min_insync_replicas;
        if cluster.bears_loss_of(topic, state, id) {
            continue;
        }
        if state.can_bear_no_loss(least) && state.isr.len() == state.replicas.len() {
            bare.push(partition);
        } else {
            short.push(partition);
        }
    }
    if !short.is_empty() {
        let named = named(&short);
        return Err(format!("without {name}, {named} would have too few replicas in sync"));
    }
    if bare.is_empty() {
        return Ok(Vec::new());
    }
    let note = format!(
        "{} cannot be written while {name} restarts: as many replicas must be in sync as there \
         are; raise the replication factor or lower min.insync.replicas",
        named(&bare)
    );
    Ok(vec![Notice::warning("TooFewReplicas", note)])
}

fn coordinator_may_go(pod: &PodView, quorum: &QuorumView) -> Result<Vec<Notice>, String> {
    let (name, id) = (&pod.name, pod.node_id());
    if quorum.voter(id).is_none() || quorum.bears_loss_of(id) {
        return Ok(Vec::new());
    }
    let all = quorum.voters.iter().all(|voter| quorum.is_caught_up(voter));
    if quorum.can_bear_no_loss() && all {
        let count = quorum.voters.len();
        let note = format!(
            "nothing can change while {name} restarts: {count} of {count} coordinators are needed; \
             ask for 3"
        );
        return Ok(vec![Notice::warning("TooFewCoordinators", note)]);
    }
    Err(format!("without {name}, no majority of the coordinators would have caught up"))
}

/// The first few of many partitions.
pub(super) fn named(partitions: &[PartitionId]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<String> = partitions.iter().take(SHOWN).map(ToString::to_string).collect();
    match partitions.len() {
        0..=SHOWN => first.join(", "),
        many => format!("{} and {} more partitions", first.join(", "), many - SHOWN),
    }
}

/// The pods as they were seen last, to tell which ones ended on their own.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Uid by name.
    pods: BTreeMap<String, String>,
}

impl Seen {
    /// Compares the pods with those of the last time. One that was replaced, and not by the
    /// operator, is told with the revision that it took: with `OnDelete` that is the newest, also
    /// while a roll is stopped.
    pub fn watch(&mut self, input: &Input<'_>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let now = input.pods().map(|pod| (pod.name.clone(), pod.uid.clone())).collect();
        let before = std::mem::replace(&mut self.pods, now);
        let is_rolling = input.outdated().next().is_some();
        for pod in input.pods() {
            let Some(uid) = before.get(&pod.name).filter(|uid| **uid != pod.uid) else { continue };
            let evicted = |last: &Evicted| last.pod == pod.name && last.uid == *uid;
            if input.last.is_some_and(evicted) {
                continue;
            }
            let which = match (input.is_outdated(pod), is_rolling) {
                (true, _) => "an outdated one",
                (false, true) => "the newest, while others are of an earlier one",
                (false, false) => "the newest",
            };
            let note = format!(
                "{} ended on its own and came back with revision {}, {which}",
                pod.name, pod.revision
            );
            notices.push(Notice::warning("PodReplaced", note));
        }
        notices
    }
}

#[cfg(test)]
mod tests;
