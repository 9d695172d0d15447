//! The simulated world: nodes, links, time, and what happens next.

use std::collections::{BTreeMap, VecDeque};

use vltava_wire::{NodeId, Uuid};

use super::Recipe;
use super::dice::Dice;
use super::disk::{Disk, endpoint};
use super::network::{Message, Network, Packet, Quality};
use super::node::{Asker, Clock, NAMED_PORT, Node, directory_id};
use super::oracle::{Checked, Oracle};
use super::stats::Stats;
use crate::event::{Event, ProposalId, RequestId, Token};
use crate::message::Request;
use crate::voter_set::{Endpoint, ReplicaKey, VoterSet};

/// The first id of a coordinator.
const COORDINATOR_ID: i32 = 3_001;
/// How often one node's timer may ring without time passing: more, and the node spins.
const RINGS_MAX: u32 = 100;

/// What is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Deliver(Box<Packet>),
    Ring { node: usize, incarnation: u64, timer: u64 },
    Synced { node: usize, incarnation: u64 },
    Fail { node: usize, incarnation: u64, id: RequestId },
    Drop { node: usize, incarnation: u64, token: Token },
    Lose { node: usize, incarnation: u64, peer: NodeId },
    Start { node: usize },
    Resume { node: usize, incarnation: u64 },
    Propose,
    Trouble,
}

/// How the nodes are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) founders: usize,
    pub(crate) spares: usize,
    pub(crate) brokers: usize,
}

impl Layout {
    fn random(dice: &mut Dice) -> Self {
        let founders = [1, 3, 3, 3, 3, 3, 5, 5][dice.below(8) as usize];
        let spares = dice.below(3) as usize;
        Self { founders, spares, brokers: dice.between(1, 2) as usize }
    }
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) recipe: Recipe,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) dice: Dice,
    pub(crate) oracle: Oracle,
    pub(crate) stats: Stats,
    /// Real time, in µs.
    pub(crate) now: u64,
    /// Whether there is trouble; else the world is calm.
    pub(crate) trouble: bool,
    /// Whether clients write.
    pub(crate) writing: bool,
    pub(crate) auto_join: bool,
    /// How long a sync takes at the longest, in µs.
    pub(crate) sync_us: u64,
    /// How many records lie between two snapshots.
    pub(crate) snapshot_every: i64,
    pub(crate) disks: u64,
    /// Disks that were replaced. What a voter acknowledged from one counts, as it did have it.
    pub(crate) lost_disks: BTreeMap<ReplicaKey, Disk>,
    pub(crate) payloads: u64,
    /// When a leader last changed the voters, or was asked to add one.
    pub(crate) changed_at: Option<u64>,
    pub(crate) trail: VecDeque<String>,
    queue: BTreeMap<(u64, u64), Action>,
    queued: u64,
    rings: u32,
    tokens: u64,
}

impl World {
    /// The world of a recipe, with trouble ahead.
    pub(crate) fn new(recipe: Recipe) -> Self {
        let mut dice = Dice::new(recipe.seed);
        let layout = Layout::random(&mut dice);
        let quality = Quality::random(&mut dice);
        let mut world = Self::lay_out(recipe, layout, quality, dice);
        world.trouble = true;
        world.schedule(world.now + 200_000, Action::Trouble);
        world
    }

    /// A world without trouble.
    pub(crate) fn lay_out(
        recipe: Recipe,
        layout: Layout,
        quality: Quality,
        mut dice: Dice,
    ) -> Self {
        let auto_join = dice.chance(500);
        let sync_us = [500, 500, 5_000, 5_000, 50_000, 300_000, 3_000_000][dice.below(7) as usize];
        let snapshot_every = [20, 50, 200, 100_000][dice.below(4) as usize];
        let mut world = Self {
            recipe,
            nodes: Vec::new(),
            network: Network::new(quality),
            dice,
            oracle: Oracle::new(),
            stats: Stats::default(),
            now: 0,
            trouble: false,
            writing: true,
            auto_join,
            sync_us,
            snapshot_every,
            disks: 0,
            lost_disks: BTreeMap::new(),
            payloads: 0,
            changed_at: None,
            trail: VecDeque::new(),
            queue: BTreeMap::new(),
            queued: 0,
            rings: 0,
            tokens: 1 << 32,
        };
        world.place_nodes(layout);
        for node in 0..world.nodes.len() {
            let at = world.dice.below(20_000);
            world.schedule(at, Action::Start { node });
        }
        world.schedule(1_000, Action::Propose);
        world
    }

