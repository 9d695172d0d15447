//! Writing objects: server-side apply of those that are not as they should be, deletion of orphans.

mod ports;

use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;
use vltava_crd::KafkaCluster;

use crate::covers::covers;
use crate::dereference::Found;
use crate::error::{OperatorError, Outcome};
use crate::names;
use crate::template::{self, digest};

/// What came of writing or deleting objects.
#[derive(Debug, Default)]
pub struct Done {
    /// How many were written or deleted.
    pub count: usize,
    /// The first that was refused: the others do not wait for it.
    pub refused: Option<OperatorError>,
}

impl Done {
    /// Counts an object.
    ///
    /// # Errors
    /// What went wrong with it, if that is no refusal of this object alone.
    fn note(&mut self, outcome: Outcome<bool>) -> Outcome {
        match outcome {
            Ok(done) => self.count += usize::from(done),
            Err(error) if error.is_refusal() => {
                tracing::warn!("{}", vltava_net::error_chain(&error));
                self.refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Writes the objects that are not as they should be.
///
/// # Errors
/// If the API server does not answer, or something is not there that the rest needs.
pub async fn apply(client: &Client, found: &Found, objects: &[Value]) -> Outcome<Done> {
    let mut done = Done::default();
    let freed = ports::free(client, found, objects, &mut done).await?;
    for object in objects {
        let is_freed = |name: &str| object["kind"] == "Service" && freed.contains(name);
        let written = write(client, found, object, is_freed).await;
        // Coordinators read it when they start, and never again.
        if object["kind"] == "ConfigMap" {
            done.count += usize::from(written?);
        } else {
            done.note(written)?;
        }
    }
    Ok(done)
}

/// Writes an object, if it is not as it should be; whether it was not.
async fn write(
    client: &Client,
    found: &Found,
    object: &Value,
    is_freed: impl Fn(&str) -> bool,
) -> Outcome<bool> {
    let mut object = object.clone();
    let name = &text(&object["metadata"]["name"]).to_owned();
    let api = api_of(client, &object);
    let what = format!("{} {name}", text(&object["kind"]));
    let live = match found.live(text(&object["kind"]), name) {
        Some(live) => Some(live),
        // One that does not carry our labels, because it is not ours or lost them.
        None => {
            let live = api.get_opt(name).await.map_err(OperatorError::read(what.clone()))?;
            live.map(|live| serde_json::to_value(live).unwrap_or_default())
        }
    };
    if let Some(live) = &live {
        check_owner(live, &object, &what)?;
        if object["kind"] == "StatefulSet" {
            template::keep(&mut object, live);
            template::keep_claims(&mut object, live);
        }
    }
    stamp(&mut object);
    if !is_freed(name) && live.as_ref().is_some_and(|live| covers(live, &object)) {
        return Ok(false);
    }
    tracing::info!("writing {what}");
    let params = PatchParams::apply(names::MANAGER).force();
    let applied = api.patch(name, &params, &Patch::Apply(&object)).await;
    applied.map(|_| true).map_err(OperatorError::write(what))
}

/// Deletes what the cluster has of these kinds and should not have.
///
/// # Errors
/// If the API server does not answer.
pub async fn delete_orphans(
    client: &Client,
    cluster: &KafkaCluster,
    found: &Found,
    objects: &[Value],
    is_of: impl Fn(&str) -> bool,
) -> Outcome<Done> {
    let mut done = Done::default();
    for live in found.may_be_orphans().filter(|live| is_of(text(&live["kind"]))) {
        let is_wanted = |object: &Value| {
            object["kind"] == live["kind"] && object["metadata"]["name"] == live["metadata"]["name"]
        };
        let owners = live["metadata"]["ownerReferences"].as_array();
        let uid = cluster.metadata.uid.as_deref();
        let is_ours = owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == uid);
        if !is_ours || objects.iter().any(is_wanted) {
            continue;
        }
        let name = text(&live["metadata"]["name"]);
        let what = format!("{} {name}", text(&live["kind"]));
        tracing::info!("deleting {what}");
        done.note(match api_of(client, &live).delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
            gone => gone.map(|_| true).map_err(OperatorError::write(what)),
        })?;
    }
    Ok(done)
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
