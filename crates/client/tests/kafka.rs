//! The whole client against a cluster that is there: Apache Kafka, or one of ours.
//!
//! `VLTAVA_ORACLE_BOOTSTRAP=host:port` names it; without, these tests say so and pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vltava_client::{
    Acks, AlterOp, AutoOffsetReset, ClientError, Cluster, ClusterOptions, ConfigEntry,
    ConfigResource, ConsumedRecord, Consumer, ConsumerOptions, Election, NewRecord, NewTopic,
    OffsetSpec, Producer, ProducerOptions, Topic, partition_of_key,
};
use vltava_wire::ErrorCode;
use vltava_wire::compression::Compression;

const POLL: Duration = Duration::from_millis(500);

/// The cluster, if there is one.
#[allow(clippy::print_stdout, reason = "says why nothing was tried")]
fn cluster() -> Option<Cluster> {
    let Ok(bootstrap) = std::env::var("VLTAVA_ORACLE_BOOTSTRAP") else {
        println!("skipped: VLTAVA_ORACLE_BOOTSTRAP names no cluster");
        return None;
    };
    // Fails if another test of this process has set it up, which is as good.
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("debug").try_init();
    Some(Cluster::new(&bootstrap, ClusterOptions::default()).expect("the address is host:port"))
}

/// A name that no earlier run has used.
fn fresh(what: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    format!("{what}-{}", since.as_nanos())
}

async fn topic(cluster: &Cluster, partitions: i32) -> String {
    let name = fresh("topic");
    let new = NewTopic::new(&name, partitions, 1);
    let created = cluster.create_topics(&[new], false).await.expect("an answer");
    created[0].1.as_ref().expect("the topic is created");
    name
}

fn options() -> ConsumerOptions {
    ConsumerOptions {
        auto_offset_reset: AutoOffsetReset::Earliest,
        session_timeout: Duration::from_secs(10),
        heartbeat_interval: Duration::from_millis(200),
        ..ConsumerOptions::default()
    }
}

async fn produce(cluster: &Cluster, topic: &str, options: ProducerOptions, count: usize) {
    let producer = Producer::new(cluster.clone(), options).expect("the options agree");
    let mut deliveries = Vec::new();
    for number in 0..count {
        let record = NewRecord::keyed(format!("key-{}", number % 17), format!("value-{number}"));
        deliveries.push(producer.send(topic, record).await.expect("it is queued"));
    }
    producer.flush().await;
    for delivery in deliveries {
        delivery.await.expect("it is written");
    }
}

async fn consume(consumer: &mut Consumer, count: usize) -> Vec<ConsumedRecord> {
    let mut records = Vec::new();
    for _ in 0..60 {
        records.extend(consumer.poll(POLL).await.expect("a poll"));
        if records.len() >= count {
            break;
        }
    }
    records
}

fn value(record: &ConsumedRecord) -> String {
    String::from_utf8_lossy(record.value.as_deref().expect("a value")).into_owned()
}

fn all_of(topic: &str, partitions: i32) -> Vec<((String, i32), Option<i64>)> {
    (0..partitions).map(|partition| ((topic.to_owned(), partition), None)).collect()
}

#[tokio::test]
async fn what_is_produced_is_consumed_once_and_in_order() {
    let Some(cluster) = cluster() else { return };
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    for compression in codecs {
        let name = topic(&cluster, 4).await;
        let sent = ProducerOptions { compression, ..ProducerOptions::default() };
        produce(&cluster, &name, sent, 5000).await;
        let mut consumer = Consumer::assigned(cluster.clone(), options(), all_of(&name, 4));
        let records = consume(&mut consumer, 5000).await;
        assert_eq!(records.len(), 5000, "{compression:?}");
        let mut last: BTreeMap<i32, usize> = BTreeMap::new();
        for record in &records {
            let key = record.key.as_deref().expect("a key");
            assert_eq!(record.partition, partition_of_key(key, 4), "as Java puts it");
            let number = value(record).replace("value-", "").parse().expect("a number");
            let before = last.insert(record.partition, number);
            assert!(before.is_none_or(|before| before < number), "order of {}", record.partition);
        }
        let values: BTreeSet<String> = records.iter().map(value).collect();
        assert_eq!(values.len(), 5000, "each once");
    }
}

