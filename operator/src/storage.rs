//! Sizes of volumes: what may change, and what may not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::plan::{ClusterView, Component, moves};

/// How a claim compares with what the manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// As large as asked for.
    Same,
    /// It is to grow, and can.
    Grows,
    /// It cannot become so: why, and what to do.
    Cannot(String),
}

/// Compares.
pub fn compare(
    claim: &PersistentVolumeClaim,
    wanted: &str,
    classes: &BTreeMap<String, StorageClass>,
) -> Size {
    let spec = claim.spec.as_ref();
    let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let now = requests.and_then(|it| it.get("storage")).map_or("", |it| it.0.as_str());
    let (Some(from), Some(to)) = (amount(now), amount(wanted)) else { return Size::Same };
    // Sizes are whole bytes.
    if (from - to).abs() < 0.5 {
        return Size::Same;
    }
    if from > to {
        return Size::Cannot(format!(
            "it has {now} and cannot shrink to {wanted}; ask for {now} or more"
        ));
    }
    let class = spec.and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
    let grows = classes.get(class).and_then(|class| class.allow_volume_expansion).unwrap_or(false);
    match grows {
        true => Size::Grows,
        false => Size::Cannot(format!(
            "it has {now} and cannot grow to {wanted}, as the storage class `{class}` does not \
             allow it; ask for {now}, or set allowVolumeExpansion of the class"
        )),
    }
}

/// A volume on its way to the size that its claim asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resizing {
    /// How far it is, in Kubernetes' words where it has any.
    pub message: String,
    /// Whether it does not come by itself.
    pub is_stuck: bool,
}

/// Whether a volume is smaller than its claim asks for.
pub fn resizing(claim: &PersistentVolumeClaim) -> Option<Resizing> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    let status = claim.status.as_ref()?;
    let (asked, has) = (&requests.get("storage")?.0, &status.capacity.as_ref()?.get("storage")?.0);
    // Sizes are whole bytes.
    if amount(has)? > amount(asked)? - 0.5 {
        return None;
    }
    let conditions = status.conditions.iter().flatten().filter(|it| it.status == "True");
    let mut words: Vec<String> = conditions
        .map(|it| match it.message.as_deref().unwrap_or_default() {
            "" => it.type_.clone(),
            message => format!("{}: {message}", it.type_),
        })
        .collect();
    let resource = status.allocated_resource_statuses.as_ref().and_then(|it| it.get("storage"));
    words.extend(resource.filter(|it| words.iter().all(|said| !said.starts_with(*it))).cloned());
    let fails = |said: &String| {
        let word = said.split(':').next().unwrap_or_default();
        ["ResizeError", "ResizeInfeasible", "ResizeFailed"].iter().any(|end| word.ends_with(end))
    };
    let is_stuck = words.iter().any(fails);
    let so_far = match words.is_empty() {
        true => "nothing is said of it yet".to_owned(),
        false => words.join("; "),
    };
    let message = format!("it is to grow to {asked} and has {has} so far: {so_far}");
    Some(Resizing { message, is_stuck })
}

/// Whether nobody wants the volume any more of a pod that was taken away for good: what its node
/// had is elsewhere.
pub fn is_given_up(view: &ClusterView, component: Component, ordinal: i32) -> bool {
    let id = component.node_id(ordinal);
    match component {
        Component::Broker => moves::is_forgotten(view, id),
        Component::Coordinator => {
            view.quorum.as_ref().is_some_and(|quorum| quorum.voter(id).is_none())
        }
    }
}

/// A quantity as Kubernetes writes it, in bytes or cores.
pub fn amount(text: &str) -> Option<f64> {
    match text.strip_suffix('m') {
        Some(thousandths) => Some(thousandths.parse::<f64>().ok()? * 1e-3),
        None => vltava_crd::validate::amount(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Resizing, is_given_up, resizing};
    use crate::plan::Component;
    use crate::plan::fixture::Prague;

    fn of(asked: &str, status: Value) -> Option<Resizing> {
        let resources = json!({"requests": {"storage": asked}});
        let claim = json!({"spec": {"resources": resources}, "status": status});
        resizing(&serde_json::from_value(claim).expect("a claim"))
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!([{"type": kind, "status": status, "message": "kubelet's words"}])
    }

    #[test]
    fn a_volume_has_grown_once_its_capacity_has() {
        for status in [
            json!({}),
            json!({"capacity": {"storage": "20Gi"}}),
            json!({"capacity": {"storage": "20480Mi"}}),
            // Clouds round up.
            json!({"capacity": {"storage": "21Gi"}, "conditions": condition("Resizing", "True")}),
        ] {
            assert_eq!(of("20Gi", status.clone()), None, "{status}");
        }
        let growing = |more: Value| {
            let mut status = more;
            status["capacity"] = json!({"storage": "10Gi"});
            let it = of("20Gi", status).expect("it grows");
            (it.message, it.is_stuck)
        };
        let so_far = |what: &str| format!("it is to grow to 20Gi and has 10Gi so far: {what}");
        assert_eq!(growing(json!({})), (so_far("nothing is said of it yet"), false));
        for (kind, is_stuck) in [
            ("Resizing", false),
            ("FileSystemResizePending", false),
            ("ControllerResizeError", true),
            ("NodeResizeError", true),
        ] {
            let what = so_far(&format!("{kind}: kubelet's words"));
            assert_eq!(growing(json!({"conditions": condition(kind, "True")})), (what, is_stuck));
            let over = growing(json!({"conditions": condition(kind, "False")}));
            assert_eq!(over, (so_far("nothing is said of it yet"), false), "{kind}");
        }
        let refused =
            json!({"allocatedResourceStatuses": {"storage": "ControllerResizeInfeasible"}});
        assert_eq!(growing(refused), (so_far("ControllerResizeInfeasible"), true));
    }

    #[test]
    fn a_volume_is_given_up_once_its_node_is_no_part_of_the_cluster() {
        let mut prague = Prague::rolling();
        let followers = [1, 2, 3].map(|id| {
            let mut follower = prague.quorum().voters[0].clone();
            follower.id = id;
            follower
        });
        prague.quorum().observers = followers.to_vec();
        let gone = |component, ordinal| is_given_up(&prague.cluster, component, ordinal);
        assert!(gone(Component::Broker, 4) && !gone(Component::Broker, 3));
        assert!(gone(Component::Coordinator, 4) && !gone(Component::Coordinator, 3));
    }
}
