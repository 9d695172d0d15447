//! One simulated node: its disk, its clock, and the process on it while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use vltava_wire::{NodeId, Uuid};

use super::disk::{Disk, SnapshotFile, endpoint};
use crate::config::Config;
use crate::event::{FlushPoint, RequestId, Token};
use crate::instant::Instant;
use crate::machine::Machine;
use crate::message::{SnapshotId, VoteRequest};
use crate::voter_set::{Endpoint, ReplicaKey, Voter};

/// The port by which a node is found whatever port it listens on, as by a name service.
pub(crate) const NAMED_PORT: u16 = 0;

/// A clock that runs at its own rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) offset_us: u64,
    /// Local µs per 1,000 real ones.
    pub(crate) rate_permille: u64,
}

impl Clock {
    pub(crate) fn local(self, real_us: u64) -> Instant {
        Instant::from_micros(self.offset_us + real_us * self.rate_permille / 1_000)
    }

    /// The first real µs at which the clock shows `local`, or a later time.
    pub(crate) fn real(self, local: Instant) -> u64 {
        let elapsed = local.as_micros().saturating_sub(self.offset_us);
        (elapsed * 1_000).div_ceil(self.rate_permille)
    }
}

/// Where an answer goes, and what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) node: usize,
    pub(crate) incarnation: u64,
    pub(crate) id: RequestId,
    pub(crate) vote: Option<VoteRequest>,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) machine: Machine,
    /// How many records are applied, and to what state that led.
    pub(crate) applied: i64,
    pub(crate) state: u64,
    /// A sync that runs: its point, and how many writes it covers.
    pub(crate) syncing: Option<(FlushPoint, usize)>,
    /// The next sync.
    pub(crate) to_sync: Option<FlushPoint>,
    /// Counts timers, so that only the last one rings.
    pub(crate) timer: u64,
    pub(crate) askers: BTreeMap<Token, Asker>,
    pub(crate) tokens: u64,
    /// Ends of proposals that wait for their commit.
    pub(crate) proposals: Vec<i64>,
    pub(crate) epoch: i32,
    pub(crate) committed: i64,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// A coordinator; else a broker, whose log is in memory.
    pub(crate) can_vote: bool,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) port: u16,
    pub(crate) incarnation: u64,
    pub(crate) process: Option<Process>,
    /// While the process is stopped, what reaches it waits.
    pub(crate) paused: bool,
}

impl Node {
    pub(crate) fn key(&self) -> ReplicaKey {
        ReplicaKey::new(self.id, self.disk.directory_id)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        endpoint(self.id, self.port)
    }

    pub(crate) fn voter(&self) -> Voter {
        Voter::new(self.key(), vec![self.endpoint()])
    }

    /// What the process of this node is told.
    pub(crate) fn config(&self, bootstrap: Vec<Endpoint>, auto_join: bool, seed: u64) -> Config {
        let mut config = Config::new(self.key(), seed);
        config.can_vote = self.can_vote;
        config.endpoints = if self.can_vote { vec![self.endpoint()] } else { Vec::new() };
        config.bootstrap = bootstrap;
        config.auto_join = auto_join;
        config.fetch_max_bytes = 64;
        config.request_timeout = Duration::from_millis(1_000);
        config
    }

    /// Starts a process on what is on the disk.
    pub(crate) fn start(&mut self, config: Config, real_us: u64) {
        if !self.can_vote {
            self.disk = Disk::new(self.disk.directory_id);
        }
        let shape = self.disk.recover();
        let (id, file) = self.disk.latest_snapshot().map_or_else(
            || (SnapshotId::default(), SnapshotFile::default()),
            |(id, file)| (id, file.clone()),
        );
        let now = self.clock.local(real_us);
        let state = self.disk.quorum_state;
        let machine = Machine::new(config, state, shape, now).expect("the configuration is sound");
        self.incarnation += 1;
        self.paused = false;
        self.process = Some(Process {
            epoch: machine.quorum_state().epoch.get(),
            committed: id.end_offset.get(),
            applied: id.end_offset.get(),
            state: file.digest,
            machine,
            syncing: None,
            to_sync: None,
            timer: 0,
            askers: BTreeMap::new(),
            tokens: 0,
            proposals: Vec::new(),
        });
    }

    pub(crate) fn has_applied(&self, target: i64) -> bool {
        self.process.as_ref().is_some_and(|process| process.applied >= target)
    }

    pub(crate) fn is_leader(&self) -> bool {
        let role = self.process.as_ref().map(|process| process.machine.role());
        role == Some(crate::RoleName::Leader)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, incarnation, .. } = self;
        write!(f, "{}, port {port}, process {incarnation}: ", self.key())?;
        let Some(process) = &self.process else { return f.write_str("down") };
        let machine = &process.machine;
        let (state, log) = (machine.quorum_state(), machine.log());
        write!(f, "{:?}, {state:?}, log {} to {}", machine.role(), log.start(), log.end())?;
        write!(f, " of epoch {}, {} flushed", log.last_epoch(), log.flushed())?;
        write!(f, ", high watermark {:?}, voters", machine.high_watermark())?;
        for voter in machine.voters().iter() {
            let port = voter.endpoints.first().map_or(0, |endpoint| endpoint.port);
            write!(f, " {} port {port}", voter.key)?;
        }
        Ok(())
    }
}

/// The directory id of a node's `nth` disk.
pub(crate) fn directory_id(id: NodeId, nth: u64) -> Uuid {
    Uuid((u128::from(nth) << 64) | 0xd15c_0000 | id.get() as u128)
}
