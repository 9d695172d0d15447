//! Carrying out what the quorum's machine wants, one effect after the other.

use bytes::Bytes;
use vltava_log::ReadError;
use vltava_quorum::{
    Effect, Event, FetchResponse, FetchSnapshotResponse, LogRange, Records, Response, Token,
};
use vltava_wire::ErrorCode;

use super::commit::Leading;
use super::{Driver, DriverError};
use crate::store::{SnapshotPart, StoreError, file_id};

impl Driver {
    /// Carries out one effect.
    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), DriverError> {
        match effect {
            Effect::PersistQuorumState(state) => {
                self.store.write_quorum_state(&state).map_err(DriverError::Store)?;
            }
            Effect::Truncate { to } => self.store.truncate(to).map_err(DriverError::Store)?,
            Effect::AppendProposal { proposal, base_offset, epoch, records: _ } => {
                if let Some((_, records)) = self.proposing.take_if(|(id, _)| *id == proposal) {
                    let bytes = self
                        .store
                        .append(base_offset, epoch, &records)
                        .map_err(DriverError::Store)?;
                    self.snapshots.appended(bytes);
                    let now = self.clock.now();
                    self.controller.appended(&records, now).map_err(DriverError::Decision)?;
                }
            }
            Effect::AppendControl { base_offset, epoch, records } => {
                let bytes = self
                    .store
                    .append_control(base_offset, epoch, &records)
                    .map_err(DriverError::Store)?;
                self.snapshots.appended(bytes);
            }
            Effect::AppendFetched { base_offset, records } => {
                let epoch = self.machine.quorum_state().epoch;
                let bytes = self
                    .store
                    .append_fetched(base_offset, epoch, &records.bytes)
                    .map_err(DriverError::Store)?;
                self.snapshots.appended(bytes);
            }
            Effect::Flush(point) => self.flush_wanted = Some(point),
            Effect::WriteSnapshot { id, position, bytes } => {
                self.store
                    .write_snapshot(file_id(id), position, &bytes)
                    .map_err(DriverError::Store)?;
            }
            Effect::InstallSnapshot { id } => self.install_snapshot(id)?,
            Effect::Send { id, to, request } => self.peers.send(id, &to, request),
            Effect::Respond { token, response } => self.respond(token, response),
            Effect::RespondFetch { token, response, read } => {
                self.respond_fetch(token, response, read)?;
            }
            Effect::RespondSnapshot { token, response, max_bytes } => {
                self.respond_snapshot(token, response, max_bytes)?;
            }
            Effect::LeaderChanged(info) => match info.leader {
                Some(leader) => tracing::info!(
                    epoch = info.epoch.get(),
                    leader = leader.get(),
                    "the quorum is led"
                ),
                None => tracing::info!(epoch = info.epoch.get(), "the quorum seeks a leader"),
            },
            Effect::BecameLeader { epoch, epoch_start_offset } => {
                self.leading = Some(Leading { epoch, start: epoch_start_offset });
                if let Some(high_watermark) = self.machine.high_watermark() {
                    self.begin_to_serve(high_watermark);
                }
            }
            Effect::LostLeadership { .. } => self.leadership_lost(),
            Effect::ProposalRejected { error, .. } => self.rejected = Some(error),
            Effect::Committed { high_watermark } => self.committed(high_watermark)?,
            Effect::Stopped => self.stopped = true,
            Effect::Halt(violation) => return Err(DriverError::Violation(violation)),
            Effect::ScheduleTick(at) => self.tick_at = Some(at),
        }
        Ok(())
    }

    /// Answers, if anybody still waits.
    fn respond(&mut self, token: Token, response: Response) {
        if let Some(asker) = self.askers.remove(&token) {
            // Whoever went away meanwhile needs no answer.
            let _ = asker.answer.send(response);
        }
    }

    fn respond_fetch(
        &mut self,
        token: Token,
        mut response: FetchResponse,
        read: Option<LogRange>,
    ) -> Result<(), DriverError> {
        if let Some(LogRange { from, max_bytes }) = read
            && self.askers.contains_key(&token)
        {
            match self.store.read(from, max_bytes as usize) {
                Ok(bytes) => response.records = Records { bytes, batches: Vec::new() },
                // What somebody else asks for is no reason to end.
                Err(StoreError::Read(ReadError::OffsetOutOfRange { .. })) => {
                    response.error = ErrorCode::OFFSET_OUT_OF_RANGE;
                }
                Err(error) => return Err(DriverError::Store(error)),
            }
        }
        self.respond(token, Response::Fetch(response));
        Ok(())
    }

    fn respond_snapshot(
        &mut self,
        token: Token,
        mut response: FetchSnapshotResponse,
        max_bytes: u32,
    ) -> Result<(), DriverError> {
        let id = file_id(response.snapshot_id);
        let part = self
            .store
            .read_snapshot(id, response.position, max_bytes)
            .map_err(DriverError::Store)?;
        match part {
            SnapshotPart::Bytes { size, bytes } => {
                response.size = size;
                response.bytes = bytes;
            }
            SnapshotPart::NotFound => response.error = ErrorCode::SNAPSHOT_NOT_FOUND,
            SnapshotPart::OutOfRange { size } => {
                response.size = size;
                response.bytes = Bytes::new();
                response.error = ErrorCode::POSITION_OUT_OF_RANGE;
            }
        }
        self.respond(token, Response::FetchSnapshot(response));
        Ok(())
    }

    fn install_snapshot(&mut self, id: vltava_quorum::SnapshotId) -> Result<(), DriverError> {
        let installed = self.store.install_snapshot(file_id(id)).map_err(DriverError::Store)?;
        self.next_event = Some(match installed {
            Some(checkpoint) => {
                let voters = checkpoint.voters.as_ref();
                let voters = voters.map(vltava_quorum::rpc::voters_from_wire).unwrap_or_default();
                self.committed = checkpoint.image;
                self.snapshots.restart(file_id(id), self.clock.now());
                tracing::info!("installed the snapshot {}", file_id(id));
                Event::SnapshotInstalled { id, voters }
            }
            None => Event::SnapshotRejected { id },
        });
        Ok(())
    }
}
