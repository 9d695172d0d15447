//! RemoveRaftVoter (key 81): removes a voter from the quorum.
//!
//! Source: KIP-853.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Removes a voter from the quorum.
    RemoveRaftVoterRequest "0", flexible "0+" {
        cluster_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        voter_id: i32, "0+";
        voter_directory_id: Uuid, "0+";
    }
}

message! {
    /// Answers a [`RemoveRaftVoterRequest`].
    RemoveRaftVoterResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(RemoveRaftVoterRequest, RemoveRaftVoter, RemoveRaftVoterResponse);
