//! Who votes in the metadata quorum (KIP-853).

use vltava_wire::messages::add_raft_voter::Listener;
use vltava_wire::messages::{AddRaftVoterRequest, RemoveRaftVoterRequest};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::TIMEOUT_MS;
use crate::cluster::Cluster;
use crate::error::ClientError;

/// A coordinator that votes, or is to: its id together with that of its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftVoter {
    /// The coordinator's id.
    pub id: i32,
    /// The id of its metadata log directory.
    pub directory_id: Uuid,
}

impl Cluster {
    /// Lets a coordinator vote that has caught up as an observer; `listeners` are where the others
    /// reach it: name, host and port of each.
    ///
    /// # Errors
    /// If it votes already (DUPLICATE_VOTER; remove its old directory first), another change is
    /// under way, it has not caught up, or no node answers. That it votes by an attempt of this
    /// call whose answer was lost is success.
    pub async fn add_raft_voter(
        &self,
        voter: &RaftVoter,
        listeners: &[(&str, &str, u16)],
    ) -> Result<(), ClientError> {
        let listener = |(name, host, port): &(&str, &str, u16)| Listener {
            name: (*name).into(),
            host: (*host).into(),
            port: *port,
        };
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: TIMEOUT_MS,
            voter_id: voter.id,
            voter_directory_id: voter.directory_id,
            listeners: listeners.iter().map(listener).collect(),
            ack_when_committed: true,
        };
        let check = |code, message: Option<&Str>| {
            ClientError::check(|| voter.describe(), code, message.map(Str::as_str))
        };
        let decided =
            self.decide(&request, |it| check(it.error_code, it.error_message.as_ref())).await;
        // Its id may vote by another directory, too.
        if decided.is_perhaps_done(ErrorCode::DUPLICATE_VOTER) && self.votes(voter).await? {
            return Ok(());
        }
        decided.outcome.map(drop)
    }

    async fn votes(&self, voter: &RaftVoter) -> Result<bool, ClientError> {
        let quorum = self.describe_quorum().await?;
        let partitions = quorum.topics.iter().flat_map(|topic| &topic.partitions);
        let mut voters = partitions.flat_map(|partition| &partition.current_voters);
        Ok(voters
            .any(|it| (it.replica_id, it.replica_directory_id) == (voter.id, voter.directory_id)))
    }

    /// Takes a coordinator's vote away.
    ///
    /// # Errors
    /// If it does not vote (VOTER_NOT_FOUND), another change is under way, or no node answers.
    /// That it votes no more by an attempt of this call whose answer was lost is success.
    pub async fn remove_raft_voter(&self, voter: &RaftVoter) -> Result<(), ClientError> {
        let request = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: voter.id,
            voter_directory_id: voter.directory_id,
        };
        let check = |code, message: Option<&Str>| {
            ClientError::check(|| voter.describe(), code, message.map(Str::as_str))
        };
        self.decide(&request, |it| check(it.error_code, it.error_message.as_ref()))
            .await
            .or_done(ErrorCode::VOTER_NOT_FOUND)
    }
}

impl RaftVoter {
    fn describe(&self) -> String {
        format!("coordinator {} with the directory {}", self.id, self.directory_id)
    }
}
