//! What is stored: Kafka's own bytes, and what a new coordinator makes of them.

use std::io::Write;

use bytes::Bytes;
use vltava_wire::batch::{BatchBuilder, Batches, ControlRecordType};
use vltava_wire::{ErrorCode, Offset, ProducerEpoch, ProducerId, Str, Uuid};

use super::world::{GROUP, World, commit_of, consumer, s};
use crate::group::config::GroupConfig;
use crate::group::load::GroupReplay;
use crate::group::machine::{Now, Shard};
use crate::group::record::{CommittedOffset, Key, group_metadata, offset_commit, parse_group};
use crate::shard::{LoadError, Loader, RecordError};

/// A log that Apache Kafka 4.2.1 wrote: a static member joined the group `gruppe` and committed
/// two partitions; the group `simple` had offsets reset, and was deleted.
fn kafka_log() -> Vec<u8> {
    let hex: Vec<u8> = include_str!("kafka_4_2_consumer_offsets.hex")
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .collect();
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hex digit") as u8;
    hex.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn load(log: &[u8]) -> Result<Shard, LoadError> {
    let mut loader = Loader::new(GroupReplay::new(GroupConfig::default()), Offset::ZERO);
    loader.take(log)?;
    let mut shard = loader.finish()?;
    let effects = shard.start(Now { mono: 0, wall: 1_795_222_760_000 });
    assert_eq!(effects, Default::default());
    Ok(shard)
}

#[test]
fn what_kafka_wrote_is_read() {
    let shard = load(&kafka_log()).expect("Kafka's own log");
    assert_eq!(shard.group_count(), 1, "the other group was deleted");
    let group = shard.describe(&"gruppe".into(), 6);
    assert_eq!(group.group_state, "Stable");
    assert_eq!(group.protocol_data, "range");
    let member = &group.members[0];
    assert!(member.member_id.starts_with("st1-"));
    assert_eq!(member.group_instance_id.as_deref(), Some("st1"));
    assert_eq!((&*member.client_id, &*member.client_host), ("prag", "/127.0.0.1"));
    let offsets = shard.offsets.group("gruppe").expect("its offsets");
    let committed: Vec<_> =
        offsets["orders"].iter().map(|(index, committed)| (*index, committed.offset)).collect();
    assert_eq!(committed, [(0, 1), (1, 2)]);
    assert!(shard.offsets.group("simple").is_none());
}

#[test]
fn what_is_written_here_is_byte_for_byte_what_kafka_wrote() {
    let log = kafka_log();
    let mut seen = [0; 2];
    for batch in Batches::new(&log) {
        let batch = batch.expect("a batch");
        for record in &batch.records(1 << 20).expect("its records") {
            let record = record.expect("a record");
            let key = record.key.expect("a key");
            let again = match Key::parse(key).expect("a known key") {
                Key::Offset { group, topic, partition } => {
                    seen[0] += 1;
                    let value =
                        record.value.map(|value| CommittedOffset::parse(value).expect("an offset"));
                    offset_commit(&group.into(), &topic.into(), partition, value.as_ref())
                }
                Key::Group(group) => {
                    seen[1] += 1;
                    let value = record
                        .value
                        .map(|value| parse_group(Bytes::copy_from_slice(value)).expect("a group"));
                    group_metadata(&group.into(), value.as_ref())
                }
                Key::Consumer(group, _) | Key::Share(group, _) => {
                    panic!("{group} is of another kind")
                }
                Key::Other(kind) => panic!("type {kind}"),
            };
            assert_eq!(again.key, key);
            assert_eq!(again.value.as_deref(), record.value);
        }
    }
    assert_eq!(seen, [6, 3]);
}

#[test]
fn every_version_of_an_offset_is_read() {
    let committed = CommittedOffset {
        offset: 42,
        leader_epoch: 7,
        metadata: "note".into(),
        commit_timestamp: 1_700_000_000_000,
        expire_timestamp: -1,
        topic_id: Uuid(9),
    };
    let written = offset_commit(&"g".into(), &"t".into(), 3, Some(&committed));
    let parse = |bytes: &[u8]| CommittedOffset::parse(bytes);
    assert_eq!(parse(&written.value.expect("a value")), Ok(committed.clone()));
    let expiring = CommittedOffset {
        expire_timestamp: 1_700_000_000_001,
        leader_epoch: -1,
        topic_id: Uuid::ZERO,
        ..committed.clone()
    };
    let written = offset_commit(&"g".into(), &"t".into(), 3, Some(&expiring));
    let bytes = written.value.expect("a value");
    assert_eq!(bytes[..2], [0, 1], "an expiry is a matter of version 1");
    assert_eq!(parse(&bytes), Ok(expiring));

    let tail = [&[0u8; 7][..], &[42, 0, 4], b"note", &1_700_000_000_000i64.to_be_bytes()].concat();
    let plain = CommittedOffset { leader_epoch: -1, topic_id: Uuid::ZERO, ..committed.clone() };
    for version in [0u8, 2] {
        assert_eq!(parse(&[&[0, version], &tail[..]].concat()), Ok(plain.clone()));
    }
    let (offset, rest) = tail.split_at(8);
    let third = [&[0, 3], offset, &7i32.to_be_bytes(), rest].concat();
    assert_eq!(parse(&third), Ok(CommittedOffset { topic_id: Uuid::ZERO, ..committed }));
    let what = "committed offset";
    assert_eq!(parse(&[0, 5]), Err(RecordError::Version { what, version: 5 }));
    for length in 0..third.len() {
        assert_eq!(parse(&third[..length]), Err(RecordError::Malformed(what)), "{length}");
    }
}

#[test]
fn a_new_coordinator_knows_members_generation_and_offsets() {
    let mut world = World::new();
    let ids = world.stable(&["a", "b"]);
    world.commit(commit_of(&ids[0], 1, "orders", 5));
    world.fail_over();
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.offset_of(GROUP, "orders"), 5);
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::NONE);
    let sync = world.sync(&ids[1], 1, &[]);
    assert_eq!(world.synced(sync).assignment, "b");
    // b is not heard of again: it has its session timeout, counted from the failover.
    world.pass(s(29));
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::NONE);
    world.pass(s(2));
    assert_eq!(world.heartbeat(&ids[0], 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let join = world.join(consumer("a", &ids[0]));
    assert_eq!(world.joined(join).generation_id, 2);
}

#[test]
fn a_group_that_rebalanced_when_its_coordinator_died_is_as_it_was_before() {
    let mut world = World::new();
    let a = world.stable(&["a"]).remove(0);
    let (b, _) = world.enter("b");
    world.join(consumer("a", &a));
    assert_eq!(world.state(), "CompletingRebalance");
    world.fail_over();
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.heartbeat(&a, 2), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(world.heartbeat(&b, 2), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_group_that_is_too_large_by_now_has_to_choose() {
    let mut world = World::new();
    world.stable(&["a", "b", "c"]);
    let mut small = World::with(GroupConfig { max_size: 2, ..GroupConfig::default() });
    small.log = world.log.clone();
    small.fail_over();
    assert_eq!(small.state(), "PreparingRebalance");
}

#[test]
fn a_log_is_loaded_in_pieces_of_any_size() {
    let log = kafka_log();
    for size in [200, 333, 500, log.len()] {
        let mut loader = Loader::new(GroupReplay::new(GroupConfig::default()), Offset::ZERO);
        let mut at = 0;
        while at < log.len() {
            let before = loader.next_offset();
            let piece = &log[at..(at + size.max(400)).min(log.len())];
            loader.take(piece).expect("a piece");
            assert!(loader.next_offset() > before, "a piece holds a batch at least");
            let whole = Batches::new(piece).map_while(Result::ok);
            at += whole.map(|batch| batch.bytes.len()).sum::<usize>();
        }
        assert_eq!(loader.next_offset(), Offset(9));
        assert_eq!(loader.records(), 9);
        assert_eq!(loader.finish().expect("a shard").group_count(), 1);
    }
}

#[test]
fn damage_is_told_with_its_place() {
    let mut log = kafka_log();
    let last = log.len() - 1;
    log[last] ^= 1;
    let error = load(&log).expect_err("a wrong CRC");
    assert!(matches!(error, LoadError::Batch { at: Offset(6), .. }), "{error:?}");

    let mut batch = BatchBuilder::new(Offset(100));
    batch.append(0, Some(b"\0\x01\0"), Some(b""), &[]);
    let error = load(&batch.build()).expect_err("half a key");
    assert!(matches!(error, LoadError::Record { at: Offset(100), .. }), "{error:?}");
}

#[test]
fn records_of_newer_group_protocols_are_passed_over() {
    let mut batch = BatchBuilder::new(Offset(0));
    batch.append(0, Some(b"\0\x11\0\x01x"), Some(b"\0\0"), &[]);
    let offset = offset_commit(&"g".into(), &"t".into(), 0, Some(&committed(5)));
    batch.append(0, Some(&offset.key), offset.value.as_deref(), &[]);
    let shard = load(&batch.build()).expect("a shard");
    assert_eq!(shard.group_count(), 1);
}

fn committed(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset,
        leader_epoch: -1,
        metadata: Str::default(),
        commit_timestamp: 0,
        expire_timestamp: -1,
        topic_id: Uuid::ZERO,
    }
}

#[test]
fn offsets_of_a_transaction_hold_once_it_is_committed() {
    let mut log = Vec::new();
    for (producer, offset) in [(1, 10), (2, 20), (3, 30)] {
        let next = Offset(log_len(&log));
        let mut batch = BatchBuilder::new(next)
            .producer(ProducerId(producer), ProducerEpoch(0), 0)
            .transactional();
        let topic = format!("t{producer}").into();
        let record = offset_commit(&"g".into(), &topic, 0, Some(&committed(offset)));
        batch.append(0, Some(&record.key), record.value.as_deref(), &[]);
        log.extend_from_slice(&batch.build());
    }
    for (producer, end) in [(1, ControlRecordType::Commit), (2, ControlRecordType::Abort)] {
        let mut batch = BatchBuilder::new(Offset(log_len(&log)))
            .producer(ProducerId(producer), ProducerEpoch(0), 0)
            .transactional()
            .control();
        batch.append_control(end, 0, b"\0\0\0\0\0\0");
        log.extend_from_slice(&batch.build());
    }
    let shard = load(&log).expect("a shard");
    let offsets = shard.offsets.group("g").expect("the group");
    assert_eq!(offsets.keys().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["t1"]);
    assert_eq!(offsets["t1"][&0].offset, 10);
}

fn log_len(log: &[u8]) -> i64 {
    Batches::new(log)
        .map(|batch| batch.expect("a batch").header.next_offset().0)
        .last()
        .unwrap_or(0)
}

/// How long the log of a million commits takes to load: 1,000 groups of 10 partitions each, a
/// batch a commit, as a broker writes them.
#[test]
#[ignore = "measures; run it by name with --release"]
fn a_million_commits_are_loaded_fast() {
    let mut log = Vec::new();
    for i in 0..1_000_000i64 {
        let group: Str = format!("group-{}", i % 1000).into();
        let partition = (i / 1000 % 10) as i32;
        let record = offset_commit(&group, &"orders".into(), partition, Some(&committed(i)));
        let mut batch = BatchBuilder::new(Offset(i));
        batch.append(i, Some(&record.key), record.value.as_deref(), &[]);
        log.extend_from_slice(&batch.build());
    }
    let start = std::time::Instant::now();
    let shard = load(&log).expect("a shard");
    let took = start.elapsed();
    assert_eq!(shard.group_count(), 1000);
    let line = format!("a million commits, {} MiB: {took:?}", log.len() >> 20);
    writeln!(std::io::stderr(), "{line}").expect("stderr");
    assert!(took.as_secs() < 2, "{line}");
}
