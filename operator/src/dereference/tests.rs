//! Which pods come up by themselves, and which do not.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{AWAY_MAX_S, STARTS_MAX_S, away, trouble};

/// When the pods of these tests began.
const BEGAN: i64 = 1_700_000_000;

fn after(seconds: i64, status: Value) -> Option<String> {
    let mut status = status;
    status["startTime"] = json!(Timestamp::from_second(BEGAN).expect("a time").to_string());
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "a-1"}, "status": status}))
        .expect("a pod");
    trouble(&pod, Timestamp::from_second(BEGAN + seconds).expect("a time"))
}

fn waiting(reason: &str, restarts: i32) -> Value {
    json!({"containerStatuses": [{
        "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
        "state": {"waiting": {"reason": reason, "message": "kubelet's words"}},
    }]})
}

fn running(restarts: i32) -> Value {
    json!({"containerStatuses": [{
        "name": "broker", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
        "state": {"running": {}},
    }]})
}

#[test]
fn what_kubelet_gives_up_is_told_at_once_in_its_words() {
    for reason in ["ErrImagePull", "RegistryUnavailable", "CrashLoopBackOff", "RunContainerError"] {
        let expected = format!("{reason}: kubelet's words");
        assert_eq!(after(1, waiting(reason, 0)), Some(expected));
    }
}

#[test]
fn an_image_that_is_pulled_from_nowhere_is_told_though_kubelet_says_nothing_of_it() {
    let pulling = || waiting("ContainerCreating", 0);
    assert_eq!(after(STARTS_MAX_S, pulling()), None, "it may still come");
    let told = after(STARTS_MAX_S + 1, pulling()).expect("it is told");
    assert!(told.contains("(ContainerCreating)"), "{told}");
    assert!(after(STARTS_MAX_S + 1, json!({})).is_some(), "nobody has begun");
}

#[test]
fn a_broker_that_recovers_for_long_is_in_no_trouble() {
    assert_eq!(after(3600, running(0)), None);
    assert_eq!(after(3600, running(1)), None, "one restart proves nothing");
    assert_eq!(after(3600, waiting("ContainerCreating", 1)), None);
    assert_eq!(after(9, running(2)).as_deref(), Some("it was restarted 2 times"));
}

#[test]
fn a_pod_without_a_machine_is_told_with_what_the_scheduler_lacks() {
    let condition = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3",
    }]});
    assert_eq!(after(1, condition).as_deref(), Some("Unschedulable: 0/3"));
}

/// What is told of a pod so many seconds after the time that is written as `BEGAN` in it.
fn told(seconds: i64, pod: Value, machine: Option<bool>) -> Option<String> {
    let began = Timestamp::from_second(BEGAN).expect("a time").to_string();
    let text = pod.to_string().replace("BEGAN", &began);
    let pod: Pod = serde_json::from_str(&text).expect("a pod");
    let name = "worker-2".to_owned();
    let now = Timestamp::from_second(BEGAN + seconds).expect("a time");
    away(&pod, machine.map(|answers| (&name, answers)), now)
}

fn unready() -> Value {
    let ready = json!({"type": "Ready", "status": "False", "lastTransitionTime": "BEGAN"});
    json!({"metadata": {"name": "a-1"}, "status": {"conditions": [ready]}})
}

#[test]
fn a_pod_that_is_unready_for_long_is_told_and_one_that_restarts_is_not() {
    assert_eq!(told(AWAY_MAX_S, unready(), Some(true)), None);
    let what = told(AWAY_MAX_S + 1, unready(), Some(true)).expect("it is told");
    assert!(what.starts_with("a-1 has not been ready for more than 60 s"), "{what}");
    let mut ready = unready();
    ready["status"]["conditions"][0]["status"] = json!("True");
    assert_eq!(told(3600, ready, Some(true)), None);
}

#[test]
fn a_dead_machine_is_named_with_what_to_do() {
    let what = told(AWAY_MAX_S + 1, unready(), Some(false)).expect("it is told");
    assert!(
        what.starts_with("a-1 is not ready, as its machine worker-2 does not answer"),
        "{what}"
    );
    assert!(what.contains("delete its Node object, the pod, and the pod's volume claim"), "{what}");
    let mut leaving = unready();
    leaving["metadata"]["deletionTimestamp"] = json!("BEGAN");
    let what = told(AWAY_MAX_S + 1, leaving.clone(), Some(false)).expect("it is told");
    assert!(what.starts_with("a-1 cannot end, as its machine worker-2"), "{what}");
    let what = told(AWAY_MAX_S + 1, leaving, Some(true)).expect("it is told");
    assert!(what.contains("finalizers"), "{what}");
}
