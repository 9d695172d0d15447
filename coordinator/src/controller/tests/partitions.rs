//! Who leads, who is in sync, and who may say so.

use std::time::Duration;

use vltava_wire::messages::alter_partition::{BrokerState, PartitionData, TopicData};
use vltava_wire::messages::alter_partition_reassignments::{
    ReassignablePartition, ReassignableTopic,
};
use vltava_wire::messages::create_topics::CreatableTopic;
use vltava_wire::messages::elect_leaders::TopicPartitions;
use vltava_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use vltava_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, ListPartitionReassignmentsRequest,
};
use vltava_wire::{ErrorCode, NodeId};

use super::fixture::{SESSION, World};
use crate::controller::Happening;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// What the leader of a topic's partition proposes: that ISR, with the broker epochs of now.
fn proposal(world: &World, topic: &str, isr: &[i32]) -> AlterPartitionRequest {
    let partition = world.partition(topic);
    let leader = partition.leader.get();
    let data = PartitionData {
        partition_index: 0,
        leader_epoch: partition.leader_epoch.get(),
        partition_epoch: partition.partition_epoch,
        new_isr_with_epochs: isr
            .iter()
            .map(|id| BrokerState { broker_id: *id, broker_epoch: world.epoch(*id) })
            .collect(),
        ..PartitionData::default()
    };
    AlterPartitionRequest {
        broker_id: leader,
        broker_epoch: world.epoch(leader),
        topics: vec![TopicData {
            topic_id: world.image.topic_id(topic).expect("the topic"),
            partitions: vec![data],
        }],
    }
}

fn propose(world: &mut World, request: &AlterPartitionRequest) -> ErrorCode {
    let answer = world.operate(|controller, _| controller.alter_partition(request));
    match answer {
        Ok(response) => response.topics[0].partitions[0].error_code,
        Err(code) => code,
    }
}

fn shrunk() -> World {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    let request = proposal(&world, "t", &[1, 3]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NONE);
    assert_eq!(world.state("t"), (1, vec![1, 3]));
    world
}

#[test]
fn a_leader_shrinks_and_expands_the_isr() {
    let mut world = shrunk();
    let request = proposal(&world, "t", &[1, 2, 3]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NONE);
    assert_eq!(world.state("t"), (1, vec![1, 2, 3]));
}

#[test]
fn proposals_are_fenced_by_epochs() {
    let mut world = shrunk();
    let good = proposal(&world, "t", &[1, 2, 3]);
    let with = |change: &dyn Fn(&mut PartitionData)| {
        let mut request = good.clone();
        change(&mut request.topics[0].partitions[0]);
        request
    };
    let table: [(AlterPartitionRequest, ErrorCode); 8] = [
        (with(&|data| data.partition_epoch -= 1), ErrorCode::INVALID_UPDATE_VERSION),
        (with(&|data| data.partition_epoch += 1), ErrorCode::NOT_CONTROLLER),
        (with(&|data| data.leader_epoch -= 1), ErrorCode::FENCED_LEADER_EPOCH),
        (with(&|data| data.leader_epoch += 1), ErrorCode::NOT_CONTROLLER),
        (with(&|data| data.partition_index = 9), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (with(&|data| data.new_isr_with_epochs.truncate(0)), ErrorCode::INVALID_REQUEST),
        (
            with(&|data| data.new_isr_with_epochs[1].broker_epoch -= 1),
            ErrorCode::INELIGIBLE_REPLICA,
        ),
        (
            AlterPartitionRequest { broker_id: 3, broker_epoch: world.epoch(3), ..good.clone() },
            ErrorCode::INVALID_REQUEST,
        ),
    ];
    for (request, expected) in table {
        assert_eq!(propose(&mut world, &request), expected, "{request:?}");
    }
    let stale = AlterPartitionRequest { broker_epoch: 1, ..good.clone() };
    assert_eq!(propose(&mut world, &stale), ErrorCode::STALE_BROKER_EPOCH);
    assert_eq!(propose(&mut world, &good), ErrorCode::NONE);
}

#[test]
fn a_fenced_broker_cannot_join_the_isr() {
    let mut world = shrunk();
    world.pass(SESSION, &[1, 3]);
    assert!(!world.is_unfenced(2));
    let request = proposal(&world, "t", &[1, 2, 3]);
    assert_eq!(propose(&mut world, &request), ErrorCode::INELIGIBLE_REPLICA);
}

#[test]
fn the_last_in_sync_replica_stays_in_sync_without_a_leader() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[]);
    world.pass(SESSION, &[1]);
    assert_eq!(world.state("t"), (1, vec![1]));
    world.beat(2).expect("it returns");
    world.pass(SESSION, &[2]);
    assert_eq!(world.state("t"), (-1, vec![1]), "broker 2 lacks what broker 1 acknowledged");
    world.beat(1).expect("it returns");
    assert_eq!(world.state("t"), (1, vec![1]));
}

