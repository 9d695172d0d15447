//! All partitions of this broker: finding them, and following what the metadata log says of them.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, watch};
use vltava_config::topic::{TopicConfig, keys as topic_keys};
use vltava_config::{Values, keys};
use vltava_log::Disk;
use vltava_metadata::configuration::dynamic_values;
use vltava_metadata::{
    Changes, ConfigResource, Image, PartitionRef, PartitionRegistration, ResourceType,
};
use vltava_net::Budget;
use vltava_wire::{NodeId, Offset, PartitionId, Str, Uuid};

use super::cleaner::Cleaner;
use super::dirs::{LogDir, Owner};
use super::flusher::{FLUSHERS, Flushers};
use super::metrics::{PartitionMetrics, sync_times};
use super::mover::Mover;
use super::opening::{self, FoundLogs, OpenError, Taken};
use super::producer_ids::ProducerIds;
use super::relocate::Preferred;
use super::replica::{Partition, PartitionName};
use super::settings::Settings;
use super::surroundings::{News, Surroundings};
use crate::api::fetch::session::SessionCache;
use crate::metadata::ClusterView;
use crate::replication::fetchers::Fetchers;
use crate::replication::throttle::{Throttles, is_listed};

/// What is needed to open the partitions of a broker.
pub struct Setup {
    /// This broker.
    pub id: NodeId,
    /// The cluster that it belongs to.
    pub cluster_id: String,
    /// The configuration at start.
    pub config: Arc<Values>,
    /// The cluster as the metadata log describes it.
    pub cluster: ClusterView,
    /// The disk: the operating system's, but in tests.
    pub disk: Arc<dyn Disk>,
    /// The memory of the process.
    pub budget: Arc<Budget>,
}

/// Why a partition cannot be used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no such topic, or no such partition of it.
    #[error("no such topic or partition")]
    Unknown,
    /// There is no topic of that id.
    #[error("no topic of that id")]
    UnknownId,
    /// It is on other brokers.
    #[error("the partition is not on this broker")]
    Elsewhere,
}

#[derive(Debug, Default)]
pub(super) struct Hosted {
    pub(super) by_id: HashMap<(Uuid, i32), Arc<Partition>>,
    /// The topics of which something is hosted, by name.
    topic_ids: HashMap<Str, Uuid>,
}

impl Hosted {
    fn insert(&mut self, partition: &Arc<Partition>) {
        let name = &partition.name;
        self.topic_ids.insert(name.topic.clone(), name.topic_id);
        self.by_id.insert((name.topic_id, name.index), Arc::clone(partition));
    }

    pub(super) fn remove(&mut self, topic_id: Uuid, index: i32) -> Option<Arc<Partition>> {
        let removed = self.by_id.remove(&(topic_id, index))?;
        let is_last = !self.by_id.keys().any(|(id, _)| *id == topic_id);
        if is_last && self.topic_ids.get(&removed.name.topic) == Some(&topic_id) {
            self.topic_ids.remove(&removed.name.topic);
        }
        Some(removed)
    }
}

/// The partitions of this broker.
pub struct Partitions {
    pub(super) me: NodeId,
    pub(super) config: Arc<Values>,
    pub(super) cluster: ClusterView,
    pub(super) dirs: Vec<Arc<LogDir>>,
    pub(super) around: Arc<Surroundings>,
    pub(super) hosted: RwLock<Hosted>,
    /// Logs that were found at start and whose assignment is not known yet.
    pub(super) found: Mutex<FoundLogs>,
    /// Images are applied one after the other.
    pub(super) applying: Mutex<Applying>,
    pub(super) fetchers: Fetchers,
    pub(super) flushers: Mutex<Option<Flushers>>,
    pub(super) news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    pub(super) failed_dirs: watch::Sender<Vec<Uuid>>,
    /// Log directories that could not be used at start.
    unusable_dirs: Vec<PathBuf>,
    /// Woken when replicas may lie elsewhere than the coordinator knows.
    pub(super) assignments: Notify,
    sessions: Mutex<SessionCache>,
    producer_ids: ProducerIds,
    budget: Arc<Budget>,
    pub(super) metrics: PartitionMetrics,
    pub(super) cleaner: Arc<Cleaner>,
    pub(super) mover: Arc<Mover>,
    /// Where replicas are to lie that are yet to come.
    pub(super) preferred: Preferred,
}

