//! Values of control records: the metadata log's (KIP-595, KIP-630, KIP-853) and the marker that
//! ends a transaction (KIP-98).

use crate::{Str, Uuid, message};

message! {
    /// `LeaderChangeMessage`.
    LeaderChangeMessage "0-1", flexible "0+" {
        version: i16, "0+";
        leader_id: i32, "0+";
        voters: Vec<Voter>, "0+";
        granting_voters: Vec<Voter>, "0+";
    }

    /// Part of [`LeaderChangeMessage`].
    Voter {
        voter_id: i32, "0+";
        voter_directory_id: Uuid, "1+";
    }

    /// `SnapshotHeaderRecord`.
    SnapshotHeaderRecord "0", flexible "0+" {
        version: i16, "0+";
        last_contained_log_timestamp: i64, "0+";
    }

    /// `SnapshotFooterRecord`.
    SnapshotFooterRecord "0", flexible "0+" {
        version: i16, "0+";
    }

    /// `KRaftVersionRecord`.
    KRaftVersionRecord "0", flexible "0+" {
        version: i16, "0+";
        k_raft_version: i16, "0+";
    }

    /// `VotersRecord`.
    VotersRecord "0", flexible "0+" {
        version: i16, "0+";
        voters: Vec<VotersVoter>, "0+";
    }

    /// Part of [`VotersRecord`].
    VotersVoter {
        voter_id: i32, "0+";
        voter_directory_id: Uuid, "0+";
        endpoints: Vec<Endpoint>, "0+";
        k_raft_version_feature: KRaftVersionFeature, "0+";
    }

    /// Part of [`VotersRecord`].
    Endpoint {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
    }

    /// Part of [`VotersRecord`].
    KRaftVersionFeature {
        min_supported_version: i16, "0+";
        max_supported_version: i16, "0+";
    }
    /// `EndTxnMarker`.
    EndTxnMarker "0", flexible "none" {
        coordinator_epoch: i32, "0+";
    }
}
