//! Whether an object has all that is wanted of it. What it has beside that is others' affair.

use serde_json::Value;

/// Whether `live` has all of `wanted`.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (_, Value::Null) => true,
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            live.get(key).map_or_else(|| says_nothing(wanted), |live| field(key, live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => list(live, wanted),
        (live, wanted) => live == wanted,
    }
}

/// The API server leaves out what says nothing.
fn says_nothing(wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(says_nothing),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn field(key: &str, live: &Value, wanted: &Value) -> bool {
    match (key, live, wanted) {
        // The API server writes amounts in its own way: 1000m is 1.
        ("requests" | "limits", Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| {
                live.get(name).is_some_and(|live| live == wanted || same_amount(live, wanted))
            })
        }
        _ => covers(live, wanted),
    }
}

fn same_amount(live: &Value, wanted: &Value) -> bool {
    let amount = |value: &Value| match value {
        Value::String(text) => crate::storage::amount(text),
        value => value.as_f64(),
    };
    amount(live).zip(amount(wanted)).is_some_and(|(live, wanted)| (live - wanted).abs() < 1e-9)
}

/// Items with names are found by them, so that others may add theirs; the rest goes by place.
fn list(live: &[Value], wanted: &[Value]) -> bool {
    let named = |item: &Value| item["name"].is_string();
    if !wanted.is_empty() && wanted.iter().all(named) && live.iter().all(named) {
        return wanted.iter().all(|wanted| {
            let mut same = live.iter().filter(|live| live["name"] == wanted["name"]);
            same.next().is_some_and(|live| covers(live, wanted))
        });
    }
    live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::covers;

    #[test]
    fn what_others_add_is_theirs() {
        let live = json!({"a": 1, "b": {"c": 2, "d": 3}, "status": {}});
        assert!(covers(&live, &json!({"a": 1, "b": {"c": 2}})));
        assert!(!covers(&live, &json!({"b": {"c": 3}})));
        assert!(!covers(&live, &json!({"e": 1})));
    }

    #[test]
    fn a_container_that_somebody_injected_is_left() {
        let live = json!([{"name": "side"}, {"name": "broker", "image": "a", "x": 1}]);
        assert!(covers(&live, &json!([{"name": "broker", "image": "a"}])));
        assert!(!covers(&live, &json!([{"name": "broker", "image": "b"}])));
        assert!(!covers(&live, &json!([{"name": "gone"}])));
        assert!(!covers(&json!([1, 2]), &json!([1])), "a list of values is owned whole");
    }

    #[test]
    fn amounts_are_compared_by_what_they_are() {
        let live = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        assert!(covers(&live, &json!({"limits": {"cpu": "1000m", "memory": "1024Mi"}})));
        assert!(!covers(&live, &json!({"limits": {"cpu": "1001m"}})));
        assert!(!covers(&json!({"value": "1"}), &json!({"value": "1000m"})));
    }

    #[test]
    fn what_says_nothing_need_not_be_there() {
        assert!(covers(&json!({}), &json!({"a": {}, "b": [], "c": null, "d": {"e": {}}, "f": ""})));
        assert!(!covers(&json!({}), &json!({"a": false})));
    }
}
