//! Sizes of volumes: what may change, and what may not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;

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

/// A quantity as Kubernetes writes it, in bytes or cores.
pub fn amount(text: &str) -> Option<f64> {
    match text.strip_suffix('m') {
        Some(thousandths) => Some(thousandths.parse::<f64>().ok()? * 1e-3),
        None => vltava_crd::validate::amount(text),
    }
}
