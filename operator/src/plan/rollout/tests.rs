//! Which pod goes next, scenario by scenario.

use super::{Evicted, Rollout, Seen, Step, rollout};
use crate::plan::Component;
use crate::plan::disruption::{disruption, is_its_own_obstacle};
use crate::plan::fixture::{Prague, quorum};

fn decide(prague: &Prague) -> Rollout {
    rollout(&prague.input())
}

fn goes(prague: &Prague) -> String {
    match decide(prague).step {
        Step::Evict { pod, .. } => pod.pod,
        other => panic!("nobody goes: {other:?}"),
    }
}

fn waits(prague: &Prague) -> String {
    match decide(prague).step {
        Step::Wait { why } => why,
        other => panic!("it does not wait: {other:?}"),
    }
}

#[test]
fn a_roll_takes_brokers_one_by_one_and_the_active_coordinator_last() {
    let mut prague = Prague::rolling();
    prague.quorum().leader = 3002;
    let mut order = Vec::new();
    while let Step::Evict { pod, .. } = decide(&prague).step {
        order.push(pod.pod.clone());
        prague.replace(&pod.pod);
        prague.last = Some(pod);
    }
    let expected =
        ["broker-1", "broker-2", "broker-3", "coordinator-1", "coordinator-3", "coordinator-2"];
    assert_eq!(order, expected);
    assert_eq!(decide(&prague).step, Step::Done);
}

#[test]
fn after_pod_a_is_deleted_its_stale_readiness_must_not_let_pod_b_go_too() {
    let mut prague = Prague::rolling();
    let first = Evicted { pod: "broker-1".to_owned(), uid: "broker-1-a".to_owned() };
    prague.last = Some(first);
    // The list is from before the eviction: the pod is ready, the cluster whole. If anybody goes,
    // it is the same pod once more.
    assert_eq!(goes(&prague), "broker-1");
    // The eviction is seen, and the pod still says that it is ready.
    prague.pod("broker-1").deleting = true;
    prague.last = None;
    assert_eq!(waits(&prague), "broker-1 is on its way out");
    // The pod is gone, and not made anew yet.
    let gone = prague.brokers.pods.remove(0);
    assert_eq!(waits(&prague), "broker-1 has no pod");
    // The new pod says it is ready, but it is the old one that the cluster still counts.
    prague.brokers.pods.insert(0, gone);
    prague.pod("broker-1").deleting = false;
    prague.pod("broker-1").revision = "new".to_owned();
    prague.pod("broker-1").uid = "broker-1-b".to_owned();
    assert_eq!(waits(&prague), "broker 1 is still the pod that broker-1 replaced");
    // It is the new one, but not in sync.
    prague.replace("broker-1");
    for partition in prague.all_partitions() {
        partition.isr.retain(|id| *id != 1);
        partition.leader = partition.isr.first().copied();
    }
    assert_eq!(waits(&prague), "broker-1 has not caught up in orders-0, orders-1, orders-2");
}

#[test]
fn an_eviction_that_was_written_down_and_not_done_is_done_again() {
    let mut prague = Prague::rolling();
    prague.last = Some(Evicted { pod: "broker-2".to_owned(), uid: "broker-2-a".to_owned() });
    assert_eq!(goes(&prague), "broker-2");
    // Unless it may not go any more: then nobody does.
    let partition = prague.all_partitions().next().expect("there is one");
    partition.isr = vec![1, 2];
    let text = waits(&prague);
    assert!(text.starts_with("without broker-2, orders-0"), "{text}");
}

#[test]
fn nobody_goes_while_a_partition_would_fall_below_its_min_isr() {
    let mut prague = Prague::rolling();
    let partition = prague.all_partitions().next().expect("there is one");
    partition.isr = vec![1, 2];
    // The third broker is the only one that nobody needs.
    assert_eq!(goes(&prague), "broker-3");
    let partition = prague.all_partitions().last().expect("there are three");
    partition.isr = vec![3, 1];
    let text = waits(&prague);
    assert!(text.starts_with("without broker-1, orders-0"), "{text}");
}

#[test]
fn a_partition_with_as_many_replicas_as_must_be_in_sync_is_told_and_does_not_block() {
    let mut prague = Prague::rolling();
    prague.topic("anotherTopic", 2, &[&[1, 2]]);
    prague.topic("single", 1, &[&[1]]);
    let Rollout { step, notices } = decide(&prague);
    assert!(matches!(step, Step::Evict { pod, .. } if pod.pod == "broker-1"));
    assert_eq!(notices[0].reason, "TooFewReplicas");
    assert!(notices[0].note.starts_with("anotherTopic-0, single-0 cannot be written while"));
    // Once the other of the two is away, this one stays.
    let partition = prague.all_partitions().next().expect("it is the first");
    partition.isr = vec![1];
    assert_eq!(goes(&prague), "broker-2");
}

