//! The data folder of a coordinator: whose it is, and how a new one is founded.
//!
//! A folder is formatted once `meta.properties` is in it, which is written last. A node formats an
//! empty folder under the cluster id that it was told, and nothing else: a folder of another
//! cluster, or of another node, is refused. A founder's is formatted once the founders have met.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vltava_config::{Values, keys};
use vltava_log::checkpoint::{CheckpointError, MetaProperties};
use vltava_log::{Disk, DiskError, SmallFile, SyncKind, disk};
use vltava_metadata::{Changes, Image, SnapshotId, checkpoint, founding_features};
use vltava_quorum::{Endpoint, ReplicaKey, Voter, VoterSet, rpc};
use vltava_wire::records::metadata::FeatureLevelRecord;
use vltava_wire::{NodeId, Str, Uuid};

use crate::peers::address;

/// The folder of the metadata log within the data folder.
const METADATA_LOG: &str = "__cluster_metadata-0";

/// Which founders were seen fresh, one id a line; of use only while there is no `meta.properties`.
const MET: &str = "founders-met";

/// Held by the process that uses the data folder.
const LOCK: &str = ".lock";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The lock file cannot be opened.
    #[error("cannot lock the data folder {}", path.display())]
    Lock {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The data folder cannot be made.
    #[error("cannot make the data folder")]
    Folder(#[source] DiskError),
    /// `meta.properties` cannot be read or written.
    #[error("cannot use meta.properties")]
    Meta(#[source] CheckpointError),
    /// The bootstrap snapshot cannot be written.
    #[error("cannot write the bootstrap snapshot")]
    Bootstrap(#[source] DiskError),
    /// Which founders were met cannot be read or written.
    #[error("cannot use founders-met")]
    Met(#[source] DiskError),
    /// The folder is of another cluster.
    #[error(
        "the data folder {} belongs to the cluster {found}, this node is of {told}: give it the \
         folder of its cluster, or an empty one", path.display()
    )]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// The cluster id in it.
        found: String,
        /// The cluster id that the node was told.
        told: String,
    },
    /// The folder is of another node.
    #[error(
        "the data folder {} belongs to node {found}, this is node {told}", path.display()
    )]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// The node's id in it.
        found: NodeId,
        /// This node's id.
        told: NodeId,
    },
    /// The folder is from before directories had ids.
    #[error("the data folder {} has no directory id", .0.display())]
    NoDirectoryId(PathBuf),
    /// The folder is empty, and nobody said which cluster it is for.
    #[error(
        "the data folder {} is empty, and no cluster id was given: set vltava.cluster.id",
        .0.display()
    )]
    NoClusterId(PathBuf),
    /// The founders' list does not name this node.
    #[error("vltava.initial.controllers does not name node {0}")]
    NotAFounder(NodeId),
    /// A founder's directory id is none.
    #[error("{0:?} in vltava.initial.controllers is no directory id")]
    FounderDirectory(String),
}

/// A data folder that this process has for itself.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The folder of the metadata log.
    pub(crate) log: PathBuf,
    /// The cluster's id.
    pub(crate) cluster_id: Str,
    /// Who this node is.
    pub(crate) replica: ReplicaKey,
    /// Locked as long as the process lives.
    _lock: Arc<File>,
}

/// What was found in a data folder.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is clear who the node is.
    Ready(Folder),
    /// The folder is empty, and the node is to found a quorum together with others.
    Unfounded(Unfounded),
}

/// An empty data folder of a founder.
#[derive(Clone, Debug)]
pub(crate) struct Unfounded {
    path: PathBuf,
    log: PathBuf,
    cluster_id: Str,
    node: NodeId,
    voters: VoterSet,
    lock: Arc<File>,
}

impl Folder {
    /// A folder for tests of what is kept in it.
    #[cfg(test)]
    pub(crate) fn of_parts(log: PathBuf, cluster_id: Str, replica: ReplicaKey, lock: File) -> Self {
        Self { log, cluster_id, replica, _lock: Arc::new(lock) }
    }

    /// Opens the data folder, and formats it if it is empty, unless the node is to found a quorum
    /// with others. `random` makes the id of a directory that joins a quorum.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        values: &Values,
        random: u128,
        wall_ms: i64,
    ) -> Result<Opened, FolderError> {
        let path = values.metadata_log_dir();
        let make = |path| disk::make_folder(disk, path, SyncKind::DataFolder);
        make(&path).map_err(FolderError::Folder)?;
        let lock = Arc::new(lock(&path)?);
        let log = path.join(METADATA_LOG);
        make(&log).map_err(FolderError::Folder)?;
        let told = values.get(keys::VLTAVA_CLUSTER_ID);
        let node = NodeId(values.node_id());
        let found = MetaProperties::read(disk, &path).map_err(FolderError::Meta)?;
        let Some(meta) = found else {
            let told = told.ok_or_else(|| FolderError::NoClusterId(path.clone()))?;
            let voters = founders(values)?;
            let (cluster_id, lone) = (told.into(), voters.len() == 1);
            let empty = Unfounded { path, log, cluster_id, node, voters, lock };
            return match empty.voters.is_empty() {
                true => empty.join(disk, random).map(Opened::Ready),
                false if lone => empty.found(disk, wall_ms).map(Opened::Ready),
                false => Ok(Opened::Unfounded(empty)),
            };
        };
        let meta = check_owner(&path, meta, told, node)?;
        let directory =
            meta.directory_id.ok_or_else(|| FolderError::NoDirectoryId(path.clone()))?;
        let replica = ReplicaKey::new(node, directory);
        Ok(Opened::Ready(Self { log, cluster_id: meta.cluster_id.into(), replica, _lock: lock }))
    }
}

