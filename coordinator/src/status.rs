//! How a coordinator fares: what its loop tells everybody else.

use tokio::sync::watch;
use vltava_metadata::Image;
use vltava_quorum::{LeaderInfo, RoleName, VoterSet};
use vltava_wire::Offset;

/// The latest news of the loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Status {
    /// What the node does in the quorum.
    pub role: RoleName,
    /// The epoch and its leader, as far as the node knows.
    pub leader: LeaderInfo,
    /// Whether this is the active coordinator.
    pub is_active: bool,
    /// Up to where records are committed, as far as the node knows.
    pub high_watermark: Option<Offset>,
    /// The end of the node's log.
    pub log_end_offset: Offset,
    /// The voters as of the end of the node's log.
    pub voters: VoterSet,
    /// The cluster, as of the last committed record that the node has applied.
    pub image: Image,
}

impl Status {
    /// Whether there is no news.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.role == other.role
            && self.leader == other.leader
            && self.is_active == other.is_active
            && self.high_watermark == other.high_watermark
            && self.log_end_offset == other.log_end_offset
            && self.image.provenance() == other.image.provenance()
            && self.voters == other.voters
    }
}

/// The loop's latest news, for handlers. Whoever looks gets a copy: the loop waits to tell the next
/// news for as long as somebody looks at the last, and so does the whole quorum.
#[derive(Clone, Debug)]
pub(crate) struct News(watch::Receiver<Status>);

impl News {
    pub(crate) fn new(status: watch::Receiver<Status>) -> Self {
        Self(status)
    }

    /// The latest news.
    pub(crate) fn latest(&self) -> Status {
        self.0.borrow().clone()
    }
}
