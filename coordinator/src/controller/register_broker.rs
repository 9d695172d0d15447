//! BrokerRegistration (62): a broker process says who and where it is (KIP-631, KIP-858, KIP-966).
//!
//! Three things may have become of a broker that was here before, in another process:
//! - it has its log directories: the lock on the data folder proves that the old process is dead,
//!   so the new one takes its place at once. All that it led gets a new leader epoch, so that
//!   nobody appends twice in one. If nobody else is known to live it stays in the ISRs (its log has
//!   all that was acknowledged) except for topics that do not flush before they acknowledge;
//! - it lacks a directory that it had, and another has come in its place: what lay there is lost,
//!   and it leaves those ISRs for good. Where none came, the disk may yet come back: the last
//!   member of an ISR stays in it, and does not lead;
//! - nothing proves that the old process is dead: refused while that one's session lasts.

use std::collections::BTreeSet;

use vltava_metadata::{
    BrokerRegistration, Image, KRAFT_VERSION, METADATA_VERSION, METADATA_VERSION_MIN,
    PartitionRegistration, TopicImage, bytes_in_batch,
};
use vltava_quorum::Instant;
use vltava_wire::messages::{BrokerRegistrationRequest, BrokerRegistrationResponse};
use vltava_wire::records::metadata::{BrokerEndpoint, BrokerFeature, RegisterBrokerRecord};
use vltava_wire::{BrokerEpoch, ErrorCode, NodeId, PartitionId, Uuid};

use super::decision::Happening;
use super::leadership::Outcome;
use super::partition_change::{Election, PartitionChange};
use super::{Active, Controller, Decision, Failure, FenceReason, Moment};

/// The most log directories, listeners or features that a broker may register; it has a few.
const PARTS_MAX: usize = 256;

/// The most bytes of a registration, be it a broker's or a coordinator's: names, addresses, ids.
pub(super) const REGISTRATION_BYTES_MAX: usize = 256 * 1024;

/// Ids below this are reserved by Kafka, and name no directory.
const RESERVED_IDS: u128 = 100;

/// What became of a replica whose broker's process is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its log has all that was acknowledged.
    Whole,
    /// It may lack the end of what was acknowledged (KIP-966).
    Unclean,
    /// Its log directory is not there, and no other has come in its place: it may come back.
    Offline,
    /// It is gone.
    Lost,
}

impl Controller {
    /// Registers a broker.
    ///
    /// # Errors
    /// NOT_CONTROLLER, INCONSISTENT_CLUSTER_ID, INVALID_REGISTRATION, UNSUPPORTED_VERSION,
    /// DUPLICATE_BROKER_REGISTRATION.
    pub fn register_broker(
        &mut self,
        request: &BrokerRegistrationRequest,
        moment: Moment,
    ) -> Result<Decision<BrokerRegistrationResponse>, Failure> {
        self.check_registration(request)?;
        let active = self.active()?;
        let id = NodeId(request.broker_id);
        let present = active.image.broker(id).cloned();
        if let Some(present) = &present {
            if present.incarnation == request.incarnation_id {
                return Ok(active.register_again(present, request));
            }
            self.check_old_process(present, request, moment.now)?;
        }
        let mut outcome = Outcome::default();
        let kept = match &present {
            Some(present) => self.replace(present, request, moment.now, &mut outcome)?,
            None => {
                self.settle_forgotten(request, moment.now, &mut outcome)?;
                false
            }
        };
        // The registration comes last: its offset is the broker's epoch. What the old process led
        // is settled by as many batches as it takes, and if some of them are lost with this
        // coordinator, the next one does not know the new process yet, and settles the rest.
        let epoch = BrokerEpoch(moment.next_offset.get() + outcome.records.len() as i64);
        let record =
            RegisterBrokerRecord { broker_epoch: epoch.get(), ..registration_record(request) };
        outcome.records.push(record.into());
        outcome.happenings.push(Happening::Registered { broker: id, epoch });
        self.sessions.restart(id, moment.now);
        self.sessions.keep_in_sync(id, kept);
        let response = BrokerRegistrationResponse {
            broker_epoch: epoch.get(),
            ..BrokerRegistrationResponse::default()
        };
        Ok(outcome.decide(response))
    }

