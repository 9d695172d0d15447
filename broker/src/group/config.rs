//! The keys of the configuration that groups obey.

use std::collections::BTreeMap;

use vltava_config::{Values, group, keys};
use vltava_metadata::{Image, ResourceType};
use vltava_wire::Str;
use vltava_wire::compression::Compression;

use super::consumer::assignor::{RANGE, UNIFORM};

/// How many members may be asked, at once and in one group, to come back with the id that they
/// were given. Kafka has no bound here; each of them holds memory for a session timeout.
pub(super) const PENDING_MEMBERS_MAX: usize = 10_000;

/// How many assignment protocols a member may offer; clients offer a handful.
pub(super) const PROTOCOLS_MAX: usize = 64;

/// How many bytes one of a member's protocols may take: what is beyond a record's size could never
/// be stored as part of the group. The others are kept in memory alone.
pub(super) const PROTOCOL_BYTES_MAX: usize = 1024 * 1024;

/// How many bytes a member's protocols may take in all.
pub(super) const PROTOCOLS_BYTES_MAX: usize = 8 * PROTOCOL_BYTES_MAX;

/// How many groups one partition may hold. A group that does nothing costs about a KiB.
pub(super) const GROUPS_MAX: usize = 200_000;

/// How many appends of one partition may wait to be committed. Beyond it, requests are told to
/// come back.
pub(super) const PENDING_APPENDS_MAX: usize = 100_000;

/// How many bytes of keys and values go into one append, where a decision may be split over
/// several: half of Kafka's default of the largest batch.
pub(super) const APPEND_BYTES_MAX: usize = 512 * 1024;

/// Which way groups with members may change their protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    #[default]
    Bidirectional,
    /// From the classic protocol to the new one.
    Upgrade,
    /// From the new protocol to the classic one.
    Downgrade,
    /// Not at all.
    Disabled,
}

impl MigrationPolicy {
    fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            "disabled" => Self::Disabled,
            _ => Self::Bidirectional,
        }
    }

    pub(super) const fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    pub(super) const fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

/// The values in force for groups of the new protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.min.session.timeout.ms` and its opposite.
    pub session_bounds: (i32, i32),
    /// `group.consumer.min.heartbeat.interval.ms` and its opposite.
    pub heartbeat_bounds: (i32, i32),
    /// `group.consumer.max.size`: members in a group.
    pub max_size: i32,
    /// `group.consumer.assignors`: by name; the first is that of groups that ask for none.
    pub assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
}

/// What one group of the new protocol sets for itself (KIP-848's group configuration); what it
/// leaves out is what [`ConsumerConfig`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnConfig {
    /// `consumer.session.timeout.ms`.
    pub session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: Option<i32>,
}

impl OwnConfig {
    /// What every group sets, by name. The bounds of the brokers' keys hold here, too: those of
    /// the coordinators, which checked it, may have been others.
    pub fn of_all(image: &Image, bounds: &ConsumerConfig) -> BTreeMap<Str, Self> {
        let groups = image.configs().filter(|(key, _)| key.kind == ResourceType::GROUP);
        let within = |value: i32, (min, max): (i32, i32)| value.max(min).min(max);
        groups
            .map(|(key, set)| {
                let session = group::own(group::CONSUMER_SESSION_TIMEOUT_MS, set);
                let heartbeat = group::own(group::CONSUMER_HEARTBEAT_INTERVAL_MS, set);
                let own = Self {
                    session_timeout_ms: session.map(|it| within(it, bounds.session_bounds)),
                    heartbeat_interval_ms: heartbeat.map(|it| within(it, bounds.heartbeat_bounds)),
                };
                (key.name.clone(), own)
            })
            .collect()
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            session_bounds: (45_000, 60_000),
            heartbeat_bounds: (5_000, 15_000),
            max_size: i32::MAX,
            assignors: vec![UNIFORM.to_owned(), RANGE.to_owned()],
            migration: MigrationPolicy::Bidirectional,
        }
    }
}

