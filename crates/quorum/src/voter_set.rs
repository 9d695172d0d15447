//! Who may vote: replicas named by id *and* directory id, with their endpoints (KIP-853).

use std::collections::BTreeMap;
use std::fmt;

use vltava_wire::{NodeId, Str, Uuid};

/// The id of the directory that holds a replica's log; random, made when the directory is
/// formatted. A replica that lost its disk comes back with another one, and so is another
/// replica (KIP-853).
pub type DirectoryId = Uuid;

/// The most voters that a set can have.
///
/// Every commit waits for a majority and every leader keeps state for each, so a set beyond this
/// is a mistake and not a cluster.
pub const VOTERS_MAX: usize = 64;

/// The most endpoints that a voter can have; it has one a listener.
pub const ENDPOINTS_MAX: usize = 16;

/// The most bytes of a listener's name, and of a host's. No name of a host is longer.
pub const ENDPOINT_TEXT_BYTES_MAX: usize = 255;

/// A replica of the metadata log, as voter sets and votes name it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    /// The node's id.
    pub id: NodeId,
    /// The directory that holds its log; [`DirectoryId::ZERO`] if the sender did not say.
    pub directory_id: DirectoryId,
}

impl ReplicaKey {
    /// The replica of node `id` in directory `directory_id`.
    pub const fn new(id: NodeId, directory_id: DirectoryId) -> Self {
        Self { id, directory_id }
    }
}

impl fmt::Display for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.directory_id)
    }
}

impl fmt::Debug for ReplicaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a replica listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The listener's name, `CONTROLLER` as a rule; empty where an answer does not carry it.
    pub name: Str,
    /// A host name or an address.
    pub host: Str,
    /// A TCP port.
    pub port: u16,
}

/// One member of a [`VoterSet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Who it is.
    pub key: ReplicaKey,
    /// Where it listens, one entry a listener.
    pub endpoints: Vec<Endpoint>,
    /// The lowest and the highest `kraft.version` that it supports.
    pub kraft_version: (i16, i16),
}

impl Voter {
    /// A voter that speaks `kraft.version` 0 to 1, as all of ours do.
    pub fn new(key: ReplicaKey, endpoints: Vec<Endpoint>) -> Self {
        Self { key, endpoints, kraft_version: (0, 1) }
    }

    /// Whether it listens anywhere, and says so within bounds: all voters go into one record.
    pub(crate) fn is_sound(&self) -> bool {
        let short = |text: &Str| text.len() <= ENDPOINT_TEXT_BYTES_MAX;
        (1..=ENDPOINTS_MAX).contains(&self.endpoints.len())
            && self.endpoints.iter().all(|it| short(&it.name) && short(&it.host))
    }

    /// The endpoint of listener `name`; the first one if there is none of that name.
    pub fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        let named = self.endpoints.iter().find(|endpoint| endpoint.name == *name);
        named.or_else(|| self.endpoints.first())
    }
}

/// The voters of the quorum as of one offset of the log: the content of a `VotersRecord`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterSet {
    voters: BTreeMap<NodeId, Voter>,
}

impl VoterSet {
    /// The set without voters.
    pub(crate) const fn none() -> Self {
        Self { voters: BTreeMap::new() }
    }

    /// The set of `voters`. Of several with one id the last counts.
    pub fn new(voters: impl IntoIterator<Item = Voter>) -> Self {
        Self { voters: voters.into_iter().map(|voter| (voter.key.id, voter)).collect() }
    }

    /// The voters, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Voter> {
        self.voters.values()
    }

    /// The voters' keys, in the order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = ReplicaKey> {
        self.voters.values().map(|voter| voter.key)
    }

    /// How many voters there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether nobody votes, as on a node that was not told of any voter yet.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// How many voters are more than half of them.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether this replica votes: its id *and* its directory id are in the set.
    pub fn contains(&self, key: ReplicaKey) -> bool {
        self.voters.get(&key.id).is_some_and(|voter| voter.key == key)
    }

    /// The voter with this id, whatever its directory id.
    pub fn get(&self, id: NodeId) -> Option<&Voter> {
        self.voters.get(&id)
    }

    /// This set with `voter` in it, in place of whoever has its id.
    #[must_use]
    pub fn with(&self, voter: Voter) -> Self {
        let mut set = self.clone();
        set.voters.insert(voter.key.id, voter);
        set
    }

    /// This set without the voter `id`.
    #[must_use]
    pub fn without(&self, id: NodeId) -> Self {
        let mut set = self.clone();
        set.voters.remove(&id);
        set
    }
}