#[tokio::test]
async fn records_keep_headers_timestamps_and_nulls() {
    let Some(cluster) = cluster() else { return };
    let name = topic(&cluster, 1).await;
    let producer =
        Producer::new(cluster.clone(), ProducerOptions::default()).expect("the options agree");
    let sent = NewRecord {
        partition: Some(0),
        key: Some("key".into()),
        value: None,
        headers: vec![("a".to_owned(), Some("1".into())), ("b".to_owned(), None)],
        timestamp: Some(1_700_000_000_123),
    };
    let delivery = producer.send(&name, sent.clone()).await.expect("it is queued");
    assert_eq!(delivery.await.expect("it is written").offset, Some(0));
    let mut consumer = Consumer::assigned(cluster.clone(), options(), all_of(&name, 1));
    let came = consume(&mut consumer, 1).await.remove(0);
    assert_eq!((came.key, came.value, came.headers), (sent.key, sent.value, sent.headers));
    assert_eq!(came.timestamp, 1_700_000_000_123);
    let at = cluster.list_offset(&name, 0, OffsetSpec::AtTime(1_700_000_000_000)).await;
    assert_eq!(at.expect("an offset").offset, 0);
    let elsewhere = NewRecord { partition: Some(7), ..NewRecord::value("x") };
    let missing = producer.send(&name, elsewhere).await;
    assert!(matches!(missing, Err(ClientError::Invalid(_))));
}

#[tokio::test]
async fn weaker_acks_work_too() {
    let Some(cluster) = cluster() else { return };
    for acks in [Acks::None, Acks::Leader] {
        let name = topic(&cluster, 1).await;
        let sent = ProducerOptions { acks, idempotent: false, ..ProducerOptions::default() };
        produce(&cluster, &name, sent, 100).await;
        let mut consumer = Consumer::assigned(cluster.clone(), options(), all_of(&name, 1));
        assert_eq!(consume(&mut consumer, 100).await.len(), 100, "{acks:?}");
    }
}

/// Polls both consumers until `done`; gives up after a minute.
async fn poll_both(
    one: &mut Consumer,
    other: &mut Consumer,
    records: &mut Vec<ConsumedRecord>,
    done: impl Fn(&Consumer, &Consumer, usize) -> bool,
) {
    for _ in 0..120 {
        if done(one, other, records.len()) {
            return;
        }
        let (of_one, of_other) = tokio::join!(one.poll(POLL), other.poll(POLL));
        records.extend(of_one.expect("a poll"));
        records.extend(of_other.expect("a poll"));
    }
    panic!("{:?} and {:?}, {} records", one.assignment(), other.assignment(), records.len());
}

#[tokio::test]
async fn two_members_share_a_topic_and_one_takes_over_when_the_other_leaves() {
    let Some(cluster) = cluster() else { return };
    let (name, group) = (topic(&cluster, 6).await, fresh("group"));
    let member = || Consumer::subscribed(cluster.clone(), options(), &group, &[&name]);
    let (mut one, mut other, mut records) = (member(), member(), Vec::new());
    poll_both(&mut one, &mut other, &mut records, |one, other, _| {
        one.assignment().len() == 3 && other.assignment().len() == 3
    })
    .await;
    produce(&cluster, &name, ProducerOptions::default(), 600).await;
    poll_both(&mut one, &mut other, &mut records, |_, _, count| count >= 600).await;
    let described = cluster.describe_group(&group).await.expect("a description");
    assert_eq!((described.state.as_str(), described.members.len()), ("Stable", 2));
    assert!(described.members.iter().all(|member| member.assignment.len() == 3));
    one.commit().await.expect("a commit");
    other.commit().await.expect("a commit");
    one.close().await.expect("it leaves");
    for _ in 0..120 {
        if other.assignment().len() == 6 {
            break;
        }
        records.extend(other.poll(POLL).await.expect("a poll"));
    }
    produce(&cluster, &name, ProducerOptions::default(), 60).await;
    records.extend(consume(&mut other, 60).await);
    assert_eq!(records.len(), 660, "each once");
    other.commit().await.expect("a commit");
    other.close().await.expect("it leaves");
    let committed = cluster.group_offsets(&group).await.expect("offsets");
    assert_eq!(committed.values().sum::<i64>(), 660);
}

