//! Batches of the metadata log: their shapes, and control records in Kafka's form.

use bytes::Bytes;
use vltava_wire::batch::{BatchError, Batches, ControlRecord as WireControl};
use vltava_wire::records::raft::{
    Endpoint as WireEndpoint, KRaftVersionFeature, KRaftVersionRecord, LeaderChangeMessage,
    Voter as WireVoter, VotersRecord, VotersVoter,
};
use vltava_wire::{NodeId, Str};

use crate::message::{BatchShape, ControlRecord, Records};
use crate::voter_set::{Endpoint, ReplicaKey, Voter, VoterSet};

/// The most that one control batch may take once it is decompressed, in bytes; the largest holds
/// the endpoints of all voters.
const CONTROL_BATCH_MAX: usize = 1024 * 1024;

/// The version of `LeaderChangeMessage` that is written: Apache's tools read no other.
const LEADER_CHANGE_VERSION: i16 = 0;

/// Checks batches and describes them to the machine. A batch that the end cuts off is dropped.
///
/// # Errors
/// The first batch that is damaged.
pub fn records_from_bytes(bytes: Bytes) -> Result<Records, BatchError> {
    let mut batches = Vec::new();
    let mut whole = 0;
    for batch in Batches::new(&bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) if error.is_truncated() => break,
            Err(error) => return Err(error),
        };
        batch.verify_crc()?;
        let mut voters = None;
        if batch.header.is_control() {
            for record in batch.records(CONTROL_BATCH_MAX)?.iter() {
                if let Ok(Some(WireControl::KraftVoters(record))) = WireControl::parse(&record?) {
                    voters = Some(voters_from_wire(&record));
                }
            }
        }
        batches.push(BatchShape {
            base_offset: batch.header.base_offset,
            last_offset: batch.header.last_offset(),
            epoch: batch.header.partition_leader_epoch,
            voters,
        });
        whole += batch.header.size_in_bytes();
    }
    Ok(Records { bytes: bytes.slice(..whole), batches })
}

/// A control record as it is written.
pub fn control_record_to_wire(record: &ControlRecord) -> WireControl {
    match record {
        ControlRecord::LeaderChange { leader, voters, granting_voters } => {
            let voter = |key: &ReplicaKey| WireVoter {
                voter_id: key.id.get(),
                voter_directory_id: key.directory_id,
            };
            WireControl::LeaderChange(LeaderChangeMessage {
                version: LEADER_CHANGE_VERSION,
                leader_id: leader.get(),
                voters: voters.iter().map(voter).collect(),
                granting_voters: granting_voters.iter().map(voter).collect(),
            })
        }
        ControlRecord::KRaftVersion(level) => {
            WireControl::KraftVersion(KRaftVersionRecord { version: 0, k_raft_version: *level })
        }
        ControlRecord::Voters(voters) => WireControl::KraftVoters(voters_to_wire(voters)),
    }
}

/// A voter set as a `VotersRecord`.
pub fn voters_to_wire(voters: &VoterSet) -> VotersRecord {
    let endpoint = |endpoint: &Endpoint| WireEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    let voter = |voter: &Voter| VotersVoter {
        voter_id: voter.key.id.get(),
        voter_directory_id: voter.key.directory_id,
        endpoints: voter.endpoints.iter().map(endpoint).collect(),
        k_raft_version_feature: KRaftVersionFeature {
            min_supported_version: voter.kraft_version.0,
            max_supported_version: voter.kraft_version.1,
        },
    };
    VotersRecord { version: 0, voters: voters.iter().map(voter).collect() }
}

/// The voter set of a `VotersRecord`.
pub fn voters_from_wire(record: &VotersRecord) -> VoterSet {
    VoterSet::new(record.voters.iter().map(|voter| Voter {
        key: ReplicaKey::new(NodeId(voter.voter_id), voter.voter_directory_id),
        endpoints: voter.endpoints.iter().map(|it| endpoint(&it.name, &it.host, it.port)).collect(),
        kraft_version: (
            voter.k_raft_version_feature.min_supported_version,
            voter.k_raft_version_feature.max_supported_version,
        ),
    }))
}

fn endpoint(name: &Str, host: &Str, port: u16) -> Endpoint {
    Endpoint { name: name.detach(), host: host.detach(), port }
}