    fn check_registration(&self, request: &BrokerRegistrationRequest) -> Result<(), Failure> {
        let image = &self.active()?.image;
        if self.settings.cluster_id != *request.cluster_id.as_str() {
            let message = format!(
                "this is the cluster {}, broker {} is of {}",
                self.settings.cluster_id, request.broker_id, request.cluster_id
            );
            return Err(Failure::new(ErrorCode::INCONSISTENT_CLUSTER_ID, message));
        }
        let invalid = |message: String| Failure::new(ErrorCode::INVALID_REGISTRATION, message);
        let parts = [request.listeners.len(), request.features.len(), request.log_dirs.len()];
        if request.broker_id < 0 || parts.iter().any(|parts| *parts > PARTS_MAX) {
            return Err(invalid(
                "a broker has an id of 0 or more, and a bounded number of parts".into(),
            ));
        }
        if request.log_dirs.is_empty() || request.listeners.is_empty() {
            return Err(invalid("a broker names its log directories and its listeners".into()));
        }
        let record = registration_record(request).into();
        if bytes_in_batch(&record) > REGISTRATION_BYTES_MAX {
            return Err(invalid("a broker's listeners and features have short names".into()));
        }
        if request.log_dirs.iter().any(|id| id.0 < RESERVED_IDS) {
            return Err(invalid("a log directory has a reserved id".into()));
        }
        let mut seen = BTreeSet::new();
        if !request.log_dirs.iter().all(|directory| seen.insert(*directory)) {
            return Err(invalid("a log directory is named twice".into()));
        }
        let taken = image.brokers().find(|other| {
            other.id.get() != request.broker_id
                && other.directories.iter().any(|directory| seen.contains(directory))
        });
        if let Some(other) = taken {
            return Err(invalid(format!("broker {} has such a log directory already", other.id)));
        }
        check_features(request, image)
    }

    /// Another process may only take the place of one that cannot run any more.
    fn check_old_process(
        &self,
        present: &BrokerRegistration,
        request: &BrokerRegistrationRequest,
        now: Instant,
    ) -> Result<(), Failure> {
        let holds_lock = present.directories.iter().any(|id| request.log_dirs.contains(id));
        let may_run = !present.fenced && !present.in_controlled_shutdown;
        if holds_lock || !may_run || !self.sessions.lasts(present.id, now) {
            return Ok(());
        }
        let message = format!(
            "broker {} is registered with other log directories, and its session has not ended",
            present.id
        );
        Err(Failure::new(ErrorCode::DUPLICATE_BROKER_REGISTRATION, message))
    }

    /// Settles what the old process led and was in sync with. Says whether the new one stays in any
    /// ISR that others are in, too.
    fn replace(
        &self,
        present: &BrokerRegistration,
        request: &BrokerRegistrationRequest,
        now: Instant,
        outcome: &mut Outcome,
    ) -> Result<bool, Failure> {
        let active = self.active()?;
        let clean = request.previous_broker_epoch == present.epoch.get();
        let mut kept = false;
        for (topic, partition, registration) in active.partitions() {
            if !registration.is_replica(present.id) {
                continue;
            }
            let fate = active.fate(present, request, topic, registration, clean);
            kept |= self.settle(
                active,
                present.id,
                request,
                fate,
                now,
                outcome,
                (topic, partition, registration),
            );
        }
        if !present.fenced {
            let (broker, reason) = (present.id, FenceReason::Replaced);
            outcome.happenings.push(Happening::Fenced { broker, reason });
        }
        Ok(kept)
    }

    /// A broker that was forgotten (UnregisterBroker) comes back: replicas that it still has were
    /// in log directories that it may have no more.
    fn settle_forgotten(
        &self,
        request: &BrokerRegistrationRequest,
        now: Instant,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let (active, id) = (self.active()?, NodeId(request.broker_id));
        for (topic, partition, registration) in active.partitions() {
            let directory = registration.directory(id);
            let is_known = !matches!(directory, Uuid::UNASSIGNED_DIR | Uuid::MIGRATING_DIR);
            if registration.is_replica(id) && is_known && !request.log_dirs.contains(&directory) {
                let at = (topic, partition, registration);
                self.settle(active, id, request, Fate::Lost, now, outcome, at);
            }
        }
        Ok(())
    }

    /// Settles one partition; see [`replace`](Self::replace).
    #[allow(clippy::too_many_arguments, reason = "all that decides over one replica's fate")]
    fn settle(
        &self,
        active: &Active,
        id: NodeId,
        request: &BrokerRegistrationRequest,
        fate: Fate,
        now: Instant,
        outcome: &mut Outcome,
        (topic, partition, registration): (&TopicImage, PartitionId, &PartitionRegistration),
    ) -> bool {
        let may_lead =
            |replica| replica != id && active.may_lead(replica, registration.directory(replica));
        let mut change = PartitionChange::new(registration, topic.id, partition, &may_lead);
        change.election = active.election(&topic.name);
        if fate == Fate::Lost {
            change.lose_copy_of(id);
            change.election = Election::Online;
            let new = match request.log_dirs.as_slice() {
                [only] => *only,
                _ => Uuid::UNASSIGNED_DIR,
            };
            change.directories.retain(|(replica, _)| *replica != id);
            change.directories.push((id, new));
            if registration.isr == [id] {
                let topic = topic.name.clone();
                outcome.happenings.push(Happening::LastCopyLost { topic, partition, broker: id });
            }
        }
        let is_in_sync = registration.isr.contains(&id);
        let others_live =
            registration.isr.iter().any(|other| may_lead(*other) && self.is_alive(*other, now));
        let leaves = is_in_sync && (others_live || fate != Fate::Whole);
        if leaves {
            outcome.change(topic, partition, change.without(id));
            return false;
        }
        if !others_live && registration.leader == id {
            // Who else is in the ISR may be as dead: nobody leads until one of them comes.
            let nobody = |_| false;
            let mut change = PartitionChange::new(registration, topic.id, partition, &nobody);
            change.election = Election::Online;
            outcome.change(topic, partition, change);
        } else {
            outcome.change(topic, partition, change);
        }
        is_in_sync && registration.isr.len() > 1
    }
}

