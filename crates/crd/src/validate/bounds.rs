//! How much a manifest may hold: the bounds that Kubernetes is given, wherever it is read.

use serde_json::Value;

use super::Findings;
use crate::definition::BOUNDS;
use crate::resource::KafkaCluster;

pub(super) fn check(cluster: &KafkaCluster, findings: &mut Findings) {
    let root = serde_json::to_value(cluster).expect("a manifest is plain data");
    for (path, bound, most) in BOUNDS {
        let steps: Vec<&str> = path.split('.').collect();
        walk(&root, &steps, "", &mut |place, value| {
            let (length, of) = match (*bound, value) {
                ("maxLength", Value::String(text)) => (text.chars().count(), "letters"),
                ("maxItems", Value::Array(items)) => (items.len(), "items"),
                ("maxProperties", Value::Object(fields)) => (fields.len(), "entries"),
                _ => return,
            };
            if i64::try_from(length).is_ok_and(|length| length > *most) {
                findings.problem(place, format!("{length} {of} are too many; {most} are possible"));
            }
        });
    }
}

/// Goes to every value at a path; `[]` stands for each item of a list.
fn walk(value: &Value, steps: &[&str], place: &str, found: &mut dyn FnMut(&str, &Value)) {
    let Some((step, rest)) = steps.split_first() else { return found(place, value) };
    match (*step, value) {
        ("[]", Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, rest, &format!("{place}[{index}]"), found);
            }
        }
        (field, Value::Object(fields)) => {
            if let Some(inner) = fields.get(field) {
                let place =
                    if place.is_empty() { field.to_owned() } else { format!("{place}.{field}") };
                walk(inner, rest, &place, found);
            }
        }
        _ => {}
    }
}
