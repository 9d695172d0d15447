//! Share groups (KIP-932): many members read the same partitions, each record goes to one of them
//! at a time, and each is acknowledged by itself.
//!
//! Three parts have their share in that. The *group coordinator* ([`crate::group`]) keeps who is a
//! member, and assigns partitions. The *leader* of a partition gives records to members and hears
//! what became of them: a [`partition`] for each group, whose members fetch by [`session`]s. The
//! [`coordinator`] keeps what became of records, on `__share_group_state`, so that another leader
//! goes on where this one ended; leaders reach it by the [`persister`].
//!
//! *Invariants:* a record is with one member at a time; what a member was told is done with is
//! stored, and given to nobody again; one who leads no more stores nothing.

pub mod coordinator;
pub mod ends;
pub mod partition;
pub mod persister;
pub mod session;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use vltava_config::group::share::ShareSettings;
use vltava_config::{Values, keys};
use vltava_metadata::{
    Changes, ConfigMap, ConfigResource, Image, ResourceType, SHARE_VERSION, SHARE_VERSION_GROUPS,
};
use vltava_net::ConnectionId;
use vltava_wire::{ErrorCode, NodeId, PartitionId, Str};

use self::coordinator::ShareCoordinator;
use self::coordinator::machine::Refusal;
use self::coordinator::record::ShareKey;
use self::partition::machine::Limits;
use self::partition::{Driver, Led, Terms};
use self::persister::Persister;
use self::session::{Opened, Opening, Sessions, Who};
use crate::error::ToErrorCode;
use crate::metadata::ClusterView;
use crate::partition::Partitions;

/// How long what is being stored may take once the last member of a group is gone, before its
/// share-partitions are forgotten all the same; and how often that is looked at.
const RETIRE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(100));

/// What a group sets for itself, on a broker with these values.
pub fn group_settings(values: &Values, image: &Image, group: &Str) -> ShareSettings {
    let resource = ConfigResource { kind: ResourceType::GROUP, name: group.clone() };
    let none = Arc::<ConfigMap>::default();
    ShareSettings::resolve(values, image.config(&resource).unwrap_or(&none))
}

/// Room for as many sessions as a broker remembers.
fn no_sessions(cluster: &ClusterView) -> Sessions {
    let max = cluster.values().get(keys::GROUP_SHARE_MAX_SHARE_SESSIONS);
    Sessions::new(usize::try_from(max).unwrap_or(0))
}

/// The share-partitions that this broker leads, and the sessions of who reads them.
pub struct ShareService {
    me: NodeId,
    cluster: ClusterView,
    partitions: Arc<Partitions>,
    /// The share coordinator, as far as it is here.
    pub coordinator: Arc<ShareCoordinator>,
    /// The share coordinator, wherever it is.
    pub persister: Arc<Persister>,
    sessions: Mutex<Sessions>,
    drivers: Mutex<HashMap<ShareKey, Arc<Driver>>>,
    /// Where work goes on that no connection waits for.
    runtime: Handle,
}

impl ShareService {
    /// Serves nothing yet. Must be called within the tokio runtime that its work goes on in.
    pub fn new(
        me: NodeId,
        cluster: ClusterView,
        partitions: Arc<Partitions>,
        coordinator: Arc<ShareCoordinator>,
        persister: Arc<Persister>,
    ) -> Arc<Self> {
        let sessions = no_sessions(&cluster);
        Arc::new(Self {
            me,
            cluster,
            partitions,
            coordinator,
            persister,
            sessions: Mutex::new(sessions),
            drivers: Mutex::default(),
            runtime: Handle::current(),
        })
    }

