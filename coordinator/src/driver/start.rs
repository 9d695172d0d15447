//! Putting the loop together from what is on disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use vltava_config::{Values, keys};
use vltava_log::{Disk, LogConfig};
use vltava_metadata::{Image, KRAFT_VERSION, METADATA_VERSION, SnapshotId};
use vltava_quorum::{Config, Endpoint, Machine};
use vltava_wire::Str;

use super::flusher::Flusher;
use super::inbox::{Inbox, Mailbox};
use super::snapshot::Snapshots;
use super::{Driver, DriverError, Heard};
use crate::clock::Clock;
use crate::controller::{Controller, Settings};
use crate::folder::Folder;
use crate::peers::Peers;
use crate::status::Status;
use crate::store::{Found, Store};

/// The smallest segment of the metadata log, in bytes, as Kafka's key has it.
const SEGMENT_BYTES_MIN: i64 = 8 * 1024 * 1024;

/// The share of `controller.quorum.fetch.timeout.ms` that a leader may keep an empty fetch.
const FETCH_WAIT_SHARE: u32 = 4;

/// What a loop is made of.
pub(crate) struct Plan<'a> {
    pub(crate) values: &'a Values,
    pub(crate) folder: &'a Folder,
    pub(crate) disk: Arc<dyn Disk>,
    /// Where this node tells others to connect to, one endpoint a listener.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) peers: Peers,
    pub(crate) inbox: Inbox,
    pub(crate) messages: Mailbox,
}

impl Plan<'_> {
    /// Reads what is on disk and puts the loop together; the receiver hears how it fares.
    pub(crate) fn prepare(self) -> Result<(Driver, watch::Receiver<Status>), DriverError> {
        let Self { values, folder, disk, endpoints, peers, inbox, messages } = self;
        let clock = Clock::new();
        let now = clock.now();
        let Found { store, shape, state, latest } =
            Store::open(disk, folder, log_config(values)).map_err(DriverError::Store)?;
        let config = quorum_config(values, folder, endpoints);
        let machine = Machine::new(config, state, shape, now).map_err(DriverError::Config)?;
        let mut settings = Settings::new(values, folder.cluster_id.clone());
        let mut committed = Image::new(folder.cluster_id.clone());
        let mut latest_id = SnapshotId::BOOTSTRAP;
        match latest {
            // What the founders' snapshot says is in the log as well, or will be.
            Some((SnapshotId::BOOTSTRAP, checkpoint)) => {
                settings.founding_features = levels(&checkpoint.image);
            }
            Some((id, checkpoint)) => (latest_id, committed) = (id, checkpoint.image),
            None => {}
        }
        let controller = Controller::new(settings, rand::rng().random());
        let status = Status {
            role: machine.role(),
            leader: machine.leader(),
            is_active: false,
            high_watermark: None,
            log_end_offset: store.end(),
            voters: machine.voters().clone(),
            image: committed.clone(),
        };
        let (status, receiver) = watch::channel(status);
        let driver = Driver {
            clock,
            machine,
            controller,
            store,
            committed,
            inbox: messages,
            heard: Heard { owed: 0, at: now },
            peers,
            askers: HashMap::new(),
            next_token: 0,
            callers: HashMap::new(),
            waiting: VecDeque::new(),
            leading: None,
            next_proposal: 0,
            proposing: None,
            rejected: None,
            tick_at: None,
            flusher: Flusher::start_thread(inbox.clone()).map_err(DriverError::Thread)?,
            flush_wanted: None,
            snapshots: Snapshots::new(values, latest_id, now, inbox),
            next_event: None,
            status,
            stopping: false,
            stopped: false,
        };
        Ok((driver, receiver))
    }
}

/// The features that a snapshot sets, `metadata.version` first.
fn levels(image: &Image) -> Vec<(Str, i16)> {
    let mut levels: Vec<(Str, i16)> = image
        .features()
        .iter()
        .filter(|(name, _)| *name != KRAFT_VERSION)
        .map(|(name, level)| (name.clone(), *level))
        .collect();
    levels.sort_by_key(|(name, _)| *name != METADATA_VERSION);
    levels
}

/// The metadata log keeps what no snapshot holds, whatever its age: it has no retention of its own.
/// Segments are small enough that what a snapshot holds can go.
fn log_config(values: &Values) -> LogConfig {
    let wanted = i64::from(values.get(keys::METADATA_LOG_SEGMENT_BYTES));
    let bytes = match values.get(keys::METADATA_MAX_RETENTION_BYTES) {
        retention if retention > 0 => wanted.min(retention / 2),
        _ => wanted,
    };
    LogConfig {
        segment_bytes: u32::try_from(bytes.max(SEGMENT_BYTES_MIN)).unwrap_or(u32::MAX),
        segment_ms: values.get(keys::METADATA_LOG_SEGMENT_MS),
        retention_ms: -1,
        retention_bytes: -1,
        ..LogConfig::default()
    }
}

fn quorum_config(values: &Values, folder: &Folder, endpoints: Vec<Endpoint>) -> Config {
    let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let mut bootstrap = values.quorum_addresses();
    if bootstrap.is_empty() {
        bootstrap.extend(values.initial_controllers().into_iter().map(|founder| founder.address));
    }
    let bootstrap = bootstrap.into_iter().map(|address| Endpoint {
        name: String::new().into(),
        host: address.host.into(),
        port: address.port,
    });
    let names = values.controller_listener_names();
    let fetch_timeout = millis(values.get(keys::CONTROLLER_QUORUM_FETCH_TIMEOUT_MS));
    Config {
        endpoints,
        listener_name: names.first().cloned().unwrap_or_else(|| "CONTROLLER".to_owned()),
        bootstrap: bootstrap.collect(),
        auto_join: values.get(keys::CONTROLLER_QUORUM_AUTO_JOIN_ENABLE),
        election_timeout: millis(values.get(keys::CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS)),
        fetch_timeout,
        request_timeout: millis(values.get(keys::CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS)),
        retry_backoff: millis(values.get(keys::CONTROLLER_QUORUM_RETRY_BACKOFF_MS).max(1)),
        fetch_max_wait: fetch_timeout / FETCH_WAIT_SHARE,
        ..Config::new(folder.replica, rand::rng().random())
    }
}
