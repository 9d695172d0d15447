//! Kafka's small text files of a log directory and of a partition, each replaced as a whole.
//!
//! A log directory has `recovery-point-offset-checkpoint`, `replication-offset-checkpoint` (high
//! watermarks), `log-start-offset-checkpoint` and `cleaner-offset-checkpoint`, with a line per
//! partition; `meta.properties`,
//! which says whose it is; and the mark of a clean shutdown. A partition's folder has
//! `partition.metadata`. All of them are written by the log's owner.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vltava_wire::{NodeId, Offset, PartitionId, Uuid};

use crate::disk::{self, Disk, DiskError, SmallFile, SyncKind};

/// Up to where partitions are durable: the recovery points.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// The high watermarks.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// The first offsets, where they are beyond a segment's start.
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";

/// Up to where compacted logs were cleaned.
pub const CLEANED: &str = "cleaner-offset-checkpoint";

const META_PROPERTIES: &str = "meta.properties";
const PARTITION_METADATA: &str = "partition.metadata";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// Why a small file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file's text is not what it should be.
    #[error("{} is not right: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl CheckpointError {
    fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), reason: reason.into() }
    }
}

/// An offset for each topic (by name) and partition.
pub type Offsets = BTreeMap<(String, PartitionId), Offset>;

/// Lines of the checkpoint format: version 0, the number of lines, the lines.
pub(crate) fn parse_lines(content: &[u8]) -> Result<Vec<&str>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not text".to_owned())?;
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        other => return Err(format!("version 0 expected, not {other:?}")),
    }
    let declared = lines.next().and_then(|line| line.parse::<usize>().ok());
    let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    match declared {
        Some(count) if count == rest.len() => Ok(rest),
        _ => Err(format!("{} lines are there, not the number that it says", rest.len())),
    }
}

/// Reads an offset checkpoint (one of [`RECOVERY_POINTS`], [`HIGH_WATERMARKS`], [`LOG_STARTS`],
/// [`CLEANED`]) of a log directory; empty if there is no such file.
///
/// # Errors
/// The file cannot be read, or is not a checkpoint.
pub fn read_offsets(
    disk: &Arc<dyn Disk>,
    log_dir: &Path,
    name: &str,
) -> Result<Offsets, CheckpointError> {
    let path = log_dir.join(name);
    let Some(content) = disk::read_file(disk, &path)? else { return Ok(Offsets::new()) };
    let lines =
        parse_lines(&content).map_err(|reason| CheckpointError::malformed(&path, reason))?;
    let mut offsets = Offsets::new();
    for line in lines {
        let mut words = line.rsplitn(3, ' ');
        let offset = words.next().and_then(|word| word.parse().ok());
        let partition = words.next().and_then(|word| word.parse().ok());
        let (Some(offset), Some(partition), Some(topic)) = (offset, partition, words.next()) else {
            let reason = format!("{line:?} is not a topic, a partition and an offset");
            return Err(CheckpointError::malformed(&path, reason));
        };
        offsets.insert((topic.to_owned(), PartitionId(partition)), Offset(offset));
    }
    Ok(offsets)
}

/// Replaces an offset checkpoint of a log directory durably. One caller at a time for each file.
///
/// # Errors
/// The file cannot be written; the old content is still there.
pub fn write_offsets(
    disk: &Arc<dyn Disk>,
    log_dir: &Path,
    name: &str,
    offsets: &Offsets,
) -> Result<(), CheckpointError> {
    let mut content = format!("0\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        content.push_str(&format!("{topic} {partition} {offset}\n"));
    }
    Ok(disk::replace_file(disk, &log_dir.join(name), content.as_bytes(), SmallFile::Offsets)?)
}

