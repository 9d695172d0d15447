//! A whole cluster: a connection a node, what the nodes say about each other, and retries.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::{Mutex, RwLock};
use rand::seq::SliceRandom;
use tokio::time::Instant;
use vltava_wire::messages::find_coordinator::FindCoordinatorRequest;
use vltava_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use vltava_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};
use vltava_wire::{ErrorCode, Request, Str};

use crate::connection::Connection;
use crate::error::ClientError;
use crate::options::ConnectOptions;
use crate::topic::Topic;

mod deciding;

pub(crate) use deciding::Decided;

/// How long a topic or a node that no node knows is asked for: one that is new reaches all nodes
/// sooner, and one that does not exist should be said so soon.
const UNKNOWN_MAX: Duration = Duration::from_secs(5);

/// How long any node is waited for before another one is tried beside it: one that stands still
/// accepts a connection, and says nothing.
const NEXT_AFTER: Duration = Duration::from_millis(500);

/// How often it is checked whether a leader that has not answered still is the leader, and how
/// long that may take.
const LEADER_CHECK: Duration = Duration::from_secs(1);

/// Whom the bootstrap addresses belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    /// Brokers: clients' own side of the cluster.
    #[default]
    Brokers,
    /// Coordinators, on the listener of their quorum (KIP-919).
    Coordinators,
}

/// How a cluster is talked to.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// How connections are made.
    pub connect: ConnectOptions,
    /// Whom the bootstrap addresses belong to.
    pub speaks: Speaks,
    /// The first pause before a retry; it doubles up to the other.
    pub backoff_min: Duration,
    /// The longest pause before a retry.
    pub backoff_max: Duration,
    /// How long a call may take with all its retries.
    pub deadline: Duration,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        // A node that hangs takes only a part of the deadline; the rest is for the others.
        let connect_timeout = Duration::from_secs(5);
        let request_timeout = Duration::from_secs(10);
        Self {
            connect: ConnectOptions {
                connect_timeout,
                request_timeout,
                ..ConnectOptions::default()
            },
            speaks: Speaks::Brokers,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            deadline: Duration::from_secs(30),
        }
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// Where it is reached.
    pub host: Str,
    /// Where it is reached.
    pub port: i32,
    /// The rack it says it is in.
    pub rack: Option<Str>,
    /// Whether it is fenced; only DescribeCluster shows such nodes.
    pub fenced: bool,
}

impl Node {
    /// `host:port`, brackets around an IPv6 address.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// What the nodes said last.
#[derive(Debug, Default)]
struct View {
    nodes: BTreeMap<i32, Node>,
    controller: Option<i32>,
    topics: HashMap<String, Arc<Topic>>,
    /// The coordinators of groups.
    groups: HashMap<String, i32>,
}

/// One connection, made when it is needed; whoever needs it meanwhile waits for the same one.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

/// A cluster. Clones share connections and knowledge.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    /// By address.
    connections: Arc<Mutex<HashMap<String, Slot>>>,
}

struct Inner {
    bootstrap: Vec<String>,
    options: ClusterOptions,
    view: RwLock<View>,
}

impl Cluster {
    /// A cluster that has nodes at these addresses (`host:port`, several separated by commas).
    /// Nothing is connected before the first call.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] if there is no address, or one without a port.
    pub fn new(bootstrap: &str, options: ClusterOptions) -> Result<Self, ClientError> {
        let addresses = bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty());
        let bootstrap: Vec<String> = addresses.map(str::to_owned).collect();
        let has_port = |address: &str| {
            address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        if let Some(bad) = bootstrap.iter().find(|address| !has_port(address)) {
            return Err(ClientError::Invalid(format!("{bad:?} is not host:port")));
        }
        if bootstrap.is_empty() {
            return Err(ClientError::Invalid("there is no bootstrap address".to_owned()));
        }
        let view = RwLock::default();
        let inner = Arc::new(Inner { bootstrap, options, view });
        Ok(Self { inner, connections: Arc::default() })
    }

    /// The same cluster over connections of its own: for calls that wait at the other end. Apache
    /// Kafka does not look at a connection's next request before it has answered the last one,
    /// so a long poll or a member that joins its group would hold up everybody else.
    #[must_use]
    pub fn with_own_connections(&self) -> Self {
        Self { inner: self.inner.clone(), connections: Arc::default() }
    }