    fn place_nodes(&mut self, layout: Layout) {
        let coordinators = layout.founders + layout.spares;
        for index in 0..coordinators + layout.brokers {
            let can_vote = index < coordinators;
            let id = if can_vote { COORDINATOR_ID } else { 1 - coordinators as i32 } + index as i32;
            let clock = Clock {
                offset_us: self.dice.below(1 << 40),
                rate_permille: self.dice.between(900, 1_100),
            };
            let disk = Disk::new(self.new_directory(NodeId(id)));
            self.nodes.push(Node {
                id: NodeId(id),
                can_vote,
                disk,
                clock,
                port: 9_093,
                incarnation: 0,
                process: None,
                paused: false,
            });
        }
        let founders = VoterSet::new(self.nodes[..layout.founders].iter().map(Node::voter));
        for node in &mut self.nodes[..layout.founders] {
            node.disk = Disk::founding(node.disk.directory_id, founders.clone());
        }
    }

    pub(crate) fn new_directory(&mut self, id: NodeId) -> Uuid {
        self.disks += 1;
        directory_id(id, self.disks)
    }

    pub(crate) fn schedule(&mut self, at: u64, action: Action) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), action);
    }

    /// Schedules something `least` to `most` µs from now.
    pub(crate) fn schedule_within(&mut self, least: u64, most: u64, action: Action) {
        let wait = self.dice.between(least, most);
        self.schedule(self.now + wait, action);
    }

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) -> Checked {
        let Some(((at, _), action)) = self.queue.pop_first() else {
            return Err("nothing happens any more".to_owned());
        };
        if at > self.now {
            self.rings = 0;
        }
        self.now = at;
        self.stats.steps += 1;
        self.stats.seconds = self.now / 1_000_000;
        if let Some(node) = self.waits_for(&action) {
            let resumed = self.now + 20_000 + node as u64;
            self.schedule(resumed, action);
            return Ok(());
        }
        self.happen(action)
    }

    /// The node that is stopped, if the action is for one.
    fn waits_for(&self, action: &Action) -> Option<usize> {
        let node = match action {
            Action::Deliver(packet) => packet.to,
            Action::Ring { node, .. }
            | Action::Synced { node, .. }
            | Action::Fail { node, .. }
            | Action::Drop { node, .. }
            | Action::Lose { node, .. } => *node,
            _ => return None,
        };
        self.nodes[node].paused.then_some(node)
    }

    fn happen(&mut self, action: Action) -> Checked {
        match action {
            Action::Deliver(packet) => self.deliver(*packet),
            Action::Ring { node, incarnation, timer } => {
                let process = self.nodes[node].process.as_ref();
                let current = process.is_some_and(|process| process.timer == timer);
                if !current || self.nodes[node].incarnation != incarnation {
                    return Ok(());
                }
                self.rings += 1;
                if self.rings > RINGS_MAX {
                    return Err(format!("node {} spins", self.nodes[node].id));
                }
                self.feed(node, Event::Tick)
            }
            Action::Synced { node, incarnation } => self.synced(node, incarnation),
            Action::Fail { node, incarnation, id } => {
                self.feed_process(node, incarnation, Event::RequestFailed { id })
            }
            Action::Drop { node, incarnation, token } => {
                self.feed_process(node, incarnation, Event::RequestDropped { token })
            }
            Action::Lose { node, incarnation, peer } => {
                self.feed_process(node, incarnation, Event::ConnectionLost { peer })
            }
            Action::Start { node } => self.start(node),
            Action::Resume { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation {
                    self.nodes[node].paused = false;
                }
                Ok(())
            }
            Action::Propose => self.propose(),
            Action::Trouble => self.make_trouble(),
        }
    }

    fn feed_process(&mut self, node: usize, incarnation: u64, event: Event) -> Checked {
        if self.nodes[node].incarnation == incarnation { self.feed(node, event) } else { Ok(()) }
    }

    /// By which addresses a node without knowledge finds others.
    fn bootstrap(&self) -> Vec<Endpoint> {
        let coordinators = self.nodes.iter().filter(|node| node.can_vote);
        coordinators.map(|node| endpoint(node.id, NAMED_PORT)).collect()
    }

    pub(crate) fn start(&mut self, index: usize) -> Checked {
        if self.nodes[index].process.is_some() {
            return Ok(());
        }
        let seed = self.dice.draw();
        let node = &mut self.nodes[index];
        if !node.can_vote {
            // A broker's log is in memory.
            node.disk = Disk::new(node.disk.directory_id);
        }
        let bootstrap = self.bootstrap();
        let auto_join = self.auto_join && !self.is_founder(index);
        #[allow(unused_mut, reason = "changed only where bugs are planted")]
        let mut config = self.nodes[index].config(bootstrap, auto_join, seed);
        #[cfg(feature = "planted")]
        {
            config.planted = self.recipe.planted;
        }
        self.nodes[index].start(config, self.now);
        self.feed(index, Event::Tick)
    }

    /// Whether the node still has the disk that it founded the quorum with.
    fn is_founder(&self, index: usize) -> bool {
        self.nodes[index].disk.snapshots.keys().any(|id| id.end_offset.get() == 0)
    }

    fn deliver(&mut self, packet: Packet) -> Checked {
        let Packet { from, from_incarnation, to, to_incarnation, message } = packet;
        let adds = matches!(&message, Message::Request { request: Request::AddVoter(_), .. });
        if self.network.is_cut(from, to) || (adds && !self.may_add()) {
            return Ok(());
        }
        let node = &mut self.nodes[to];
        let incarnation = node.incarnation;
        let Some(process) = &mut node.process else {
            if let Message::Request { id, .. } = message
                && self.dice.chance(800)
            {
                let refused = Action::Fail { node: from, incarnation: from_incarnation, id };
                self.schedule_within(50, 500, refused);
            }
            return Ok(());
        };
        match message {
            Message::Request { id, request } => {
                process.tokens += 1;
                let token = Token(process.tokens);
                let vote = match &request {
                    Request::Vote(vote) => Some(vote.clone()),
                    _ => None,
                };
                let asker = Asker { node: from, incarnation: from_incarnation, id, vote };
                process.askers.insert(token, asker);
                self.feed(to, Event::Request { token, request })
            }
            Message::Response { id, response } if to_incarnation == Some(incarnation) => {
                self.feed(to, Event::Response { id, response })
            }
            Message::Response { .. } => Ok(()),
        }
    }

    /// Sends a message through the network.
    pub(crate) fn send(&mut self, packet: Packet) {
        self.stats.messages += 1;
        let times = self.network.deliveries(packet.from, packet.to, &mut self.dice);
        match times.len() {
            0 => self.stats.lost += 1,
            1 => {}
            _ => self.stats.duplicated += 1,
        }
        for wait in times {
            self.schedule(self.now + wait, Action::Deliver(Box::new(packet.clone())));
        }
    }

    /// A client asks some node that thinks that it leads to write something.
    fn propose(&mut self) -> Checked {
        self.schedule_within(1_000, 60_000, Action::Propose);
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.nodes[*index].is_leader()).collect();
        let Some(leader) = self.dice.pick(&leaders) else { return Ok(()) };
        let records = self.dice.between(1, 4) as u32;
        let process = self.nodes[leader].process.as_ref();
        let Some(epoch) = process.map(|process| process.machine.leader().epoch) else {
            return Ok(());
        };
        if self.nodes[leader].paused || !self.writing {
            return Ok(());
        }
        self.tokens += 1;
        let proposal = ProposalId(self.tokens);
        self.feed(leader, Event::Propose { proposal, epoch, records })
    }

    /// A person asks a node for something; nobody waits for the answer.
    pub(crate) fn ask(&mut self, node: usize, request: Request) -> Checked {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.feed(node, Event::Request { token, request })
    }

    /// Notes what happens, for as long as it is among the last things that did.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.recipe.trail > 0 {
            if self.trail.len() >= self.recipe.trail {
                self.trail.pop_front();
            }
            self.trail.push_back(line());
        }
    }

    /// Hands an event, and those that it leads to, to a node.
    pub(crate) fn feed(&mut self, node: usize, event: Event) -> Checked {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            events.extend(self.feed_one(node, event)?);
        }
        Ok(())
    }
}
