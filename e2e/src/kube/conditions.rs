//! The conditions of a resource's status.

use serde_json::Value;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// The generation that it speaks of.
    pub generation: i64,
}

/// A condition of a resource, if it has it.
pub fn find(resource: &Value, kind: &str) -> Option<Condition> {
    let conditions = resource["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
        generation: found["observedGeneration"].as_i64().unwrap_or(0),
    })
}

/// Whether a condition is of the resource's present generation and has this status.
pub fn holds(resource: &Value, kind: &str, status: &str) -> bool {
    let generation = resource["metadata"]["generation"].as_i64().unwrap_or(-1);
    find(resource, kind).is_some_and(|it| it.status == status && it.generation == generation)
}

/// All conditions in a line, for a report.
pub fn line(resource: &Value) -> String {
    let conditions = resource["status"]["conditions"].as_array().into_iter().flatten();
    let parts: Vec<String> = conditions
        .map(|it| {
            let text = |field: &str| it[field].as_str().unwrap_or("?").to_owned();
            format!("{}={} ({}: {})", text("type"), text("status"), text("reason"), text("message"))
        })
        .collect();
    if parts.is_empty() { "no condition yet".to_owned() } else { parts.join("; ") }
}
