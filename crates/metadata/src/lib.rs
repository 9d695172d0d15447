//! Metadata records and the image of the cluster that they build.
//!
//! The metadata log `__cluster_metadata-0` is a list of [`MetadataRecord`]s (KIP-631). Whoever
//! applies them in order has the same [`Image`] as everyone else: coordinators decide upon it,
//! brokers act upon what changed in it ([`Changes`]). An image is cheap to clone: it shares
//! what did not change, so a reader keeps a consistent view without a lock.
//!
//! ```
//! use vltava_metadata::{Changes, Image, MetadataRecord, Provenance};
//! use vltava_wire::records::metadata::TopicRecord;
//! use vltava_wire::{LeaderEpoch, Offset, Uuid};
//!
//! let mut image = Image::new("cluster".into());
//! let record = TopicRecord { name: "orders".into(), topic_id: Uuid(7) };
//! let mut changes = Changes::default();
//! image.apply(&MetadataRecord::from(record), &mut changes).expect("a new topic");
//! assert!(changes.topics_created.contains(&Uuid(7)));
//! assert_eq!(image.topic("orders").expect("the topic").id, Uuid(7));
//!
//! // The same from record batches, as they come from the log or from a Fetch:
//! let batch = vltava_metadata::encode_batch(
//!     &[MetadataRecord::from(TopicRecord { name: "bills".into(), topic_id: Uuid(8) })],
//!     Offset(5), LeaderEpoch(1), 1_700_000_000_000,
//! );
//! let changes = image.replay(&batch).expect("well-formed batches");
//! assert!(changes.topics_created.contains(&Uuid(8)));
//! assert_eq!(image.provenance().offset, Offset(5));
//! # let _: Provenance = image.provenance();
//! ```
//!
//! *Invariant:* pure. No clock, no disk, no randomness; a snapshot is bytes ([`checkpoint`]).

mod batch;
mod changes;
pub mod checkpoint;
pub mod configuration;
mod features;
mod image;
mod record;

pub use batch::{
    BATCH_BYTES_MAX, BATCH_HEADER_BYTES, BATCH_RECORDS_MAX, ReplayError, bytes_in_batch,
    decode_batch, encode_batch,
};
pub use changes::{Changes, PartitionRef};
pub use checkpoint::{Checkpoint, CheckpointError, SnapshotId};
pub use features::{
    GROUP_VERSION, GROUP_VERSION_CONSUMER, KRAFT_VERSION, KRAFT_VERSION_LEVEL, METADATA_VERSION,
    METADATA_VERSION_MAX, METADATA_VERSION_MIN, SHARE_VERSION, SHARE_VERSION_GROUPS,
    SupportedFeature, TRANSACTION_VERSION, TRANSACTION_VERSION_MAX, founding_features,
    supported_features,
};
pub use image::{
    ApplyError, BrokerRegistration, ConfigMap, ConfigResource, ControllerRegistration, Endpoint,
    Image, LeaderRecoveryState, PartitionRegistration, Provenance, ResourceType, TopicImage,
    VersionRange,
};
pub use record::{MetadataRecord, RecordError};
