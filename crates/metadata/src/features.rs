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

/// A feature with the levels that a node supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// The feature's name.
    pub name: &'static str,
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

/// What every node of this build supports; told in ApiVersions and at registration.
pub fn supported_features() -> &'static [SupportedFeature] {
    &[
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
    ]
}