    /// Follows the metadata log. Must be called within a tokio runtime, after the partitions have
    /// followed.
    pub fn follow(&self, image: &Image, changes: &Changes) {
        self.coordinator.follow(image, changes, self.me);
        let served = image.feature_level(SHARE_VERSION) >= SHARE_VERSION_GROUPS;
        let mut drivers = self.drivers.lock();
        if !served && !drivers.is_empty() {
            // Whose records were with members begins with what is stored once it is served again.
            drivers.drain().for_each(|(_, it)| it.close(ErrorCode::NOT_LEADER_OR_FOLLOWER));
            *self.sessions.lock() = no_sessions(&self.cluster);
        }
        drivers.retain(|key, driver| {
            let registered = image.partition(key.topic, PartitionId(key.partition));
            let code = match registered {
                None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Some(at) if at.leader() == Some(self.me) && at.leader_epoch == driver.epoch => {
                    return true;
                }
                Some(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            };
            driver.close(code);
            false
        });
        let of_groups = |resource: &&ConfigResource| resource.kind == ResourceType::GROUP;
        for changed in changes.configs.iter().filter(of_groups) {
            let terms = self.terms(image, &changed.name);
            for (_, driver) in drivers.iter().filter(|(key, _)| key.group == changed.name) {
                driver.set_terms(terms.clone());
            }
        }
    }

    /// Gives up everything, as a broker does that shuts down.
    pub fn close(&self) {
        let drivers = std::mem::take(&mut *self.drivers.lock());
        drivers.into_values().for_each(|driver| driver.close(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        self.coordinator.close();
    }

    fn terms(&self, image: &Image, group: &Str) -> Terms {
        let values = self.cluster.values();
        let deliveries = values.get(keys::GROUP_SHARE_DELIVERY_COUNT_LIMIT);
        Terms {
            limits: Limits {
                deliveries_max: i16::try_from(deliveries).unwrap_or(i16::MAX),
                in_flight_max: values.get(keys::GROUP_SHARE_PARTITION_MAX_RECORD_LOCKS).into(),
            },
            settings: group_settings(&values, image, group),
        }
    }

    /// How long members of a group keep what they are given, in milliseconds.
    pub fn lock_duration_ms(&self, group: &Str) -> i32 {
        let values = self.cluster.values();
        group_settings(&values, &self.cluster.image(), group).record_lock_duration_ms
    }

    /// A share-partition, which is loaded if it was not yet.
    ///
    /// # Errors
    /// This broker does not lead the partition.
    pub fn partition(&self, key: &ShareKey) -> Result<Arc<Driver>, Refusal> {
        let partition = self.partitions.by_id(key.topic, key.partition);
        let partition = partition.map_err(|error| Refusal::from(error.code()))?;
        let image = self.cluster.image();
        let registered = image.partition(key.topic, PartitionId(key.partition));
        let registered = registered.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if registered.leader() != Some(self.me) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER.into());
        }
        let epoch = registered.leader_epoch;
        let mut drivers = self.drivers.lock();
        if let Some(driver) = drivers.get(key)
            && driver.epoch == epoch
            && driver.closed().is_none()
        {
            return Ok(Arc::clone(driver));
        }
        let key = ShareKey { group: key.group.detach(), ..key.clone() };
        let terms = self.terms(&image, &key.group);
        let asks = Arc::new(Arc::clone(&self.persister));
        let led = Led { partition, epoch };
        let driver = Driver::start(key.clone(), led, asks, terms, self.runtime.clone());
        if let Some(before) = drivers.insert(key, Arc::clone(&driver)) {
            before.close(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        Ok(driver)
    }

    fn of_group(&self, group: &str) -> Vec<Arc<Driver>> {
        let drivers = self.drivers.lock();
        let own = drivers.iter().filter(|(key, _)| *key.group == *group);
        own.map(|(_, driver)| Arc::clone(driver)).collect()
    }

    /// Takes in what a ShareFetch says of its session.
    ///
    /// # Errors
    /// As [`Sessions::open`].
    pub fn open_session(&self, opening: Opening) -> Result<Opened, ErrorCode> {
        self.sessions.lock().open(opening)
    }

    /// Takes in what a ShareAcknowledge says of its session; says whether it ends.
    ///
    /// # Errors
    /// As [`Sessions::acknowledge`].
    pub fn acknowledge_session(&self, who: &Who, epoch: i32) -> Result<bool, ErrorCode> {
        self.sessions.lock().acknowledge(who, epoch)
    }

    /// A member's session has ended: what it holds may go to others.
    pub fn release(self: &Arc<Self>, who: &Who) {
        self.of_group(&who.group).iter().for_each(|driver| driver.release(&who.member));
        if !self.sessions.lock().has_group(&who.group) {
            self.runtime.spawn(Arc::clone(self).retire(who.group.clone()));
        }
    }

    /// A connection has ended, and the sessions that came by it.
    pub fn connection_closed(self: &Arc<Self>, connection: ConnectionId) {
        let gone = self.sessions.lock().connection_closed(connection);
        gone.iter().for_each(|who| self.release(who));
    }

    /// Forgets the share-partitions of a group that nobody reads any more, once all is stored: who
    /// comes next finds them as they are stored by then, wherever somebody set them to.
    async fn retire(self: Arc<Self>, group: Str) {
        let deadline = tokio::time::Instant::now() + RETIRE.0;
        loop {
            if self.sessions.lock().has_group(&group) {
                return;
            }
            let all_idle = self.of_group(&group).iter().all(|driver| driver.is_idle());
            if all_idle || tokio::time::Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(RETIRE.1).await;
        }
        // Who opens a session meanwhile waits for this lock before it finds a share-partition.
        let mut drivers = self.drivers.lock();
        if self.sessions.lock().has_group(&group) {
            return;
        }
        drivers.retain(|key, driver| {
            let stays = key.group != group;
            if !stays {
                driver.close(ErrorCode::NOT_LEADER_OR_FOLLOWER);
            }
            stays
        });
    }
}
