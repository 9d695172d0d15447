//! What goes wrong in the world: links, processes, power, disks; and people who change the voters.
//!
//! Trouble stays within what the quorum promises to survive: of each voter set that could elect a
//! leader, a majority keeps its disks, and is found where the set says that it listens. Voters are
//! added only while all are sound, and no disk is lost while voters change: the rest of the old
//! set may then need the vote of the added one, which can hold a longer log of a lost leader.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::network::Quality;
use super::oracle::Checked;
use super::world::{Action, World};
use crate::event::Event;
use crate::message::{AddVoterRequest, RemoveVoterRequest, Request};
use crate::voter_set::{ReplicaKey, VoterSet};

/// How long a node is down at the longest, in µs.
const DOWN_US_MAX: u64 = 4_000_000;
/// How long after a change of the voters no disk is lost, in µs: what was sent of it may still be
/// on its way to a process that is stopped, and a voter to be may still have to catch up.
const CHANGING_US: u64 = 12_000_000;
/// How long a process is stopped at the longest, in µs.
const PAUSE_US_MAX: u64 = 5_000_000;

impl World {
    /// Something goes wrong, or is mended.
    pub(crate) fn make_trouble(&mut self) -> Checked {
        if !self.trouble {
            return Ok(());
        }
        self.schedule_within(20_000, 900_000, Action::Trouble);
        let node = self.victim();
        match self.dice.below(32) {
            0..5 => self.partition(),
            5..10 => self.network.mend(),
            10..12 => self.network.quality = Quality::random(&mut self.dice),
            12..16 => self.kill_and_restart(node),
            16..19 => self.cut_power(node),
            19 => self.cut_power_of_all(),
            20..23 => self.pause(node),
            23 => return self.feed(node, Event::Stop),
            24 => return self.resign(node),
            25..27 => self.replace_disk(node),
            27 => self.move_node(node),
            _ => return self.change_voters(),
        }
        Ok(())
    }

