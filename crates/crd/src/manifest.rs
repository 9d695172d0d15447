//! From YAML to a [`KafkaCluster`], with the place of whatever is wrong.

use serde::Deserialize;
use serde_norway::Deserializer;

use crate::resource::KafkaCluster;

/// The longest manifest, in bytes: Kubernetes itself takes no object beyond 1.5 MiB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The manifest of the cluster that runs where none is named.
pub const PRAGUE: &str = include_str!("../manifests/prague.yaml");

const API_VERSION: &str = "vltava.dev/v1alpha1";
const KIND: &str = "KafkaCluster";

/// Why a text is no manifest of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is too long.
    #[error("the manifest is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is not YAML, or a part of it has the wrong type.
    #[error("{place}{what}")]
    Read {
        /// Where, as `spec.brokers.replicas: `; empty for the whole text.
        place: String,
        /// What is wrong, with line and column.
        what: String,
    },
    /// A field that the resource does not have.
    #[error("{path}: there is no such field; take it out or correct its name")]
    UnknownField {
        /// Where.
        path: String,
    },
    /// Another kind of resource, or none at all.
    #[error("there is no {KIND} in the manifest; its kind is {found}, of {API_VERSION} is needed")]
    NoCluster {
        /// What is there instead.
        found: String,
    },
    /// More than one cluster.
    #[error("there are {count} clusters in the manifest; one is needed")]
    ManyClusters {
        /// How many.
        count: usize,
    },
    /// Another version of the resource.
    #[error("apiVersion is {found}; {API_VERSION} is needed")]
    OtherVersion {
        /// What is there instead.
        found: String,
    },
}

/// What every resource starts with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

/// Reads the one cluster in a text. Documents of other kinds beside it are left alone.
///
/// # Errors
/// [`ManifestError`] with the path of what is wrong.
pub fn parse(text: &str) -> Result<KafkaCluster, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLong);
    }
    let mut clusters = Vec::new();
    let mut others = Vec::new();
    for (index, document) in Deserializer::from_str(text).enumerate() {
        let head = Option::<Head>::deserialize(document).map_err(|error| whole(&error))?;
        let Some(head) = head else { continue };
        match head.kind.as_deref() {
            Some(KIND) => clusters.push((index, head)),
            Some(kind) => others.push(kind.to_owned()),
            None => others.push("not said".to_owned()),
        }
    }
    let [(index, head)] = clusters.as_slice() else {
        return Err(match clusters.len() {
            0 if others.is_empty() => ManifestError::NoCluster { found: "not said".to_owned() },
            0 => ManifestError::NoCluster { found: others.join(", ") },
            count => ManifestError::ManyClusters { count },
        });
    };
    match head.api_version.as_deref() {
        Some(API_VERSION) => {}
        found => {
            let found = found.unwrap_or("not set").to_owned();
            return Err(ManifestError::OtherVersion { found });
        }
    }
    let document = Deserializer::from_str(text).nth(*index);
    read(document.expect("the same text has the same documents"))
}

fn whole(error: &serde_norway::Error) -> ManifestError {
    ManifestError::Read { place: String::new(), what: error.to_string() }
}

fn read(document: Deserializer<'_>) -> Result<KafkaCluster, ManifestError> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let watched = serde_ignored::Deserializer::new(document, &mut note);
    let cluster: KafkaCluster = serde_path_to_error::deserialize(watched).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => String::new(),
            path => format!("{path}: "),
        };
        // The library names the path once more.
        let mut what = error.inner().to_string();
        if let Some(rest) = place
            .get(..place.len().saturating_sub(2))
            .and_then(|path| what.strip_prefix(path).and_then(|rest| rest.strip_prefix(": ")))
        {
            what = rest.to_owned();
        }
        ManifestError::Read { place, what }
    })?;
    let heads = ["apiVersion", "kind"];
    // Kubernetes adds a status of its own to what it is given.
    let unknown = unknown.into_iter().find(|path| {
        !heads.contains(&path.as_str()) && path != "status" && !path.starts_with("status.")
    });
    match unknown {
        Some(path) => Err(ManifestError::UnknownField { path }),
        None => Ok(cluster),
    }
}

/// The cluster of [`PRAGUE`].
pub fn prague() -> KafkaCluster {
    parse(PRAGUE).expect("a test reads the embedded manifest")
}