impl ConsumerConfig {
    fn of(values: &Values) -> Self {
        let within = |value: i32, (min, max): (i32, i32)| value.max(min).min(max);
        let session_bounds = (
            values.get(keys::GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS),
            values.get(keys::GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS),
        );
        let heartbeat_bounds = (
            values.get(keys::GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS),
            values.get(keys::GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS),
        );
        let session = values.get(keys::GROUP_CONSUMER_SESSION_TIMEOUT_MS);
        let heartbeat = values.get(keys::GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS);
        Self {
            session_timeout_ms: within(session, session_bounds),
            heartbeat_interval_ms: within(heartbeat, heartbeat_bounds),
            session_bounds,
            heartbeat_bounds,
            max_size: values.get(keys::GROUP_CONSUMER_MAX_SIZE),
            assignors: values.get(keys::GROUP_CONSUMER_ASSIGNORS),
            migration: MigrationPolicy::of(&values.get(keys::GROUP_CONSUMER_MIGRATION_POLICY)),
        }
    }
}

/// What a share group is told and held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShareTerms {
    /// How long a member may be silent.
    pub(super) session_timeout_ms: i32,
    /// How often it is to be heard of.
    pub(super) heartbeat_interval_ms: i32,
}

/// The values in force.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first members of a group wait for more.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members in a group.
    pub max_size: i32,
    /// How long a new member may wait for its first join to complete; Kafka's fixed 5 minutes.
    pub new_member_join_timeout_ms: i32,
    /// `group.consumer.*`.
    pub consumer: ConsumerConfig,
    /// `group.share.max.size`: members in a share group.
    pub share_max_size: i32,
    /// All values, above which share groups set some for themselves.
    pub values: Values,
    /// `offset.metadata.max.bytes`: of the text that goes with a committed offset, in UTF-16
    /// units as Kafka counts.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval_ms: i64,
    /// `offsets.commit.timeout.ms`: how long an append may take to be committed.
    pub commit_timeout_ms: i32,
    /// `offsets.load.buffer.size`: bytes read at once when a partition is loaded.
    pub load_buffer_bytes: usize,
    /// `offsets.topic.compression.codec`.
    pub compression: Compression,
    /// `offsets.topic.num.partitions`: holds until the topic exists.
    pub partitions: usize,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            new_member_join_timeout_ms: 5 * 60 * 1000,
            consumer: ConsumerConfig::default(),
            share_max_size: 200,
            values: Values::default(),
            offset_metadata_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_check_interval_ms: 600_000,
            commit_timeout_ms: 5_000,
            load_buffer_bytes: 5 * 1024 * 1024,
            compression: Compression::None,
            partitions: 50,
        }
    }
}

impl GroupConfig {
    /// The values that a broker was started with.
    pub fn of(values: &Values) -> Self {
        let at_least_0 = |value: i32| usize::try_from(value).unwrap_or(0);
        let codec = values.get(keys::OFFSETS_TOPIC_COMPRESSION_CODEC);
        let codec = i8::try_from(codec).ok().and_then(Compression::from_code);
        Self {
            min_session_timeout_ms: values.get(keys::GROUP_MIN_SESSION_TIMEOUT_MS),
            max_session_timeout_ms: values.get(keys::GROUP_MAX_SESSION_TIMEOUT_MS),
            initial_rebalance_delay_ms: values.get(keys::GROUP_INITIAL_REBALANCE_DELAY_MS),
            max_size: values.get(keys::GROUP_MAX_SIZE),
            consumer: ConsumerConfig::of(values),
            share_max_size: values.get(keys::GROUP_SHARE_MAX_SIZE),
            values: values.clone(),
            offset_metadata_max: at_least_0(values.get(keys::OFFSET_METADATA_MAX_BYTES)),
            offsets_retention_ms: i64::from(values.get(keys::OFFSETS_RETENTION_MINUTES)) * 60_000,
            retention_check_interval_ms: values.get(keys::OFFSETS_RETENTION_CHECK_INTERVAL_MS),
            commit_timeout_ms: values.get(keys::OFFSETS_COMMIT_TIMEOUT_MS),
            load_buffer_bytes: at_least_0(values.get(keys::OFFSETS_LOAD_BUFFER_SIZE)),
            compression: codec.unwrap_or(Compression::None),
            partitions: at_least_0(values.get(keys::OFFSETS_TOPIC_NUM_PARTITIONS)),
            ..Self::default()
        }
    }
}