#[test]
fn without_a_view_of_the_cluster_nobody_goes() {
    let prague = Prague::rolling();
    let mut input = prague.input();
    input.cluster = None;
    let Step::Wait { why } = rollout(&input).step else { panic!("it goes") };
    assert_eq!(why, "the cluster cannot be asked");
    let mut leaderless = Prague::rolling();
    leaderless.cluster.quorum = None;
    assert_eq!(waits(&leaderless), "the quorum has no leader");
    let mut unseen = Prague::rolling();
    unseen.brokers.update_revision = None;
    assert!(waits(&unseen).contains("has not seen"));
}

#[test]
fn a_revision_that_crashes_stops_the_roll_at_the_first_pod_and_is_rolled_back() {
    let mut prague = Prague::rolling();
    prague.replace("broker-1");
    prague.lose(1);
    let pod = prague.pod("broker-1");
    (pod.ready, pod.running) = (false, false);
    pod.trouble = Some("CrashLoopBackOff: num.io.threads is no number".to_owned());
    let Step::Stopped { why } = decide(&prague).step else { panic!("it goes on") };
    assert!(why.starts_with("broker-1 does not come up with revision new: CrashLoopBackOff"));
    // The manifest is taken back: now the pod that crashes is the only outdated one.
    prague.brokers.update_revision = Some("old".to_owned());
    prague.coordinators.update_revision = Some("old".to_owned());
    assert_eq!(goes(&prague), "broker-1");
    // Even if nothing can be asked, as it does not run.
    let mut input = prague.input();
    input.cluster = None;
    assert!(matches!(rollout(&input).step, Step::Evict { .. }));
}

#[test]
fn a_pod_that_crashes_while_nobody_rolls_is_waited_for_and_blames_no_change() {
    let mut prague = Prague::rolling();
    prague.brokers.update_revision = Some("old".to_owned());
    prague.coordinators.update_revision = Some("old".to_owned());
    prague.lose(1);
    let pod = prague.pod("broker-1");
    (pod.ready, pod.running) = (false, false);
    pod.trouble = Some("Unschedulable: 0/3 nodes are available".to_owned());
    assert_eq!(waits(&prague), "broker-1 does not come up: Unschedulable: 0/3 nodes are available");
}

#[test]
fn an_unready_pod_of_an_outdated_revision_stays_if_others_lack_what_it_serves() {
    let mut prague = Prague::rolling();
    prague.pod("broker-2").ready = false;
    assert_eq!(goes(&prague), "broker-2", "two others have all that it has");
    prague.replace("broker-3");
    prague.lose(3);
    assert_eq!(waits(&prague), "broker-3 is fenced");
    // Fenced, it serves nothing, though it runs.
    prague.cluster.brokers.get_mut(&2).expect("it is there").fenced = true;
    assert_eq!(goes(&prague), "broker-2");
}

#[test]
fn a_coordinator_goes_only_while_a_caught_up_majority_remains() {
    let mut prague = Prague::rolling();
    (1..=3).for_each(|id| prague.replace(&format!("broker-{id}")));
    prague.quorum().voters[2].last_caught_up_ms = 1_000;
    assert_eq!(goes(&prague), "coordinator-3", "it is the one that is behind");
    prague.replace("coordinator-3");
    assert_eq!(waits(&prague), "coordinator-3 has not caught up with the active coordinator");
    prague.quorum().voters[2].last_caught_up_ms = 10_000;
    assert_eq!(goes(&prague), "coordinator-2");
}

#[test]
fn the_only_coordinator_goes_with_a_warning() {
    let mut prague = Prague::rolling();
    (1..=3).for_each(|id| prague.replace(&format!("broker-{id}")));
    prague.coordinators.replicas = 1;
    prague.coordinators.pods.truncate(1);
    prague.cluster.quorum = Some(quorum(1));
    let Rollout { step, notices } = decide(&prague);
    assert!(matches!(step, Step::Evict { .. }));
    assert_eq!(notices[0].reason, "TooFewCoordinators");
}

#[test]
fn a_pod_that_ends_on_its_own_is_told_with_its_revision() {
    let mut prague = Prague::rolling();
    let mut seen = Seen::default();
    assert!(seen.watch(&prague.input()).is_empty());
    prague.replace("broker-2");
    let notices = seen.watch(&prague.input());
    assert_eq!(
        notices[0].note,
        "broker-2 ended on its own and came back with revision new, the newest, while others are \
         of an earlier one"
    );
    assert!(seen.watch(&prague.input()).is_empty(), "once");
    prague.last = Some(Evicted { pod: "broker-3".to_owned(), uid: "broker-3-a".to_owned() });
    prague.replace("broker-3");
    assert!(seen.watch(&prague.input()).is_empty(), "it was evicted");
}

#[test]
fn a_partition_that_nobody_can_lead_any_more_holds_up_nobody_who_lives() {
    let mut prague = Prague::rolling();
    prague.topic("broken", 1, &[&[1, 2]]);
    // The directory of broker 1 failed, which had it alone in the end.
    let partition = prague.all_partitions().next().expect("it is the first");
    (partition.isr, partition.leader) = (vec![1], None);
    assert_eq!(goes(&prague), "broker-1");
    assert_eq!(budgets(&prague), (1, 1));
    // While broker 1 is fenced it may come back with it.
    prague.cluster.brokers.get_mut(&1).expect("it is there").fenced = true;
    prague.pod("broker-1").ready = true;
    assert_eq!(goes(&prague), "broker-2", "nobody needs it for that");
    assert_eq!(budgets(&prague), (0, 1));
    prague.replace("broker-2");
    prague.replace("broker-3");
    let text = waits(&prague);
    assert!(text.starts_with("without broker-1, broken-0"), "{text}");
}