/// Whose a log directory is: `meta.properties`, version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node's id.
    pub node_id: NodeId,
    /// The directory's id (KIP-858); older folders have none.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// Reads the file of a log directory; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or something is missing from it.
    pub fn read(disk: &Arc<dyn Disk>, log_dir: &Path) -> Result<Option<Self>, CheckpointError> {
        let path = log_dir.join(META_PROPERTIES);
        let Some(content) = disk::read_file(disk, &path)? else { return Ok(None) };
        let fields = Fields::parse(&path, &content, '=')?;
        if fields.get("version")? != "1" {
            return Err(CheckpointError::malformed(&path, "version 1 expected"));
        }
        let directory_id = match fields.find("directory.id") {
            Some(_) => Some(fields.parsed("directory.id")?),
            None => None,
        };
        let node_id = NodeId(fields.parsed("node.id")?);
        let cluster_id = fields.get("cluster.id")?.to_owned();
        Ok(Some(Self { cluster_id, node_id, directory_id }))
    }

    /// Replaces the file of a log directory durably.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, disk: &Arc<dyn Disk>, log_dir: &Path) -> Result<(), CheckpointError> {
        let mut content = format!("cluster.id={}\n", self.cluster_id);
        if let Some(id) = self.directory_id {
            content.push_str(&format!("directory.id={id}\n"));
        }
        content.push_str(&format!("node.id={}\nversion=1\n", self.node_id));
        let path = log_dir.join(META_PROPERTIES);
        Ok(disk::replace_file(disk, &path, content.as_bytes(), SmallFile::MetaProperties)?)
    }
}

/// Reads which topic a partition's folder belongs to: `partition.metadata`; `None` if there is
/// no such file.
///
/// # Errors
/// The file cannot be read, or has no topic id.
pub fn read_topic_id(
    disk: &Arc<dyn Disk>,
    partition_dir: &Path,
) -> Result<Option<Uuid>, CheckpointError> {
    let path = partition_dir.join(PARTITION_METADATA);
    let Some(content) = disk::read_file(disk, &path)? else { return Ok(None) };
    let fields = Fields::parse(&path, &content, ':')?;
    if fields.get("version")? != "0" {
        return Err(CheckpointError::malformed(&path, "version 0 expected"));
    }
    Ok(Some(fields.parsed("topic_id")?))
}

/// Writes which topic a partition's folder belongs to, durably; the folder must be there.
///
/// # Errors
/// The file cannot be written.
pub fn write_topic_id(
    disk: &Arc<dyn Disk>,
    partition_dir: &Path,
    topic_id: Uuid,
) -> Result<(), CheckpointError> {
    let content = format!("version: 0\ntopic_id: {topic_id}");
    let path = partition_dir.join(PARTITION_METADATA);
    Ok(disk::replace_file(disk, &path, content.as_bytes(), SmallFile::PartitionMetadata)?)
}

/// Marks a log directory as cleanly shut down: every log in it was closed. Written last, with
/// the broker epoch of the run that ends (KIP-966), if that is known.
///
/// It is not synced: all that it speaks of is durable already. A mark that a power cut takes away
/// costs a scan at the next start, one that it tears is a mark without an epoch.
///
/// # Errors
/// The file cannot be written.
pub fn mark_clean_shutdown(
    disk: &Arc<dyn Disk>,
    log_dir: &Path,
    broker_epoch: Option<i64>,
) -> Result<(), CheckpointError> {
    let epoch = broker_epoch.unwrap_or(-1);
    let content = format!("{{\"version\":0,\"brokerEpoch\":{epoch}}}");
    Ok(disk::write_file(disk, &log_dir.join(CLEAN_SHUTDOWN), content.as_bytes())?)
}

/// Takes the mark of a clean shutdown away, durably, before anything is written; returns the
/// broker epoch in it (−1 if it has none), or `None` if there was no mark.
///
/// # Errors
/// The mark cannot be removed.
pub fn take_clean_shutdown(
    disk: &Arc<dyn Disk>,
    log_dir: &Path,
) -> Result<Option<i64>, CheckpointError> {
    let path = log_dir.join(CLEAN_SHUTDOWN);
    let Some(content) = disk::read_file(disk, &path)? else { return Ok(None) };
    disk::remove_file(disk, &path, Some(SyncKind::CleanShutdownFolder))?;
    // Kafka before 3.9 left the file empty.
    let text = String::from_utf8_lossy(&content);
    let epoch = text
        .split_once("\"brokerEpoch\":")
        .and_then(|(_, rest)| rest.trim().trim_end_matches('}').trim().parse().ok());
    Ok(Some(epoch.unwrap_or(-1)))
}

