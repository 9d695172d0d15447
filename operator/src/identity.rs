//! Which cluster this is, and whether it is still to be founded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use vltava_crd::KafkaCluster;
use vltava_wire::Uuid;

use crate::dereference::Found;
use crate::names;
use crate::plan::{ClusterView, Component};

/// What is known of a cluster's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Volumes of an earlier life are on their way out: nothing may begin before they are gone.
    Waits,
    /// Two volumes belong to different clusters.
    Torn {
        /// Their ids.
        ids: Vec<String>,
    },
    /// It is this one.
    Known {
        /// The cluster's id.
        cluster_id: String,
        /// Who founds the quorum, or founded it: a directory id each; none if that is not known.
        founders: Vec<String>,
        /// Whether the quorum was founded.
        is_founded: bool,
    },
}

/// Finds out. A cluster gets its identity only where no volume says that there was one.
///
/// Who founds the quorum is decided once and kept on the coordinators' claims, so that a founding
/// which was interrupted goes on as it began: a coordinator that has its part done keeps it, and
/// one that has not does it under the directory id that the others know. That a quorum was founded
/// is kept on all claims and on the coordinators' set. From then on nobody founds: an empty disk is
/// then one that was lost.
pub fn identify(
    cluster: &KafkaCluster,
    found: &Found,
    view: Option<&ClusterView>,
    random: &mut dyn FnMut() -> u128,
) -> Identity {
    let mut ids: Vec<String> =
        found.claims.values().filter_map(|it| note(it, names::CLUSTER_ID)).collect();
    ids.sort();
    ids.dedup();
    if ids.len() > 1 {
        return Identity::Torn { ids };
    }
    if is_leaving(cluster, found) {
        return Identity::Waits;
    }
    let has_sets = !found.sets.is_empty();
    let of_sets = found.sets.values().find_map(|set| note(set, names::CLUSTER_ID));
    let of_status = cluster.status.as_ref().and_then(|status| status.cluster_id.clone());
    let is_new = !has_sets && found.claims.is_empty();
    let cluster_id = ids
        .pop()
        .or(of_sets)
        .or(of_status)
        .unwrap_or_else(|| Uuid::from_random(random()).to_string());
    let founders = match founders(cluster, found) {
        Some(founders) => founders,
        None if is_new => {
            let count = cluster.spec.coordinators.replicas;
            (0..count).map(|_| Uuid::from_random(random()).to_string()).collect()
        }
        None => Vec::new(),
    };
    let is_founded = view.is_some_and(|view| view.quorum.is_some())
        || found.claims.values().any(|claim| note(claim, names::FOUNDED).is_some())
        || found.sets.values().any(|set| note(set, names::FOUNDED).is_some());
    Identity::Known { cluster_id, founders, is_founded }
}

/// Whether what is there is that of an earlier cluster of this name, and on its way out: a set
/// whose resource is gone, or a claim whose set is. Between the end of one and that of the other
/// nothing else tells what is deleted from what is retained.
pub fn is_leaving(cluster: &KafkaCluster, found: &Found) -> bool {
    let uid = cluster.metadata.uid.as_deref();
    let is_of_another =
        |owner: &OwnerReference| owner.kind == "KafkaCluster" && Some(owner.uid.as_str()) != uid;
    if found.sets.values().any(|set| set.owner_references().iter().any(is_of_another)) {
        return true;
    }
    let sets: Vec<&str> =
        found.sets.values().filter_map(|set| set.metadata.uid.as_deref()).collect();
    let is_widowed =
        |owner: &OwnerReference| owner.kind == "StatefulSet" && !sets.contains(&owner.uid.as_str());
    found.claims.values().any(|claim| {
        let is_deleted = sets.is_empty() && claim.metadata.deletion_timestamp.is_some();
        is_deleted || claim.owner_references().iter().any(is_widowed)
    })
}

/// Who founds the quorum, as it was decided before.
fn founders(cluster: &KafkaCluster, found: &Found) -> Option<Vec<String>> {
    let map = found.founding(cluster).map(|text| {
        text.split(',').filter_map(|it| Some(it.rsplit_once(':')?.1.to_owned())).collect()
    });
    let of_claim = || found.claims.values().find_map(|claim| note(claim, names::FOUNDERS));
    let of_template = || {
        let set = found.sets.get(&names::set(cluster, Component::Coordinator))?;
        let templates = set.spec.volume_claim_templates.as_ref()?;
        templates.iter().find_map(|claim| note(claim, names::FOUNDERS))
    };
    let split = |text: String| text.split(',').map(str::to_owned).collect();
    map.or_else(|| of_claim().or_else(of_template).map(split))
}

/// The claims by which a cluster is known of which nobody can tell who founds its quorum: those of
/// its coordinators went before it was founded.
pub fn orphaned(identity: &Identity, found: &Found) -> Option<String> {
    let Identity::Known { founders, is_founded: false, .. } = identity else { return None };
    let claims: Vec<&str> = found.claims.keys().map(String::as_str).collect();
    (founders.is_empty() && !claims.is_empty()).then(|| {
        format!(
            "there are volumes of an earlier cluster ({}), and none says who founds its quorum, as \
             the coordinators' are gone: put those back, or delete these claims to begin anew",
            claims.join(", ")
        )
    })
}

fn note(object: &impl ResourceExt, key: &str) -> Option<String> {
    object.annotations().get(key).cloned()
}

#[cfg(test)]
mod tests;
