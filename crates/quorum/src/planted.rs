//! Known bugs, to show that the simulator finds such. Built for its own test alone.

/// A bug that a machine can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A vote is on disk only once the epoch has a leader.
    VoteWithoutPersisting,
    /// A vote is given to all who ask in an epoch.
    VoteTwice,
    /// A vote is given whatever the candidate's log lacks.
    VoteForShorterLog,
    /// A request for a vote is taken by whoever has the id, in whatever directory.
    IgnoreDirectoryId,
    /// A node that does not vote takes a request for a vote that names another directory.
    EmptyDiskVotes,
    /// Elections skip the pre-vote.
    SkipPreVote,
    /// Pre-votes are granted though the leader lives.
    GrantPreVoteAlways,
    /// The leader counts what it has not flushed.
    CommitUnflushed,
    /// The leader commits records of older epochs by count.
    CommitOlderEpoch,
    /// One voter less than a majority commits.
    MinorityCommits,
    /// A follower commits beyond the end of its log.
    CommitBeyondLog,
    /// A follower cuts its log at the high watermark.
    TruncateToHighWatermark,
    /// A follower fetches before it flushed.
    AcknowledgeBeforeFlush,
    /// What is found in the log at the start is taken for durable.
    TrustPageCache,
    /// A flush from before a truncation counts for what was written after it.
    StaleFlush,
    /// The leader does not compare epochs when it takes in a fetch.
    SkipDivergenceCheck,
    /// A leader goes on in its epoch after a restart.
    RestartedLeaderLeads,
    /// A voter set counts after its record was truncated.
    KeepTruncatedVoters,
    /// Voters change before the last change is committed.
    OverlappingChanges,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::VoteWithoutPersisting,
        Self::VoteTwice,
        Self::VoteForShorterLog,
        Self::IgnoreDirectoryId,
        Self::EmptyDiskVotes,
        Self::SkipPreVote,
        Self::GrantPreVoteAlways,
        Self::CommitUnflushed,
        Self::CommitOlderEpoch,
        Self::MinorityCommits,
        Self::CommitBeyondLog,
        Self::TruncateToHighWatermark,
        Self::AcknowledgeBeforeFlush,
        Self::TrustPageCache,
        Self::StaleFlush,
        Self::SkipDivergenceCheck,
        Self::RestartedLeaderLeads,
        Self::KeepTruncatedVoters,
        Self::OverlappingChanges,
    ];

    /// In how many seeds the simulator must find it.
    pub fn seeds_max(self) -> u64 {
        match self {
            // It takes a slow disk and a truncation in its one sync.
            Self::StaleFlush => 300,
            // It takes a kill, and a commit that hangs on what was not synced before it.
            Self::TrustPageCache => 300,
            _ => 25,
        }
    }
}
