//! AddRaftVoter (key 80): adds a voter to the quorum.
//!
//! Source: KIP-853.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Adds a voter to the quorum.
    AddRaftVoterRequest "0-1", flexible "0+" {
        cluster_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        timeout_ms: i32, "0+";
        voter_id: i32, "0+";
        voter_directory_id: Uuid, "0+";
        listeners: Vec<Listener>, "0+";
        ack_when_committed: bool, "1+", default true;
    }

    /// Part of [`AddRaftVoterRequest`].
    Listener {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
    }
}

message! {
    /// Answers a [`AddRaftVoterRequest`].
    AddRaftVoterResponse "0-1", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }
}

request!(AddRaftVoterRequest, AddRaftVoter, AddRaftVoterResponse);
