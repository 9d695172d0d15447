//! The pod template over the life of a set: a newer operator, which may build it differently,
//! restarts nobody before the manifest asks for something else. And the templates of claims, which
//! are for life.

use serde_json::{Value, json};

use crate::covers::covers;

/// The template as it was applied, on its set.
const TEMPLATE: &str = "vltava.dev/template";
/// A digest of what of the manifest it was made from.
const INPUTS: &str = "vltava.dev/template-inputs";

/// Notes on a set what its template is, and what it was made from.
pub fn note(set: &mut Value, inputs: &Value) {
    let template = set["spec"]["template"].to_string();
    let annotations = &mut set["metadata"]["annotations"];
    annotations[TEMPLATE] = json!(template);
    annotations[INPUTS] = json!(digest(inputs));
}

/// Takes the template that was applied before, if what it is made from is as it was.
pub fn keep(set: &mut Value, live: &Value) {
    let before = &live["metadata"]["annotations"];
    let wanted = &set["metadata"]["annotations"][INPUTS];
    if wanted.is_null() || before[INPUTS] != *wanted {
        return;
    }
    let Some(text) = before[TEMPLATE].as_str() else { return };
    if let Ok(template) = serde_json::from_str::<Value>(text) {
        set["metadata"]["annotations"][TEMPLATE] = json!(text);
        set["spec"]["template"] = template;
    }
}

/// Takes the claim templates of the set that is there: they cannot change, and a set that is made
/// anew for them forgets what is noted on it, and how many pods it has. What the manifest asks of
/// volumes is brought to the claims themselves (`walk/volumes.rs`).
pub fn keep_claims(set: &mut Value, live: &Value) {
    const CLAIMS: &str = "volumeClaimTemplates";
    let before = &live["spec"][CLAIMS];
    if before.is_array() && !covers(before, &set["spec"][CLAIMS]) {
        set["spec"][CLAIMS] = before.clone();
    }
}

/// FNV-1a of 64 bits over the text of a value, whose keys are sorted. It guards against nobody; it
/// must never change, as every set would then be rolled.
pub fn digest(value: &Value) -> String {
    let text = value.to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{digest, keep, keep_claims, note};

    fn set(image: &str, probe: i32) -> Value {
        let template = json!({"spec": {"image": image, "probe": probe}});
        let mut set = json!({"metadata": {"name": "a"}, "spec": {"template": template}});
        note(&mut set, &json!({"image": image}));
        set
    }

    #[test]
    fn a_newer_operator_with_another_template_changes_nothing() {
        let live = set("a:1", 1);
        let mut newer = set("a:1", 2);
        keep(&mut newer, &live);
        assert_eq!(newer, live);
    }

    #[test]
    fn another_manifest_takes_the_newer_template() {
        let mut newer = set("a:2", 2);
        keep(&mut newer, &set("a:1", 1));
        assert_eq!(newer, set("a:2", 2));
    }

    #[test]
    fn a_hand_that_changed_the_template_is_put_right() {
        let mut live = set("a:1", 1);
        live["spec"]["template"]["spec"]["image"] = json!("evil");
        let mut wanted = set("a:1", 1);
        keep(&mut wanted, &live);
        assert_eq!(wanted["spec"]["template"]["spec"]["image"], "a:1");
    }

    #[test]
    fn templates_of_claims_stay_as_they_are() {
        let with = |size: &str, more: Value| {
            let mut claim = json!({"spec": {"resources": {"requests": {"storage": size}}}});
            claim["status"] = more;
            json!({"spec": {"volumeClaimTemplates": [claim]}})
        };
        let live = with("10Gi", json!({"phase": "Pending"}));
        let mut grown = with("20Gi", Value::Null);
        keep_claims(&mut grown, &live);
        assert_eq!(grown, live);
        // What the API server added is not taken over for nothing: that would be a write.
        let mut same = with("10240Mi", Value::Null);
        keep_claims(&mut same, &live);
        assert_eq!(same, with("10240Mi", Value::Null));
        let mut first = with("20Gi", Value::Null);
        keep_claims(&mut first, &json!({}));
        assert_eq!(first, with("20Gi", Value::Null));
    }

    #[test]
    fn the_digest_is_that_of_every_version_of_the_operator() {
        assert_eq!(digest(&json!({"b": 1, "a": "x"})), "1fc46df94e7ae50d");
    }
}