/// `key=value` or `key: value` lines; those that start with `#` say nothing.
struct Fields<'a> {
    path: &'a Path,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    fn parse(path: &'a Path, content: &'a [u8], mark: char) -> Result<Self, CheckpointError> {
        let text = std::str::from_utf8(content)
            .map_err(|_| CheckpointError::malformed(path, "it is not text"))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let fields = lines.filter_map(|line| line.split_once(mark));
        Ok(Self { path, fields: fields.map(|(key, value)| (key.trim(), value.trim())).collect() })
    }

    fn find(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).copied()
    }

    fn get(&self, key: &str) -> Result<&'a str, CheckpointError> {
        let missing = || CheckpointError::malformed(self.path, format!("{key} is missing"));
        self.find(key).ok_or_else(missing)
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str) -> Result<T, CheckpointError> {
        let value = self.get(key)?;
        let wrong = |_| CheckpointError::malformed(self.path, format!("{key} is {value:?}"));
        value.parse().map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultyDisk;

    fn disk() -> Arc<dyn Disk> {
        Arc::new(FaultyDisk::new(0))
    }

    fn put(disk: &Arc<dyn Disk>, name: &str, content: &str) {
        disk::replace_file(
            disk,
            &Path::new("/").join(name),
            content.as_bytes(),
            SmallFile::Offsets,
        )
        .unwrap();
    }

    #[test]
    fn offsets_survive_their_file() {
        let (disk, dir) = (disk(), Path::new("/"));
        assert_eq!(read_offsets(&disk, dir, RECOVERY_POINTS).unwrap(), Offsets::new());
        let offsets = Offsets::from([
            (("a.topic".to_owned(), PartitionId(0)), Offset(0)),
            (("a.topic".to_owned(), PartitionId(12)), Offset(i64::MAX)),
        ]);
        write_offsets(&disk, dir, RECOVERY_POINTS, &offsets).unwrap();
        assert_eq!(read_offsets(&disk, dir, RECOVERY_POINTS).unwrap(), offsets);
    }

    #[test]
    fn a_malformed_checkpoint_is_told() {
        let disk = disk();
        for content in ["", "1\n0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na b 1\n"] {
            put(&disk, HIGH_WATERMARKS, content);
            let error = read_offsets(&disk, Path::new("/"), HIGH_WATERMARKS).unwrap_err();
            assert!(error.to_string().contains(HIGH_WATERMARKS), "{content:?}: {error}");
        }
    }

    #[test]
    fn what_kafka_wrote_of_a_directory_is_read() {
        let (disk, dir) = (disk(), Path::new("/"));
        let id = Uuid(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
        let properties = MetaProperties {
            cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
            node_id: NodeId(3),
            directory_id: Some(id),
        };
        let text = format!(
            "#\n#Sat Nov 21 00:00:00 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\n\
             directory.id={id}\nnode.id=3\nversion=1\n"
        );
        put(&disk, META_PROPERTIES, &text);
        assert_eq!(MetaProperties::read(&disk, dir).unwrap(), Some(properties.clone()));
        properties.write(&disk, dir).unwrap();
        assert_eq!(MetaProperties::read(&disk, dir).unwrap(), Some(properties));
        put(&disk, META_PROPERTIES, "version=1\ncluster.id=x\n");
        assert!(MetaProperties::read(&disk, dir).is_err());
    }

    #[test]
    fn a_folder_knows_its_topic() {
        let (disk, dir) = (disk(), Path::new("/"));
        assert_eq!(read_topic_id(&disk, dir).unwrap(), None);
        write_topic_id(&disk, dir, Uuid::METADATA_TOPIC).unwrap();
        assert_eq!(read_topic_id(&disk, dir).unwrap(), Some(Uuid::METADATA_TOPIC));
        put(&disk, PARTITION_METADATA, "version: 0\ntopic_id: zzz\n");
        assert!(read_topic_id(&disk, dir).is_err());
    }

    #[test]
    fn a_clean_shutdown_counts_once() {
        let (disk, dir) = (disk(), Path::new("/"));
        assert_eq!(take_clean_shutdown(&disk, dir).unwrap(), None);
        mark_clean_shutdown(&disk, dir, Some(17)).unwrap();
        assert_eq!(take_clean_shutdown(&disk, dir).unwrap(), Some(17));
        assert_eq!(take_clean_shutdown(&disk, dir).unwrap(), None);
        put(&disk, CLEAN_SHUTDOWN, "");
        assert_eq!(take_clean_shutdown(&disk, dir).unwrap(), Some(-1));
    }
}
