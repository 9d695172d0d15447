//! The image as records build it: what each record changes, and that a snapshot loses nothing.

use vltava_metadata::{
    ApplyError, Changes, Checkpoint, CheckpointError, ConfigResource, Image, KRAFT_VERSION,
    LeaderRecoveryState, MetadataRecord, PartitionRef, PartitionRegistration, Provenance,
    ReplayError, SnapshotId, checkpoint, encode_batch,
};
use vltava_wire::batch::{BatchBuilder, ControlRecord};
use vltava_wire::records::metadata::{
    BrokerEndpoint, BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord,
    FeatureLevelRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord,
    RegisterBrokerRecord, RegisterControllerRecord, RemoveTopicRecord, TopicRecord,
    UnregisterBrokerRecord,
};
use vltava_wire::records::raft::{KRaftVersionRecord, VotersRecord, VotersVoter};
use vltava_wire::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, Uuid};

const TOPIC: Uuid = Uuid(77);

fn apply(image: &mut Image, record: impl Into<MetadataRecord>) -> Changes {
    let mut changes = Changes::default();
    image.apply(&record.into(), &mut changes).expect("a record that fits");
    changes
}

fn refusal(image: &mut Image, record: impl Into<MetadataRecord>) -> ApplyError {
    let before = image.clone();
    let error = image.apply(&record.into(), &mut Changes::default()).expect_err("no fit");
    assert_eq!(*image, before, "a record that does not fit changes nothing");
    error
}

fn broker(id: i32, epoch: i64) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: id,
        broker_epoch: epoch,
        incarnation_id: Uuid(epoch as u128),
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: format!("host-{id}").into(),
            port: 9092,
            security_protocol: 0,
        }],
        rack: Some("a".into()),
        log_dirs: vec![Uuid(900 + id as u128), Uuid(500 + id as u128)],
        ..RegisterBrokerRecord::default()
    }
}

fn change(id: i32, epoch: i64) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: id,
        broker_epoch: epoch,
        ..BrokerRegistrationChangeRecord::default()
    }
}

fn unfence(id: i32, epoch: i64) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord { fenced: -1, ..change(id, epoch) }
}

fn partition(index: i32) -> PartitionRecord {
    PartitionRecord {
        partition_id: index,
        topic_id: TOPIC,
        replicas: vec![1, 2, 3],
        isr: vec![1, 2],
        leader: 1,
        leader_epoch: 4,
        partition_epoch: 9,
        directories: vec![Uuid(501), Uuid(502), Uuid(503)],
        ..PartitionRecord::default()
    }
}

fn partition_change(index: i32) -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id: index,
        topic_id: TOPIC,
        ..PartitionChangeRecord::default()
    }
}

fn config(kind: i8, resource: &str, name: &str, value: Option<&str>) -> ConfigRecord {
    ConfigRecord {
        resource_type: kind,
        resource_name: resource.into(),
        name: name.into(),
        value: value.map(Into::into),
    }
}

/// A cluster with some of everything.
fn cluster() -> Image {
    let mut image = Image::new("cluster".into());
    apply(&mut image, FeatureLevelRecord { name: "metadata.version".into(), feature_level: 29 });
    image.set_kraft_version(1, &mut Changes::default());
    for (id, epoch) in [(1, 10), (2, 11), (3, 12)] {
        apply(&mut image, broker(id, epoch));
    }
    // Unfenced in another order than that of their ids.
    apply(&mut image, unfence(3, 12));
    apply(&mut image, unfence(1, 10));
    apply(&mut image, RegisterControllerRecord { controller_id: 3001, ..Default::default() });
    apply(&mut image, TopicRecord { name: "orders".into(), topic_id: TOPIC });
    apply(&mut image, partition(0));
    apply(
        &mut image,
        PartitionRecord {
            eligible_leader_replicas: Some(vec![3]),
            last_known_elr: Some(vec![2]),
            ..partition(1)
        },
    );
    apply(&mut image, config(2, "orders", "retention.ms", Some("5")));
    apply(&mut image, config(4, "", "min.insync.replicas", Some("2")));
    apply(&mut image, ProducerIdsRecord { next_producer_id: 3000, ..Default::default() });
    image
}

fn registration(image: &Image, index: i32) -> PartitionRegistration {
    image.partition(TOPIC, PartitionId(index)).expect("the partition").as_ref().clone()
}