#[derive(Debug, Default)]
pub(super) struct Applying {
    /// Whether an image was applied before: the first one says what is stray.
    has_begun: bool,
    /// Whether the logs are being closed: what the metadata log says is for the next run then.
    pub(super) has_ended: bool,
}

/// A partition that is assigned and not hosted yet.
type Missing = (PartitionRef, Arc<PartitionRegistration>);

/// A partition that is hosted now, and has no role yet.
type NewlyHosted = (Arc<Partition>, Arc<PartitionRegistration>);

/// Threads that make the folders of new partitions: as many syncs as a disk takes at once with
/// profit.
const HOSTING_THREADS_MAX: usize = 8;

/// What follows from an image for the fetchers.
#[derive(Default)]
pub(super) struct Moves {
    pub(super) follow: Vec<(NodeId, Arc<Partition>)>,
    pub(super) leave: Vec<Arc<Partition>>,
}

impl Partitions {
    /// Opens the log directories and all logs in them. Nothing is led or followed before the
    /// first image. Blocks for as long as recovery takes.
    ///
    /// # Errors
    /// A log directory cannot be used.
    pub fn open(setup: Setup) -> Result<Arc<Self>, OpenError> {
        let Setup { id, cluster_id, config, cluster, disk, budget } = setup;
        let owner = Owner { cluster_id, node_id: id };
        let (dirs, unusable_dirs) = opening::open_dirs(&config, &owner, &disk)?;
        let settings = Settings::of("", &TopicConfig::resolve(&config, NO_OVERRIDES), &config);
        let threads = config.get(keys::NUM_RECOVERY_THREADS_PER_DATA_DIR).max(1) as usize;
        let found = opening::open_found(&dirs, settings.log, threads)?;
        let flushers = Flushers::start(FLUSHERS).map_err(OpenError::Threads)?;
        let (news, receiver) = mpsc::unbounded_channel();
        let around = Arc::new(Surroundings {
            me: id,
            peers: Box::new(cluster.clone()),
            flushes: Arc::clone(flushers.queue()),
            news,
            syncs: sync_times(),
            replica_lag_max: milliseconds(config.get(keys::REPLICA_LAG_TIME_MAX_MS)),
            throttles: Throttles::new(&config),
        });
        let slots = config.get(keys::MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS).max(0);
        Ok(Arc::new(Self {
            me: id,
            cluster,
            dirs,
            around,
            hosted: RwLock::default(),
            found: Mutex::new(found),
            applying: Mutex::default(),
            fetchers: Fetchers::new(config.get(keys::NUM_REPLICA_FETCHERS).max(1) as usize),
            flushers: Mutex::new(Some(flushers)),
            news: Mutex::new(Some(receiver)),
            failed_dirs: watch::Sender::new(Vec::new()),
            unusable_dirs,
            assignments: Notify::new(),
            sessions: Mutex::new(SessionCache::new(slots as usize)),
            producer_ids: ProducerIds::default(),
            metrics: PartitionMetrics::default(),
            cleaner: Cleaner::new(&config),
            mover: Arc::default(),
            preferred: Preferred::default(),
            budget,
            config,
        }))
    }

    /// The ids of the log directories (KIP-858).
    pub fn directory_ids(&self) -> Vec<Uuid> {
        self.dirs.iter().map(|dir| dir.id()).collect()
    }

    /// The log directories.
    pub fn dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// The log directories that could not be used at start.
    pub fn unusable_dirs(&self) -> &[PathBuf] {
        &self.unusable_dirs
    }

    /// The directories that have failed, now and later. A broker without any that works is of no
    /// use and shuts down.
    pub fn failed_dirs(&self) -> watch::Receiver<Vec<Uuid>> {
        self.failed_dirs.subscribe()
    }

