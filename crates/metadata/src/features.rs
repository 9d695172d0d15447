//! The features of a cluster that have levels (KIP-584), and the levels that we know.

/// Which records and semantics the metadata log may hold.
pub const METADATA_VERSION: &str = "metadata.version";
/// The lowest level that Kafka 4 knows: 3.3-IV3.
pub const METADATA_VERSION_MIN: i16 = 7;
/// The level that a new cluster gets: 4.2-IV1.
pub const METADATA_VERSION_MAX: i16 = 29;

/// How the quorum keeps its voters; level 1 is the dynamic quorum of KIP-853.
pub const KRAFT_VERSION: &str = "kraft.version";
/// The only level that is served: a quorum of level 0 would have voters without directory ids.
pub const KRAFT_VERSION_LEVEL: i16 = 1;

/// The protocols of groups: level 1 has consumer groups (KIP-848).
pub const GROUP_VERSION: &str = "group.version";
/// The level from which on there are consumer groups.
pub const GROUP_VERSION_CONSUMER: i16 = 1;

/// Share groups: level 1 has them (KIP-932).
pub const SHARE_VERSION: &str = "share.version";
/// The level from which on there are share groups.
pub const SHARE_VERSION_GROUPS: i16 = 1;

/// The protocol of transactions (KIP-890): level 1 has records with tagged fields, level 2 an epoch
/// of its own for each transaction.
pub const TRANSACTION_VERSION: &str = "transaction.version";
/// The level of Kafka 4.2.
pub const TRANSACTION_VERSION_MAX: i16 = 2;

/// A feature with the levels that a node supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// The feature's name.
    pub name: &'static str,
    /// The lowest level.
    pub min: i16,
    /// The highest level, which is also what a new cluster gets.
    pub max: i16,
}

impl SupportedFeature {
    /// The feature of that name, if this build knows one.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        supported_features().iter().find(|feature| feature.name == name)
    }
}

/// The records that a new cluster begins with: `metadata.version` first, which says how the others
/// are to be read. (`kraft.version` is a control record of the quorum.)
pub fn founding_features() -> impl Iterator<Item = (&'static str, i16)> {
    let others = supported_features()
        .iter()
        .filter(|feature| ![KRAFT_VERSION, METADATA_VERSION].contains(&feature.name));
    std::iter::once((METADATA_VERSION, METADATA_VERSION_MAX))
        .chain(others.map(|feature| (feature.name, feature.max)))
}

/// What every node of this build supports, by name; told in ApiVersions and at registration.
///
/// None of them depends on another one's level (KIP-1022) but on some level of `metadata.version`,
/// which every cluster has.
pub fn supported_features() -> &'static [SupportedFeature] {
    &[
        SupportedFeature { name: GROUP_VERSION, min: 0, max: GROUP_VERSION_CONSUMER },
        SupportedFeature {
            name: KRAFT_VERSION,
            min: KRAFT_VERSION_LEVEL,
            max: KRAFT_VERSION_LEVEL,
        },
        SupportedFeature {
            name: METADATA_VERSION,
            min: METADATA_VERSION_MIN,
            max: METADATA_VERSION_MAX,
        },
        SupportedFeature { name: SHARE_VERSION, min: 0, max: SHARE_VERSION_GROUPS },
        SupportedFeature { name: TRANSACTION_VERSION, min: 0, max: TRANSACTION_VERSION_MAX },
    ]
}