#[test]
fn a_partition_change_changes_what_it_names_and_no_more() {
    let mut image = cluster();
    let before = registration(&image, 0);
    let changes =
        apply(&mut image, PartitionChangeRecord { isr: Some(vec![1]), ..partition_change(0) });
    assert!(changes.partitions.contains(&PartitionRef { topic: TOPIC, partition: PartitionId(0) }));
    let shrunk = registration(&image, 0);
    assert_eq!(
        shrunk,
        PartitionRegistration { isr: vec![NodeId(1)], partition_epoch: 10, ..before.clone() }
    );
    // Naming the present leader starts a new epoch all the same.
    apply(&mut image, PartitionChangeRecord { leader: 1, ..partition_change(0) });
    let again = registration(&image, 0);
    assert_eq!((again.leader_epoch, again.partition_epoch), (LeaderEpoch(5), 11));
    apply(
        &mut image,
        PartitionChangeRecord {
            leader: -1,
            leader_recovery_state: 1,
            replicas: Some(vec![2, 1]),
            removing_replicas: Some(vec![1]),
            ..partition_change(0)
        },
    );
    let gone = registration(&image, 0);
    assert_eq!(gone.leader(), None);
    assert_eq!(gone.leader_epoch, LeaderEpoch(6));
    assert_eq!(gone.leader_recovery_state, LeaderRecoveryState::Recovering);
    assert_eq!(gone.directories, vec![Uuid::MIGRATING_DIR; 2], "of other replicas than named");
    assert!(gone.is_reassigning());
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let mut image = cluster();
    assert_eq!(refusal(&mut image, change(9, 1)), ApplyError::UnknownBroker(NodeId(9)));
    assert_eq!(
        refusal(&mut image, change(1, 99)),
        ApplyError::BrokerEpoch {
            id: NodeId(1),
            registered: BrokerEpoch(10),
            named: BrokerEpoch(99),
        }
    );
    let partition = PartitionId(7);
    assert_eq!(
        refusal(&mut image, partition_change(7)),
        ApplyError::UnknownPartition { topic: TOPIC, partition }
    );
    let other = RemoveTopicRecord { topic_id: Uuid(1) };
    assert_eq!(refusal(&mut image, other), ApplyError::UnknownTopic(Uuid(1)));
    let same_name = TopicRecord { name: "orders".into(), topic_id: Uuid(1) };
    assert!(matches!(refusal(&mut image, same_name), ApplyError::TopicExists { .. }));
    let strange = PartitionChangeRecord { leader_recovery_state: 9, ..partition_change(0) };
    assert!(matches!(refusal(&mut image, strange), ApplyError::Value { value: 9, .. }));
}

#[test]
fn a_topic_takes_its_configuration_with_it() {
    let mut image = cluster();
    let changes = apply(&mut image, RemoveTopicRecord { topic_id: TOPIC });
    assert_eq!(changes.topics_deleted.get(&TOPIC).map(|name| name.as_str()), Some("orders"));
    assert!(changes.configs.contains(&ConfigResource::topic("orders")));
    assert!(image.topic("orders").is_none() && image.topic_config("orders").is_empty());
}

#[test]
fn a_topic_that_came_and_went_is_gone() {
    let mut image = Image::new("cluster".into());
    let mut changes = apply(&mut image, TopicRecord { name: "t".into(), topic_id: TOPIC });
    changes.extend(apply(&mut image, partition(0)));
    changes.extend(apply(&mut image, RemoveTopicRecord { topic_id: TOPIC }));
    assert!(changes.topics_created.is_empty() && changes.partitions.is_empty());
    assert!(changes.topics_deleted.contains_key(&TOPIC));
}

#[test]
fn the_senior_broker_is_the_one_that_was_unfenced_first() {
    let mut image = cluster();
    assert_eq!(image.senior_broker(), Some(NodeId(3)));
    apply(&mut image, BrokerRegistrationChangeRecord { fenced: 1, ..change(3, 12) });
    assert_eq!(image.senior_broker(), Some(NodeId(1)));
    apply(&mut image, unfence(3, 12));
    assert_eq!(image.senior_broker(), Some(NodeId(1)), "who returns waits its turn");
    apply(&mut image, UnregisterBrokerRecord { broker_id: 1, broker_epoch: 10 });
    assert_eq!(image.senior_broker(), Some(NodeId(3)));
}

#[test]
fn eligible_replicas_are_forgotten_on_demand() {
    let mut image = cluster();
    let changes = apply(&mut image, ClearElrRecord { topic_name: "".into() });
    assert_eq!(changes.partitions.len(), 1, "only one partition had any");
    assert!(registration(&image, 1).elr.is_empty());
}