impl Unfounded {
    pub(crate) fn cluster_id(&self) -> &Str {
        &self.cluster_id
    }

    /// Who the node is if it founds.
    pub(crate) fn local(&self) -> ReplicaKey {
        let voter = self.voters.get(self.node).expect("the founders' list names this node");
        voter.key
    }

    /// The other founders.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Voter> {
        self.voters.iter().filter(|voter| voter.key.id != self.node)
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> BTreeMap<NodeId, String> {
        let address = |voter: &Voter| {
            let endpoint = voter.endpoints.first()?;
            Some((voter.key.id, address(&endpoint.host, endpoint.port)))
        };
        self.others().filter_map(address).collect()
    }

    /// The founders that were seen fresh while the folder existed.
    pub(crate) fn met(&self, disk: &Arc<dyn Disk>) -> Result<BTreeSet<NodeId>, FolderError> {
        let read = disk::read_file(disk, &self.path.join(MET)).map_err(FolderError::Met)?;
        let text = String::from_utf8_lossy(read.as_deref().unwrap_or_default()).into_owned();
        Ok(text.lines().filter_map(|line| line.parse().ok()).map(NodeId).collect())
    }

    /// Notes which founders were seen fresh; durable when this returns.
    pub(crate) fn remember(
        &self,
        disk: &Arc<dyn Disk>,
        met: &BTreeSet<NodeId>,
    ) -> Result<(), FolderError> {
        let text: String = met.iter().map(|id| format!("{id}\n")).collect();
        disk::replace_file(disk, &self.path.join(MET), text.as_bytes(), SmallFile::MetaProperties)
            .map_err(FolderError::Met)
    }

    /// Formats the folder of a founder.
    pub(crate) fn found(&self, disk: &Arc<dyn Disk>, wall_ms: i64) -> Result<Folder, FolderError> {
        let bytes = bootstrap_snapshot(&self.cluster_id, self.voters.clone(), wall_ms);
        let path = self.log.join(SnapshotId::BOOTSTRAP.file_name());
        disk::replace_file(disk, &path, &bytes, SmallFile::MetadataSnapshot)
            .map_err(FolderError::Bootstrap)?;
        let directory = self.local().directory_id;
        self.format(disk, directory)
    }

    /// Formats the folder of a node that joins a quorum.
    pub(crate) fn join(&self, disk: &Arc<dyn Disk>, random: u128) -> Result<Folder, FolderError> {
        let path = self.log.join(SnapshotId::BOOTSTRAP.file_name());
        disk::remove_file(disk, &path, None).map_err(FolderError::Bootstrap)?;
        self.format(disk, Uuid::from_random(random))
    }

    fn format(&self, disk: &Arc<dyn Disk>, directory: Uuid) -> Result<Folder, FolderError> {
        let meta = MetaProperties {
            cluster_id: self.cluster_id.to_string(),
            node_id: self.node,
            directory_id: Some(directory),
        };
        meta.write(disk, &self.path).map_err(FolderError::Meta)?;
        let replica = ReplicaKey::new(self.node, directory);
        let Self { log, cluster_id, lock, .. } = self.clone();
        Ok(Folder { log, cluster_id, replica, _lock: lock })
    }
}

fn check_owner(
    path: &Path,
    meta: MetaProperties,
    told: Option<String>,
    node: NodeId,
) -> Result<MetaProperties, FolderError> {
    if let Some(told) = told.filter(|told| *told != meta.cluster_id) {
        let (path, found) = (path.to_owned(), meta.cluster_id);
        return Err(FolderError::OtherCluster { path, found, told });
    }
    if meta.node_id != node {
        let (path, found) = (path.to_owned(), meta.node_id);
        return Err(FolderError::OtherNode { path, found, told: node });
    }
    Ok(meta)
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let failed = |source| FolderError::Lock { path: path.to_owned(), source };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The founders by the list, this node among them; none without a list.
fn founders(values: &Values) -> Result<VoterSet, FolderError> {
    let founders = values.initial_controllers();
    let node = values.node_id();
    let names = values.controller_listener_names();
    let listener = names.first().map_or("CONTROLLER", String::as_str);
    if !founders.is_empty() && !founders.iter().any(|founder| founder.id == node) {
        return Err(FolderError::NotAFounder(NodeId(node)));
    }
    let mut voters = Vec::new();
    for founder in founders {
        let directory: Uuid = founder
            .directory_id
            .parse()
            .map_err(|_| FolderError::FounderDirectory(founder.directory_id.clone()))?;
        let endpoint = Endpoint {
            name: listener.into(),
            host: founder.address.host.as_str().into(),
            port: founder.address.port,
        };
        voters.push(Voter::new(ReplicaKey::new(NodeId(founder.id), directory), vec![endpoint]));
    }
    Ok(VoterSet::new(voters))
}

/// What every founder starts from: the voters and the levels of all features.
fn bootstrap_snapshot(cluster_id: &str, voters: VoterSet, wall_ms: i64) -> Vec<u8> {
    let mut image = Image::new(cluster_id.into());
    for (name, feature_level) in founding_features() {
        let level = FeatureLevelRecord { name: name.into(), feature_level };
        image
            .apply(&level.into(), &mut Changes::default())
            .expect("a feature's level fits every image");
    }
    let voters = rpc::voters_to_wire(&voters);
    checkpoint::encode(SnapshotId::BOOTSTRAP, &image, Some(&voters), wall_ms)
}
