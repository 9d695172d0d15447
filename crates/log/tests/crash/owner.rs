//! What a broker does around a log: checkpoints, the mark of a clean shutdown, opening.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vltava_log::checkpoint::{self, CheckpointError, Offsets};
use vltava_log::{Disk, DiskError, FaultyDisk, Log, LogConfig, OpenOptions, RecoveryReport};
use vltava_wire::{Offset, PartitionId};

pub const LOG_DIR: &str = "/data";
pub const DIR: &str = "/data/t-0";

/// The owner of one log.
#[derive(Clone)]
pub struct Owner {
    pub faulty: FaultyDisk,
    pub disk: Arc<dyn Disk>,
}

/// A log that was opened, and with what.
pub struct Opened {
    pub log: Log,
    pub report: RecoveryReport,
    pub options: OpenOptions,
}

fn one(offset: Offset) -> Offsets {
    Offsets::from([(("t".to_owned(), PartitionId(0)), offset)])
}

impl Owner {
    pub fn new(faulty: FaultyDisk) -> Self {
        Self { disk: Arc::new(faulty.clone()), faulty }
    }

    fn read(&self, name: &str) -> Result<Offset, String> {
        let offsets = checkpoint::read_offsets(&self.disk, Path::new(LOG_DIR), name);
        let offsets = offsets.map_err(|error| format!("reading {name}: {error}"))?;
        Ok(offsets.values().next().copied().unwrap_or(Offset::ZERO))
    }

    pub fn write(&self, name: &str, offset: Offset) -> Result<(), DiskError> {
        match checkpoint::write_offsets(&self.disk, Path::new(LOG_DIR), name, &one(offset)) {
            Ok(()) => Ok(()),
            Err(CheckpointError::Disk(error)) => Err(error),
            Err(error) => panic!("writing does not parse: {error}"),
        }
    }

    /// Opens the log as a broker that starts does.
    pub fn open(&self, config: LogConfig, now_ms: i64) -> Result<Opened, String> {
        let log_dir = Path::new(LOG_DIR);
        let clean = checkpoint::take_clean_shutdown(&self.disk, log_dir)
            .map_err(|error| format!("taking the mark: {error}"))?;
        let options = OpenOptions {
            recovery_point: self.read(checkpoint::RECOVERY_POINTS)?,
            clean_shutdown: clean.is_some(),
            log_start_offset: self.read(checkpoint::LOG_STARTS)?,
            now_ms,
        };
        let (log, report) = Log::open(Arc::clone(&self.disk), PathBuf::from(DIR), config, options)
            .map_err(|error| format!("opening with {options:?}: {error}"))?;
        Ok(Opened { log, report, options })
    }

    /// Closes the log as a broker that stops does.
    pub fn close(&self, log: Log) -> Result<(), String> {
        let end = log.close().map_err(|error| format!("closing: {error}"))?;
        self.write(checkpoint::RECOVERY_POINTS, end).map_err(|error| error.to_string())?;
        checkpoint::mark_clean_shutdown(&self.disk, Path::new(LOG_DIR), None)
            .map_err(|error| error.to_string())
    }

    /// The bytes of a file in the log's folder.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = Path::new(DIR).join(name);
        vltava_log::disk::read_file(&self.disk, &path)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| format!("{name} is missing"))
    }

    /// The base offsets of the segments.
    pub fn bases(&self) -> Result<Vec<i64>, String> {
        let entries = self.disk.list(Path::new(DIR)).map_err(|error| error.to_string())?;
        let mut bases: Vec<i64> = entries
            .iter()
            .filter_map(|entry| entry.name.strip_suffix(".log")?.parse().ok())
            .collect();
        bases.sort_unstable();
        Ok(bases)
    }
}
