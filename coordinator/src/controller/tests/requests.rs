//! What people ask for: topics, partitions, configuration, producer ids.

use vltava_metadata::ConfigResource;
use vltava_wire::messages::create_partitions::CreatePartitionsTopic;
use vltava_wire::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use vltava_wire::messages::delete_topics::DeleteTopicState;
use vltava_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use vltava_wire::messages::{
    AllocateProducerIdsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest,
};
use vltava_wire::{ErrorCode, NodeId};

use super::fixture::World;

fn wanted(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn code_of(world: &mut World, topic: CreatableTopic) -> ErrorCode {
    world.create(vec![topic]).topics[0].error_code
}

#[test]
fn topics_are_refused_for_kafkas_reasons() {
    let mut world = World::new();
    assert_eq!(
        code_of(&mut world, wanted("early", 1, 1)),
        ErrorCode::INVALID_REPLICATION_FACTOR,
        "no broker is there"
    );
    world.brokers(&[1, 2, 3]);
    let config = |name: &str, value: &str| CreatableTopicConfig {
        name: name.into(),
        value: Some(value.into()),
    };
    let with = |name: &str, key: &str, value: &str| CreatableTopic {
        configs: vec![config(key, value)],
        ..wanted(name, 1, 1)
    };
    let table = [
        (wanted("a.b", 1, 1), ErrorCode::NONE),
        (wanted("a.b", 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS),
        (wanted("a_b", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted("what?", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted("..", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted("none", 0, 1), ErrorCode::INVALID_PARTITIONS),
        (wanted("none", -2, 1), ErrorCode::INVALID_PARTITIONS),
        (wanted("none", 1, 0), ErrorCode::INVALID_REPLICATION_FACTOR),
        (wanted("none", 1, 4), ErrorCode::INVALID_REPLICATION_FACTOR),
        (with("none", "retention.ms", "soon"), ErrorCode::INVALID_CONFIG),
        (with("none", "no.such.key", "1"), ErrorCode::INVALID_CONFIG),
        (with("none", "cleanup.policy", "compress"), ErrorCode::INVALID_CONFIG),
        (with("__consumer_offsets", "cleanup.policy", "compact"), ErrorCode::NONE),
        (with("kept", "retention.ms", "1000"), ErrorCode::NONE),
    ];
    for (topic, expected) in table {
        assert_eq!(code_of(&mut world, topic.clone()), expected, "{topic:?}");
    }
    assert_eq!(world.image.topic_config("kept").len(), 1);
    let twice = world.create(vec![wanted("x", 1, 1), wanted("x", 1, 1)]);
    assert_eq!(twice.topics.len(), 1);
    assert_eq!(twice.topics[0].error_code, ErrorCode::INVALID_REQUEST);
    let collide = world.create(vec![wanted("p.q", 1, 1), wanted("p_q", 1, 1)]);
    assert_eq!(collide.topics[1].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
}

#[test]
fn defaults_and_validation_only() {
    let mut world = World::with(&[("num.partitions", "4"), ("default.replication.factor", "2")]);
    world.brokers(&[1, 2, 3]);
    let request = CreateTopicsRequest {
        topics: vec![wanted("t", -1, -1)],
        validate_only: true,
        ..CreateTopicsRequest::default()
    };
    let answer = world.operate(|controller, _| controller.create_topics(&request));
    let answer = answer.expect("an answer");
    assert_eq!((answer.topics[0].num_partitions, answer.topics[0].replication_factor), (4, 2));
    assert!(world.image.topic("t").is_none());
    assert_eq!(code_of(&mut world, wanted("t", -1, -1)), ErrorCode::NONE);
    assert_eq!(world.image.topic("t").expect("the topic").partitions.len(), 4);
}

#[test]
fn leaders_are_spread_over_brokers_and_replicas_over_racks() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3, 4, 5, 6]);
    assert_eq!(code_of(&mut world, wanted("t", 60, 3)), ErrorCode::NONE);
    let topic = world.image.topic("t").expect("the topic");
    for broker in 1..=6 {
        let broker = NodeId(broker);
        let led = topic.partitions.values().filter(|it| it.leader == broker).count();
        let held = topic.partitions.values().filter(|it| it.is_replica(broker)).count();
        assert_eq!(led, 10, "broker {broker} leads a sixth");
        assert!((20..=40).contains(&held), "broker {broker} holds {held}");
    }
    for partition in topic.partitions.values() {
        let mut replicas = partition.replicas.clone();
        replicas.sort_unstable();
        replicas.dedup();
        assert_eq!(replicas.len(), 3);
        assert_eq!(partition.leader, partition.replicas[0]);
        assert_eq!(partition.isr, partition.replicas);
    }
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    assert_eq!(code_of(&mut world, wanted("t", 3, 2)), ErrorCode::NONE);
    let grow = |world: &mut World, name: &str, count| {
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
        let answer = world.operate(|controller, _| controller.create_partitions(&request));
        answer.expect("an answer").results[0].error_code
    };
    assert_eq!(grow(&mut world, "t", 3), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(grow(&mut world, "t", 2), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(grow(&mut world, "no", 4), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(grow(&mut world, "t", 5), ErrorCode::NONE);
    let topic = |count| CreatePartitionsTopic { name: "t".into(), count, assignments: None };
    let twice = CreatePartitionsRequest { topics: vec![topic(6), topic(7)], ..Default::default() };
    let answer = world.operate(|controller, _| controller.create_partitions(&twice));
    let codes: Vec<_> =
        answer.expect("an answer").results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ErrorCode::INVALID_REQUEST], "one topic, one answer");
    let topic = world.image.topic("t").expect("the topic");
    assert_eq!(topic.partitions.len(), 5);
    assert!(topic.partitions.values().all(|it| it.replicas.len() == 2));
}

#[test]
fn topics_are_deleted_by_name_or_id_with_their_configuration() {
    let mut world = World::new();
    world.broker(1);
    world.topic("a", &[1], &[("retention.ms", "1000")]);
    world.topic("b", &[1], &[]);
    let b = world.image.topic_id("b").expect("the topic");
    let delete = |world: &mut World, topics: Vec<DeleteTopicState>| {
        let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
        let answer = world.operate(|controller, _| controller.delete_topics(&request));
        let results = answer.expect("an answer").responses;
        let mut codes: Vec<_> = results.into_iter().map(|result| result.error_code).collect();
        codes.sort();
        codes
    };
    let name = |name: &str| DeleteTopicState { name: Some(name.into()), ..Default::default() };
    let id = DeleteTopicState { name: None, topic_id: b };
    assert_eq!(
        delete(&mut world, vec![name("a"), name("no"), id.clone(), DeleteTopicState::default()]),
        [
            ErrorCode::NONE,
            ErrorCode::NONE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::INVALID_REQUEST,
        ]
    );
    assert_eq!(delete(&mut world, vec![id]), [ErrorCode::UNKNOWN_TOPIC_ID]);
    assert_eq!(world.image.topics_len(), 0);
    assert!(world.image.config(&ConfigResource::topic("a")).is_none());
    let mut forbidding = World::with(&[("delete.topic.enable", "false")]);
    let request = DeleteTopicsRequest::default();
    let answer = forbidding.operate(|controller, _| controller.delete_topics(&request));
    assert_eq!(answer.map(|_| ()), Err(ErrorCode::TOPIC_DELETION_DISABLED));
}

#[test]
fn a_topic_that_is_named_twice_is_not_deleted() {
    let mut world = World::new();
    world.broker(1);
    for topic in ["a", "b", "c", "d"] {
        world.topic(topic, &[1], &[]);
    }
    let id_of = |world: &World, topic| world.image.topic_id(topic).expect("the topic");
    let (b, c) = (id_of(&world, "b"), id_of(&world, "c"));
    let name = |name: &str| DeleteTopicState { name: Some(name.into()), ..Default::default() };
    let id = |topic_id| DeleteTopicState { name: None, topic_id };
    let topics = [name("a"), name("a"), name("a"), id(b), name("b"), id(c), id(c), name("d")];
    let request = DeleteTopicsRequest { topics: topics.to_vec(), ..Default::default() };
    let answer = world.operate(|controller, _| controller.delete_topics(&request));
    let mut told: Vec<_> = answer
        .expect("an answer")
        .responses
        .into_iter()
        .map(|it| (it.error_message.map(|it| it.to_string()), it.name.map(|it| it.to_string())))
        .collect();
    told.sort();
    let row = |message: Option<&str>, name: Option<&str>| {
        (message.map(str::to_owned), name.map(str::to_owned))
    };
    let both = "The provided topic name maps to an ID that was already supplied.";
    let expected = [
        row(None, Some("d")),
        row(Some("Duplicate topic id."), None),
        row(Some("Duplicate topic name."), Some("a")),
        row(Some(both), Some("b")),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.image.topics_len(), 3);
}

#[test]
fn a_resource_or_a_key_that_is_named_twice_is_not_altered() {
    let mut world = World::new();
    world.broker(1);
    world.topic("t", &[1], &[]);
    world.topic("u", &[1], &[]);
    let set = |key: &str| AlterableConfig {
        name: key.into(),
        config_operation: 0,
        value: Some("1000".into()),
    };
    let topic = |name: &str, keys: &[&str]| AlterConfigsResource {
        resource_type: 2,
        resource_name: name.into(),
        configs: keys.iter().map(|key| set(key)).collect(),
    };
    let resources = vec![
        topic("t", &["retention.ms"]),
        topic("u", &["retention.ms", "retention.ms"]),
        topic("t", &["max.message.bytes"]),
    ];
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let answer = world.operate(|controller, _| controller.incremental_alter_configs(&request));
    let codes: Vec<_> =
        answer.expect("an answer").responses.iter().map(|it| it.error_code).collect();
    assert_eq!(codes, [ErrorCode::INVALID_REQUEST; 3]);
    for name in ["t", "u"] {
        assert!(world.image.config(&ConfigResource::topic(name)).is_none(), "{name}");
    }
}

/// Changes one key of one resource.
fn alter(
    world: &mut World,
    kind: i8,
    name: &str,
    key: &str,
    operation: i8,
    value: Option<&str>,
) -> ErrorCode {
    let config = AlterableConfig {
        name: key.into(),
        config_operation: operation,
        value: value.map(Into::into),
    };
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: vec![config],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    let answer = world.operate(|controller, _| controller.incremental_alter_configs(&request));
    answer.expect("an answer").responses[0].error_code
}

#[test]
fn a_list_of_a_topic_begins_with_its_default() {
    let (append, subtract) = (2, 3);
    let policy = |operations: &[(i8, &str)]| {
        let mut world = World::new();
        world.broker(1);
        world.topic("t", &[1], &[]);
        for (operation, value) in operations {
            let code = alter(&mut world, 2, "t", "cleanup.policy", *operation, Some(value));
            assert_eq!(code, ErrorCode::NONE, "{operations:?}");
        }
        let config = world.image.topic_config("t");
        config.get("cleanup.policy").map(|it| it.as_str().to_owned()).expect("it is set")
    };
    assert_eq!(policy(&[(append, "compact")]), "delete,compact");
    assert_eq!(policy(&[(append, "delete")]), "delete");
    assert_eq!(policy(&[(append, "compact"), (subtract, "delete")]), "compact");
    assert_eq!(policy(&[(append, "compact"), (append, "delete")]), "delete,compact");
}

#[test]
fn a_topic_s_lag_agrees_with_that_of_the_nodes() {
    let mut world = World::with(&[("log.cleaner.max.compaction.lag.ms", "1000")]);
    world.broker(1);
    world.topic("t", &[1], &[]);
    let lag = |world: &mut World, ms| alter(world, 2, "t", "min.compaction.lag.ms", 0, Some(ms));
    assert_eq!(lag(&mut world, "1001"), ErrorCode::INVALID_CONFIG);
    assert_eq!(lag(&mut world, "1000"), ErrorCode::NONE);
}

#[test]
fn single_keys_are_set_and_removed() {
    let mut world = World::new();
    world.broker(1);
    world.topic("t", &[1], &[]);
    let (topic, broker, group) = (2, 4, 32);
    let (set, delete, append) = (0, 1, 2);
    let table = [
        (topic, "t", "retention.ms", set, Some("5"), ErrorCode::NONE),
        (topic, "t", "retention.ms", set, Some("never"), ErrorCode::INVALID_CONFIG),
        (topic, "t", "retention.ms", set, None, ErrorCode::INVALID_REQUEST),
        (topic, "t", "retention.ms", append, Some("5"), ErrorCode::INVALID_CONFIG),
        (topic, "no", "retention.ms", set, Some("5"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        (topic, "t", "retention.ms", 9, Some("5"), ErrorCode::INVALID_REQUEST),
        (broker, "", "min.insync.replicas", set, Some("2"), ErrorCode::NONE),
        (broker, "9", "min.insync.replicas", set, Some("2"), ErrorCode::BROKER_ID_NOT_REGISTERED),
        (broker, "", "log.dirs", set, Some("/x"), ErrorCode::INVALID_REQUEST),
        (99, "t", "retention.ms", set, Some("5"), ErrorCode::INVALID_REQUEST),
        (group, "g", "share.auto.offset.reset", set, Some("earliest"), ErrorCode::NONE),
        (group, "g", "share.auto.offset.reset", set, Some("none"), ErrorCode::INVALID_CONFIG),
        (group, "g", "share.record.lock.duration.ms", set, Some("1"), ErrorCode::INVALID_CONFIG),
        (group, "", "share.auto.offset.reset", set, Some("latest"), ErrorCode::INVALID_REQUEST),
    ];
    for (kind, name, key, operation, value, expected) in table {
        let code = alter(&mut world, kind, name, key, operation, value);
        assert_eq!(code, expected, "{kind} {name} {key} {operation} {value:?}");
    }
    assert_eq!(world.image.topic_config("t").get("retention.ms").map(|it| it.as_str()), Some("5"));
    assert_eq!(world.image.cluster_config().len(), 1);
    assert_eq!(alter(&mut world, topic, "t", "retention.ms", delete, None), ErrorCode::NONE);
    assert!(world.image.topic_config("t").is_empty());
}

#[test]
fn producer_ids_are_handed_out_once() {
    let mut world = World::new();
    world.broker(1);
    let request = AllocateProducerIdsRequest { broker_id: 1, broker_epoch: world.epoch(1) };
    let block = |world: &mut World| {
        let answer = world.operate(|controller, _| controller.allocate_producer_ids(&request));
        answer.map(|answer| (answer.producer_id_start, answer.producer_id_len))
    };
    assert_eq!(block(&mut world), Ok((0, 1000)));
    assert_eq!(block(&mut world), Ok((1000, 1000)));
    world.register_as(1, 9, &[1_001]).expect("a new process");
    assert_eq!(block(&mut world), Err(ErrorCode::STALE_BROKER_EPOCH));
}

#[test]
fn a_broker_that_is_forgotten_leaves_its_isrs() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[]);
    let forget = |world: &mut World, id| {
        world.operate(|controller, _| controller.unregister_broker(NodeId(id)))
    };
    assert_eq!(forget(&mut world, 9), Err(ErrorCode::BROKER_ID_NOT_REGISTERED));
    assert_eq!(forget(&mut world, 1), Ok(()));
    assert!(world.image.broker(NodeId(1)).is_none());
    assert_eq!(world.state("t"), (2, vec![2]));
}
