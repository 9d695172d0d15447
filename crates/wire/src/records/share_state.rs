//! Keys and values of `__share_group_state` (KIP-932, KIP-1226).

use crate::{Str, Uuid, message};

message! {
    /// `ShareSnapshotKey`, type 0.
    ShareSnapshotKey "0", flexible "none" {
        group_id: Str, "0";
        topic_id: Uuid, "0";
        partition: i32, "0";
    }

    /// `ShareSnapshotValue`, type 0.
    ShareSnapshotValue "0", flexible "0+" {
        snapshot_epoch: i32, "0+";
        state_epoch: i32, "0+";
        leader_epoch: i32, "0+";
        start_offset: i64, "0+";
        delivery_complete_count: i32, "0+", tagged 0 "0+", default -1;
        create_timestamp: i64, "0+";
        write_timestamp: i64, "0+";
        state_batches: Vec<StateBatch>, "0+";
    }

    /// Part of [`ShareSnapshotValue`].
    StateBatch {
        first_offset: i64, "0+";
        last_offset: i64, "0+";
        delivery_state: i8, "0+";
        delivery_count: i16, "0+";
    }

    /// `ShareUpdateKey`, type 1.
    ShareUpdateKey "0", flexible "none" {
        group_id: Str, "0";
        topic_id: Uuid, "0";
        partition: i32, "0";
    }

    /// `ShareUpdateValue`, type 1.
    ShareUpdateValue "0", flexible "0+" {
        snapshot_epoch: i32, "0+";
        leader_epoch: i32, "0+";
        start_offset: i64, "0+";
        delivery_complete_count: i32, "0+", tagged 0 "0+", default -1;
        state_batches: Vec<StateBatch>, "0+";
    }
}