    /// A node for trouble to meet; leaders more often than others.
    fn victim(&mut self) -> usize {
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.nodes[*index].is_leader()).collect();
        match self.dice.pick(&leaders) {
            Some(leader) if self.dice.chance(400) => leader,
            _ => self.dice.below(self.nodes.len() as u64) as usize,
        }
    }

    fn partition(&mut self) {
        self.stats.partitions += 1;
        let count = self.nodes.len();
        let victim = self.victim();
        match self.dice.below(5) {
            // In two groups.
            0 => {
                let side: Vec<bool> = (0..count).map(|_| self.dice.chance(500)).collect();
                for one in 0..count {
                    for other in (0..count).filter(|other| side[one] != side[*other]) {
                        self.network.cut(one, other);
                    }
                }
            }
            // One node from all others.
            1 => (0..count).for_each(|other| self.network.cut_both(victim, other)),
            // One node hears nothing.
            2 => (0..count).for_each(|other| self.network.cut(other, victim)),
            // Nobody hears one node.
            3 => (0..count).for_each(|other| self.network.cut(victim, other)),
            // One link.
            _ => {
                let other = self.dice.below(count as u64) as usize;
                self.network.cut_both(victim, other);
            }
        }
    }

    /// The process ends at once; its page cache stays. Others see their connections closed.
    pub(crate) fn kill(&mut self, index: usize) {
        self.end_process(index, true);
        self.nodes[index].disk.kill();
    }

    fn kill_and_restart(&mut self, index: usize) {
        if self.nodes[index].process.is_some() {
            self.stats.kills += 1;
            self.kill(index);
        }
    }

    /// The node loses what it did not sync. Nobody is told.
    pub(crate) fn cut_power(&mut self, index: usize) {
        if self.nodes[index].process.is_some() {
            self.stats.power_cuts += 1;
            self.end_process(index, false);
            self.nodes[index].disk.cut_power(&mut self.dice);
        }
    }

    fn cut_power_of_all(&mut self) {
        (0..self.nodes.len()).for_each(|index| self.cut_power(index));
    }

    fn end_process(&mut self, index: usize, noticed: bool) {
        let node = &mut self.nodes[index];
        let Some(process) = node.process.take() else { return };
        node.paused = false;
        let peer = node.id;
        let incarnation = node.incarnation;
        self.schedule_within(10_000, DOWN_US_MAX, Action::Start { node: index });
        if !noticed {
            return;
        }
        for asker in process.askers.into_values() {
            let (incarnation, id) = (asker.incarnation, asker.id);
            if !self.network.is_cut(index, asker.node) {
                let failed = Action::Fail { node: asker.node, incarnation, id };
                self.schedule_within(50, 5_000, failed);
            }
        }
        for other in 0..self.nodes.len() {
            if self.network.is_cut(index, other) || self.dice.chance(50) {
                continue;
            }
            let reached = self.nodes[other].incarnation;
            let lost = Action::Lose { node: other, incarnation: reached, peer };
            self.schedule_within(50, 20_000, lost);
            let Some(process) = &self.nodes[other].process else { continue };
            let mine = process
                .askers
                .iter()
                .filter(|(_, asker)| asker.node == index && asker.incarnation == incarnation);
            let tokens: Vec<_> = mine.map(|(token, _)| *token).collect();
            for token in tokens {
                let dropped = Action::Drop { node: other, incarnation: reached, token };
                self.schedule_within(50, 20_000, dropped);
            }
        }
    }

    fn pause(&mut self, index: usize) {
        if self.nodes[index].process.is_none() {
            return;
        }
        self.stats.pauses += 1;
        self.nodes[index].paused = true;
        let incarnation = self.nodes[index].incarnation;
        self.schedule_within(50_000, PAUSE_US_MAX, Action::Resume { node: index, incarnation });
    }

    fn resign(&mut self, index: usize) -> Checked {
        let Some(process) = &self.nodes[index].process else { return Ok(()) };
        let epoch = process.machine.quorum_state().epoch;
        self.stats.resignations += 1;
        self.feed(index, Event::Resign { epoch })
    }

    /// A coordinator comes back with an empty disk, and so as another replica.
    fn replace_disk(&mut self, index: usize) {
        if !self.nodes[index].can_vote || !self.may_lose(index) {
            return;
        }
        self.cut_power(index);
        self.stats.replaced_disks += 1;
        let directory_id = self.new_directory(self.nodes[index].id);
        let lost_key = self.nodes[index].key();
        let lost = std::mem::replace(&mut self.nodes[index].disk, Disk::new(directory_id));
        self.lost_disks.insert(lost_key, lost);
    }

    /// A coordinator is restarted, and listens elsewhere.
    fn move_node(&mut self, index: usize) {
        if self.nodes[index].can_vote && self.may_lose(index) {
            self.kill_and_restart(index);
            self.nodes[index].port += 1;
        }
    }

    /// The voter sets by which a leader could be elected: the one that is committed, and any other
    /// that is in some log.
    fn electing_sets(&self) -> Vec<VoterSet> {
        let mut committed: BTreeMap<i64, &VoterSet> = BTreeMap::new();
        let mut open = Vec::new();
        for node in self.nodes.iter().filter(|node| node.can_vote) {
            committed.extend(node.disk.voters_in_snapshots());
            for (offset, record, voters) in node.disk.voters_in_log() {
                if self.oracle.is_committed(offset, record) {
                    committed.insert(offset, voters);
                } else {
                    open.push(voters.clone());
                }
            }
        }
        open.extend(committed.pop_last().map(|(_, voters)| voters.clone()));
        open
    }

    /// Whether this voter is where the set says, with the disk that it was added with.
    fn is_sound(&self, key: ReplicaKey, set: &VoterSet) -> bool {
        self.nodes.iter().any(|node| {
            node.key() == key && set.get(key.id).is_some_and(|voter| *voter == node.voter())
        })
    }

    fn keeps_majority(&self, set: &VoterSet, without: Option<ReplicaKey>) -> bool {
        let left = set.keys().filter(|key| Some(*key) != without && self.is_sound(*key, set));
        left.count() >= set.majority()
    }

    /// Whether a node can lose its disk, or move, and every set still has a majority.
    fn may_lose(&self, index: usize) -> bool {
        let key = self.nodes[index].key();
        let sets = self.electing_sets();
        let settled = sets.iter().all(|set| Some(set) == sets.first());
        let changing = self.changed_at.is_some_and(|at| self.now < at + CHANGING_US);
        settled && !changing && sets.iter().all(|set| self.keeps_majority(set, Some(key)))
    }

    /// Whether a voter can be added: all others are where they are said to be, with their disks.
    pub(crate) fn may_add(&mut self) -> bool {
        let sets = self.electing_sets();
        let sound = sets.iter().all(|set| set.keys().all(|key| self.is_sound(key, set)));
        self.changed_at = if sound { Some(self.now) } else { self.changed_at };
        sound
    }

    /// A person removes a voter, one that lost its disk first, or adds one.
    fn change_voters(&mut self) -> Checked {
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.nodes[*index].is_leader()).collect();
        let Some(leader) = self.dice.pick(&leaders) else { return Ok(()) };
        let Some(process) = &self.nodes[leader].process else { return Ok(()) };
        let voters = process.machine.voters().clone();
        let lost = voters.keys().find(|key| !self.is_sound(*key, &voters));
        let absent: Vec<usize> = (0..self.nodes.len())
            .filter(|index| {
                let node = &self.nodes[*index];
                node.can_vote && voters.get(node.id).is_none()
            })
            .collect();
        let keys: Vec<ReplicaKey> = voters.keys().collect();
        let removed = lost.or(self.dice.pick(&keys));
        let add = lost.is_none() && self.dice.chance(600);
        if let Some(added) = self.dice.pick(&absent).filter(|_| add) {
            let timeout_ms = self.dice.between(100, 3_000) as u32;
            let ack_when_committed = self.dice.chance(500);
            let voter = self.nodes[added].voter();
            if !self.may_add() {
                return Ok(());
            }
            let add = AddVoterRequest { voter, timeout_ms, ack_when_committed };
            return self.ask(leader, Request::AddVoter(add));
        }
        if let Some(voter) = removed {
            let rest = voters.without(voter.id);
            if rest.len() < 2 || !self.keeps_majority(&rest, None) {
                return Ok(());
            }
            return self.ask(leader, Request::RemoveVoter(RemoveVoterRequest { voter }));
        }
        Ok(())
    }

    /// All is well again: links are mended, all processes run.
    pub(crate) fn end_trouble(&mut self) -> Checked {
        self.trouble = false;
        self.network.mend();
        self.network.quality = Quality::GOOD;
        self.sync_us = self.sync_us.min(5_000);
        for index in 0..self.nodes.len() {
            self.nodes[index].paused = false;
            self.start(index)?;
        }
        Ok(())
    }
}