#[test]
fn a_snapshot_loses_nothing() {
    let mut image = cluster();
    let provenance =
        Provenance { offset: Offset(41), epoch: LeaderEpoch(3), timestamp: 1_700_000_000_000 };
    image.set_provenance(provenance);
    let id = SnapshotId { end_offset: Offset(42), epoch: LeaderEpoch(3) };
    assert_eq!(id.file_name(), "00000000000000000042-0000000003.checkpoint");
    assert_eq!(SnapshotId::from_file_name(&id.file_name()), Some(id));
    let voters = VotersRecord {
        version: 0,
        voters: vec![VotersVoter { voter_id: 3001, ..VotersVoter::default() }],
    };
    let bytes = checkpoint::encode(id, &image, Some(&voters), 1_700_000_000_001);
    let Checkpoint { image: loaded, kraft_version, voters: named, .. } =
        checkpoint::decode(id, "cluster".into(), &bytes).expect("a whole snapshot");
    assert_eq!(loaded, image);
    assert_eq!(loaded.digest(), image.digest());
    assert_eq!(loaded.features().get(KRAFT_VERSION), Some(&1));
    assert_eq!((kraft_version, named), (1, Some(voters)));
}

#[test]
fn a_snapshot_that_was_cut_or_damaged_is_refused() {
    let id = SnapshotId { end_offset: Offset(42), epoch: LeaderEpoch(3) };
    let bytes = checkpoint::encode(id, &cluster(), None, 0);
    let decode = |bytes: &[u8]| checkpoint::decode(id, "cluster".into(), bytes).map(|_| ());
    assert_eq!(decode(&bytes), Ok(()));
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        // A batch's offset, length and epoch lie outside of its CRC.
        let _ = decode(&damaged);
    }
    let footless = &bytes[..bytes.len() - 75];
    assert_eq!(decode(footless), Err(CheckpointError::NoFooter));
}

#[test]
fn a_large_snapshot_has_many_batches() {
    let mut image = cluster();
    for index in 2..5_000 {
        apply(&mut image, partition(index));
    }
    let id = SnapshotId { end_offset: Offset(6_000), epoch: LeaderEpoch(3) };
    let bytes = checkpoint::encode(id, &image, Some(&VotersRecord::default()), 0);
    let loaded = checkpoint::decode(id, "cluster".into(), &bytes).expect("a whole snapshot");
    assert_eq!(loaded.image.digest(), image.digest());
    assert_eq!(loaded.image.partitions_len(), 5_000);
}

#[test]
fn what_leads_from_one_image_to_another_is_found_without_the_log() {
    let old = cluster();
    let mut new = old.clone();
    let mut followed = Changes::default();
    for record in [
        MetadataRecord::from(PartitionChangeRecord { isr: Some(vec![1]), ..partition_change(0) }),
        TopicRecord { name: "bills".into(), topic_id: Uuid(88) }.into(),
        PartitionRecord { topic_id: Uuid(88), ..partition(0) }.into(),
        unfence(2, 11).into(),
        config(2, "bills", "retention.ms", Some("1")).into(),
        config(4, "", "min.insync.replicas", None).into(),
        ProducerIdsRecord { next_producer_id: 9000, ..Default::default() }.into(),
    ] {
        followed.extend(apply(&mut new, record));
    }
    assert_eq!(Changes::between(&old, &new), followed);
    assert!(Changes::between(&new, &new).is_empty());
    let back = Changes::between(&new, &old);
    assert!(back.topics_deleted.contains_key(&Uuid(88)));
}

#[test]
fn batches_of_the_log_are_applied_in_order() {
    let mut image = Image::new("cluster".into());
    let mut control = BatchBuilder::new(Offset(0)).partition_leader_epoch(LeaderEpoch(1)).control();
    let level = KRaftVersionRecord { version: 0, k_raft_version: 1 };
    control.append_control_record(5, &ControlRecord::KraftVersion(level));
    let mut bytes = control.build().to_vec();
    let topic = TopicRecord { name: "orders".into(), topic_id: TOPIC };
    let records = [topic.clone().into(), partition(0).into()];
    bytes.extend_from_slice(&encode_batch(&records, Offset(1), LeaderEpoch(1), 6));
    let changes = image.replay(&bytes).expect("batches that fit");
    assert!(changes.features && changes.topics_created.contains(&TOPIC));
    assert_eq!(image.kraft_version(), 1);
    let expected = Provenance { offset: Offset(2), epoch: LeaderEpoch(1), timestamp: 6 };
    assert_eq!(image.provenance(), expected);
    let again = encode_batch(&[topic.into()], Offset(3), LeaderEpoch(1), 7);
    let error = image.replay(&again).expect_err("the topic is there");
    assert!(matches!(error, ReplayError::Apply { offset: Offset(3), .. }), "{error:?}");
}
