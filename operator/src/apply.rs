//! Writing objects: server-side apply of those that are not as they should be, deletion of orphans.

use std::collections::BTreeSet;

use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{GroupVersionKind, Status};
use kube::{Api, Client};
use serde_json::Value;
use vltava_crd::KafkaCluster;

use crate::covers::covers;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::template::{self, digest};

/// The kinds that a cluster may have more or fewer of, by group, version and name.
const KINDS: [(&str, &str, &str); 4] = [
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
];

/// Writes the objects that are not as they should be; returns how many.
///
/// # Errors
/// The first that the API server does not take.
pub async fn apply(client: &Client, objects: &[Value]) -> Outcome<usize> {
    let mut written = 0;
    for object in objects {
        let mut object = object.clone();
        let name = &text(&object["metadata"]["name"]).to_owned();
        let api = api_of(client, &object);
        let what = format!("{} {name}", text(&object["kind"]));
        let live = api.get_opt(name).await.map_err(OperatorError::read(what.clone()))?;
        let live = live.map(|live| serde_json::to_value(live).unwrap_or_default());
        if let Some(live) = &live {
            check_owner(live, &object, &what)?;
            if is_set(&object) {
                template::keep(&mut object, live);
            }
        }
        stamp(&mut object);
        if live.as_ref().is_some_and(|live| covers(live, &object)) {
            continue;
        }
        tracing::info!("writing {what}");
        let params = PatchParams::apply(names::MANAGER).force();
        match api.patch(name, &params, &Patch::Apply(&object)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if is_set(&object) && cannot_change(&status) => {
                // A field that cannot change: the set goes, its pods stay, and it comes anew.
                tracing::info!("making {what} anew: {}", status.message);
                let orphan = DeleteParams {
                    propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
                    ..DeleteParams::default()
                };
                api.delete(name, &orphan).await.map_err(OperatorError::write(what.clone()))?;
            }
            Err(error) => return Err(OperatorError::write(what)(error)),
        }
        written += 1;
    }
    Ok(written)
}

/// Deletes what the cluster has and should not have.
///
/// # Errors
/// If the API server does not answer, or forbids it.
pub async fn delete_orphans(
    client: &Client,
    cluster: &KafkaCluster,
    objects: &[Value],
) -> Outcome<usize> {
    let mut deleted = 0;
    let ours = ListParams::default().labels(&names::text(&names::labels(cluster)));
    for (group, version, kind) in KINDS {
        let wanted: BTreeSet<&str> = objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .map(|object| text(&object["metadata"]["name"]))
            .collect();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let namespace = names::namespace(cluster);
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        let list = api.list(&ours).await.map_err(OperatorError::read(kind))?;
        for found in list {
            let owners = found.metadata.owner_references.unwrap_or_default();
            let is_ours =
                owners.iter().any(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref());
            let name = found.metadata.name.unwrap_or_default();
            if !is_ours || wanted.contains(name.as_str()) {
                continue;
            }
            tracing::info!("deleting {kind} {name}");
            let gone = api.delete(&name, &DeleteParams::default()).await;
            gone.map_err(OperatorError::write(format!("{kind} {name}")))?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Whether a set was refused because of a field that can only be set when it is made, and not
/// because it is impossible: then it could not be made anew either.
fn cannot_change(status: &Status) -> bool {
    status.code == 422
        && status.message.contains("updates to statefulset spec")
        && !status.message.contains("spec.template")
}

fn api_of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let version = text(&object["apiVersion"]);
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, text(&object["kind"]));
    let namespace = text(&object["metadata"]["namespace"]);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind))
}

/// Notes what is applied, so that a field that is wanted no longer is taken back.
fn stamp(object: &mut Value) {
    let digest = digest(object);
    object["metadata"]["annotations"][names::APPLIED] = digest.into();
}

/// An object that something else made is never taken over.
fn check_owner(live: &Value, object: &Value, what: &str) -> Outcome {
    let wanted = &object["metadata"]["ownerReferences"][0];
    let owners = live["metadata"]["ownerReferences"].as_array();
    let mut owners = owners.into_iter().flatten();
    if owners.clone().any(|owner| owner["uid"] == wanted["uid"]) {
        return Ok(());
    }
    let what = what.to_owned();
    let same = |owner: &Value| owner["kind"] == wanted["kind"] && owner["name"] == wanted["name"];
    Err(match owners.any(same) {
        true => OperatorError::Leaving { what },
        false => OperatorError::Taken { what },
    })
}

fn is_set(object: &Value) -> bool {
    object["kind"] == "StatefulSet"
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
