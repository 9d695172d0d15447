//! What is asked for is larger than a batch of the metadata log, or than a text may be.

use vltava_metadata::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, encode_batch};
use vltava_wire::messages::controller_registration;
use vltava_wire::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use vltava_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use vltava_wire::messages::{
    ControllerRegistrationRequest, CreateTopicsRequest, IncrementalAlterConfigsRequest,
};
use vltava_wire::{ErrorCode, LeaderEpoch, Str};

use super::fixture::World;

/// The longest text of the protocol, in bytes.
const LONG: usize = 32_767;

const TOPIC: i8 = 2;
const GROUP: i8 = 32;

fn set(kind: i8, name: Str, key: &str, value: &str, operation: i8) -> AlterConfigsResource {
    let change = AlterableConfig {
        name: key.into(),
        config_operation: operation,
        value: Some(value.into()),
    };
    AlterConfigsResource { resource_type: kind, resource_name: name, configs: vec![change] }
}

#[test]
fn what_counts_by_itself_goes_into_as_many_batches_as_it_takes() {
    let mut world = World::new();
    let groups = 530;
    let group = |number: usize| {
        let name = Str::from(format!("{number:0LONG$}"));
        set(GROUP, name, "consumer.session.timeout.ms", "45000", 0)
    };
    let resources = (0..groups).map(group).collect();
    let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let decision = world.controller.incremental_alter_configs(&request).expect("a decision");
    let batches = decision.batches().expect("each fits");
    let all = batches.iter().map(|batch| batch.len()).sum::<usize>();
    assert_eq!((all, decision.records.len()), (groups, groups));
    for batch in &batches {
        let bytes = encode_batch(batch, world.end, LeaderEpoch(1), 0).len();
        assert!(bytes <= BATCH_BYTES_MAX, "{bytes}");
    }
    assert!(batches.len() < groups / 10, "{} batches", batches.len());
    let answer = world.take(decision);
    assert!(answer.responses.iter().all(|response| response.error_code.is_ok()));
}

#[test]
fn many_small_records_are_spread_as_well() {
    let mut world = World::new();
    let decision = world.controller.incremental_alter_configs(&IncrementalAlterConfigsRequest {
        resources: (0..BATCH_RECORDS_MAX + 1)
            .map(|number| {
                let name = Str::from(format!("g{number}"));
                set(GROUP, name, "consumer.session.timeout.ms", "45000", 0)
            })
            .collect(),
        ..Default::default()
    });
    let decision = decision.expect("a decision");
    let sizes: Vec<usize> =
        decision.batches().expect("each fits").iter().map(|batch| batch.len()).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= BATCH_RECORDS_MAX), "{sizes:?}");
    world.take(decision);
}

#[test]
fn what_counts_together_is_refused_as_a_whole() {
    let mut world = World::new();
    world.broker(1);
    let throttled = (0..6_000).map(|partition| format!("{partition}:1")).collect::<Vec<_>>();
    let throttled = &throttled.join(",")[..32_000];
    let throttled = throttled.rsplit_once(',').expect("a list").0;
    let topics = |count: usize| CreateTopicsRequest {
        topics: (0..count)
            .map(|number| CreatableTopic {
                name: format!("t{number}").into(),
                num_partitions: 1,
                replication_factor: 1,
                configs: vec![CreatableTopicConfig {
                    name: "leader.replication.throttled.replicas".into(),
                    value: Some(throttled.into()),
                }],
                ..CreatableTopic::default()
            })
            .collect(),
        ..CreateTopicsRequest::default()
    };
    let decision = world.controller.create_topics(&topics(300)).expect("a decision");
    assert_eq!(decision.response.topics[0].error_code, ErrorCode::NONE);
    let refused = decision.batches().expect_err("9.6 MB");
    assert_eq!(refused.code, ErrorCode::POLICY_VIOLATION);
    let decision = world.controller.create_topics(&topics(200)).expect("a decision");
    let batches = decision.batches().expect("6.4 MB");
    assert_eq!(batches.len(), 1, "all of them, or none");
    let bytes = encode_batch(batches[0], world.end, LeaderEpoch(1), 0).len();
    assert!((BATCH_BYTES_MAX / 2..BATCH_BYTES_MAX).contains(&bytes), "{bytes}");
}

#[test]
fn registrations_are_small() {
    let mut world = World::new();
    let long = "x".repeat(LONG);
    let mut request = world.registration(1, 1, &[1_001]);
    request.listeners =
        (0..100).map(|_| request.listeners[0].clone()).map(|it| with_host(it, &long)).collect();
    let refused = world.operate(|controller, moment| controller.register_broker(&request, moment));
    assert_eq!(refused.map(|_| ()), Err(ErrorCode::INVALID_REGISTRATION));
    let listener = |number: usize| controller_registration::Listener {
        name: format!("C{number}").into(),
        host: long.as_str().into(),
        port: 9_093,
        security_protocol: 0,
    };
    let request = ControllerRegistrationRequest {
        controller_id: 3001,
        listeners: (0..20).map(listener).collect(),
        ..Default::default()
    };
    let refused = world.operate(|controller, _| controller.register_controller(&request));
    assert_eq!(refused, Err(ErrorCode::INVALID_REGISTRATION));
}

fn with_host(
    listener: vltava_wire::messages::broker_registration::Listener,
    host: &str,
) -> vltava_wire::messages::broker_registration::Listener {
    vltava_wire::messages::broker_registration::Listener { host: host.into(), ..listener }
}

#[test]
fn a_list_does_not_grow_beyond_what_a_text_may_be() {
    let mut world = World::new();
    world.broker(1);
    world.topic("t", &[1], &[]);
    let key = "leader.replication.throttled.replicas";
    let part = |from: usize| {
        let elements = (from..from + 2_500).map(|partition| format!("{partition}:1"));
        elements.collect::<Vec<_>>().join(",")
    };
    let append = |world: &mut World, from: usize| {
        let resources = vec![set(TOPIC, "t".into(), key, &part(from), 2)];
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let answer = world.operate(|controller, _| controller.incremental_alter_configs(&request));
        let response = answer.expect("an answer").responses.remove(0);
        (response.error_code, response.error_message.map(|text| text.to_string()))
    };
    assert_eq!(append(&mut world, 10_000).0, ErrorCode::NONE);
    let before = world.image.topic_config("t").clone();
    let (code, message) = append(&mut world, 20_000);
    assert_eq!(code, ErrorCode::INVALID_CONFIG, "35,000 bytes");
    let message = message.expect("a sentence");
    assert!(message.contains("exceeds the maximum value size of 32767"), "{message}");
    assert_eq!(world.image.topic_config("t"), before);
}