    /// As it was made.
    pub fn options(&self) -> &ClusterOptions {
        &self.inner.options
    }

    /// The nodes that are known, by id.
    pub fn nodes(&self) -> Vec<Node> {
        self.inner.view.read().nodes.values().cloned().collect()
    }

    /// A connection to a node that is known. One attempt.
    ///
    /// # Errors
    /// If the node is not known or cannot be reached.
    pub async fn node(&self, id: i32) -> Result<Connection, ClientError> {
        let mut address = self.address_of(id);
        if address.is_none() {
            self.refresh().await?;
            address = self.address_of(id);
        }
        self.connection(&address.ok_or(ClientError::UnknownNode { id })?).await
    }

    fn address_of(&self, id: i32) -> Option<String> {
        self.inner.view.read().nodes.get(&id).map(Node::address)
    }

    /// A connection to any node that can be reached.
    ///
    /// # Errors
    /// [`ClientError::NoNode`] if there is none.
    pub async fn any(&self) -> Result<Connection, ClientError> {
        if let Some(open) = self.any_open() {
            return Ok(open);
        }
        let mut addresses: Vec<String> =
            self.inner.view.read().nodes.values().map(Node::address).collect();
        addresses.shuffle(&mut rand::rng());
        let more = self.inner.bootstrap.iter().filter(|address| !addresses.contains(address));
        let more: Vec<String> = more.cloned().collect();
        addresses.extend(more);
        let mut last = String::new();
        let (mut next, mut asked) = (addresses.iter(), FuturesUnordered::new());
        loop {
            match next.next() {
                Some(address) => asked.push(self.connection(address)),
                None if asked.is_empty() => break,
                None => {}
            }
            tokio::select! {
                Some(answer) = asked.next() => match answer {
                    Ok(connection) => return Ok(connection),
                    Err(error) => last = chain(&error),
                },
                () = tokio::time::sleep(NEXT_AFTER), if next.len() > 0 => {}
            }
        }
        Err(ClientError::NoNode { tried: addresses.join(", "), last })
    }

    fn any_open(&self) -> Option<Connection> {
        let connections = self.connections.lock();
        let mut open: Vec<Connection> = connections
            .values()
            .filter_map(|slot| slot.try_lock().ok()?.clone())
            .filter(|connection| !connection.is_closed())
            .collect();
        open.shuffle(&mut rand::rng());
        open.pop()
    }

    async fn connection(&self, address: &str) -> Result<Connection, ClientError> {
        let slot = self.connections.lock().entry(address.to_owned()).or_default().clone();
        let mut slot = slot.lock().await;
        match &*slot {
            Some(connection) if !connection.is_closed() => Ok(connection.clone()),
            _ => {
                let options = &self.inner.options.connect;
                let connection = Connection::connect(address, options).await?;
                *slot = Some(connection.clone());
                Ok(connection)
            }
        }
    }