    /// The broker epoch of the run before this one, if that ended in order (KIP-966); else −1.
    pub fn previous_broker_epoch(&self) -> i64 {
        let epochs = self.dirs.iter().map(|dir| dir.clean_shutdown());
        epochs.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().min()).unwrap_or(-1)
    }

    /// Fetch sessions.
    pub fn sessions(&self) -> &Mutex<SessionCache> {
        &self.sessions
    }

    /// Ids for idempotent producers.
    pub fn producer_ids(&self) -> &ProducerIds {
        &self.producer_ids
    }

    /// The memory of the process, which fetched records are charged to.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Counters of what is produced and fetched.
    pub fn metrics(&self) -> &PartitionMetrics {
        &self.metrics
    }

    /// A partition by its topic's name.
    ///
    /// # Errors
    /// It does not exist, or is elsewhere.
    pub fn by_name(&self, topic: &str, index: i32) -> Result<Arc<Partition>, Unavailable> {
        {
            let hosted = self.hosted.read();
            let found = hosted.topic_ids.get(topic).and_then(|id| hosted.by_id.get(&(*id, index)));
            if let Some(partition) = found {
                return Ok(Arc::clone(partition));
            }
        }
        let image = self.cluster.image();
        let known = image.topic(topic).and_then(|topic| topic.partition(PartitionId(index)));
        Err(if known.is_some() { Unavailable::Elsewhere } else { Unavailable::Unknown })
    }

    /// A partition by its topic's id.
    ///
    /// # Errors
    /// It does not exist, or is elsewhere.
    pub fn by_id(&self, topic: Uuid, index: i32) -> Result<Arc<Partition>, Unavailable> {
        if let Some(partition) = self.hosted.read().by_id.get(&(topic, index)) {
            return Ok(Arc::clone(partition));
        }
        match self.cluster.image().topic_by_id(topic) {
            None => Err(Unavailable::UnknownId),
            Some(topic) if topic.partition(PartitionId(index)).is_none() => {
                Err(Unavailable::Unknown)
            }
            Some(_) => Err(Unavailable::Elsewhere),
        }
    }

    /// All partitions that are hosted here.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.hosted.read().by_id.values().cloned().collect()
    }

    /// Follows an image: what it says of this broker's partitions is so once this returns. The
    /// first image is taken as a whole, whatever `changes` says.
    ///
    /// Makes folders and syncs them: call it on a thread that may block, for one image after the
    /// other. Changes of leadership come first.
    pub fn apply(&self, image: &Image, changes: &Changes) {
        let mut applying = self.applying.lock();
        if applying.has_ended {
            return;
        }
        let is_first = !std::mem::replace(&mut applying.has_begun, true);
        let changed = if is_first { all_partitions(image) } else { changes.partitions.clone() };
        let values = self.values(image);
        self.around.throttles.configure(&values);
        self.cleaner.configure(&values);
        let mut moves = Moves::default();
        self.delete_unwanted(image, changes, &changed, &mut moves);
        let now = Instant::now();
        let mut missing = Vec::new();
        for partition in &changed {
            let Some(registration) = image.partition(partition.topic, partition.partition) else {
                continue;
            };
            if !registration.is_replica(self.me) {
                continue;
            }
            match self.hosted(partition.topic, partition.partition.get()) {
                Some(hosted) => self.assign(&hosted, registration, now, &mut moves),
                None => missing.push((*partition, Arc::clone(registration))),
            }
        }
        self.fetchers.apply(std::mem::take(&mut moves.follow), std::mem::take(&mut moves.leave));
        if is_first {
            // Before anything is made: a stray may have the name of what is assigned now.
            self.set_strays_aside(image);
        }
        for (hosted, registration) in self.host_all(image, missing, &values) {
            self.assign(&hosted, &registration, Instant::now(), &mut moves);
        }
        self.fetchers.apply(moves.follow, moves.leave);
        self.resize_fetchers(&values);
        self.reconfigure(image, changes, &values);
        for broker in changes.brokers.iter().filter(|broker| image.is_unfenced(**broker)) {
            self.fetchers.nudge(*broker);
        }
    }

    pub(super) fn hosted(&self, topic: Uuid, index: i32) -> Option<Arc<Partition>> {
        self.hosted.read().by_id.get(&(topic, index)).cloned()
    }

    /// The configuration at start, with what was set since.
    fn values(&self, image: &Image) -> Values {
        dynamic_values(&self.config, self.me, image).0
    }

    fn settings(&self, image: &Image, topic: &str, values: &Values) -> Settings {
        let own = image.topic_config(topic);
        let config = TopicConfig::resolve(values, own.iter());
        Settings::of(topic, &config, values).jittered(rand::random())
    }

    fn assign(
        &self,
        partition: &Arc<Partition>,
        registration: &PartitionRegistration,
        now: Instant,
        moves: &mut Moves,
    ) {
        if registration.leader == self.me {
            moves.leave.push(Arc::clone(partition));
            partition.lead(registration, now);
            return;
        }
        let changed = partition.follow(registration);
        self.restore(partition, registration);
        match registration.leader() {
            Some(leader) if changed => moves.follow.push((leader, Arc::clone(partition))),
            Some(_) => {}
            None => moves.leave.push(Arc::clone(partition)),
        }
    }

    /// Opens or makes logs, some at once: each waits for a handful of syncs.
    fn host_all(&self, image: &Image, missing: Vec<Missing>, values: &Values) -> Vec<NewlyHosted> {
        let hosted = Mutex::new(Vec::with_capacity(missing.len()));
        let threads = missing.len().min(HOSTING_THREADS_MAX);
        let left = Mutex::new(missing.into_iter());
        let counts = Mutex::new(self.count_by_dir());
        let host_some = || {
            loop {
                let Some((partition, registration)) = left.lock().next() else { break };
                if let Some(partition) = self.host(image, partition, &registration, values, &counts)
                {
                    hosted.lock().push((partition, registration));
                }
            }
        };
        match threads {
            0 => {}
            1 => host_some(),
            _ => std::thread::scope(|scope| {
                (0..threads).for_each(|_| drop(scope.spawn(host_some)));
            }),
        }
        hosted.into_inner()
    }

    /// Opens or makes the log of a partition that is not hosted yet.
    fn host(
        &self,
        image: &Image,
        partition: PartitionRef,
        registration: &PartitionRegistration,
        values: &Values,
        counts: &Mutex<HashMap<Uuid, usize>>,
    ) -> Option<Arc<Partition>> {
        let topic = image.topic_by_id(partition.topic)?;
        let index = partition.partition.get();
        let settings = self.settings(image, &topic.name, values);
        let name = PartitionName { topic: topic.name.clone(), topic_id: topic.id, index };
        let registered = registration.directory(self.me);
        let taken = self.found.lock().take(&topic.name, topic.id, index, registered);
        let Taken { log: found, surplus, futures } = taken;
        let (dir, log, high_watermark) = match (found, futures.first()) {
            (Some(found), _) => {
                self.give_up(&found, surplus, topic.id);
                opening::reuse(found, topic.id, settings)
            }
            (None, _) if self.lies_elsewhere(registration) => {
                tracing::error!(
                    partition = %name, directory = %registered,
                    "its log directory does not work, or its log is gone; it stays offline"
                );
                return None;
            }
            // It was about to move, and what it was copied from is gone.
            (None, Some(future)) if registration.isr.contains(&self.me) => {
                let reason =
                    format!("there is but a part of it, in {}", future.folder.path.display());
                (Arc::clone(&future.dir), Err(reason.into()), Offset::ZERO)
            }
            (None, _) => {
                let dir = self.dir_for_new(&name, registration, counts)?;
                (Arc::clone(&dir), self.create_log(&dir, &name, settings), Offset::ZERO)
            }
        };
        if let Err(reason) = &log {
            tracing::error!(partition = %name, %reason, "the log is offline");
        }
        let around = Arc::clone(&self.around);
        let partition = Partition::new(name, dir, around, log, high_watermark, settings);
        self.throttle(image, &partition);
        if partition.offline_reason().is_none() {
            self.resume_move(&partition, futures);
        }
        self.hosted.write().insert(&partition);
        Some(partition)
    }

    pub(super) fn create_log(
        &self,
        dir: &LogDir,
        name: &PartitionName,
        settings: Settings,
    ) -> Result<vltava_log::Log, Arc<str>> {
        // What is noted of that name is of a log that is not here any more.
        let forgotten = dir.forget(std::slice::from_ref(name));
        forgotten.map_err(|error| Arc::<str>::from(vltava_net::error_chain(&error)))?;
        opening::create_log(dir, &name.topic, name.topic_id, name.index, settings.log)
    }

    /// Whether a replica that was not found must not be made anew: its records lie in a directory
    /// that does not work (KIP-858), or it is in sync with a log that was lost.
    fn lies_elsewhere(&self, registration: &PartitionRegistration) -> bool {
        match registration.directory(self.me) {
            Uuid::UNASSIGNED_DIR | Uuid::MIGRATING_DIR => false,
            Uuid::LOST_DIR => registration.isr.contains(&self.me),
            known => !self.dirs.iter().any(|dir| dir.id() == known && dir.failure().is_none()),
        }
    }

    /// How many partitions lie in each directory.
    fn count_by_dir(&self) -> HashMap<Uuid, usize> {
        let mut counts = HashMap::new();
        for partition in self.hosted.read().by_id.values() {
            *counts.entry(partition.dir().id()).or_default() += 1;
        }
        counts
    }

    /// Where a new replica is to lie: where somebody has asked for, where the coordinator says that
    /// it does, or in the directory that works and has the fewest partitions.
    fn dir_for_new(
        &self,
        name: &PartitionName,
        registration: &PartitionRegistration,
        counts: &Mutex<HashMap<Uuid, usize>>,
    ) -> Option<Arc<LogDir>> {
        let named = registration.directory(self.me);
        let works = || self.dirs.iter().filter(|dir| dir.failure().is_none());
        let mut counts = counts.lock();
        let preferred = self.preferred.take(&name.topic, name.index);
        let dir =
            preferred.or_else(|| works().find(|dir| dir.id() == named).cloned()).or_else(|| {
                let count = |dir: &&Arc<LogDir>| counts.get(&dir.id()).copied().unwrap_or_default();
                works().min_by_key(count).cloned()
            })?;
        *counts.entry(dir.id()).or_default() += 1;
        Some(dir)
    }

    fn reconfigure(&self, image: &Image, changes: &Changes, values: &Values) {
        let is_broker = |it: &ConfigResource| it.kind == ResourceType::BROKER;
        let all = changes.configs.iter().any(is_broker);
        let topics: BTreeSet<&str> = changes
            .configs
            .iter()
            .filter(|resource| resource.kind == ResourceType::TOPIC)
            .map(|resource| resource.name.as_str())
            .collect();
        if !all && topics.is_empty() {
            return;
        }
        for partition in self.all() {
            let topic = partition.name.topic.as_str();
            if all || topics.contains(topic) {
                partition.configure(self.settings(image, topic, values));
                self.throttle(image, &partition);
            }
        }
    }

    fn resize_fetchers(&self, values: &Values) {
        let wanted = usize::try_from(values.get(keys::NUM_REPLICA_FETCHERS)).unwrap_or(1);
        if self.fetchers.resize(wanted) {
            let followed = |partition: Arc<Partition>| Some((partition.followed()?, partition));
            let follow = self.all().into_iter().filter_map(followed).collect();
            self.fetchers.apply(follow, Vec::new());
        }
    }

    /// Tells a replica whether its topic has it throttled.
    fn throttle(&self, image: &Image, partition: &Partition) {
        let config = image.topic_config(&partition.name.topic);
        let has = |name: &str| {
            let list = config.get(name);
            list.is_some_and(|list| is_listed(list, partition.name.index, self.me))
        };
        let leader = has(topic_keys::LEADER_REPLICATION_THROTTLED_REPLICAS.name());
        let follower = has(topic_keys::FOLLOWER_REPLICATION_THROTTLED_REPLICAS.name());
        partition.throttled.set(leader, follower);
    }
}

const NO_OVERRIDES: [(&str, &str); 0] = [];

pub(super) fn milliseconds(number: impl Into<i64>) -> Duration {
    Duration::from_millis(number.into().max(0) as u64)
}

fn all_partitions(image: &Image) -> BTreeSet<PartitionRef> {
    let of = |topic: &vltava_metadata::TopicImage| {
        let id = topic.id;
        let indexes: Vec<_> = topic.partitions.keys().copied().collect();
        indexes.into_iter().map(move |partition| PartitionRef { topic: id, partition })
    };
    image.topics().flat_map(of).collect()
}
