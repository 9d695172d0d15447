//! The `quorum-state` file: the epoch, its leader and the vote, as Kafka writes them (KIP-853).

use serde::{Deserialize, Serialize};
use vltava_quorum::{QuorumState, ReplicaKey};
use vltava_wire::{LeaderEpoch, NodeId, Uuid};

/// The file's name, in the folder of the metadata log.
pub(crate) const FILE_NAME: &str = "quorum-state";

/// The version that has the directory id of the vote.
const DATA_VERSION: i16 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    voted_directory_id: String,
    #[serde(rename = "data_version")]
    data_version: i16,
}

/// Why a `quorum-state` file cannot be used. A node that does not know how it voted must not vote.
#[derive(Debug, thiserror::Error)]
pub enum QuorumStateError {
    /// The content is not such JSON.
    #[error("the quorum-state file cannot be read")]
    Parse(#[source] serde_json::Error),
    /// Another version than the one that quorums with directory ids have.
    #[error("the quorum-state file has version {0}, only {DATA_VERSION} is supported")]
    Version(i16),
    /// The directory id of the vote is none.
    #[error("the quorum-state file has a vote for a directory that is none: {0}")]
    Directory(String),
}

/// The file's content.
pub(crate) fn encode(state: &QuorumState) -> Vec<u8> {
    let voted = state.voted.unwrap_or(ReplicaKey::new(NodeId::NONE, Uuid::ZERO));
    let json = Json {
        leader_id: state.leader.unwrap_or(NodeId::NONE).get(),
        leader_epoch: state.epoch.get(),
        voted_id: voted.id.get(),
        voted_directory_id: voted.directory_id.to_string(),
        data_version: DATA_VERSION,
    };
    serde_json::to_vec(&json).expect("numbers and text are always JSON")
}

/// Reads the file's content.
pub(crate) fn decode(content: &[u8]) -> Result<QuorumState, QuorumStateError> {
    let json: Json = serde_json::from_slice(content).map_err(QuorumStateError::Parse)?;
    if json.data_version != DATA_VERSION {
        return Err(QuorumStateError::Version(json.data_version));
    }
    let directory: Uuid = json
        .voted_directory_id
        .parse()
        .map_err(|_| QuorumStateError::Directory(json.voted_directory_id.clone()))?;
    let node = |id: i32| (id >= 0).then_some(NodeId(id));
    Ok(QuorumState {
        epoch: LeaderEpoch(json.leader_epoch),
        leader: node(json.leader_id),
        voted: node(json.voted_id).map(|id| ReplicaKey::new(id, directory)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let state = QuorumState {
            epoch: LeaderEpoch(7),
            leader: Some(NodeId(3001)),
            voted: Some(ReplicaKey::new(NodeId(3002), Uuid(5))),
        };
        let bytes = encode(&state);
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            "{\"leaderId\":3001,\"leaderEpoch\":7,\"votedId\":3002,\
             \"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAABQ\",\"data_version\":1}"
        );
        assert_eq!(decode(&bytes).expect("what was written"), state);
    }

    #[test]
    fn nobody_is_minus_one() {
        let state = QuorumState::default();
        assert_eq!(decode(&encode(&state)).expect("what was written"), state);
    }
}
