//! What the operator itself is told, by its environment.

use std::collections::BTreeMap;

/// The operator's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The brokers' image, for clusters that name none.
    pub broker_image: String,
    /// The coordinators' image, for clusters that name none.
    pub coordinator_image: String,
    /// Who this operator is among several: its pod's name.
    pub identity: String,
    /// Where the Lease is by which one of them works.
    pub namespace: String,
    /// The port of probes and metrics.
    pub admin_port: u16,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// The variable that is missing or cannot be used.
    pub fn read(variables: &BTreeMap<String, String>) -> Result<Self, String> {
        let need = |name: &str| {
            variables
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
                .ok_or_else(|| format!("{name} is not set; the chart sets it"))
        };
        let port = variables.get("VLTAVA_ADMIN_PORT").map_or("8080", String::as_str);
        Ok(Self {
            broker_image: need("VLTAVA_BROKER_IMAGE")?,
            coordinator_image: need("VLTAVA_COORDINATOR_IMAGE")?,
            identity: need("POD_NAME")?,
            namespace: need("POD_NAMESPACE")?,
            admin_port: port.parse().map_err(|_| format!("VLTAVA_ADMIN_PORT={port} is no port"))?,
        })
    }
}
