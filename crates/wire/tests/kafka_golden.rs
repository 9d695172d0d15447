//! Bytes that Apache Kafka 4.2.1 wrote, or read and wrote again: `tests/golden`, made by
//! `tests/oracle/Oracle.java` out of what `examples/oracle_lines.rs` prints.
//!
//! ```text
//! oracle_lines golden | java … Oracle messages > messages.txt
//! java … Oracle write-messages > messages-of-kafka.txt
//! (java … Oracle write-batches; oracle_lines batches) > batches.txt
//! java … Oracle batches < batches.txt > batches-as-kafka-reads-them.txt
//! ```

#[macro_use]
#[path = "oracle/declared.rs"]
mod declared;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};

use bytes::Bytes;
use vltava_wire::batch::{
    Batch, BatchBuilder, ControlRecord, Record, TimestampType, set_max_timestamp_and_type,
};
use vltava_wire::compression::Compression;
use vltava_wire::messages::{
    add_raft_voter, list_offsets, offset_commit, offset_fetch, write_txn_markers,
};
use vltava_wire::records::{
    consumer_group, group, metadata, principal, producer_snapshot, raft, share_group, share_state,
    transaction,
};
use vltava_wire::{
    LeaderEpoch, Message, Offset, ProducerEpoch, ProducerId, Uuid, Writer, messages,
};

const MESSAGES: &str = include_str!("golden/messages.txt");
const MESSAGES_OF_KAFKA: &str = include_str!("golden/messages-of-kafka.txt");
const BATCHES: &str = include_str!("golden/batches.txt");
const BATCHES_AS_KAFKA_READS_THEM: &str = include_str!("golden/batches-as-kafka-reads-them.txt");

/// What the records of a golden batch may take, in bytes.
const RECORDS_MAX: usize = 1 << 20;

fn unhex(text: &str) -> Bytes {
    assert!(text.len().is_multiple_of(2), "hex has two digits a byte");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lines(text: &str) -> impl Iterator<Item = (&str, i16, Bytes)> {
    text.lines().map(|line| {
        let parts: Vec<&str> = line.split(' ').collect();
        (parts[0], parts[1].parse().expect("a version"), unhex(parts[2]))
    })
}

type RoundTrip = fn(i16, Bytes) -> Bytes;

fn round_trip<M: Message>(version: i16, bytes: Bytes) -> Bytes {
    let message = M::read(bytes, version).expect("Kafka reads it");
    let mut writer = Writer::new();
    message.write(&mut writer, version);
    writer.into_bytes()
}

/// By name: the versions and the round trip of each record and message.
fn round_trips() -> BTreeMap<&'static str, (i16, i16, RoundTrip)> {
    macro_rules! each {
        ($($module:ident::{$($name:ident)*})*) => {
            vec![$($({
                use $module::$name as M;
                (M::NAME, (M::VERSIONS.min, M::VERSIONS.max, round_trip::<M> as RoundTrip))
            },)*)*]
        };
    }
    [requests!(each), responses!(each), shared_records!(each), own_records!(each)]
        .concat()
        .into_iter()
        .collect()
}

#[test]
fn what_kafka_reads_and_writes_again_we_do_too() {
    let round_trips = round_trips();
    for (name, version, bytes) in lines(MESSAGES) {
        let (.., round_trip) = round_trips[name];
        assert_eq!(round_trip(version, bytes.clone()), bytes, "{name} v{version}");
    }
}

#[test]
fn every_version_that_kafka_protocol_lacks_is_there() {
    macro_rules! names {
        ($($module:ident::{$($name:ident)*})*) => {
            vec![$($($module::$name::NAME,)*)*]
        };
    }
    let there: BTreeSet<_> = lines(MESSAGES).map(|(name, version, _)| (name, version)).collect();
    let own = own_records!(names);
    for (name, (min, max, _)) in round_trips() {
        for version in min..=max {
            let wanted = own.contains(&name) || declared::is_lacking(name, version);
            assert_eq!(there.contains(&(name, version)), wanted, "{name} v{version}");
        }
    }
}

fn kafka_wrote<M: Message + PartialEq + Debug>(version: i16, expected: M) {
    let (.., bytes) = lines(MESSAGES_OF_KAFKA)
        .find(|(name, there, _)| *name == M::NAME && *there == version)
        .unwrap_or_else(|| panic!("{} v{version} is there", M::NAME));
    assert_eq!(M::read(bytes.clone(), version), Ok(expected));
    assert_eq!(round_trip::<M>(version, bytes.clone()), bytes);
}

const fn uuid(high: u64, low: u64) -> Uuid {
    Uuid((high as u128) << 64 | low as u128)
}

