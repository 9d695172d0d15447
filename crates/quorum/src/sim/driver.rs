//! Carries out a machine's effects, as the crate's text tells a driver to: persist, then send, then
//! apply. And checks each.

use vltava_wire::{ErrorCode, Offset};

use super::disk::{Batch, SnapshotFile, digest};
use super::network::{Message, Packet};
use super::oracle::{Checked, VotersBefore};
use super::world::{Action, World};
use crate::effect::{Destination, Effect};
use crate::event::{Event, FlushPoint, RequestId, Token};
use crate::message::{ControlRecord, Request, Response, SnapshotId};
use crate::voter_set::VoterSet;

use super::node::NAMED_PORT;

/// Of 1,000,000 events, at how many the power fails between two of their effects.
const CRASH_AMID_EFFECTS: u64 = 150;

impl World {
    /// Hands one event to a node; the events that must follow at once come back.
    pub(crate) fn feed_one(&mut self, index: usize, event: Event) -> Checked<Vec<Event>> {
        let (id, at) = (self.nodes[index].id, self.now);
        self.note(|| format!("{at} {id} <- {event:?}"));
        let node = &mut self.nodes[index];
        let now = node.clock.local(self.now);
        let Some(process) = &mut node.process else { return Ok(Vec::new()) };
        let before = VotersBefore::of(&process.machine);
        let effects = process.machine.on(event, now);
        let fails = self.trouble && self.dice.below(1_000_000) < CRASH_AMID_EFFECTS;
        let last = if fails { self.dice.below(effects.len() as u64 + 1) } else { u64::MAX };
        let mut events = Vec::new();
        for (nth, effect) in effects.into_iter().enumerate() {
            if nth as u64 == last {
                return self.fail_amid(index, &effect).map(|()| Vec::new());
            }
            self.note(|| format!("{at} {id} -> {effect:?}"));
            events.extend(self.carry_out(index, effect, before)?);
            if self.nodes[index].process.is_none() {
                return Ok(Vec::new());
            }
        }
        if events.is_empty() {
            self.check(index)?;
        }
        Ok(events)
    }

    /// The power fails while this effect is carried out.
    fn fail_amid(&mut self, index: usize, effect: &Effect) -> Checked {
        if let Effect::InstallSnapshot { id } = effect {
            self.nodes[index].disk.finish_snapshot(*id);
        }
        self.cut_power(index);
        Ok(())
    }

