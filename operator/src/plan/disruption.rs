//! How many pods may be taken away by others (a drained node, say): the PodDisruptionBudgets.

use super::rollout::{Input, is_settled, named};
use super::{ClusterView, Component, PartitionId, PartitionView, PodView, QuorumView, TopicView};

/// What the PodDisruptionBudget of a component says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// `maxUnavailable`: 0 or 1.
    pub max_unavailable: i32,
    /// Why it is 0; `None` if it is 1.
    pub why: Option<String>,
    /// Whether pods that are not ready may go whatever the number says: there are some, and nobody
    /// would miss any of them.
    pub broken_may_go: bool,
}

/// Decides whether any one pod of a component may go. Each component has a budget of its own: a
/// broker that waits for its machine to come back keeps the partitions from losing another, and not
/// the coordinator beside it from being drained off the same machine.
///
/// A partition or a quorum that has too few members to bear any loss counts once it is whole: else
/// it would keep every node from being drained for ever. The budget falls to 0 as soon as a pod is
/// seen to leave, and rises only once its node is whole again, so that the time between a pod's
/// readiness and its place in the ISR is covered.
pub fn disruption(input: &Input<'_>, component: Component) -> Budget {
    let why = bears_a_loss(input, component).err();
    let pods = || input.pods().filter(|pod| pod.component == component);
    let broken = || pods().filter(|pod| !pod.ready && !pod.deleting);
    Budget {
        max_unavailable: i32::from(why.is_none()),
        why,
        broken_may_go: broken().next().is_some() && broken().all(|pod| input.can_be_spared(pod)),
    }
}

/// Whether a pod that may go is itself all that keeps its component's budget at 0: nobody else is
/// on its way out, or back, or behind. By eviction it would never go then.
pub fn is_its_own_obstacle(input: &Input<'_>, pod: &PodView) -> bool {
    let set = input.set_of(pod.component);
    let wanted = usize::try_from(set.replicas).unwrap_or_default();
    let others = || set.pods.iter().filter(|other| other.uid != pod.uid);
    is_settled(pod, input.cluster).is_err()
        && set.pods.len() >= wanted
        && others().all(|other| !other.deleting && is_settled(other, input.cluster).is_ok())
}

fn bears_a_loss(input: &Input<'_>, component: Component) -> Result<(), String> {
    let set = input.set_of(component);
    let wanted = usize::try_from(set.replicas).unwrap_or_default();
    let staying = set.pods.iter().filter(|pod| !pod.deleting).count();
    if staying < wanted {
        return Err(format!("{staying} of {wanted} {}s are there", component.name()));
    }
    set.pods.iter().try_for_each(|pod| is_settled(pod, input.cluster))?;
    let cluster = input.cluster.ok_or_else(|| "the cluster cannot be asked".to_owned())?;
    // Without a leader of the quorum no partition gets another one either.
    let quorum = cluster.quorum.as_ref().ok_or_else(|| "the quorum has no leader".to_owned())?;
    match component {
        Component::Broker => partitions_bear_a_loss(cluster),
        Component::Coordinator => quorum_bears_a_loss(quorum),
    }
}

fn partitions_bear_a_loss(cluster: &ClusterView) -> Result<(), String> {
    let bears = |topic: &TopicView, partition: &PartitionView| {
        let whole = partition.isr.len() >= partition.replicas.len();
        (whole && partition.can_bear_no_loss(topic.min_insync_replicas))
            || partition.isr.iter().all(|id| cluster.bears_loss_of(topic, partition, *id))
    };
    let short: Vec<PartitionId> = cluster
        .partitions()
        .filter(|(_, topic, partition)| !bears(topic, partition))
        .map(|(partition, _, _)| partition)
        .collect();
    match short.is_empty() {
        true => Ok(()),
        false => Err(format!("{} cannot bear a loss", named(&short))),
    }
}

fn quorum_bears_a_loss(quorum: &QuorumView) -> Result<(), String> {
    let all = quorum.voters.iter().all(|voter| quorum.is_caught_up(voter));
    let any = quorum.voters.iter().all(|voter| quorum.bears_loss_of(voter.id));
    match any || (all && quorum.can_bear_no_loss()) {
        true => Ok(()),
        false => Err("the quorum cannot bear a loss".to_owned()),
    }
}
