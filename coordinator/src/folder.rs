//! The data folder of a coordinator: whose it is, and how a new one is founded.
//!
//! A folder is formatted once `meta.properties` is in it, which is written last. A node formats an
//! empty folder under the cluster id that it was told, and nothing else: a folder of another
//! cluster, or of another node, is refused.

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

/// The folder of the metadata log within the data folder.
const METADATA_LOG: &str = "__cluster_metadata-0";

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
    _lock: File,
}

impl Folder {
    /// A folder for tests of what is kept in it.
    #[cfg(test)]
    pub(crate) fn of_parts(log: PathBuf, cluster_id: Str, replica: ReplicaKey, lock: File) -> Self {
        Self { log, cluster_id, replica, _lock: lock }
    }

    /// Opens the data folder, and formats it if it is empty. `random` makes the id of a directory
    /// that joins a quorum.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        values: &Values,
        random: u128,
        wall_ms: i64,
    ) -> Result<Self, FolderError> {
        let path = values.metadata_log_dir();
        let make = |path| disk::make_folder(disk, path, SyncKind::DataFolder);
        make(&path).map_err(FolderError::Folder)?;
        let lock = lock(&path)?;
        let log = path.join(METADATA_LOG);
        make(&log).map_err(FolderError::Folder)?;
        let told = values.get(keys::VLTAVA_CLUSTER_ID);
        let node = NodeId(values.node_id());
        let found = MetaProperties::read(disk, &path).map_err(FolderError::Meta)?;
        let meta = match found {
            Some(meta) => check_owner(&path, meta, told, node)?,
            None => {
                let told = told.ok_or_else(|| FolderError::NoClusterId(path.clone()))?;
                let directory = format(disk, values, &log, &told, random, wall_ms)?;
                let meta = MetaProperties {
                    cluster_id: told,
                    node_id: node,
                    directory_id: Some(directory),
                };
                meta.write(disk, &path).map_err(FolderError::Meta)?;
                meta
            }
        };
        let directory =
            meta.directory_id.ok_or_else(|| FolderError::NoDirectoryId(path.clone()))?;
        let replica = ReplicaKey::new(node, directory);
        Ok(Self { log, cluster_id: meta.cluster_id.into(), replica, _lock: lock })
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

/// Formats an empty folder: of a founder with the bootstrap snapshot. Returns the directory's id.
fn format(
    disk: &Arc<dyn Disk>,
    values: &Values,
    log: &Path,
    cluster_id: &str,
    random: u128,
    wall_ms: i64,
) -> Result<Uuid, FolderError> {
    let founders = values.initial_controllers();
    if founders.is_empty() {
        return Ok(Uuid::from_random(random));
    }
    let node = values.node_id();
    let names = values.controller_listener_names();
    let listener = names.first().map_or("CONTROLLER", String::as_str);
    let mut voters = Vec::new();
    let mut own = None;
    for founder in founders {
        let directory: Uuid = founder
            .directory_id
            .parse()
            .map_err(|_| FolderError::FounderDirectory(founder.directory_id.clone()))?;
        if founder.id == node {
            own = Some(directory);
        }
        let endpoint = Endpoint {
            name: listener.into(),
            host: founder.address.host.as_str().into(),
            port: founder.address.port,
        };
        voters.push(Voter::new(ReplicaKey::new(NodeId(founder.id), directory), vec![endpoint]));
    }
    let own = own.ok_or(FolderError::NotAFounder(NodeId(node)))?;
    let bytes = bootstrap_snapshot(cluster_id, VoterSet::new(voters), wall_ms);
    let path = log.join(SnapshotId::BOOTSTRAP.file_name());
    disk::replace_file(disk, &path, &bytes, SmallFile::MetadataSnapshot)
        .map_err(FolderError::Bootstrap)?;
    Ok(own)
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
