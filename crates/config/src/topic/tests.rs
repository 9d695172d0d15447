//! What a topic gets from its brokers, and what it may not set.

use super::{
    CleanupPolicy, CompressionType, TopicConfig, check_name, default_of, keys, validate,
    validate_on,
};
use crate::values::Values;

fn refused(overrides: &[(&str, &str)]) -> String {
    validate(overrides.iter().copied()).expect_err("this is not allowed").to_string()
}

#[test]
fn defaults_are_kafkas_but_every_record_is_synced() {
    let config = TopicConfig::default();
    assert_eq!(config.retention_ms, 604_800_000);
    assert_eq!(config.segment_ms, 604_800_000);
    assert_eq!(config.segment_jitter_ms, 0);
    assert_eq!(config.retention_bytes, -1);
    assert_eq!(config.flush_messages, 1);
    assert_eq!(config.flush_ms, i64::MAX);
    assert!(config.cleanup_policy.delete && !config.cleanup_policy.compact);
    assert_eq!(config.compression_type, CompressionType::Producer);
}

#[test]
fn a_topic_stands_above_its_brokers() {
    let values = Values::from_pairs([("log.retention.hours", "2"), ("min.insync.replicas", "2")]);
    let values = values.expect("the settings are right");
    let config = TopicConfig::resolve(&values, [("min.insync.replicas", "3")]);
    assert_eq!(config.retention_ms, 7_200_000);
    assert_eq!(config.min_insync_replicas, 3);
}

#[test]
fn minutes_stand_above_hours_and_milliseconds_above_both() {
    let retention = |pairs: &[(&str, &str)]| {
        let values = Values::from_pairs(pairs.iter().copied()).expect("the settings are right");
        TopicConfig::resolve(&values, [("", "")]).retention_ms
    };
    let (hours, minutes) = (("log.retention.hours", "1"), ("log.retention.minutes", "2"));
    assert_eq!(retention(&[hours]), 3_600_000);
    assert_eq!(retention(&[hours, minutes]), 120_000);
    assert_eq!(retention(&[hours, minutes, ("log.retention.ms", "3")]), 3);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
}

#[test]
fn what_changes_at_run_time_reaches_topics() {
    let (values, notices) = Values::default().with_dynamic(
        [("log.retention.ms", "5"), ("node.id", "9")],
        [("compression.type", "zstd"), ("listeners", "nonsense")],
    );
    let config = TopicConfig::resolve(&values, std::iter::empty::<(&str, &str)>());
    assert_eq!(config.retention_ms, 5);
    assert_eq!(config.compression_type, CompressionType::Zstd);
    let keys: Vec<&str> = notices.iter().map(|notice| notice.key.as_str()).collect();
    assert_eq!(keys, ["node.id", "listeners"]);
}

#[test]
fn a_log_is_compacted_or_deleted_or_both() {
    for policy in ["compact", "delete", "compact,delete", "delete, compact"] {
        assert!(validate([("cleanup.policy", policy)]).is_ok(), "{policy}");
        let has = |name| policy.contains(name);
        let config = TopicConfig::resolve(&Values::default(), [("cleanup.policy", policy)]);
        let CleanupPolicy { delete, compact } = config.cleanup_policy;
        assert_eq!((delete, compact), (has("delete"), has("compact")), "{policy}");
    }
    let text = refused(&[("cleanup.policy", "compress")]);
    assert!(text.contains("a list of any of compact, delete"), "{text}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest() {
    assert!(refused(&[("retention.sm", "1")]).contains("did you mean `retention.ms`"));
    assert!(refused(&[("log.retention.ms", "1")]).contains("a topic's is `retention.ms`"));
    assert!(refused(&[("remote.storage.enable", "true")]).contains("tiered storage"));
    assert!(validate([("remote.storage.enable", "false")]).is_ok());
}

#[test]
fn bad_values_are_refused_with_what_is_allowed() {
    assert_eq!(
        refused(&[("min.insync.replicas", "0")]),
        "min.insync.replicas: `0` cannot be used: allowed is an integer from 1 to 2147483647"
    );
    assert!(refused(&[("compression.type", "lzma")]).contains("one of uncompressed, zstd"));
    assert!(refused(&[("retention.ms", "-2")]).contains("at least -1"));
    assert!(refused(&[("compression.gzip.level", "0")]).contains("from 1 to 9, or -1"));
    assert!(refused(&[("leader.replication.throttled.replicas", "1-2")]).contains("`1-2`"));
    let lags = [("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")];
    assert!(refused(&lags).contains("must not exceed"));
}

#[test]
fn lags_agree_with_what_brokers_say() {
    let values = Values::from_pairs([("log.cleaner.max.compaction.lag.ms", "1000")]);
    let values = values.expect("the settings are right");
    let check = |pairs: &[(&str, &str)]| validate_on(&values, pairs.iter().copied());
    let min = |ms| ("min.compaction.lag.ms", ms);
    assert!(check(&[min("1000")]).is_ok());
    let refused = check(&[min("1001")]).expect_err("the broker's maximum is less");
    assert_eq!(
        refused.to_string(),
        "min.compaction.lag.ms: 1001 must not exceed max.compaction.lag.ms, 1000"
    );
    assert!(check(&[min("1001"), ("max.compaction.lag.ms", "2000")]).is_ok());
    assert!(validate([min("1001")]).is_ok(), "where nobody says otherwise there is no maximum");
}

#[test]
fn a_key_without_a_default_has_that_of_the_brokers() {
    let default = |name| default_of(keys::find(name).expect("a key")).to_text();
    assert_eq!(default("cleanup.policy").as_deref(), Some("delete"));
    assert_eq!(default("retention.bytes").as_deref(), Some("-1"));
    assert_eq!(default("leader.replication.throttled.replicas").unwrap_or_default(), "");
}

#[test]
fn names_are_those_that_kafka_allows() {
    assert!(check_name("orders.v1_a-B").is_ok());
    for bad in ["", ".", "..", "a b", "a/b", "ä", &"x".repeat(250)] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
}
