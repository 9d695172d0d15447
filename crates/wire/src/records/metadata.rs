//! Records of the metadata log `__cluster_metadata-0` (KIP-631).

use crate::{Str, Uuid, message};

message! {
    /// `RegisterBrokerRecord`, type 0.
    RegisterBrokerRecord "0-3", flexible "0+" {
        broker_id: i32, "0+";
        is_migrating_zk_broker: bool, "2+";
        incarnation_id: Uuid, "0+";
        broker_epoch: i64, "0+";
        end_points: Vec<BrokerEndpoint>, "0+";
        features: Vec<BrokerFeature>, "0+";
        rack: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        fenced: bool, "0+", default true;
        in_controlled_shutdown: bool, "1+";
        log_dirs: Vec<Uuid>, "3+", tagged 0 "3+";
    }

    /// Part of [`RegisterBrokerRecord`].
    BrokerEndpoint {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
        security_protocol: i16, "0+";
    }

    /// Part of [`RegisterBrokerRecord`].
    BrokerFeature {
        name: Str, "0+";
        min_supported_version: i16, "0+";
        max_supported_version: i16, "0+";
    }

    /// `UnregisterBrokerRecord`, type 1.
    UnregisterBrokerRecord "0", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+";
    }

    /// `BrokerRegistrationChangeRecord`, type 17.
    BrokerRegistrationChangeRecord "0-2", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+";
        fenced: i8, "0+", tagged 0 "0+";
        in_controlled_shutdown: i8, "1+", tagged 1 "1+";
        log_dirs: Vec<Uuid>, "2+", tagged 2 "2+";
    }

    /// `RegisterControllerRecord`, type 27.
    RegisterControllerRecord "0", flexible "0+" {
        controller_id: i32, "0+";
        incarnation_id: Uuid, "0+";
        zk_migration_ready: bool, "0+";
        end_points: Vec<ControllerEndpoint>, "0+";
        features: Vec<ControllerFeature>, "0+";
    }

    /// Part of [`RegisterControllerRecord`].
    ControllerEndpoint {
        name: Str, "0+";
        host: Str, "0+";
        port: u16, "0+";
        security_protocol: i16, "0+";
    }

    /// Part of [`RegisterControllerRecord`].
    ControllerFeature {
        name: Str, "0+";
        min_supported_version: i16, "0+";
        max_supported_version: i16, "0+";
    }

    /// `TopicRecord`, type 2.
    TopicRecord "0", flexible "0+" {
        name: Str, "0+";
        topic_id: Uuid, "0+";
    }

    /// `RemoveTopicRecord`, type 9.
    RemoveTopicRecord "0", flexible "0+" {
        topic_id: Uuid, "0+";
    }

    /// `PartitionRecord`, type 3.
    PartitionRecord "0-2", flexible "0+" {
        partition_id: i32, "0+", default -1;
        topic_id: Uuid, "0+";
        replicas: Vec<i32>, "0+";
        isr: Vec<i32>, "0+";
        removing_replicas: Vec<i32>, "0+";
        adding_replicas: Vec<i32>, "0+";
        leader: i32, "0+", default -1;
        leader_recovery_state: i8, "0+", tagged 0 "0+";
        leader_epoch: i32, "0+", default -1;
        partition_epoch: i32, "0+", default -1;
        directories: Vec<Uuid>, "1+";
        eligible_leader_replicas: Option<Vec<i32>>, "2+", nullable "2+", tagged 1 "2+";
        last_known_elr: Option<Vec<i32>>, "2+", nullable "2+", tagged 2 "2+";
    }

    /// `PartitionChangeRecord`, type 5.
    PartitionChangeRecord "0-2", flexible "0+" {
        partition_id: i32, "0+", default -1;
        topic_id: Uuid, "0+";
        isr: Option<Vec<i32>>, "0+", nullable "0+", tagged 0 "0+";
        leader: i32, "0+", tagged 1 "0+", default -2;
        replicas: Option<Vec<i32>>, "0+", nullable "0+", tagged 2 "0+";
        removing_replicas: Option<Vec<i32>>, "0+", nullable "0+", tagged 3 "0+";
        adding_replicas: Option<Vec<i32>>, "0+", nullable "0+", tagged 4 "0+";
        leader_recovery_state: i8, "0+", tagged 5 "0+", default -1;
        directories: Option<Vec<Uuid>>, "1+", nullable "1+", tagged 8 "1+";
        eligible_leader_replicas: Option<Vec<i32>>, "2+", nullable "2+", tagged 6 "2+";
        last_known_elr: Option<Vec<i32>>, "2+", nullable "2+", tagged 7 "2+";
    }

    /// `ConfigRecord`, type 4.
    ConfigRecord "0", flexible "0+" {
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        name: Str, "0+";
        value: Option<Str>, "0+", nullable "0+", default Some(Default::default());
    }

    /// `FeatureLevelRecord`, type 12.
    FeatureLevelRecord "0", flexible "0+" {
        name: Str, "0+";
        feature_level: i16, "0+";
    }

    /// `ProducerIdsRecord`, type 15.
    ProducerIdsRecord "0", flexible "0+" {
        broker_id: i32, "0+";
        broker_epoch: i64, "0+", default -1;
        next_producer_id: i64, "0+";
    }

    /// `ClearElrRecord`, type 28.
    ClearElrRecord "0", flexible "0+" {
        topic_name: Str, "0+";
    }

    /// `NoOpRecord`, type 20.
    NoOpRecord "0", flexible "0+" {
    }
}