#[test]
fn fields_mean_what_kafka_means_by_them() {
    kafka_wrote(
        1,
        messages::AddRaftVoterRequest {
            cluster_id: Some("praha".into()),
            timeout_ms: 1500,
            voter_id: 3004,
            voter_directory_id: uuid(1, 2),
            listeners: vec![add_raft_voter::Listener {
                name: "CONTROLLER".into(),
                host: "c4".into(),
                port: 65535,
            }],
            ack_when_committed: false,
        },
    );
    kafka_wrote(
        6,
        messages::InitProducerIdRequest {
            transactional_id: Some("t".into()),
            transaction_timeout_ms: 7,
            producer_id: 8,
            producer_epoch: 9,
            enable2_pc: true,
            keep_prepared_txn: true,
        },
    );
    kafka_wrote(
        11,
        messages::ListOffsetsRequest {
            replica_id: -1,
            isolation_level: 1,
            topics: vec![list_offsets::ListOffsetsTopic {
                name: "vltava".into(),
                partitions: vec![list_offsets::ListOffsetsPartition {
                    partition_index: 2,
                    current_leader_epoch: 5,
                    timestamp: -3,
                }],
            }],
            timeout_ms: 250,
        },
    );
}

#[test]
fn topic_ids_of_offset_requests_are_where_kafka_has_them() {
    kafka_wrote(
        10,
        messages::OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: 4,
            member_id: "m".into(),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                topic_id: uuid(3, 4),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    partition_index: 1,
                    committed_offset: 99,
                    committed_leader_epoch: 2,
                    committed_metadata: Some("x".into()),
                }],
                ..Default::default()
            }],
            ..Default::default()
        },
    );
    kafka_wrote(
        10,
        messages::OffsetFetchRequest {
            groups: vec![offset_fetch::OffsetFetchRequestGroup {
                group_id: "g".into(),
                member_id: Some("m".into()),
                member_epoch: 6,
                topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
                    topic_id: uuid(5, 6),
                    partition_indexes: vec![0, 7],
                    ..Default::default()
                }]),
            }],
            require_stable: true,
            ..Default::default()
        },
    );
}

#[test]
fn a_transactions_marker_means_what_kafka_means_by_it() {
    kafka_wrote(
        2,
        messages::WriteTxnMarkersRequest {
            markers: vec![write_txn_markers::WritableTxnMarker {
                producer_id: 77,
                producer_epoch: 3,
                transaction_result: true,
                topics: vec![write_txn_markers::WritableTxnMarkerTopic {
                    name: "vltava".into(),
                    partition_indexes: vec![1, 4],
                }],
                coordinator_epoch: 21,
                transaction_version: 2,
            }],
        },
    );
}

#[test]
fn records_of_the_quorum_mean_what_kafka_means_by_them() {
    kafka_wrote(
        1,
        raft::LeaderChangeMessage {
            version: 1,
            leader_id: 3001,
            voters: vec![raft::Voter { voter_id: 3001, voter_directory_id: uuid(7, 8) }],
            granting_voters: vec![raft::Voter { voter_id: 3002, ..Default::default() }],
        },
    );
    kafka_wrote(
        0,
        raft::VotersRecord {
            version: 0,
            voters: vec![raft::VotersVoter {
                voter_id: 3001,
                voter_directory_id: uuid(9, 10),
                endpoints: vec![raft::Endpoint {
                    name: "CONTROLLER".into(),
                    host: "c1".into(),
                    port: 9093,
                }],
                k_raft_version_feature: raft::KRaftVersionFeature {
                    min_supported_version: 0,
                    max_supported_version: 1,
                },
            }],
        },
    );
}

fn batches() -> impl Iterator<Item = (&'static str, Bytes)> {
    BATCHES.lines().map(|line| {
        let (name, bytes) = line.split_once(' ').expect("a name and bytes");
        (name, unhex(bytes))
    })
}

fn batch_named(wanted: &str) -> Bytes {
    batches().find(|(name, _)| *name == wanted).expect("the batch is there").1
}

fn brief(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() <= 64 => hex(bytes),
        Some(bytes) => format!("{}:{:x}", bytes.len(), crc32c::crc32c(bytes)),
    }
}

/// What `Oracle batches` prints of a batch.
fn describe(name: &str, bytes: &[u8], out: &mut String) {
    let batch = Batch::parse(bytes).expect("a batch");
    assert_eq!(batch.bytes.len(), bytes.len(), "{name} is one batch");
    batch.verify_crc().expect("the CRC");
    let header = &batch.header;
    writeln!(
        out,
        "{name} batch {}-{} {} {:?} {} epoch {} producer {} {} {}-{} transactional {} control {}",
        header.base_offset,
        header.last_offset(),
        header.compression().name(),
        header.timestamp_type(),
        header.max_timestamp,
        header.partition_leader_epoch,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        header.is_transactional(),
        header.is_control(),
    )
    .expect("text grows");
    for record in &batch.records(RECORDS_MAX).expect("records") {
        let record = record.expect("a record");
        describe_record(name, &record, out);
    }
}

