//! Which cluster this is, and whether it is still to be founded.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
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
        /// Who founds the quorum: directory ids, as long as it is not founded.
        founders: Option<Vec<String>>,
    },
}

/// Finds out. A cluster is founded only where no volume says that there was one.
pub fn identify(
    cluster: &KafkaCluster,
    found: &Found,
    view: Option<&ClusterView>,
    random: &mut dyn FnMut() -> u128,
) -> Identity {
    let mut ids: Vec<String> = found.claims.values().filter_map(id_of_claim).collect();
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
    let of_sets = found
        .sets
        .values()
        .find_map(|set| set.metadata.annotations.as_ref()?.get(names::CLUSTER_ID).cloned());
    let of_status = cluster.status.as_ref().and_then(|status| status.cluster_id.clone());
    let is_new = !has_sets && found.claims.is_empty();
    let cluster_id = ids
        .pop()
        .or(of_sets)
        .or(of_status)
        .unwrap_or_else(|| Uuid::from_random(random()).to_string());
    let is_founded = view.is_some_and(|view| view.quorum.is_some());
    let written = found.founding.as_ref().and_then(|map| {
        let text = map.data.as_ref()?.get("initial-controllers")?.clone();
        Some(text.split(',').filter_map(|it| Some(it.rsplit_once(':')?.1.to_owned())).collect())
    });
    let founders = match written {
        _ if is_founded => None,
        Some(written) => Some(written),
        None if is_new => {
            let count = cluster.spec.coordinators.replicas;
            Some((0..count).map(|_| Uuid::from_random(random()).to_string()).collect())
        }
        None => None,
    };
    Identity::Known { cluster_id, founders }
}

fn id_of_claim(claim: &PersistentVolumeClaim) -> Option<String> {
    claim.metadata.annotations.as_ref()?.get(names::CLUSTER_ID).cloned()
}

/// The coordinators' claims: whether a majority of those that vote is lost is seen by them.
pub fn has_claim(
    cluster: &KafkaCluster,
    found: &Found,
    component: Component,
    ordinal: i32,
) -> bool {
    found.claims.contains_key(&format!("data-{}", names::pod(cluster, component, ordinal)))
}
