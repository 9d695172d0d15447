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
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return None,
    };
    Some(number * unit)
}