#[tokio::test]
async fn groups_are_listed_reset_and_deleted() {
    let Some(cluster) = cluster() else { return };
    let (name, group) = (topic(&cluster, 2).await, fresh("group"));
    produce(&cluster, &name, ProducerOptions::default(), 40).await;
    let auto = ConsumerOptions { auto_commit: Some(Duration::from_secs(5)), ..options() };
    let mut consumer = Consumer::subscribed(cluster.clone(), auto.clone(), &group, &[&name]);
    assert_eq!(consume(&mut consumer, 40).await.len(), 40);
    let busy = cluster.delete_group(&group).await.expect_err("it has a member");
    assert_eq!(busy.code(), Some(ErrorCode::NON_EMPTY_GROUP));
    consumer.close().await.expect("it commits and leaves");

    let listed = cluster.list_groups().await.expect("a list");
    assert!(listed.iter().any(|listed| listed.id == group && listed.state == "Empty"));
    let mut offsets = cluster.group_offsets(&group).await.expect("offsets");
    assert_eq!(offsets.values().sum::<i64>(), 40);
    offsets.values_mut().for_each(|offset| *offset = 0);
    cluster.alter_group_offsets(&group, &offsets).await.expect("a reset");
    let mut consumer = Consumer::subscribed(cluster.clone(), auto, &group, &[&name]);
    assert_eq!(consume(&mut consumer, 40).await.len(), 40, "all again");
    consumer.close().await.expect("it leaves");
    cluster.delete_group_offsets(&group, &[(&name, 0)]).await.expect("one is deleted");
    assert_eq!(cluster.group_offsets(&group).await.expect("offsets").len(), 1);
    cluster.delete_group(&group).await.expect("it is deleted");
    assert_eq!(cluster.describe_group(&group).await.expect("a description").state, "Dead");
}

/// A topic once it has so many partitions, each with a leader, in the node's view: what is
/// decided reaches the nodes a little later.
async fn with_partitions(cluster: &Cluster, name: &str, count: usize) -> Topic {
    let seen = || async {
        let (_, topic) = cluster.describe_topics(&[name]).await?.remove(0);
        let topic = topic?;
        match topic.partitions.iter().filter(|partition| partition.leader.is_some()).count() {
            led if led == count => Ok(topic),
            led => Err(ClientError::Refused {
                what: format!("{led} of {count} partitions of {name}"),
                code: ErrorCode::LEADER_NOT_AVAILABLE,
                message: None,
            }),
        }
    };
    cluster.retry(seen).await.expect("the topic is seen so")
}

/// A configuration once the node that is asked has seen a change of it.
async fn with_config(
    cluster: &Cluster,
    resource: &ConfigResource,
    (key, value): (&str, &str),
) -> Vec<ConfigEntry> {
    let seen = || async {
        let entries = cluster.describe_configs(resource, true).await?;
        let entry = entries.iter().find(|entry| entry.name == key);
        match entry.is_some_and(|entry| entry.value.as_deref() == Some(value)) {
            true => Ok(entries),
            false => Err(ClientError::Refused {
                what: format!("{key}={value}"),
                code: ErrorCode::REQUEST_TIMED_OUT,
                message: None,
            }),
        }
    };
    cluster.retry(seen).await.expect("the change is seen")
}