    /// What must hold on a node between two events.
    fn check(&mut self, index: usize) -> Checked {
        let node = &mut self.nodes[index];
        let key = node.key();
        let Some(process) = &mut node.process else { return Ok(()) };
        let machine = &process.machine;
        let epoch = machine.quorum_state().epoch.get();
        let committed = machine.high_watermark().map_or(0, Offset::get);
        if epoch < process.epoch {
            return Err(format!("{key} went from epoch {} to {epoch}", process.epoch));
        }
        if committed < process.committed {
            return Err(format!(
                "{key}'s high watermark went from {} to {committed}",
                process.committed
            ));
        }
        (process.epoch, process.committed) = (epoch, committed);
        if machine.log().end().get() != node.disk.image().end() {
            let (shape, disk) = (machine.log().end(), node.disk.image().end());
            return Err(format!("{key}'s machine thinks that its log ends at {shape}, not {disk}"));
        }
        let founding = node.disk.snapshots.first_key_value().map(|(_, file)| &file.voters);
        let none = VoterSet::default();
        let voters = node.disk.image().last_voters().or(founding).unwrap_or(&none);
        if machine.voters() != voters {
            return Err(format!("{key} counts on voters that are not in its log"));
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        index: usize,
        effect: Effect,
        before: VotersBefore,
    ) -> Checked<Vec<Event>> {
        let key = self.nodes[index].key();
        let disk = &mut self.nodes[index].disk;
        match effect {
            Effect::PersistQuorumState(state) => {
                let stands = state.voted == Some(key) && state.epoch > disk.quorum_state.epoch;
                self.stats.elections += u64::from(stands);
                disk.quorum_state = state;
            }
            Effect::Truncate { to } => {
                self.oracle.truncates(key, disk, to)?;
                self.stats.truncations += 1;
                disk.truncate(to.get());
            }
            Effect::AppendProposal { base_offset, epoch, records, .. } => {
                self.append_proposal(index, base_offset, epoch.get(), records);
            }
            Effect::AppendControl { base_offset, epoch, ref records } => {
                self.oracle.changes_voters(&before, &effect)?;
                let batch = control_batch(base_offset, epoch.get(), records);
                if batch.voters.is_some() {
                    self.stats.voter_changes += 1;
                    self.changed_at = Some(self.now);
                }
                disk.append(batch);
            }
            Effect::AppendFetched { base_offset, records } => {
                if base_offset.get() != disk.image().end() {
                    return Err(format!("{key} appends at {base_offset}, not at its end"));
                }
                disk.append_fetched(&records);
            }
            Effect::Flush(point) => self.sync_later(index, point),
            Effect::WriteSnapshot { id, position, bytes } => {
                disk.write_snapshot(id, position, &bytes);
            }
            Effect::InstallSnapshot { id } => {
                return self.install(index, id).map(|event| vec![event]);
            }
            Effect::Send { id, to, request } => self.send_request(index, id, &to, request)?,
            Effect::Respond { token, response } => self.respond(index, token, response)?,
            Effect::RespondFetch { token, mut response, read } => {
                if let Some(range) = read {
                    response.records = disk.read(range.from.get(), range.max_bytes as usize);
                }
                self.respond(index, token, Response::Fetch(response))?;
            }
            Effect::RespondSnapshot { token, mut response, max_bytes } => {
                match disk.snapshots.get(&response.snapshot_id).map(SnapshotFile::to_bytes) {
                    Some(mut bytes) if response.position <= bytes.len() as u64 => {
                        response.size = bytes.len() as u64;
                        let mut rest = bytes.split_off(response.position as usize);
                        rest.truncate(max_bytes as usize);
                        response.bytes = rest.into();
                    }
                    Some(_) => response.error = ErrorCode::POSITION_OUT_OF_RANGE,
                    None => response.error = ErrorCode::SNAPSHOT_NOT_FOUND,
                }
                self.respond(index, token, Response::FetchSnapshot(response))?;
            }
            other => return self.apply(index, other),
        }
        Ok(Vec::new())
    }

    fn apply(&mut self, index: usize, effect: Effect) -> Checked<Vec<Event>> {
        let node = &mut self.nodes[index];
        let Some(process) = &mut node.process else { return Ok(Vec::new()) };
        match effect {
            Effect::BecameLeader { .. } => {
                self.stats.leaders += 1;
                let machine = &process.machine;
                let incarnation = node.incarnation;
                self.oracle.leads(machine, incarnation, &node.disk)?;
            }
            Effect::LostLeadership { .. } => process.proposals.clear(),
            Effect::Committed { high_watermark } => return self.commit(index, high_watermark),
            Effect::Stopped => {
                self.stats.resignations += 1;
                self.kill(index);
            }
            Effect::Halt(violation) => {
                return Err(format!("{} halts: {violation}", node.key()));
            }
            Effect::ScheduleTick(at) => {
                process.timer += 1;
                let (incarnation, timer) = (node.incarnation, process.timer);
                let at = node.clock.real(at);
                self.schedule(at, Action::Ring { node: index, incarnation, timer });
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn append_proposal(&mut self, index: usize, base_offset: Offset, epoch: i32, records: u32) {
        let base_offset = base_offset.get();
        let first = self.payloads;
        self.payloads += u64::from(records);
        self.stats.proposed += u64::from(records);
        let payloads: Vec<u64> = (first..self.payloads).collect();
        let batch = Batch { base_offset, epoch, payloads, voters: None };
        let node = &mut self.nodes[index];
        if let Some(process) = &mut node.process {
            process.proposals.push(batch.end());
        }
        node.disk.append(batch);
    }

    fn sync_later(&mut self, index: usize, point: FlushPoint) {
        let node = &mut self.nodes[index];
        let Some(process) = &mut node.process else { return };
        if process.syncing.is_some() {
            process.to_sync = Some(point);
            return;
        }
        process.syncing = Some((point, node.disk.unsynced()));
        let incarnation = node.incarnation;
        let slowest = if node.can_vote { self.sync_us } else { 1 };
        self.schedule_within(1, slowest, Action::Synced { node: index, incarnation });
    }

    pub(crate) fn synced(&mut self, index: usize, incarnation: u64) -> Checked {
        let node = &mut self.nodes[index];
        if node.incarnation != incarnation {
            return Ok(());
        }
        let Some(process) = &mut node.process else { return Ok(()) };
        let Some((point, writes)) = process.syncing.take() else { return Ok(()) };
        node.disk.sync(writes);
        if let Some(next) = process.to_sync.take() {
            self.sync_later(index, next);
        }
        self.feed(index, Event::Flushed { point })
    }

    fn install(&mut self, index: usize, id: SnapshotId) -> Checked<Event> {
        let node = &mut self.nodes[index];
        let key = node.key();
        let Some(process) = &mut node.process else { return Ok(Event::Tick) };
        let Some(file) = node.disk.finish_snapshot(id) else {
            return Ok(Event::SnapshotRejected { id });
        };
        self.oracle.installs(key, id, file.digest)?;
        if id.end_offset.get() < process.applied {
            return Err(format!("{key} goes back from {} to {id:?}", process.applied));
        }
        node.disk.start_at(id);
        // A sync that runs covers nothing that is still there.
        process.syncing = process.syncing.map(|(point, _)| (point, 0));
        process.applied = id.end_offset.get();
        process.state = file.digest;
        self.stats.installed += 1;
        Ok(Event::SnapshotInstalled { id, voters: file.voters })
    }

    /// The node that an address leads to.
    fn resolve(&self, to: &Destination) -> Option<usize> {
        self.nodes.iter().position(|node| {
            let here = to.endpoint.host == node.endpoint().host;
            here && (to.endpoint.port == node.port || to.endpoint.port == NAMED_PORT)
        })
    }

    fn send_request(
        &mut self,
        index: usize,
        id: RequestId,
        to: &Destination,
        request: Request,
    ) -> Checked {
        let node = &self.nodes[index];
        let (key, from_incarnation) = (node.key(), node.incarnation);
        let epoch = match &request {
            Request::Vote(vote) => Some(vote.epoch),
            Request::BeginQuorumEpoch(begin) => Some(begin.epoch),
            Request::EndQuorumEpoch(end) => Some(end.epoch),
            Request::Fetch(fetch) => Some(fetch.epoch),
            Request::FetchSnapshot(fetch) => Some(fetch.epoch),
            _ => None,
        };
        if let Some(epoch) = epoch.filter(|_| node.can_vote) {
            self.oracle.shows_epoch(key, epoch.get())?;
        }
        let Some(to) = self.resolve(to) else {
            let incarnation = from_incarnation;
            self.schedule_within(50, 500, Action::Fail { node: index, incarnation, id });
            return Ok(());
        };
        let message = Message::Request { id, request };
        self.send(Packet { from: index, from_incarnation, to, to_incarnation: None, message });
        Ok(())
    }

    fn respond(&mut self, index: usize, token: Token, response: Response) -> Checked {
        let node = &mut self.nodes[index];
        let (key, from_incarnation, can_vote) = (node.key(), node.incarnation, node.can_vote);
        if can_vote {
            self.oracle.shows_epoch(key, response.leader().epoch.get())?;
        }
        let Some(process) = &mut node.process else { return Ok(()) };
        let Some(asker) = process.askers.remove(&token) else { return Ok(()) };
        if let (Response::Vote(vote), Some(request)) = (&response, &asker.vote)
            && vote.granted
        {
            self.oracle.votes(key, request)?;
        }
        let message = Message::Response { id: asker.id, response };
        let to_incarnation = Some(asker.incarnation);
        self.send(Packet {
            from: index,
            from_incarnation,
            to: asker.node,
            to_incarnation,
            message,
        });
        Ok(())
    }

    /// Applies what is committed, and writes a snapshot now and then.
    fn commit(&mut self, index: usize, high_watermark: Offset) -> Checked<Vec<Event>> {
        let key = self.nodes[index].key();
        let end = high_watermark.get();
        if end > self.oracle.committed() && self.nodes[index].is_leader() {
            let disks = |key| {
                let mut nodes = self.nodes.iter();
                let node = nodes.find(|node| node.key() == key);
                node.map(|node| &node.disk).or(self.lost_disks.get(&key))
            };
            if let Some(process) = &self.nodes[index].process {
                self.oracle.commits(&process.machine, high_watermark, disks)?;
            }
        }
        let node = &mut self.nodes[index];
        let Some(process) = &mut node.process else { return Ok(Vec::new()) };
        while process.applied < end {
            let Some(record) = node.disk.image().record(process.applied) else {
                return Err(format!(
                    "{key} commits up to {end} without record {}",
                    process.applied
                ));
            };
            self.oracle.applies(&process.machine, process.applied, record)?;
            process.state = digest(process.state, record.0, record.1);
            process.applied += 1;
        }
        self.oracle.is_at(key, process.applied, process.state)?;
        self.stats.committed = self.oracle.committed() as u64;
        let waiting = process.proposals.len();
        process.proposals.retain(|proposal| *proposal > end);
        self.stats.acknowledged += (waiting - process.proposals.len()) as u64;
        Ok(self.maybe_snapshot(index))
    }

    fn maybe_snapshot(&mut self, index: usize) -> Vec<Event> {
        let node = &mut self.nodes[index];
        let Some(process) = &mut node.process else { return Vec::new() };
        let latest = node.disk.latest_snapshot().map_or(0, |(id, _)| id.end_offset.get());
        let log = process.machine.log();
        let end_offset = Offset(process.applied);
        if process.applied - latest < self.snapshot_every || end_offset > log.end() {
            return Vec::new();
        }
        let id = SnapshotId { end_offset, epoch: log.epoch_before(end_offset) };
        let voters = log.voters_at(end_offset).cloned().unwrap_or_default();
        node.disk.snapshots.insert(id, SnapshotFile { digest: process.state, voters });
        self.stats.snapshots += 1;
        let flushed = process.machine.log().flushed() >= end_offset;
        let mut events = vec![Event::SnapshotTaken { id }];
        if flushed && self.dice.chance(500) {
            node.disk.move_start(id);
            events.push(Event::LogStartMoved { snapshot: id });
        }
        events
    }
}

/// A control batch; each of its records has a payload that tells it from others.
fn control_batch(base_offset: Offset, epoch: i32, records: &[ControlRecord]) -> Batch {
    let mut voters = None;
    let mut payloads = Vec::new();
    for (nth, record) in records.iter().enumerate() {
        let mut payload = digest(u64::MAX - nth as u64, epoch, base_offset.get() as u64);
        if let ControlRecord::Voters(set) = record {
            for key in set.keys() {
                payload = digest(payload, key.id.get(), key.directory_id.0 as u64);
            }
            voters = Some(set.clone());
        }
        payloads.push(payload);
    }
    Batch { base_offset: base_offset.get(), epoch, payloads, voters }
}
