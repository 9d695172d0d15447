//! UpdateRaftVoter (key 82): updates the endpoints of a voter.
//!
//! Source: KIP-853.

use crate::message::request;
use crate::{ErrorCode, Str, Uuid, message};

message! {
    /// Updates the endpoints of a voter.
    UpdateRaftVoterRequest "0", flexible "0+" {
        cluster_id: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        current_leader_epoch: i32, "0+";
        voter_id: i32, "0+";
        voter_directory_id: Uuid, "0+";
        listeners: Vec<Listener>, "0+";
        k_raft_version_feature: KRaftVersionFeature, "0+";
    }

    /// Part of [`UpdateRaftVoterRequest`].
    Listener {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
    }

    /// Part of [`UpdateRaftVoterRequest`].
    KRaftVersionFeature {
        min_supported_version: i16, "0+";
        max_supported_version: i16, "0+";
    }
}

message! {
    /// Answers a [`UpdateRaftVoterRequest`].
    UpdateRaftVoterResponse "0", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        current_leader: CurrentLeader, "0+", tagged 0 "0+";
    }

    /// Part of [`UpdateRaftVoterResponse`].
    CurrentLeader {
        leader_id: i32, "0+", default -1;
        leader_epoch: i32, "0+", default -1;
        host: Str, "0+";
        port: i32, "0+";
    }
}

request!(UpdateRaftVoterRequest, UpdateRaftVoter, UpdateRaftVoterResponse);
