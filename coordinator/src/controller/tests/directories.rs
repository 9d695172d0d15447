//! Replicas in several log directories, some of which fail (KIP-858).

use vltava_wire::messages::assign_replicas_to_dirs::{DirectoryData, PartitionData, TopicData};
use vltava_wire::messages::{AssignReplicasToDirsRequest, BrokerHeartbeatRequest};
use vltava_wire::{ErrorCode, NodeId, Uuid};

use super::fixture::World;

const A: u128 = 1_101;
const B: u128 = 1_102;

/// Broker 1 has two directories; a topic on 1 and 2, one on 1 alone.
fn world() -> World {
    let mut world = World::new();
    world.register_as(1, 1, &[A, B]).expect("a registration");
    world.beat(1).expect("a heartbeat");
    world.broker(2);
    world.topic("both", &[1, 2], &[]);
    world.topic("alone", &[1], &[]);
    world
}

fn assign(world: &mut World, topic: &str, directory: Uuid) -> ErrorCode {
    let topic_id = world.image.topic(topic).expect("the topic").id;
    let partitions = vec![PartitionData { partition_index: 0 }];
    let topics = vec![TopicData { topic_id, partitions }];
    let request = AssignReplicasToDirsRequest {
        broker_id: 1,
        broker_epoch: world.epoch(1),
        directories: vec![DirectoryData { id: directory, topics }],
    };
    let answer = world.operate(|controller, _| controller.assign_replicas_to_dirs(&request));
    answer.expect("an answer").directories[0].topics[0].partitions[0].error_code
}

fn directory(world: &World, topic: &str) -> Uuid {
    world.partition(topic).directory(NodeId(1))
}

#[test]
fn a_broker_says_where_its_replicas_lie() {
    let mut world = world();
    assert_eq!(directory(&world, "both"), Uuid::UNASSIGNED_DIR, "it chooses by itself");
    assert_eq!(assign(&mut world, "both", Uuid(A)), ErrorCode::NONE);
    assert_eq!(directory(&world, "both"), Uuid(A));
    assert_eq!(world.state("both"), (1, vec![1, 2]));
    let stale = AssignReplicasToDirsRequest { broker_id: 1, ..Default::default() };
    let answer = world.operate(|controller, _| controller.assign_replicas_to_dirs(&stale));
    assert_eq!(answer.map(|_| ()), Err(ErrorCode::STALE_BROKER_EPOCH));
}

#[test]
fn what_lies_in_a_failed_directory_is_led_by_others_and_the_rest_stays() {
    let mut world = world();
    assign(&mut world, "both", Uuid(A));
    assign(&mut world, "alone", Uuid(B));
    let failed = BrokerHeartbeatRequest { offline_log_dirs: vec![Uuid(A)], ..world.heartbeat(1) };
    world.beat_with(&failed).expect("a heartbeat");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (1, vec![1]));
}

#[test]
fn a_heartbeat_that_unfences_gives_nothing_to_the_directory_that_it_reports() {
    let mut world = world();
    assign(&mut world, "both", Uuid(A));
    assign(&mut world, "alone", Uuid(A));
    world.topic("elsewhere", &[1], &[]);
    assign(&mut world, "elsewhere", Uuid(B));
    let fence = BrokerHeartbeatRequest { want_fence: true, ..world.heartbeat(1) };
    world.beat_with(&fence).expect("it was cut off");
    assert_eq!(world.state("alone"), (-1, vec![1]));
    let failed = BrokerHeartbeatRequest { offline_log_dirs: vec![Uuid(A)], ..world.heartbeat(1) };
    assert!(!world.beat_with(&failed).expect("a heartbeat").is_fenced);
    assert_eq!(world.state("alone"), (-1, vec![1]), "the last copy may come back");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("elsewhere"), (1, vec![1]), "the other directory is well");
    world.register_as(1, 2, &[A, B]).expect("the disk is back");
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("alone"), (1, vec![1]));
}

#[test]
fn a_process_that_registers_again_without_a_directory_leads_nothing_there() {
    let mut world = world();
    assign(&mut world, "both", Uuid(A));
    assign(&mut world, "alone", Uuid(B));
    assert_eq!(world.state("both"), (1, vec![1, 2]));
    let epoch = world.epoch(1);
    assert_eq!(world.register_as(1, 1, &[B]), Ok(epoch), "the same process");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (1, vec![1]));
    let failed = BrokerHeartbeatRequest { offline_log_dirs: vec![Uuid(A)], ..world.heartbeat(1) };
    world.beat_with(&failed).expect("a heartbeat that comes later");
    assert_eq!(world.state("both"), (2, vec![2]));
}

#[test]
fn a_replica_that_is_assigned_to_a_failed_directory_late_goes_offline_then() {
    let mut world = world();
    let failed = BrokerHeartbeatRequest { offline_log_dirs: vec![Uuid(A)], ..world.heartbeat(1) };
    world.beat_with(&failed).expect("a heartbeat");
    assert_eq!(world.state("both"), (1, vec![1, 2]), "nobody knows yet where it lies");
    assign(&mut world, "both", Uuid(A));
    assign(&mut world, "alone", Uuid(A));
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (-1, vec![1]), "the last copy may come back");
}

#[test]
fn a_leader_whose_log_is_lost_hands_over_and_may_lead_again_once_it_is_whole() {
    let mut world = world();
    assign(&mut world, "both", Uuid::LOST_DIR);
    assign(&mut world, "alone", Uuid::LOST_DIR);
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (-1, vec![1]));
    assign(&mut world, "alone", Uuid(B));
    assert_eq!(world.state("alone"), (1, vec![1]));
}

#[test]
fn a_directory_that_is_missing_at_start_costs_no_last_copy() {
    let mut world = world();
    assign(&mut world, "both", Uuid(A));
    assign(&mut world, "alone", Uuid(A));
    world.register_as(1, 2, &[B]).expect("without its failed directory");
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (-1, vec![1]), "its disk may be repaired");
    world.register_as(1, 3, &[A, B]).expect("the disk is back");
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("alone"), (1, vec![1]));
}

#[test]
fn a_forgotten_broker_that_returns_with_an_empty_disk_refills() {
    let mut world = world();
    assign(&mut world, "both", Uuid(A));
    assign(&mut world, "alone", Uuid(A));
    world.operate(|controller, _| controller.unregister_broker(NodeId(1))).expect("forgotten");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (-1, vec![1]), "its disk may come back");
    world.register_as(1, 2, &[1_103]).expect("with a new disk");
    world.beat(1).expect("a heartbeat");
    assert_eq!(directory(&world, "both"), Uuid(1_103), "it is made anew there");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (-1, vec![]), "it must not lead with nothing");
}

#[test]
fn a_directory_that_was_replaced_is_lost() {
    let mut world = world();
    assign(&mut world, "alone", Uuid(A));
    assign(&mut world, "both", Uuid(B));
    world.register_as(1, 2, &[1_103, B]).expect("with a new disk");
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("alone"), (-1, vec![]));
    assert_eq!(directory(&world, "both"), Uuid(B));
}