    /// Repeats `attempt` while its error is one that may pass, up to the deadline.
    ///
    /// What is asked twice may be done twice, if the first answer was lost.
    ///
    /// # Errors
    /// The attempt's own error, or [`ClientError::Deadline`] with the last one.
    pub async fn retry<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.retry_within(self.inner.options.deadline, attempt).await
    }

    /// As [`retry`](Self::retry), with a deadline of its own.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn retry_within<T, F>(
        &self,
        after: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let start = Instant::now();
        let deadline = start + after;
        let mut backoff = self.inner.options.backoff_min;
        loop {
            let error = match tokio::time::timeout_at(deadline, attempt()).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) if !error.is_retriable() => return Err(error),
                Ok(Err(error)) if is_unknown(&error) && start.elapsed() > UNKNOWN_MAX => {
                    return Err(error);
                }
                Ok(Err(error)) => error,
                Err(_) => ClientError::Invalid("no answer at all".to_owned()),
            };
            let pause = backoff.mul_f64(rand::random_range(0.8..1.2));
            if Instant::now() + pause >= deadline {
                return Err(ClientError::Deadline { after, last: Box::new(error) });
            }
            tracing::debug!("trying again: {}", chain(&error));
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(self.inner.options.backoff_max);
        }
    }

    /// Calls any node, and again if that fails; `check` finds the errors within the answer.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn call<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), ClientError>,
    ) -> Result<R::Response, ClientError> {
        let check = &check;
        self.retry(|| async move {
            let response = self.any().await?.call(request).await?;
            check(&response).map(|()| response)
        })
        .await
    }

    /// Asks any node which nodes there are.
    async fn refresh(&self) -> Result<(), ClientError> {
        match self.inner.options.speaks {
            Speaks::Brokers => self.metadata(Some(&[]), false).await.map(|_| ()),
            Speaks::Coordinators => self.describe().await.map(|_| ()),
        }
    }

    /// Asks any node for DescribeCluster once, and keeps what it says about nodes.
    ///
    /// # Errors
    /// If no node answers or the answer is an error.
    pub async fn describe(&self) -> Result<DescribeClusterResponse, ClientError> {
        let connection = self.any().await?;
        let endpoint_type = match self.inner.options.speaks {
            Speaks::Brokers => 1,
            Speaks::Coordinators => 2,
        };
        let request = DescribeClusterRequest {
            endpoint_type,
            include_fenced_brokers: endpoint_type == 1,
            ..DescribeClusterRequest::default()
        };
        let response = connection.call(&request).await?;
        let message = response.error_message.as_deref();
        ClientError::check(|| "the cluster".to_owned(), response.error_code, message)?;
        let nodes = response.brokers.iter().map(|node| Node {
            id: node.broker_id,
            host: node.host.detach(),
            port: node.port,
            rack: node.rack.as_ref().map(Str::detach),
            fenced: node.is_fenced,
        });
        self.learn(nodes.collect(), response.controller_id);
        Ok(response)
    }

    /// Asks any node once for the metadata of some topics, or of all; keeps what it says.
    ///
    /// # Errors
    /// If no node answers. Errors of single topics are in the answer.
    pub async fn metadata(
        &self,
        topics: Option<&[&str]>,
        create: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let topic = |name: &&str| MetadataRequestTopic {
            name: Some((*name).into()),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(topic).collect()),
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let response = self.any().await?.call(&request).await?;
        ClientError::check(|| "metadata".to_owned(), response.error_code, None)?;
        let nodes = response.brokers.iter().map(|node| Node {
            id: node.node_id,
            host: node.host.detach(),
            port: node.port,
            rack: node.rack.as_ref().map(Str::detach),
            fenced: false,
        });
        self.learn(nodes.collect(), response.controller_id);
        let mut view = self.inner.view.write();
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            match topic.error_code.is_ok() {
                true => view.topics.insert(name.to_string(), Arc::new(topic.into())),
                false => view.topics.remove(name.as_str()),
            };
        }
        drop(view);
        Ok(response)
    }

    fn learn(&self, nodes: Vec<Node>, controller: i32) {
        // A node that has just started may know nobody yet.
        if nodes.is_empty() {
            return;
        }
        let addresses: Vec<String> = nodes.iter().map(Node::address).collect();
        let mut view = self.inner.view.write();
        view.nodes = nodes.into_iter().map(|node| (node.id, node)).collect();
        view.controller = (controller >= 0).then_some(controller);
        drop(view);
        let known = |address: &String| {
            addresses.contains(address) || self.inner.bootstrap.contains(address)
        };
        self.connections.lock().retain(|address, _| known(address));
    }

    /// What is known of a topic; asks, if that is nothing.
    ///
    /// # Errors
    /// If the topic does not exist, or no node answers. One attempt.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        self.topic_or(name, false).await
    }

    /// As [`topic`](Self::topic); a topic that does not exist is created, if the cluster is
    /// configured so, and is there a little later.
    pub(crate) async fn topic_or_new(&self, name: &str) -> Result<Arc<Topic>, ClientError> {
        self.topic_or(name, true).await
    }

    async fn topic_or(&self, name: &str, create: bool) -> Result<Arc<Topic>, ClientError> {
        if let Some(topic) = self.inner.view.read().topics.get(name) {
            return Ok(topic.clone());
        }
        let response = self.metadata(Some(&[name]), create).await?;
        let code = response.topics.first().map_or(ErrorCode::NONE, |topic| topic.error_code);
        ClientError::check(|| format!("topic {name}"), code, None)?;
        let known = self.inner.view.read().topics.get(name).cloned();
        known.ok_or_else(|| ClientError::Invalid(format!("no node knows topic {name}")))
    }

    /// Forgets a topic: what was known turned out to be old.
    pub fn forget_topic(&self, name: &str) {
        self.inner.view.write().topics.remove(name);
    }

    /// The leader of a partition. One attempt.
    ///
    /// # Errors
    /// If there is none at the moment, or no such partition.
    pub async fn leader(&self, name: &str, partition: i32) -> Result<i32, ClientError> {
        let topic = self.topic(name).await?;
        let what = || format!("{name}-{partition}");
        let known = topic.partition(partition);
        let code = match known {
            Some(known) if known.leader.is_none() => ErrorCode::LEADER_NOT_AVAILABLE,
            Some(_) => ErrorCode::NONE,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        if code.is_err() {
            self.forget_topic(name);
        }
        ClientError::check(what, code, None)?;
        Ok(known.and_then(|known| known.leader).unwrap_or(-1))
    }

    /// Waits until another node than `leader` leads a partition: so a call to a leader that hangs
    /// is given up once the cluster has given that leader up.
    pub(crate) async fn leader_moved(&self, name: &str, partition: i32, leader: i32) {
        loop {
            tokio::time::sleep(LEADER_CHECK).await;
            // The node that is asked may be the one that hangs.
            let names = [name];
            let asked = self.metadata(Some(&names), false);
            if !matches!(tokio::time::timeout(LEADER_CHECK, asked).await, Ok(Ok(_))) {
                continue;
            }
            let now = self.inner.view.read().topics.get(name).cloned();
            let now = now.and_then(|topic| topic.partition(partition)?.leader);
            if now.is_some_and(|now| now != leader) {
                return;
            }
        }
    }

    /// The node that coordinates a group. One attempt.
    ///
    /// # Errors
    /// If there is none at the moment.
    pub async fn group_coordinator(&self, group: &str) -> Result<i32, ClientError> {
        if let Some(id) = self.inner.view.read().groups.get(group) {
            return Ok(*id);
        }
        let connection = self.any().await?;
        let version = connection.version_of::<FindCoordinatorRequest>(i16::MAX)?;
        let mut request = FindCoordinatorRequest::default();
        match version {
            0..=3 => request.key = group.into(),
            _ => request.coordinator_keys = vec![group.into()],
        }
        let response = connection.call_at(version, &request).await?;
        let (code, message, id) = match response.coordinators.first() {
            Some(found) => (found.error_code, found.error_message.clone(), found.node_id),
            None => (response.error_code, response.error_message, response.node_id),
        };
        let what = || format!("the coordinator of group {group}");
        ClientError::check(what, code, message.as_deref())?;
        self.inner.view.write().groups.insert(group.to_owned(), id);
        Ok(id)
    }

    /// Forgets which node coordinates a group.
    pub fn forget_group_coordinator(&self, group: &str) {
        self.inner.view.write().groups.remove(group);
    }

    /// Calls the coordinator of a group, and again if that fails; `check` finds the errors
    /// within the answer.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn call_group<R: Request>(
        &self,
        group: &str,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), ClientError>,
    ) -> Result<R::Response, ClientError> {
        let check = &check;
        self.retry(|| async move {
            let id = self.group_coordinator(group).await?;
            let called = async {
                let response = self.node(id).await?.call(request).await?;
                check(&response).map(|()| response)
            };
            let result = called.await;
            if result.as_ref().is_err_and(ClientError::is_retriable) {
                self.forget_group_coordinator(group);
            }
            result
        })
        .await
    }
}

fn is_unknown(error: &ClientError) -> bool {
    let code = error.code();
    matches!(error, ClientError::UnknownNode { .. })
        || code == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        || code == Some(ErrorCode::UNKNOWN_TOPIC_ID)
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("bootstrap", &self.inner.bootstrap).finish_non_exhaustive()
    }
}
