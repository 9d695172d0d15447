//! Connections to a cluster's brokers, each opened when it is first needed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vltava_client::{ClientError, ConnectOptions, Connection};
use vltava_wire::messages::metadata::MetadataRequestTopic;
use vltava_wire::messages::{MetadataRequest, MetadataResponse};
use vltava_wire::{ErrorCode, Request, Str};

use crate::args::Bootstrap;
use crate::error::CliError;
use crate::local::{ClusterState, DataDir};

/// How long a command goes on trying while the cluster elects leaders.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long opening one connection may take: a command has other brokers to ask.
const CONNECT: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(50);

/// A cluster that can be asked.
pub(crate) struct Session {
    servers: Vec<String>,
    options: ConnectOptions,
    connections: RefCell<BTreeMap<String, Connection>>,
}

impl Session {
    /// The cluster that was named, or else that of the data folder.
    ///
    /// # Errors
    /// [`CliError::NoCluster`] if none was named and the folder has none.
    pub(crate) fn open(dir: &DataDir, bootstrap: &Bootstrap) -> Result<Self, CliError> {
        if bootstrap.servers.is_empty() {
            return Ok(Self::to(ClusterState::existing(dir, true)?.bootstrap()));
        }
        Ok(Self::to(bootstrap.servers.clone()))
    }

    /// The cluster with these brokers.
    pub(crate) fn to(servers: Vec<String>) -> Self {
        let options =
            ConnectOptions { connect_timeout: CONNECT, ..ConnectOptions::named("vltava-cli") };
        Self { servers, options, connections: RefCell::default() }
    }

    /// Asks whichever broker answers. Brokers hand on what the active coordinator decides.
    pub(crate) async fn ask<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let mut last = String::from("no broker is known");
        for server in &self.servers {
            match self.ask_at(server, request, i16::MAX).await {
                Err(error) if error.code().is_none() && error.is_retriable() => {
                    last = full(&error);
                }
                other => return other,
            }
        }
        Err(ClientError::NoNode { tried: self.servers.join(", "), last })
    }

    /// Asks one node, in a version of at most `max`.
    pub(crate) async fn ask_at<R: Request>(
        &self,
        address: &str,
        request: &R,
        max: i16,
    ) -> Result<R::Response, ClientError> {
        let connection = self.connection(address).await?;
        let version = connection.version_of::<R>(max)?;
        connection.call_at(version, request).await
    }

    async fn connection(&self, address: &str) -> Result<Connection, ClientError> {
        let known = self.connections.borrow().get(address).cloned();
        if let Some(connection) = known.filter(|connection| !connection.is_closed()) {
            return Ok(connection);
        }
        let connection = Connection::connect(address, &self.options).await?;
        self.connections.borrow_mut().insert(address.to_owned(), connection.clone());
        Ok(connection)
    }

    /// The cluster's brokers, and the topics that are named, or all.
    pub(crate) async fn metadata(
        &self,
        topics: Option<&[String]>,
    ) -> Result<MetadataResponse, ClientError> {
        let topics = topics.map(|names| {
            let topic = |name: &String| MetadataRequestTopic {
                name: Some(name.as_str().into()),
                ..Default::default()
            };
            names.iter().map(topic).collect()
        });
        let request =
            MetadataRequest { topics, allow_auto_topic_creation: false, ..Default::default() };
        self.ask(&request).await
    }
}

/// The address of a broker that metadata names.
pub(crate) fn address_of(metadata: &MetadataResponse, id: i32) -> Option<String> {
    let broker = metadata.brokers.iter().find(|broker| broker.node_id == id)?;
    Some(format!("{}:{}", broker.host, broker.port))
}

/// Success, or the refusal that a code and a message stand for.
pub(crate) fn check(
    what: impl FnOnce() -> String,
    code: ErrorCode,
    message: Option<&Str>,
) -> Result<(), ClientError> {
    if code.is_ok() {
        return Ok(());
    }
    Err(ClientError::Refused { what: what(), code, message: message.map(ToString::to_string) })
}

/// Tries again while the cluster says that it may work a little later.
pub(crate) async fn retried<T, F: Future<Output = Result<T, ClientError>>>(
    within: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let deadline = Instant::now() + within;
    loop {
        match attempt().await {
            Err(error) if error.is_retriable() && Instant::now() + RETRY < deadline => {
                tokio::time::sleep(RETRY).await;
            }
            other => return other,
        }
    }
}

/// An error with its causes, in one line.
fn full(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
