//! Pods, watched: which were up when, and in which order they went.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::Shell;
use crate::Outcome;

/// What one change of a pod said.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it came.
    pub at: Instant,
    /// The pod.
    pub name: String,
    /// `broker` or `coordinator`.
    pub component: String,
    /// Which pod of that name.
    pub uid: String,
    /// Whether it is ready, and not on its way out.
    pub up: bool,
    /// Whether it is told to go, or gone.
    pub leaving: bool,
    /// Whether it is gone.
    pub gone: bool,
    /// The revision of its template.
    pub revision: String,
}

/// A watch of the pods of one cluster.
pub struct Watch {
    child: Child,
    thread: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Watch {
    /// Starts to watch.
    ///
    /// # Errors
    /// If kubectl cannot be started.
    pub fn start(shell: &Shell, namespace: &str, cluster: &str) -> Outcome<Self> {
        let selector = format!("app.kubernetes.io/instance={cluster}");
        let mut child = shell.stream(
            "kubectl",
            &[
                "get",
                "pods",
                "-n",
                namespace,
                "-l",
                &selector,
                "--watch",
                "-o",
                "json",
                "--output-watch-events",
            ],
        )?;
        let output = child.stdout.take().ok_or("kubectl has no output")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let documents = serde_json::Deserializer::from_reader(output).into_iter::<Event>();
            for event in documents.map_while(Result::ok) {
                if let Some(event) = event.seen() {
                    noted.lock().expect("no holder panics").push(event);
                }
            }
        });
        Ok(Self { child, thread: Some(thread), seen })
    }

    /// What has been seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no holder panics").clone()
    }

    /// Forgets what has been seen, but for what each pod is now.
    pub fn restart(&self) {
        let mut seen = self.seen.lock().expect("no holder panics");
        let mut last: BTreeMap<String, Seen> = BTreeMap::new();
        for event in seen.drain(..) {
            last.insert(event.name.clone(), event);
        }
        seen.extend(last.into_values().filter(|event| !event.gone));
    }

    /// The most pods of a component that were down at once, of those that had been up.
    pub fn most_down(&self, component: &str) -> usize {
        most_down(&self.seen(), component)
    }

    /// When a pod of that name was first seen to be told to go, after that moment.
    pub fn leaves(&self, name: &str, after: Instant) -> Option<Instant> {
        leaves(&self.seen(), name, after)
    }

    /// The pods that were replaced, in the order in which they went.
    pub fn replaced(&self) -> Vec<String> {
        replaced(&self.seen())
    }
}

fn most_down(seen: &[Seen], component: &str) -> usize {
    let mut up: BTreeMap<&str, bool> = BTreeMap::new();
    let mut most = 0;
    for event in seen.iter().filter(|event| event.component == component) {
        if event.up || up.contains_key(event.name.as_str()) {
            up.insert(&event.name, event.up);
        }
        most = most.max(up.values().filter(|up| !**up).count());
    }
    most
}

fn leaves(seen: &[Seen], name: &str, after: Instant) -> Option<Instant> {
    let mut leaving = seen.iter().filter(|event| event.name == name && event.leaving);
    leaving.find(|event| event.at >= after).map(|event| event.at)
}

fn replaced(seen: &[Seen]) -> Vec<String> {
    let mut known = BTreeSet::new();
    let gone = seen.iter().filter(|event| event.gone && known.insert(&event.uid));
    gone.map(|event| event.name.clone()).collect()
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Deserialize)]
struct Event {
    r#type: String,
    object: Value,
}

impl Event {
    fn seen(&self) -> Option<Seen> {
        let metadata = &self.object["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str().unwrap_or_default().to_owned();
        let gone = self.r#type == "DELETED";
        Some(Seen {
            at: Instant::now(),
            name: metadata["name"].as_str()?.to_owned(),
            component: label("app.kubernetes.io/component"),
            uid: metadata["uid"].as_str()?.to_owned(),
            up: !gone && is_up(&self.object),
            leaving: gone || !metadata["deletionTimestamp"].is_null(),
            gone,
            revision: label("controller-revision-hash"),
        })
    }
}

/// Whether a pod is ready, and not on its way out.
pub fn is_up(pod: &Value) -> bool {
    let ready = pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

#[cfg(test)]
mod tests {
    use super::{Event, Seen, leaves, most_down, replaced};
    use serde_json::{Value, json};
    use std::time::Duration;

    fn seen(kind: &str, name: &str, uid: &str, ready: bool, deleting: bool) -> Seen {
        let status = if ready { "True" } else { "False" };
        let deleted = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
        let object = json!({
            "metadata": {
                "name": name, "uid": uid, "deletionTimestamp": deleted,
                "labels": {"app.kubernetes.io/component": "broker"},
            },
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        });
        Event { r#type: kind.to_owned(), object }.seen().expect("it is a pod")
    }

    #[test]
    fn a_roll_in_good_order_has_one_pod_down_at_a_time() {
        let events = [
            seen("ADDED", "a", "1", true, false),
            seen("ADDED", "b", "2", true, false),
            seen("MODIFIED", "a", "1", true, true),
            seen("DELETED", "a", "1", false, true),
            seen("ADDED", "a", "3", false, false),
            seen("MODIFIED", "a", "3", true, false),
            seen("MODIFIED", "b", "2", true, true),
            seen("DELETED", "b", "2", false, true),
        ];
        assert_eq!(most_down(&events, "broker"), 1);
        assert_eq!(most_down(&events, "coordinator"), 0);
        assert_eq!(replaced(&events), ["a", "b"]);
        assert_eq!(leaves(&events, "b", events[0].at), Some(events[6].at), "before it is gone");
        assert_eq!(leaves(&events, "b", events[7].at + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_pod_that_goes_before_the_last_one_is_back_is_found() {
        let events = [
            seen("ADDED", "a", "1", true, false),
            seen("ADDED", "b", "2", true, false),
            seen("DELETED", "a", "1", false, true),
            seen("ADDED", "a", "3", false, false),
            seen("MODIFIED", "b", "2", true, true),
        ];
        assert_eq!(most_down(&events, "broker"), 2);
    }

    #[test]
    fn a_pod_that_has_never_been_up_is_not_down() {
        let events = [seen("ADDED", "a", "1", true, false), seen("ADDED", "b", "2", false, false)];
        assert_eq!(most_down(&events, "broker"), 0);
    }
}
