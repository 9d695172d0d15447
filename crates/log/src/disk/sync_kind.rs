//! What each fsync is for, so that a test can leave out one of them and show that it is missed.

/// What an fsync is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncKind {
    /// Records of the active segment, before they count as flushed.
    LogFlush,
    /// Records of a segment that is about to be followed by a new one.
    SegmentRoll,
    /// Indexes of a segment that does not grow any more.
    IndexRoll,
    /// The aborted transactions of a segment, before a snapshot of the producers is taken.
    TxnIndex,
    /// The folder, after a segment was made in it.
    SegmentFolder,
    /// The folder's parent, after a log's folder was made in it.
    LogFolder,
    /// A snapshot of the producers.
    ProducerSnapshot,
    /// The list of leader epochs, before it replaces the older one.
    EpochCheckpoint,
    /// The folder, after the list of leader epochs was replaced.
    EpochCheckpointFolder,
    /// The records of a segment that was cut, so that what was cut off cannot return.
    TruncateLog,
    /// The folder, after segments, indexes or snapshots beyond a cut were removed.
    TruncateFolder,
    /// The folder, after segments were given up by retention.
    RetentionFolder,
    /// Recovery points, high watermarks or log starts, before they replace the older ones.
    OffsetCheckpoint,
    /// The folder, after recovery points, high watermarks or log starts were replaced.
    OffsetCheckpointFolder,
    /// Whose a data folder is, before it counts as formatted.
    MetaProperties,
    /// The folder, after it was written whose it is.
    MetaPropertiesFolder,
    /// Which topic a partition's folder belongs to.
    PartitionMetadata,
    /// The folder, after the mark of a clean shutdown was taken away.
    CleanShutdownFolder,
    /// The folder, after a partition's folder got the name of a deleted or stray one.
    AsideFolder,
    /// A coordinator's vote, before it replaces the older one.
    QuorumState,
    /// The folder, after a coordinator's vote was replaced.
    QuorumStateFolder,
    /// A snapshot of the metadata, before it gets its name.
    MetadataSnapshot,
    /// The folder, after a snapshot of the metadata got its name.
    MetadataSnapshotFolder,
    /// The parent, after a data folder was made in it.
    DataFolder,
    /// The records of a segment that compaction made, before it may replace others.
    CleanedLog,
    /// The indexes of a segment that compaction made, before it may replace others.
    CleanedIndex,
    /// The folder, after a segment that compaction made was said to replace others.
    SwapFolder,
    /// The folder, after the segments that are replaced were given up.
    SwapRetired,
    /// The folder, after the segment that replaces them got its names.
    SwapNames,
    /// The folder, after the folder of a log that was moved into it got the partition's name.
    MovedFolder,
}

impl SyncKind {
    /// All there are.
    pub const ALL: [Self; 30] = [
        Self::LogFlush,
        Self::SegmentRoll,
        Self::IndexRoll,
        Self::TxnIndex,
        Self::SegmentFolder,
        Self::LogFolder,
        Self::ProducerSnapshot,
        Self::EpochCheckpoint,
        Self::EpochCheckpointFolder,
        Self::TruncateLog,
        Self::TruncateFolder,
        Self::RetentionFolder,
        Self::OffsetCheckpoint,
        Self::OffsetCheckpointFolder,
        Self::MetaProperties,
        Self::MetaPropertiesFolder,
        Self::PartitionMetadata,
        Self::CleanShutdownFolder,
        Self::AsideFolder,
        Self::QuorumState,
        Self::QuorumStateFolder,
        Self::MetadataSnapshot,
        Self::MetadataSnapshotFolder,
        Self::DataFolder,
        Self::CleanedLog,
        Self::CleanedIndex,
        Self::SwapFolder,
        Self::SwapRetired,
        Self::SwapNames,
        Self::MovedFolder,
    ];

    /// The kind of that name (as in the code); `None` if there is no such kind.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| format!("{kind:?}") == name)
    }
}

/// A small file that is always replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallFile {
    /// Recovery points, high watermarks or log starts of a directory's partitions.
    Offsets,
    /// `meta.properties`: whose a data folder is.
    MetaProperties,
    /// `partition.metadata`: which topic a partition's folder belongs to.
    PartitionMetadata,
    /// `quorum-state`: a coordinator's vote.
    QuorumState,
    /// A snapshot of the metadata.
    MetadataSnapshot,
    /// A log's `leader-epoch-checkpoint`.
    LeaderEpochs,
}

impl SmallFile {
    /// How the syncs of its content and of its folder are called.
    ///
    /// The folder of `partition.metadata` is not synced for it: it is written before the log's
    /// first segment is made beside it, whose sync brings both names to the disk.
    pub(crate) fn syncs(self) -> (SyncKind, Option<SyncKind>) {
        let (content, folder) = match self {
            Self::Offsets => (SyncKind::OffsetCheckpoint, SyncKind::OffsetCheckpointFolder),
            Self::MetaProperties => (SyncKind::MetaProperties, SyncKind::MetaPropertiesFolder),
            Self::PartitionMetadata => return (SyncKind::PartitionMetadata, None),
            Self::QuorumState => (SyncKind::QuorumState, SyncKind::QuorumStateFolder),
            Self::MetadataSnapshot => {
                (SyncKind::MetadataSnapshot, SyncKind::MetadataSnapshotFolder)
            }
            Self::LeaderEpochs => (SyncKind::EpochCheckpoint, SyncKind::EpochCheckpointFolder),
        };
        (content, Some(folder))
    }
}