#[test]
fn an_unclean_election_happens_where_it_is_allowed() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[("unclean.leader.election.enable", "true")]);
    let request = proposal(&world, "t", &[1]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NONE);
    world.pass(SESSION, &[2]);
    assert_eq!(world.state("t"), (2, vec![2]));
    let unclean = |it: &Happening| matches!(it, Happening::UncleanElection { .. });
    assert!(world.happenings.iter().any(unclean));
}

#[test]
fn leadership_returns_to_the_preferred_replica_by_itself() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[]);
    world.pass(SESSION, &[2]);
    world.beat(1).expect("it returns");
    let request = proposal(&world, "t", &[2, 1]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NONE);
    assert_eq!(world.state("t"), (2, vec![2, 1]));
    world.pass(Duration::from_secs(6), &[1, 2]);
    assert_eq!(world.state("t").0, 1);
}

#[test]
fn elections_on_demand() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[]);
    let elect = |world: &mut World, election_type, topic: &str, partition| {
        let topic_partitions =
            vec![TopicPartitions { topic: topic.into(), partitions: vec![partition] }];
        let request = ElectLeadersRequest {
            election_type,
            topic_partitions: Some(topic_partitions),
            ..ElectLeadersRequest::default()
        };
        let answer = world.operate(|controller, _| controller.elect_leaders(&request));
        answer.expect("an answer").replica_election_results[0].partition_result[0].error_code
    };
    assert_eq!(elect(&mut world, PREFERRED, "t", 0), ErrorCode::ELECTION_NOT_NEEDED);
    assert_eq!(elect(&mut world, PREFERRED, "t", 7), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(elect(&mut world, PREFERRED, "no", 0), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let request = proposal(&world, "t", &[1]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NONE);
    assert_eq!(elect(&mut world, UNCLEAN, "t", 0), ErrorCode::ELECTION_NOT_NEEDED);
    world.pass(SESSION, &[2]);
    assert_eq!(elect(&mut world, PREFERRED, "t", 0), ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE);
    assert_eq!(elect(&mut world, UNCLEAN, "t", 0), ErrorCode::NONE);
    assert_eq!(world.state("t"), (2, vec![2]));
}

#[test]
fn a_reassignment_ends_when_what_it_adds_is_in_sync() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3, 4]);
    world.topic("t", &[1, 2], &[]);
    let reassign = |world: &mut World, replicas: Option<&[i32]>| {
        let partition =
            ReassignablePartition { partition_index: 0, replicas: replicas.map(<[i32]>::to_vec) };
        let topics = vec![ReassignableTopic { name: "t".into(), partitions: vec![partition] }];
        let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
        let decide = |controller: &mut crate::controller::Controller, _| {
            controller.alter_partition_reassignments(&request)
        };
        world.operate(decide).expect("an answer").responses[0].partitions[0].error_code
    };
    assert_eq!(reassign(&mut world, None), ErrorCode::NO_REASSIGNMENT_IN_PROGRESS);
    assert_eq!(reassign(&mut world, Some(&[3, 9])), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(reassign(&mut world, Some(&[3, 4])), ErrorCode::NONE);
    let moving = world.partition("t");
    assert_eq!(moving.replicas, [3, 4, 1, 2].map(NodeId));
    assert_eq!(moving.adding_replicas, [3, 4].map(NodeId));
    assert_eq!(moving.removing_replicas, [1, 2].map(NodeId));
    let all = ListPartitionReassignmentsRequest::default();
    let listed = world.operate(|controller, _| controller.list_partition_reassignments(&all));
    assert_eq!(listed.expect("an answer").topics.len(), 1);
    assert_eq!(reassign(&mut world, None), ErrorCode::NONE);
    assert_eq!(world.partition("t").replicas, [1, 2].map(NodeId));
    assert_eq!(reassign(&mut world, Some(&[3, 4])), ErrorCode::NONE);
    let request = proposal(&world, "t", &[1, 2, 3]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NONE);
    assert!(world.partition("t").is_reassigning());
    let request = proposal(&world, "t", &[1, 2, 3, 4]);
    assert_eq!(propose(&mut world, &request), ErrorCode::NEW_LEADER_ELECTED);
    let done = world.partition("t");
    assert!(!done.is_reassigning());
    assert_eq!(done.replicas, [3, 4].map(NodeId));
    assert_eq!(world.state("t"), (3, vec![3, 4]));
}

