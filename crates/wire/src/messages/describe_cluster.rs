//! DescribeCluster (key 60): describes the nodes of the cluster.
//!
//! Source: KIP-700, KIP-919.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Describes the nodes of the cluster.
    DescribeClusterRequest "0-2", flexible "0+" {
        include_cluster_authorized_operations: bool, "0+";
        endpoint_type: i8, "1+", default 1;
        include_fenced_brokers: bool, "2+";
    }
}

message! {
    /// Answers a [`DescribeClusterRequest`].
    DescribeClusterResponse "0-2", flexible "0+" {
        throttle_time_ms: i32, "0+";
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+";
        endpoint_type: i8, "1+", default 1;
        cluster_id: Str, "0+";
        controller_id: i32, "0+", default -1;
        brokers: Vec<DescribeClusterBroker>, "0+";
        cluster_authorized_operations: i32, "0+", default -2147483648;
    }

    /// Part of [`DescribeClusterResponse`].
    DescribeClusterBroker {
        broker_id: i32, "0+";
        host: Str, "0+";
        port: i32, "0+";
        rack: Option<Str>, "0+", nullable "0+";
        is_fenced: bool, "2+";
    }
}

request!(DescribeClusterRequest, DescribeCluster, DescribeClusterResponse);
