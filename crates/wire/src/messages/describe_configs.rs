//! DescribeConfigs (key 32): describes the configuration of topics and brokers.
//!
//! Source: KIP-133, KIP-226.

use crate::message::request;
use crate::{ErrorCode, Str, message};

message! {
    /// Describes the configuration of topics and brokers.
    DescribeConfigsRequest "1-4", flexible "4+" {
        resources: Vec<DescribeConfigsResource>, "0+";
        include_synonyms: bool, "1+";
        include_documentation: bool, "3+";
    }

    /// Part of [`DescribeConfigsRequest`].
    DescribeConfigsResource {
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        configuration_keys: Option<Vec<Str>>, "0+", nullable "0+", default Some(Default::default());
    }
}

message! {
    /// Answers a [`DescribeConfigsRequest`].
    DescribeConfigsResponse "1-4", flexible "4+" {
        throttle_time_ms: i32, "0+";
        results: Vec<DescribeConfigsResult>, "0+";
    }

    /// Part of [`DescribeConfigsResponse`].
    DescribeConfigsResult {
        error_code: ErrorCode, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        resource_type: i8, "0+";
        resource_name: Str, "0+";
        configs: Vec<DescribeConfigsResourceResult>, "0+";
    }

    /// Part of [`DescribeConfigsResponse`].
    DescribeConfigsResourceResult {
        name: Str, "0+";
        value: Option<Str>, "0+", nullable "0+", default Some(Default::default());
        read_only: bool, "0+";
        config_source: i8, "1+", default -1;
        is_sensitive: bool, "0+";
        synonyms: Vec<DescribeConfigsSynonym>, "1+";
        config_type: i8, "3+";
        documentation: Option<Str>, "3+", nullable "0+", default Some(Default::default());
    }

    /// Part of [`DescribeConfigsResponse`].
    DescribeConfigsSynonym {
        name: Str, "1+";
        value: Option<Str>, "1+", nullable "0+", default Some(Default::default());
        source: i8, "1+";
    }
}

request!(DescribeConfigsRequest, DescribeConfigs, DescribeConfigsResponse);