fn describe_record(name: &str, record: &Record<'_>, out: &mut String) {
    let (key, value) = (brief(record.key), brief(record.value));
    write!(out, "{name} record {} {} {key} {value}", record.offset, record.timestamp)
        .expect("text grows");
    for header in record.headers {
        write!(out, " {}={}", header.key_text(), brief(header.value)).expect("text grows");
    }
    out.push('\n');
}

#[test]
fn kafkas_batches_and_ours_are_read_as_kafka_reads_them() {
    let mut described = String::new();
    for (name, bytes) in batches() {
        describe(name, &bytes, &mut described);
    }
    for (ours, kafkas) in described.lines().zip(BATCHES_AS_KAFKA_READS_THEM.lines()) {
        assert_eq!(ours, kafkas);
    }
    assert_eq!(described.lines().count(), BATCHES_AS_KAFKA_READS_THEM.lines().count());
}

#[test]
fn the_builder_writes_kafkas_bytes() {
    let mut builder = BatchBuilder::new(Offset(1000))
        .partition_leader_epoch(LeaderEpoch(6))
        .producer(ProducerId(77), ProducerEpoch(3), 40);
    let headers: [(&str, Option<&[u8]>); 2] = [("trace", Some(b"1")), ("none", None)];
    builder.append(1_700_000_000_000, Some(b"key"), Some(&[b'v'; 500]), &headers);
    builder.append(1_700_000_000_500, None, Some(b"value"), &[]);
    builder.append(1_699_999_999_000, Some(b"tombstone"), None, &[]);
    assert_eq!(builder.count(), 3);
    let size = builder.size_in_bytes();
    let batch = builder.clone().build();
    assert_eq!(batch.len(), size);
    assert_eq!(batch, batch_named("none"));
    assert_eq!(
        builder.compression(Compression::Snappy).build()[61..77],
        *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"
    );
}

#[test]
fn the_brokers_time_is_set_in_place_as_kafka_sets_it() {
    let expected = batch_named("append-time");
    let mut builder = BatchBuilder::new(Offset(5));
    let headers: [(&str, Option<&[u8]>); 2] = [("trace", Some(b"1")), ("none", None)];
    builder.append(1_700_000_000_000, Some(b"key"), Some(&[b'v'; 500]), &headers);
    builder.append(1_700_000_000_500, None, Some(b"value"), &[]);
    builder.append(1_699_999_999_000, Some(b"tombstone"), None, &[]);
    let mut patched = builder.clone().build();
    set_max_timestamp_and_type(&mut patched, TimestampType::LogAppendTime, 1_700_000_001_000);
    assert_eq!(patched, expected);
    assert_eq!(builder.log_append_time(1_700_000_001_000).build(), expected);
}

#[test]
fn control_batches_are_kafkas() {
    let mut commit = BatchBuilder::new(Offset(12))
        .control()
        .transactional()
        .partition_leader_epoch(LeaderEpoch(4))
        .producer(ProducerId(77), ProducerEpoch(3), -1);
    let marker = raft::EndTxnMarker { coordinator_epoch: 21 };
    commit.append_control_record(1_700_000_000_000, &ControlRecord::Commit(marker));
    assert_eq!(commit.build(), batch_named("commit"));

    let mut change = BatchBuilder::new(Offset(30)).control().partition_leader_epoch(LeaderEpoch(9));
    let message = raft::LeaderChangeMessage {
        leader_id: 3001,
        voters: vec![raft::Voter { voter_id: 3001, ..Default::default() }],
        ..Default::default()
    };
    change.append_control_record(1_700_000_000_000, &ControlRecord::LeaderChange(message));
    assert_eq!(change.build(), batch_named("leader-change"));
}

#[test]
fn control_records_are_read_as_what_they_mean() {
    for name in ["commit", "leader-change", "ours-control", "ours-abort"] {
        let bytes = batch_named(name);
        let batch = Batch::parse(&bytes).expect("a batch");
        for record in &batch.records(RECORDS_MAX).expect("records") {
            let record = record.expect("a record");
            let control = ControlRecord::parse(&record).expect("a control record");
            let control = control.expect("a known type");
            assert_eq!(record.key, Some(&control.kind().key()[..]), "{name}");
            assert_eq!(record.value, Some(&control.value()[..]), "{name}");
        }
    }
}