impl Active {
    fn fate(
        &self,
        present: &BrokerRegistration,
        request: &BrokerRegistrationRequest,
        topic: &TopicImage,
        registration: &PartitionRegistration,
        clean: bool,
    ) -> Fate {
        let directory = registration.directory(present.id);
        let is_known = !matches!(directory, Uuid::UNASSIGNED_DIR | Uuid::MIGRATING_DIR);
        let has = |directory: &Uuid| request.log_dirs.contains(directory);
        // Of a replica whose directory nobody noted, any directory that is missing may be it.
        let lost = match is_known {
            true => !has(&directory),
            false => !present.directories.iter().all(has),
        };
        let replaced = request.log_dirs.iter().any(|id| !present.directories.contains(id));
        match lost {
            true if replaced => Fate::Lost,
            true => Fate::Offline,
            false if clean || self.flushes_before_ack(&topic.name) => Fate::Whole,
            false => Fate::Unclean,
        }
    }

    /// The same process registers again, for its listeners changed perhaps: it keeps its epoch. Of
    /// a directory that it names no more it may not have told by a heartbeat yet.
    fn register_again(
        &self,
        present: &BrokerRegistration,
        request: &BrokerRegistrationRequest,
    ) -> Decision<BrokerRegistrationResponse> {
        let is_gone = |id: &Uuid| !request.log_dirs.contains(id);
        let gone: Vec<Uuid> = present.directories.iter().copied().filter(is_gone).collect();
        let mut outcome = Outcome::default();
        self.take_directories_offline(present, &gone, &mut outcome);
        let record = RegisterBrokerRecord {
            broker_epoch: present.epoch.get(),
            fenced: present.fenced,
            in_controlled_shutdown: present.in_controlled_shutdown,
            ..registration_record(request)
        };
        let mut sorted = record.clone();
        sorted.log_dirs.sort_unstable();
        if present.to_record() != canonical(sorted) {
            outcome.records.push(record.into());
        }
        outcome.decide(BrokerRegistrationResponse {
            broker_epoch: present.epoch.get(),
            ..BrokerRegistrationResponse::default()
        })
    }
}

/// A broker must be able to do what the cluster's features say (KIP-584). Of a feature that it
/// does not name it knows level 0 alone, of `metadata.version` the first one.
fn check_features(request: &BrokerRegistrationRequest, image: &Image) -> Result<(), Failure> {
    for (name, level) in image.features() {
        let supported = request.features.iter().find(|feature| feature.name == *name);
        let (min, max) = match supported {
            Some(feature) => (feature.min_supported_version, feature.max_supported_version),
            // Voters have it; brokers only observe.
            None if *name == KRAFT_VERSION => continue,
            None if *name == METADATA_VERSION => (METADATA_VERSION_MIN, METADATA_VERSION_MIN),
            None => (0, 0),
        };
        if *level < min || *level > max {
            let message = format!(
                "Unable to register because the broker does not support finalized version {level} \
                 of {name}. The broker wants a version between {min} and {max}, inclusive."
            );
            return Err(Failure::new(ErrorCode::UNSUPPORTED_VERSION, message));
        }
    }
    Ok(())
}

/// The record with its lists in the order in which a registration gives them back.
fn canonical(mut record: RegisterBrokerRecord) -> RegisterBrokerRecord {
    record.end_points.sort_by(|one, other| one.name.cmp(&other.name));
    record.features.sort_by(|one, other| one.name.cmp(&other.name));
    record
}

fn registration_record(request: &BrokerRegistrationRequest) -> RegisterBrokerRecord {
    let end_points = request.listeners.iter().map(|listener| BrokerEndpoint {
        name: listener.name.detach(),
        host: listener.host.detach(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    });
    let features = request.features.iter().map(|feature| BrokerFeature {
        name: feature.name.detach(),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
    });
    RegisterBrokerRecord {
        broker_id: request.broker_id,
        incarnation_id: request.incarnation_id,
        end_points: end_points.collect(),
        features: features.collect(),
        rack: request.rack.as_ref().map(vltava_wire::Str::detach),
        fenced: true,
        log_dirs: request.log_dirs.clone(),
        ..RegisterBrokerRecord::default()
    }
}
