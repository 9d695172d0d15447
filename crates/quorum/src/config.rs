//! What a node is told about itself and about time.

use std::time::Duration;

use crate::voter_set::{Endpoint, ReplicaKey};

/// The configuration of one [`Machine`](crate::Machine).
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this node is. Its directory id is that of the log directory, and never zero.
    pub local: ReplicaKey,
    /// Whether this node may ever vote. Coordinators say yes; brokers, whose copy of the log is in
    /// memory, say no and stay observers whatever a voter set says.
    pub can_vote: bool,
    /// Where this node listens for the quorum's requests; empty on brokers.
    pub endpoints: Vec<Endpoint>,
    /// The name of the listener by which voters are reached
    /// (the first of `controller.listener.names`).
    pub listener_name: String,
    /// Where to ask for the leader if nobody is known (`controller.quorum.bootstrap.servers`).
    pub bootstrap: Vec<Endpoint>,
    /// Whether a node that can vote, but does not, asks the leader to be added once it has caught
    /// up (`controller.quorum.auto.join.enable`, KIP-1186).
    pub auto_join: bool,
    /// How long to wait for a vote, a candidacy or a new leader
    /// (`controller.quorum.election.timeout.ms`).
    pub election_timeout: Duration,
    /// How long a follower hears nothing from its leader before it looks for another
    /// (`controller.quorum.fetch.timeout.ms`). A leader that heard of no majority for one and a
    /// half of it resigns.
    pub fetch_timeout: Duration,
    /// How long to wait for any answer (`controller.quorum.request.timeout.ms`).
    pub request_timeout: Duration,
    /// The pause before a request that failed is sent again
    /// (`controller.quorum.retry.backoff.ms`).
    pub retry_backoff: Duration,
    /// The shortest and the longest random wait before a node that lost its leader's connection,
    /// or a round of votes, asks for votes.
    pub election_jitter: (Duration, Duration),
    /// The longest random wait of a node that just started before it asks for votes.
    pub start_jitter: Duration,
    /// How long a leader may keep a fetch that has nothing to return
    /// (less than half of `fetch_timeout`).
    pub fetch_max_wait: Duration,
    /// The most bytes that one fetch asks for.
    pub fetch_max_bytes: u32,
    /// Seeds the election jitter. Give every node another one, or ties last.
    pub seed: u64,
    /// A bug to be found.
    #[cfg(feature = "planted")]
    pub planted: Option<crate::planted::Bug>,
}

impl Config {
    /// Kafka's timeouts, halved where a local network allows it, for the node `local`.
    pub fn new(local: ReplicaKey, seed: u64) -> Self {
        Self {
            local,
            can_vote: true,
            endpoints: Vec::new(),
            listener_name: "CONTROLLER".to_owned(),
            bootstrap: Vec::new(),
            auto_join: false,
            election_timeout: Duration::from_millis(1_000),
            fetch_timeout: Duration::from_millis(2_000),
            request_timeout: Duration::from_millis(2_000),
            retry_backoff: Duration::from_millis(20),
            election_jitter: (Duration::from_millis(50), Duration::from_millis(200)),
            start_jitter: Duration::from_millis(50),
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 8 * 1024 * 1024,
            seed,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Checks what the machine relies on.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.local.directory_id.is_zero() {
            return Err(ConfigError::DirectoryId);
        }
        if self.election_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout);
        }
        if self.retry_backoff.is_zero() {
            return Err(ConfigError::ZeroBackoff);
        }
        if self.fetch_max_wait * 2 > self.fetch_timeout {
            return Err(ConfigError::FetchWait);
        }
        if self.election_jitter.0 > self.election_jitter.1 || self.election_jitter.1.is_zero() {
            return Err(ConfigError::Jitter);
        }
        Ok(())
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Votes and voter sets could not tell this replica from one that lost its disk.
    #[error("the directory id is zero")]
    DirectoryId,
    /// Nothing would ever be waited for.
    #[error("the election or the request timeout is zero")]
    ZeroTimeout,
    /// A dead peer would be asked without a pause.
    #[error("the retry backoff is zero")]
    ZeroBackoff,
    /// A leader with nothing to say would look like a dead one.
    #[error("the fetch wait is longer than half of the fetch timeout")]
    FetchWait,
    /// The shortest wait is longer than the longest, or there is none.
    #[error("the election jitter is not a range")]
    Jitter,
}