/// What the budgets of brokers and of coordinators say.
fn budgets(prague: &Prague) -> (i32, i32) {
    let of = |component| disruption(&prague.input(), component).max_unavailable;
    (of(Component::Broker), of(Component::Coordinator))
}

#[test]
fn a_budget_is_one_only_while_its_component_is_whole() {
    assert_eq!(budgets(&Prague::rolling()), (1, 1));
    type Harm = fn(&mut Prague);
    let breaks: [(&str, Harm, (i32, i32)); 7] = [
        ("a pod leaves", |prague| prague.pod("broker-1").deleting = true, (0, 1)),
        ("a pod is gone", |prague| drop(prague.brokers.pods.pop()), (0, 1)),
        ("a pod is not ready", |prague| prague.pod("coordinator-1").ready = false, (1, 0)),
        ("a broker is fenced", |prague| prague.lose(2), (0, 1)),
        (
            "a replica is behind",
            |prague| prague.all_partitions().for_each(|partition| partition.isr.truncate(2)),
            (0, 1),
        ),
        ("a coordinator is behind", |prague| prague.quorum().voters[1].log_end_offset = 4, (1, 0)),
        ("nobody leads the quorum", |prague| prague.cluster.quorum = None, (0, 0)),
    ];
    for (what, harm, expected) in breaks {
        let mut prague = Prague::rolling();
        harm(&mut prague);
        assert_eq!(budgets(&prague), expected, "{what}");
    }
    let input = Prague::rolling();
    let blind = super::Input { cluster: None, ..input.input() };
    for component in [Component::Broker, Component::Coordinator] {
        let budget = disruption(&blind, component);
        assert_eq!(budget.max_unavailable, 0);
        assert!(budget.why.is_some());
    }
}

#[test]
fn what_can_never_bear_a_loss_does_not_keep_nodes_from_being_drained() {
    let mut prague = Prague::rolling();
    prague.topic("single", 1, &[&[1], &[2]]);
    prague.topic("anotherTopic", 2, &[&[1, 2]]);
    assert_eq!(budgets(&prague), (1, 1));
}

#[test]
fn a_broken_pod_keeps_no_machine_from_being_drained_unless_somebody_would_miss_it() {
    type Harm = fn(&mut Prague);
    let table: [(&str, Harm, bool); 6] = [
        ("all are ready", |_| {}, false),
        (
            "a fenced broker recovers its log",
            |prague| {
                prague.lose(2);
                prague.pod("broker-2").ready = false;
            },
            true,
        ),
        (
            "a broker answers a probe too late, and serves",
            |prague| {
                prague.lose(3);
                prague.pod("broker-2").ready = false;
            },
            false,
        ),
        ("the same, and all others are whole", |prague| prague.pod("broker-2").ready = false, true),
        (
            "a coordinator does not start",
            |prague| {
                prague.pod("coordinator-2").ready = false;
                prague.pod("coordinator-2").running = false;
                prague.quorum().voters[1].log_end_offset = 4;
            },
            true,
        ),
        ("the active coordinator", |prague| prague.pod("coordinator-1").ready = false, false),
    ];
    for (what, harm, may_go) in table {
        let mut prague = Prague::rolling();
        harm(&mut prague);
        let broken_may_go = [Component::Broker, Component::Coordinator]
            .map(|component| disruption(&prague.input(), component).broken_may_go);
        assert_eq!(broken_may_go.contains(&true), may_go, "{what}");
    }
}

#[test]
fn a_pod_that_alone_keeps_its_budget_at_0_is_told_from_one_that_others_keep() {
    type Harm = fn(&mut Prague);
    let table: [(&str, Harm, bool); 5] = [
        ("it is whole", |_| {}, false),
        (
            "it is behind in every partition",
            |prague| {
                prague.all_partitions().for_each(|partition| partition.isr.retain(|id| *id != 2));
            },
            true,
        ),
        (
            "so is another one",
            |prague| prague.all_partitions().for_each(|partition| partition.isr.truncate(1)),
            false,
        ),
        (
            "another one is on its way out",
            |prague| {
                prague.lose(2);
                prague.pod("broker-3").deleting = true;
            },
            false,
        ),
        (
            "another one has no pod",
            |prague| {
                prague.lose(2);
                prague.brokers.pods.truncate(2);
            },
            false,
        ),
    ];
    for (what, harm, is_alone) in table {
        let mut prague = Prague::rolling();
        harm(&mut prague);
        let pod = prague.pod("broker-2").clone();
        assert_eq!(is_its_own_obstacle(&prague.input(), &pod), is_alone, "{what}");
    }
}
