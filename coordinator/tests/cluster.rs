//! Coordinators as processes: they found a quorum, die, return, and forget nothing.

#[path = "cluster/nodes.rs"]
mod nodes;

use std::time::Duration;

use nodes::{Broker, PATIENCE, Quorum, listed};
use vltava_wire::ErrorCode;

/// A death is noticed by the closed connection; the session would last longer (9 s).
const FAILOVER_MAX: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_active_coordinator_dies_and_another_goes_on_with_all_that_was_answered() {
    let mut quorum = Quorum::start(3).await;
    let first = quorum.active().await;
    let brokers = Broker::start_all(&quorum, &[1, 2, 3]).await;
    assert_eq!(quorum.create_topic("before", 3).await, ErrorCode::NONE);

    quorum.kill(first);
    let died = std::time::Instant::now();
    let second = quorum.active().await;
    assert_ne!(second, first);
    assert!(died.elapsed() < FAILOVER_MAX, "took {:?}", died.elapsed());
    assert_eq!(quorum.create_topic("after", 3).await, ErrorCode::NONE);
    let (again, _) = quorum.answer_to_create("before", 3).await;
    assert_eq!(again, ErrorCode::TOPIC_ALREADY_EXISTS);
    quorum.eventually(second, "vltava_fenced_brokers", 0).await;

    quorum.start_node(first);
    quorum.eventually(first, "vltava_topics", 2).await;
    quorum.agree().await;
    drop(brokers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_quorum_is_killed_and_returns_with_everything() {
    let mut quorum = Quorum::start(3).await;
    quorum.active().await;
    let brokers = Broker::start_all(&quorum, &[1, 2, 3]).await;
    for round in 0..3 {
        let name = format!("topic-{round}");
        assert_eq!(quorum.create_topic(&name, 3).await, ErrorCode::NONE);
        (0..3).for_each(|node| quorum.kill(node));
        (0..3).for_each(|node| quorum.start_node(node));
        let active = quorum.active().await;
        quorum.eventually(active, "vltava_topics", round + 1).await;
    }
    quorum.agree().await;
    drop(brokers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_is_fenced_within_the_grace_also_with_the_active_coordinator() {
    let mut quorum = Quorum::start(3).await;
    let active = quorum.active().await;
    let mut brokers = Broker::start_all(&quorum, &[1, 2, 3]).await;
    let last = brokers.pop().expect("three brokers");
    let next = brokers.pop().expect("three brokers");

    let died = std::time::Instant::now();
    drop(last);
    quorum.eventually(active, "vltava_fenced_brokers", 1).await;
    assert!(died.elapsed() < FAILOVER_MAX, "took {:?}", died.elapsed());

    let died = std::time::Instant::now();
    drop(next);
    quorum.kill(active);
    let active = quorum.active().await;
    quorum.eventually(active, "vltava_fenced_brokers", 2).await;
    assert!(died.elapsed() < FAILOVER_MAX, "took {:?}", died.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_stands_still_is_replaced_and_fences_nobody_when_it_goes_on() {
    let mut quorum = Quorum::start(3).await;
    let first = quorum.active().await;
    let brokers = Broker::start_all(&quorum, &[1, 2, 3]).await;
    assert_eq!(quorum.create_topic("before", 3).await, ErrorCode::NONE);
    quorum.pause(first);
    let second = quorum.active().await;
    assert_ne!(second, first);
    assert_eq!(quorum.create_topic("after", 3).await, ErrorCode::NONE);
    quorum.go_on(first);
    quorum.eventually(first, "vltava_topics", 2).await;
    quorum.eventually(first, "vltava_quorum_is_leader", 0).await;
    quorum.agree().await;
    let active = quorum.active().await;
    assert_eq!(quorum.metric(active, "vltava_fenced_brokers"), Some(0));
    drop(brokers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_with_an_empty_folder_observes_from_a_snapshot_on() {
    let mut quorum = Quorum::start_with(
        3,
        &[
            ("metadata.log.max.record.bytes.between.snapshots", "2000"),
            ("metadata.max.retention.bytes", "1"),
        ],
    )
    .await;
    let active = quorum.active().await;
    let brokers = Broker::start_all(&quorum, &[1, 2, 3]).await;
    for topic in 0..20 {
        assert_eq!(quorum.create_topic(&format!("topic-{topic}"), 3).await, ErrorCode::NONE);
    }
    quorum.until(active, "a snapshot", |quorum| quorum.snapshots(active) > 0).await;
    let observer = quorum.add_observer();
    quorum.eventually(observer, "vltava_topics", 20).await;
    quorum.agree().await;
    assert_eq!(quorum.voters().await, 3);
    // A voter that was away for long finds its way back by the snapshot, too.
    let away = (active + 1) % 3;
    quorum.kill(away);
    for topic in 20..40 {
        assert_eq!(quorum.create_topic(&format!("topic-{topic}"), 3).await, ErrorCode::NONE);
    }
    quorum.start_node(away);
    quorum.eventually(away, "vltava_topics", 40).await;
    quorum.agree().await;
    drop(brokers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_told_to_stop_hands_over_and_ends_well() {
    let mut quorum = Quorum::start(3).await;
    let first = quorum.active().await;
    let stopped = std::time::Instant::now();
    assert!(quorum.stop(first).await.success());
    let second = quorum.active().await;
    assert_ne!(second, first);
    assert!(stopped.elapsed() < PATIENCE, "took {:?}", stopped.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_coordinator_alone_is_a_quorum() {
    let mut quorum = Quorum::start(1).await;
    assert_eq!(quorum.active().await, 0);
    let brokers = Broker::start_all(&quorum, &[1]).await;
    assert_eq!(quorum.create_topic("t", 1).await, ErrorCode::NONE);
    quorum.kill(0);
    quorum.start_node(0);
    quorum.active().await;
    quorum.eventually(0, "vltava_topics", 1).await;
    drop(brokers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_larger_than_a_batch_ends_no_coordinator() {
    let mut quorum = Quorum::start(1).await;
    quorum.active().await;
    // Each counts by itself, so that they go into as many batches as it takes.
    let codes = quorum.set_groups(530, 32_767).await;
    assert_eq!(codes, vec![ErrorCode::NONE; 530]);
    // Of these, all or none count: 9.6 MB.
    let brokers = Broker::start_all(&quorum, &[1]).await;
    assert_eq!(quorum.create_topics(300, 32_000).await, vec![ErrorCode::POLICY_VIOLATION; 300]);
    assert_eq!(quorum.create_topic("t", 1).await, ErrorCode::NONE);
    quorum.eventually(0, "vltava_topics", 1).await;
    quorum.kill(0);
    quorum.start_node(0);
    quorum.eventually(0, "vltava_topics", 1).await;
    drop(brokers);
}

/// Whether a node says that it waits for one other founder alone.
fn awaits(quorum: &Quorum, node: usize, founder: i32) -> bool {
    let said = quorum.says(node, "/readyz");
    said.is_some_and(|text| text.trim_end().ends_with(&format!("awaited: {founder}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_is_founded_once_its_founders_have_met() {
    let mut quorum = Quorum::of(3, &[]);
    quorum.start_node(0);
    quorum.start_node(1);
    for node in [0, 1] {
        let waits = |quorum: &Quorum| awaits(quorum, node, 3003);
        quorum.until(node, "waiting for the last founder", waits).await;
        assert_eq!(quorum.directory(node), None);
    }
    quorum.start_node(2);
    quorum.active().await;
    for node in 0..3 {
        quorum.until(node, "a voter", |quorum| quorum.directory(node).is_some()).await;
        assert_eq!(quorum.directory(node), Some(listed(node)));
    }
    quorum.agree().await;
    assert_eq!(quorum.voters().await, 3);
    // One that waits for others can be told to stop.
    let mut quorum = Quorum::of(2, &[]);
    quorum.start_node(0);
    let waits = |quorum: &Quorum| quorum.says(0, "/readyz").is_some();
    quorum.until(0, "waiting for the other founder", waits).await;
    assert!(quorum.stop(0).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_lost_its_disk_elects_nobody_who_lacks_what_it_had() {
    let mut quorum = Quorum::start(3).await;
    quorum.active().await;
    let brokers = Broker::start_all(&quorum, &[1]).await;
    assert_eq!(quorum.create_topic("before", 1).await, ErrorCode::NONE);
    quorum.agree().await;
    quorum.kill(2);
    assert_eq!(quorum.create_topic("after", 1).await, ErrorCode::NONE);
    quorum.kill(1);
    quorum.lose_disk(1);
    quorum.kill(0);
    quorum.start_node(1);
    quorum.start_node(2);
    quorum.until(1, "somebody new", |quorum| quorum.directory(1).is_some()).await;
    assert_ne!(quorum.directory(1), Some(listed(1)));
    // Two of the three voters are there again, one of them with everything.
    quorum.start_node(0);
    let active = quorum.active().await;
    assert_eq!(active, 0, "nobody else has it");
    for node in 0..3 {
        quorum.eventually(node, "vltava_topics", 2).await;
    }
    quorum.agree().await;
    drop(brokers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_lost_its_disk_takes_the_place_of_its_former_self_if_it_may() {
    let join = ("controller.quorum.auto.join.enable", "true");
    let mut quorum = Quorum::start_with(3, &[join]).await;
    quorum.active().await;
    quorum.agree().await;
    quorum.kill(1);
    quorum.lose_disk(1);
    quorum.start_node(1);
    quorum.until(1, "somebody new", |quorum| quorum.directory(1).is_some()).await;
    let new = quorum.directory(1).expect("it was there");
    assert_ne!(new, listed(1));
    let start = std::time::Instant::now();
    let mut voting = quorum.voting_directories().await;
    while voting.len() < 3 || !voting.contains(&new) {
        assert!(start.elapsed() < PATIENCE, "{new} does not vote: {voting:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        voting = quorum.voting_directories().await;
    }
    // It votes with what the others have: one of those may go now.
    let active = quorum.active().await;
    quorum.kill(if active == 1 { 0 } else { active });
    quorum.active().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founders_that_lost_their_disks_found_no_second_quorum_beside_one_that_remembers() {
    let mut quorum = Quorum::start(3).await;
    quorum.active().await;
    quorum.agree().await;
    (0..3).for_each(|node| quorum.kill(node));
    for node in [0, 1] {
        quorum.lose_disk(node);
        quorum.start_node(node);
    }
    for node in [0, 1] {
        let waits = |quorum: &Quorum| awaits(quorum, node, 3003);
        quorum.until(node, "waiting for the third founder", waits).await;
    }
    quorum.start_node(2);
    for node in [0, 1] {
        quorum.until(node, "somebody new", |quorum| quorum.directory(node).is_some()).await;
        assert_ne!(quorum.directory(node), Some(listed(node)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_of_another_cluster_is_refused_with_the_reason() {
    let mut quorum = Quorum::start(1).await;
    quorum.active().await;
    assert!(quorum.stop(0).await.success());
    let error = quorum.refusal(0, "vltava.cluster.id", "AAAAAAAAQACAAAAAAAAACQ").await;
    assert!(error.contains("belongs to the cluster"), "{error}");
    let error = quorum.refusal(0, "node.id", "3009").await;
    assert!(error.contains("3009"), "{error}");
}
