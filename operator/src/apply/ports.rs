//! Ports of nodes that go from one Service of a cluster to another: who has one lets go of it
//! first, as the API server gives no port twice.

use std::collections::BTreeSet;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Done, api_of, check_owner, text};
use crate::dereference::Found;
use crate::error::{OperatorError, Outcome};
use crate::names;

/// Takes the ports of nodes from the Services whose port another one is to have; returns their
/// names. Each of them is applied whole afterwards, in the same walk or, if that ends, in the next.
///
/// # Errors
/// If the API server does not answer. What it refuses is told in `done`.
pub(super) async fn free(
    client: &Client,
    found: &Found,
    objects: &[Value],
    done: &mut Done,
) -> Outcome<BTreeSet<String>> {
    let mut freed = BTreeSet::new();
    for object in objects.iter().filter(|object| object["kind"] == "Service") {
        let name = text(&object["metadata"]["name"]);
        let Some(live) = found.live("Service", name) else { continue };
        let what = format!("Service {name}");
        if !is_in_the_way(&live, object, objects) || check_owner(&live, object, &what).is_err() {
            continue;
        }
        tracing::info!("taking its port from {what}");
        let mut without = object.clone();
        // As long as the type has ports of nodes, the API server gives a port that is not named the
        // one that it had.
        without["spec"]["type"] = json!("ClusterIP");
        ports(&mut without["spec"]).for_each(|port| {
            port.as_object_mut().and_then(|port| port.remove("nodePort"));
        });
        let params = PatchParams::apply(names::MANAGER).force();
        let written = api_of(client, object).patch(name, &params, &Patch::Apply(&without)).await;
        // It is counted when it is applied whole.
        done.note(written.map(|_| false).map_err(OperatorError::write(what)))?;
        freed.insert(name.to_owned());
    }
    Ok(freed)
}

/// Whether a Service has a port that it is not to keep, or need not, and another is to have.
fn is_in_the_way(live: &Value, wanted: &Value, objects: &[Value]) -> bool {
    // Whoever changes the type of a load balancer gives up its address.
    if live["spec"]["type"] != "NodePort" {
        return false;
    }
    let others = objects.iter().filter(|it| {
        it["kind"] == "Service" && it["metadata"]["name"] != wanted["metadata"]["name"]
    });
    let asked: Vec<i64> = others.flat_map(|it| node_ports(&it["spec"])).collect();
    node_ports(&live["spec"]).iter().any(|port| asked.contains(port))
}

fn node_ports(spec: &Value) -> Vec<i64> {
    let ports = spec["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port["nodePort"].as_i64()).collect()
}

fn ports(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    spec["ports"].as_array_mut().into_iter().flatten()
}
