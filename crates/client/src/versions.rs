//! Which requests a node serves, and in which versions.

use std::collections::HashMap;

use bytes::Bytes;
use vltava_wire::messages::ApiVersionsResponse;
use vltava_wire::{ApiKey, DecodeError, ErrorCode, Message, Reader, Versions};

/// What a node says about itself in its ApiVersions answer.
#[derive(Clone, Debug, Default)]
pub struct NodeVersions {
    served: HashMap<i16, Versions>,
    response: ApiVersionsResponse,
}

impl NodeVersions {
    /// The versions of a request that the node serves.
    pub fn of(&self, key: ApiKey) -> Option<Versions> {
        self.served.get(&key.code()).copied()
    }

    /// The node's whole answer, features among it.
    pub fn response(&self) -> &ApiVersionsResponse {
        &self.response
    }

    /// The highest version that the node serves within `ours`.
    pub fn highest(&self, key: ApiKey, ours: Versions) -> Option<i16> {
        let theirs = self.of(key)?;
        let highest = ours.max.min(theirs.max);
        (highest >= ours.min.max(theirs.min)).then_some(highest)
    }
}

impl From<ApiVersionsResponse> for NodeVersions {
    fn from(response: ApiVersionsResponse) -> Self {
        let served = response.api_keys.iter().map(|served| {
            let versions = Versions { min: served.min_version, max: served.max_version };
            (served.api_key, versions)
        });
        Self { served: served.collect(), response }
    }
}

/// Reads an answer to ApiVersions: a node that does not know the version answers in version 0
/// with UNSUPPORTED_VERSION (KIP-511).
pub(crate) fn read_api_versions(
    body: Bytes,
    version: i16,
) -> Result<ApiVersionsResponse, DecodeError> {
    let code = ErrorCode(Reader::new(body.clone()).i16()?);
    let version = if code == ErrorCode::UNSUPPORTED_VERSION { 0 } else { version };
    ApiVersionsResponse::read(body, version)
}