/// A broker that is to go, or is not to go after all.
fn cordon(world: &mut World, broker: i32, operation: i8) {
    let config = AlterableConfig {
        name: "cordoned.log.dirs".into(),
        config_operation: operation,
        value: (operation == SET).then(|| "*".into()),
    };
    let resource = AlterConfigsResource {
        resource_type: 4,
        resource_name: broker.to_string().into(),
        configs: vec![config],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = world.operate(|controller, _| controller.incremental_alter_configs(&request));
    assert_eq!(answer.expect("an answer").responses[0].error_code, ErrorCode::NONE);
}

const SET: i8 = 0;
const DELETE: i8 = 1;

#[test]
fn a_cordoned_broker_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3, 4]);
    world.topic("old", &[4, 1], &[]);
    cordon(&mut world, 4, SET);
    let placed = |world: &mut World, name: &str, replicas: i16| {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 12,
            replication_factor: replicas,
            ..CreatableTopic::default()
        };
        let code = world.create(vec![topic]).topics[0].error_code;
        let on = |id: i32| {
            let topic = world.image.topic(name);
            topic.is_some_and(|topic| {
                topic.partitions.values().any(|it| it.replicas.contains(&NodeId(id)))
            })
        };
        (code, on(4), on(3))
    };
    assert_eq!(placed(&mut world, "new", 3), (ErrorCode::NONE, false, true));
    let too_many = (ErrorCode::INVALID_REPLICATION_FACTOR, false, false);
    assert_eq!(placed(&mut world, "many", 4), too_many);
    let reassign = |world: &mut World, topic: &str, replicas: &[i32]| {
        let partition =
            ReassignablePartition { partition_index: 0, replicas: Some(replicas.to_vec()) };
        let topics = vec![ReassignableTopic { name: topic.into(), partitions: vec![partition] }];
        let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
        let decide = |controller: &mut crate::controller::Controller, _| {
            controller.alter_partition_reassignments(&request)
        };
        world.operate(decide).expect("an answer").responses[0].partitions[0].error_code
    };
    let refused = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    assert_eq!(reassign(&mut world, "new", &[4, 1, 2]), refused, "nothing moves onto it");
    assert_eq!(world.state("old"), (4, vec![4, 1]), "it leads what it has");
    assert_eq!(reassign(&mut world, "old", &[1, 4]), ErrorCode::NONE, "it may keep what it has");
    assert_eq!(reassign(&mut world, "old", &[1, 2]), ErrorCode::NONE, "and be drained");
    cordon(&mut world, 4, DELETE);
    assert_eq!(placed(&mut world, "many", 4), (ErrorCode::NONE, true, true));
}

#[test]
fn more_partitions_than_one_batch_takes_lose_a_broker() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    for topic in 0..11 {
        let response = world.create(vec![CreatableTopic {
            name: format!("t{topic}").into(),
            num_partitions: 1_000,
            replication_factor: 3,
            ..CreatableTopic::default()
        }]);
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    }
    let before = world.end;
    world.pass(SESSION, &[1, 2]);
    assert!(!world.is_unfenced(3));
    assert!(world.end - before > 11_000, "each partition changed");
    let partitions = world.image.topics().flat_map(|topic| topic.partitions.values());
    for partition in partitions {
        assert!(!partition.isr.contains(&NodeId(3)) && partition.leader != NodeId(3));
    }
}
