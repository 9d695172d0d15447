//! How what is written comes together with what is there.

use serde_json::{Map, Value};

/// A merge patch (RFC 7396).
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let into = into.as_object_mut().expect("it was made one");
    for (key, value) in fields {
        match value {
            Value::Null => drop(into.remove(key)),
            value => merge(into.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}

/// What a manager applies: its fields take its values, those that it had and no longer names go,
/// and those of others stay. Lists of named items are merged by name, others replaced.
pub fn apply(into: &mut Value, last: &Value, wanted: &Value) {
    match (&mut *into, wanted) {
        (Value::Object(fields), Value::Object(wanted)) => {
            for key in last.as_object().into_iter().flat_map(Map::keys) {
                if !wanted.contains_key(key) {
                    fields.remove(key);
                }
            }
            for (key, value) in wanted {
                let field = fields.entry(key.clone()).or_insert(Value::Null);
                apply(field, last.get(key).unwrap_or(&Value::Null), value);
            }
        }
        (Value::Array(items), Value::Array(wanted)) if is_named(items) && is_named(wanted) => {
            named(items, last, wanted);
        }
        _ => *into = wanted.clone(),
    }
}

fn is_named(items: &[Value]) -> bool {
    items.iter().all(|item| item["name"].is_string())
}

fn named(items: &mut Vec<Value>, last: &Value, wanted: &[Value]) {
    let before: Vec<&Value> = last.as_array().into_iter().flatten().collect();
    let of = |list: &[&Value], item: &Value| {
        list.iter().find(|it| it["name"] == item["name"]).map(|it| (*it).clone())
    };
    items.retain(|item| {
        of(&before, item).is_none() || wanted.iter().any(|it| it["name"] == item["name"])
    });
    for value in wanted {
        match items.iter_mut().find(|item| item["name"] == value["name"]) {
            Some(item) => apply(item, &of(&before, value).unwrap_or(Value::Null), value),
            None => items.push(value.clone()),
        }
    }
}
