//! Which cluster this is, and whether it is still to be founded.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use vltava_crd::KafkaCluster;
use vltava_wire::Uuid;

use crate::build::founding;
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
    let has_sets = !found.sets.is_empty();
    let leaving = |claim: &PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_some();
    if !has_sets && found.claims.values().any(leaving) {
        return Identity::Waits;
    }
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

/// Who founds the quorum, as it was decided before.
fn founders(cluster: &KafkaCluster, found: &Found) -> Option<Vec<String>> {
    let map = found.founding(cluster).and_then(|map| {
        let text = map.data.as_ref()?.get(founding::KEY)?;
        Some(text.split(',').filter_map(|it| Some(it.rsplit_once(':')?.1.to_owned())).collect())
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

fn note(object: &impl ResourceExt, key: &str) -> Option<String> {
    object.annotations().get(key).cloned()
}