#[tokio::test]
async fn topics_are_created_described_grown_and_deleted() {
    let Some(cluster) = cluster() else { return };
    let name = fresh("topic");
    let new = NewTopic::new(&name, 2, 1).config("retention.ms", "3600000");
    let dry = cluster.create_topics(std::slice::from_ref(&new), true).await.expect("an answer");
    dry[0].1.as_ref().expect("it could be created");
    let created = cluster.create_topics(std::slice::from_ref(&new), false).await;
    let created = created.expect("an answer").remove(0).1.expect("it is created");
    assert_eq!((created.partitions, created.replication_factor), (2, 1));
    let again = cluster.create_topics(&[new], false).await.expect("an answer");
    let code = again[0].1.as_ref().expect_err("it exists").code();
    assert_eq!(code, Some(ErrorCode::TOPIC_ALREADY_EXISTS));

    let grown = cluster.create_partitions(&[(&name, 5)], false).await.expect("an answer");
    grown[0].1.as_ref().expect("it has grown");
    let described = with_partitions(&cluster, &name, 5).await;
    assert_eq!(described.id, created.id);
    let listed = cluster.list_topics().await.expect("a list");
    assert!(listed.iter().any(|listed| listed.id == created.id));

    let resource = ConfigResource::topic(&name);
    let set =
        [("retention.ms", AlterOp::Delete), ("max.message.bytes", AlterOp::Set("5000".into()))];
    cluster.alter_configs(&resource, &set, false).await.expect("they are altered");
    let configs = with_config(&cluster, &resource, ("max.message.bytes", "5000")).await;
    let entry = |key: &str| configs.iter().find(|entry| entry.name == key).expect("a key");
    assert_eq!(entry("max.message.bytes").value.as_deref(), Some("5000"));
    assert_eq!(entry("max.message.bytes").source_name(), "DYNAMIC_TOPIC_CONFIG");
    assert!(entry("retention.ms").is_default());
    assert!(entry("retention.ms").documentation.is_some());
    let bad = [("retention.ms", AlterOp::Set("soon".into()))];
    let refused = cluster.alter_configs(&resource, &bad, false).await.expect_err("no number");
    assert_eq!(refused.code(), Some(ErrorCode::INVALID_CONFIG));

    let needless = cluster.elect_leaders(Election::Preferred, Some(&[(&name, 0)])).await;
    let code = needless.expect("an answer").remove(0).1.expect_err("it leads already").code();
    assert_eq!(code, Some(ErrorCode::ELECTION_NOT_NEEDED));
    let deleted = cluster.delete_topics(&[&name, "no-such-topic"]).await.expect("an answer");
    let outcomes: BTreeMap<_, _> = deleted.into_iter().collect();
    outcomes[&name].as_ref().expect("it is deleted");
    let code = outcomes["no-such-topic"].as_ref().expect_err("there is none").code();
    assert_eq!(code, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

#[tokio::test]
async fn records_are_deleted_and_offsets_listed() {
    let Some(cluster) = cluster() else { return };
    let name = topic(&cluster, 1).await;
    produce(&cluster, &name, ProducerOptions::default(), 30).await;
    let deleted = cluster.delete_records(&[(&name, 0, 10)]).await.remove(0);
    assert_eq!(deleted.0, format!("{name}-0"));
    assert_eq!(deleted.1.expect("they are deleted"), 10);
    let earliest = cluster.list_offsets(&name, OffsetSpec::Earliest).await.expect("offsets");
    let latest = cluster.list_offsets(&name, OffsetSpec::Latest).await.expect("offsets");
    assert_eq!((earliest[&0].offset, latest[&0].offset), (10, 30));
    let newest = cluster.list_offset(&name, 0, OffsetSpec::MaxTimestamp).await;
    assert!((0..30).contains(&newest.expect("an offset").offset));
    let start = [((name.clone(), 0), Some(3))];
    let mut consumer = Consumer::assigned(cluster.clone(), options(), start);
    let records = consume(&mut consumer, 20).await;
    assert_eq!(records[0].offset, 10, "3 is gone: on to the earliest");
    consumer.seek(&(name.clone(), 0), 25);
    assert_eq!(consumer.position(&(name, 0)), Some(25));
    assert_eq!(consume(&mut consumer, 5).await[0].offset, 25);
}

#[tokio::test]
async fn the_cluster_describes_itself() {
    let Some(cluster) = cluster() else { return };
    let described = cluster.describe_cluster().await.expect("a description");
    assert!(!described.brokers.is_empty() && !described.cluster_id.is_empty());
    let quorum = cluster.describe_quorum().await.expect("a description");
    let partition = &quorum.topics[0].partitions[0];
    assert!(partition.leader_id >= 0 && !partition.current_voters.is_empty());
    let node = described.brokers[0].broker_id;
    let dirs = cluster.describe_log_dirs(node).await.expect("a description");
    assert!(dirs.iter().all(|dir| dir.error.is_none() && !dir.path.is_empty()));
    let configs = cluster.describe_configs(&ConfigResource::broker(node), false).await;
    let configs = configs.expect("a description");
    assert!(configs.iter().any(|entry| entry.name == "node.id"));
}

#[tokio::test]
async fn what_does_not_exist_is_said_so_before_long() {
    let Some(cluster) = cluster() else { return };
    let error = cluster.list_offset("no-such-topic", 0, OffsetSpec::Latest).await;
    let code = error.expect_err("there is none").code();
    assert_eq!(code, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    let nowhere = Cluster::new(
        "127.0.0.1:1",
        ClusterOptions { deadline: Duration::from_millis(300), ..ClusterOptions::default() },
    );
    let error = nowhere.expect("an address").describe_cluster().await.expect_err("nobody");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    for bad in ["", "host", "host:", "host:port", "host:70000"] {
        let refused = Cluster::new(bad, ClusterOptions::default());
        assert!(matches!(refused, Err(ClientError::Invalid(_))), "{bad}");
    }
}
