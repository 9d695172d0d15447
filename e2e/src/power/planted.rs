//! Omissions that are planted: each fsync is left out in turn, and must be missed.

use std::time::Instant;

use super::Settings;
use crate::Outcome;

/// Within how many cuts an omission must be missed.
const CUTS_TO_MISS: u32 = 8;

/// What is left out: the node's role and the kind of fsync, as `VLTAVA_SKIP_SYNC` takes them.
const OMISSIONS: &[&str] = &[
    "broker:LogFlush",
    "broker:SegmentRoll",
    "broker:IndexRoll",
    "broker:SegmentFolder",
    "broker:LogFolder",
    "broker:ProducerSnapshot",
    "broker:EpochCheckpoint",
    "broker:EpochCheckpointFolder",
    "broker:TruncateLog",
    "broker:TruncateFolder",
    "broker:RetentionFolder",
    "broker:OffsetCheckpoint",
    "broker:OffsetCheckpointFolder",
    "broker:MetaProperties",
    "broker:MetaPropertiesFolder",
    "broker:PartitionMetadata",
    "broker:PartitionMetadataFolder",
    "broker:CleanShutdownFolder",
    "broker:AsideFolder",
    "coordinator:LogFlush",
    "coordinator:SegmentRoll",
    "coordinator:SegmentFolder",
    "coordinator:EpochCheckpoint",
    "coordinator:MetaProperties",
    "coordinator:MetaPropertiesFolder",
    "coordinator:OffsetCheckpoint",
    "coordinator:QuorumState",
    "coordinator:QuorumStateFolder",
    "coordinator:MetadataSnapshot",
    "coordinator:MetadataSnapshotFolder",
    "coordinator:DataFolder",
];

/// Leaves out the fsync of that name (or each in turn: `all`) and expects that it is missed.
///
/// # Errors
/// The omissions that nobody missed, or a name that is none.
pub fn run(name: &str, settings: &Settings) -> Outcome {
    let is_meant = |omission: &&&str| {
        name == "all" || **omission == name || omission.ends_with(&format!(":{name}"))
    };
    let meant: Vec<&str> = OMISSIONS.iter().filter(is_meant).copied().collect();
    if meant.is_empty() {
        return Err(format!("there is no fsync {name}; there are {}", OMISSIONS.join(", ")));
    }
    let mut unmissed = Vec::new();
    for omission in meant {
        let start = Instant::now();
        let outcome = super::on_platter(CUTS_TO_MISS, settings.seed, settings.rate, Some(omission));
        let took = start.elapsed();
        match outcome {
            Err(found) => {
                let line = found.lines().take(2).collect::<Vec<_>>().join(" ");
                println!("{omission} left out: missed after {took:.0?}: {line}");
            }
            Ok(()) => {
                println!("{omission} left out: NOT MISSED within {CUTS_TO_MISS} cuts, {took:.0?}");
                unmissed.push(omission);
            }
        }
    }
    if unmissed.is_empty() { Ok(()) } else { Err(format!("nobody missed {}", unmissed.join(", "))) }
}
