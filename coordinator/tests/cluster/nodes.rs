//! Processes of coordinators in a folder of their own, and brokers that only send heartbeats.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vltava_client::{ConnectOptions, Connection};
use vltava_metadata::supported_features;
use vltava_wire::messages::broker_registration::{Feature, Listener};
use vltava_wire::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use vltava_wire::messages::describe_quorum::{PartitionData, TopicData};
use vltava_wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use vltava_wire::messages::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, BrokerRegistrationResponse,
    CreateTopicsRequest, CreateTopicsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    IncrementalAlterConfigsRequest,
};
use vltava_wire::{ErrorCode, Request, Uuid};

const CLUSTER: &str = "AAAAAAAAQACAAAAAAAAACA";

/// The directory id that the founders' list gives a node.
pub fn listed(node: usize) -> Uuid {
    Uuid::from_random(1 + node as u128)
}

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Coordinators, by index; those that were added later do not vote.
pub struct Quorum {
    folder: tempfile::TempDir,
    ports: Vec<u16>,
    admin_ports: Vec<u16>,
    voters: usize,
    extra: Vec<(String, String)>,
    processes: Vec<Option<Child>>,
    paused: BTreeSet<usize>,
}

fn free_ports(count: usize) -> Vec<u16> {
    let bound: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    bound.iter().map(|it| it.local_addr().expect("an address").port()).collect()
}

impl Quorum {
    /// Founds a quorum.
    pub async fn start(voters: usize) -> Self {
        Self::start_with(voters, &[]).await
    }

    /// Founds a quorum with settings.
    pub async fn start_with(voters: usize, extra: &[(&str, &str)]) -> Self {
        let mut quorum = Self::of(voters, extra);
        (0..voters).for_each(|node| quorum.start_node(node));
        quorum
    }

    /// Founders that are not started yet.
    pub fn of(voters: usize, extra: &[(&str, &str)]) -> Self {
        let ports = free_ports(2 * (voters + 1));
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            admin_ports: ports[voters + 1..].to_vec(),
            ports: ports[..=voters].to_vec(),
            voters,
            extra: extra.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            processes: (0..voters).map(|_| None).collect(),
            paused: BTreeSet::new(),
        }
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("coordinator-{node}"))
    }

    fn settings(&self, node: usize) -> Vec<(String, String)> {
        let address = |node: usize| format!("127.0.0.1:{}", self.ports[node]);
        let voters = 0..self.voters;
        let servers: Vec<String> = voters.clone().map(address).collect();
        let founders: Vec<String> = voters
            .map(|node| format!("{}@{}:{}", 3001 + node, address(node), listed(node)))
            .collect();
        let mut settings = vec![
            ("node.id", (3001 + node).to_string()),
            ("listeners", format!("CONTROLLER://{}", address(node))),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT".to_owned()),
            ("controller.quorum.bootstrap.servers", servers.join(",")),
            ("vltava.cluster.id", CLUSTER.to_owned()),
            ("vltava.admin.listener", format!("127.0.0.1:{}", self.admin_ports[node])),
            ("log.dirs", self.data(node).display().to_string()),
            ("broker.heartbeat.interval.ms", "500".to_owned()),
            ("broker.session.timeout.ms", "9000".to_owned()),
        ];
        if node < self.voters {
            settings.push(("vltava.initial.controllers", founders.join(",")));
        }
        let own = settings.into_iter().map(|(key, value)| (key.to_owned(), value));
        own.chain(self.extra.iter().cloned()).collect()
    }

    fn command(&self, node: usize, changed: &[(&str, &str)]) -> Command {
        let path = self.folder.path().join(format!("coordinator-{node}.properties"));
        let mut text = String::new();
        for (key, value) in self.settings(node) {
            let changed = changed.iter().find(|(other, _)| *other == key);
            let value = changed.map_or(value.as_str(), |(_, value)| value);
            text.push_str(&format!("{key}={value}\n"));
        }
        std::fs::write(&path, text).expect("a file of settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vltava-coordinator"));
        command.arg(path);
        command
    }

    /// Starts a node that is not running.
    pub fn start_node(&mut self, node: usize) {
        let log = self.folder.path().join(format!("coordinator-{node}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        let process = self.command(node, &[]).stderr(log).spawn().expect("a process");
        self.processes[node] = Some(process);
    }

    /// Adds a node with an empty folder that nobody founded.
    pub fn add_observer(&mut self) -> usize {
        let node = self.processes.len();
        self.processes.push(None);
        self.start_node(node);
        node
    }

    /// Takes the disk of a node that does not run.
    pub fn lose_disk(&self, node: usize) {
        std::fs::remove_dir_all(self.data(node)).expect("a folder");
    }

    /// The id of a node's directory; `None` while it is not formatted.
    pub fn directory(&self, node: usize) -> Option<Uuid> {
        let text = std::fs::read_to_string(self.data(node).join("meta.properties")).ok()?;
        let id = text.lines().find_map(|line| line.strip_prefix("directory.id="))?;
        Some(id.parse().expect("an id"))
    }

    /// SIGKILL.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut process) = self.processes[node].take() {
            process.kill().expect("a process that runs");
            process.wait().expect("a process that ends");
        }
    }

    fn signal(&self, node: usize, signal: Signal) {
        let process = self.processes[node].as_ref().expect("a process that runs");
        kill_process(Pid::from_child(process), signal).expect("a signal");
    }

    /// SIGSTOP.
    pub fn pause(&mut self, node: usize) {
        self.signal(node, Signal::STOP);
        self.paused.insert(node);
    }

    /// SIGCONT.
    pub fn go_on(&mut self, node: usize) {
        self.signal(node, Signal::CONT);
        self.paused.remove(&node);
    }

    /// SIGTERM; returns how the process ended.
    pub async fn stop(&mut self, node: usize) -> ExitStatus {
        self.signal(node, Signal::TERM);
        let mut process = self.processes[node].take().expect("a process that runs");
        let wait = tokio::task::spawn_blocking(move || process.wait());
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it ends in time")
            .expect("a thread")
            .expect("a process that ends")
    }

    /// Starts a node with another setting, and returns what it complains of.
    pub async fn refusal(&mut self, node: usize, key: &str, value: &str) -> String {
        let mut command = self.command(node, &[(key, value)]);
        let run = tokio::task::spawn_blocking(move || command.stderr(Stdio::piped()).output());
        let output = tokio::time::timeout(PATIENCE, run)
            .await
            .expect("it ends in time")
            .expect("a thread")
            .expect("a process");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn running(&self) -> impl Iterator<Item = usize> + '_ {
        let runs = |node: &usize| self.processes[*node].is_some() && !self.paused.contains(node);
        (0..self.processes.len()).filter(runs)
    }

    /// What a node says of itself on its admin port; `None` while it does not answer.
    pub fn says(&self, node: usize, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_ports[node])).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// A metric of a node; `None` while it does not answer.
    pub fn metric(&self, node: usize, name: &str) -> Option<i64> {
        let text = self.says(node, "/metrics")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.trim().parse().ok()
    }

    /// Looks until something is so.
    pub async fn until(&self, node: usize, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            if start.elapsed() > PATIENCE {
                let log = |node: usize| {
                    let path = self.folder.path().join(format!("coordinator-{node}.log"));
                    let text = std::fs::read_to_string(path).unwrap_or_default();
                    format!("coordinator {node} says:\n{text}")
                };
                let logs: String = (0..self.processes.len()).map(log).collect();
                panic!("{what} does not come about at coordinator {node}\n{logs}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a node shows that value.
    pub async fn eventually(&self, node: usize, name: &str, value: i64) {
        let what = format!("{name} = {value}");
        self.until(node, &what, |quorum| quorum.metric(node, name) == Some(value)).await;
    }

    /// Waits for the active coordinator among those that run.
    pub async fn active(&self) -> usize {
        let found = |quorum: &Self| {
            let is_active =
                |node: &usize| quorum.metric(*node, "vltava_quorum_is_leader") == Some(1);
            quorum.running().find(is_active)
        };
        let first = self.running().next().expect("a node that runs");
        self.until(first, "an active coordinator", |quorum| found(quorum).is_some()).await;
        found(self).unwrap_or(first)
    }

    /// Waits until all nodes that run know the same.
    pub async fn agree(&self) {
        let first = self.running().next().expect("a node that runs");
        self.until(first, "agreement", |quorum| {
            let digests: Vec<Option<i64>> = quorum
                .running()
                .map(|node| quorum.metric(node, "vltava_metadata_digest"))
                .collect();
            digests.iter().all(|digest| digest.is_some() && *digest == digests[0])
        })
        .await;
    }

    /// Snapshots in a node's folder, the founders' aside.
    pub fn snapshots(&self, node: usize) -> usize {
        let folder = self.data(node).join("__cluster_metadata-0");
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        names
            .map(name)
            .filter(|name| {
                name.ends_with(".checkpoint") && !name.starts_with("00000000000000000000")
            })
            .count()
    }

    async fn connect(&self, node: usize) -> Option<Connection> {
        let options = ConnectOptions {
            request_timeout: Duration::from_secs(5),
            ..ConnectOptions::named("test")
        };
        Connection::connect(&format!("127.0.0.1:{}", self.ports[node]), &options).await.ok()
    }

    /// Makes a call to one of the nodes that run after the other, until the answer of one is that
    /// of an active coordinator. Says too whether an earlier attempt ended undecided: it may have
    /// been carried out.
    async fn call<R: Request, T>(
        &self,
        what: &str,
        request: &R,
        decided: impl Fn(R::Response) -> Option<T>,
    ) -> (T, bool) {
        let start = Instant::now();
        let mut undecided = false;
        while start.elapsed() < PATIENCE {
            for node in self.running() {
                let Some(connection) = self.connect(node).await else { continue };
                if let Ok(response) = connection.call(request).await
                    && let Some(answer) = decided(response)
                {
                    return (answer, undecided);
                }
                // One that stopped being active may have begun with it, and answers that it is not.
                undecided = true;
            }
            tokio::time::sleep(LOOK).await;
        }
        panic!("no coordinator answers: {what}");
    }

    /// How many vote, as the active coordinator says.
    pub async fn voters(&self) -> usize {
        self.voting_directories().await.len()
    }

    /// The directories of those who vote, as the active coordinator says.
    pub async fn voting_directories(&self) -> Vec<Uuid> {
        let request = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: "__cluster_metadata".into(),
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let voters = |response: DescribeQuorumResponse| {
            let partition =
                response.topics.into_iter().flat_map(|topic| topic.partitions).next()?;
            let voters = partition.current_voters.into_iter();
            let directories = voters.map(|voter| voter.replica_directory_id).collect();
            partition.error_code.is_ok().then_some(directories)
        };
        self.call("who votes", &request, voters).await.0
    }

    /// Sets something on that many groups by one request to the first node. Each has a name of so
    /// many bytes.
    pub async fn set_groups(&self, count: usize, name_bytes: usize) -> Vec<ErrorCode> {
        let group = |number: usize| AlterConfigsResource {
            resource_type: 32,
            resource_name: format!("{number:0name_bytes$}").into(),
            configs: vec![AlterableConfig {
                name: "consumer.session.timeout.ms".into(),
                config_operation: 0,
                value: Some("45000".into()),
            }],
        };
        let resources = (0..count).map(group).collect();
        let request = IncrementalAlterConfigsRequest { resources, ..Default::default() };
        let connection = self.connect(0).await.expect("a connection");
        let response = connection.call(&request).await.expect("an answer");
        response.responses.iter().map(|response| response.error_code).collect()
    }

    /// Creates that many topics by one request to the first node, each with a setting of about so
    /// many bytes.
    pub async fn create_topics(&self, count: usize, value_bytes: usize) -> Vec<ErrorCode> {
        let throttled = vec!["10000:1"; value_bytes / "10000:1,".len()].join(",");
        let topic = |number: usize| CreatableTopic {
            name: format!("large-{number}").into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: vec![CreatableTopicConfig {
                name: "leader.replication.throttled.replicas".into(),
                value: Some(throttled.as_str().into()),
            }],
            ..CreatableTopic::default()
        };
        let topics = (0..count).map(topic).collect();
        let request = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
        let connection = self.connect(0).await.expect("a connection");
        let response = connection.call(&request).await.expect("an answer");
        response.topics.iter().map(|topic| topic.error_code).collect()
    }

    /// Creates a topic, wherever the active coordinator is; tries again while there is none. That
    /// it exists after an attempt that ended undecided is success.
    pub async fn create_topic(&self, name: &str, replication_factor: i16) -> ErrorCode {
        match self.answer_to_create(name, replication_factor).await {
            (ErrorCode::TOPIC_ALREADY_EXISTS, true) => ErrorCode::NONE,
            (code, _) => code,
        }
    }

    /// What the active coordinator says to the creation of a topic, and whether an attempt before
    /// ended undecided.
    pub async fn answer_to_create(&self, name: &str, replication_factor: i16) -> (ErrorCode, bool) {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.into(),
                num_partitions: 2,
                replication_factor,
                ..CreatableTopic::default()
            }],
            ..CreateTopicsRequest::default()
        };
        let code = |response: CreateTopicsResponse| {
            let code = response.topics[0].error_code;
            (code != ErrorCode::NOT_CONTROLLER).then_some(code)
        };
        self.call(name, &request, code).await
    }
}

impl Drop for Quorum {
    fn drop(&mut self) {
        (0..self.processes.len()).for_each(|node| self.kill(node));
    }
}

/// A broker that registers and sends heartbeats to every coordinator; dropping it is its death.
pub struct Broker {
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Broker {
    /// Starts brokers, and waits until all of them are unfenced.
    pub async fn start_all(quorum: &Quorum, ids: &[i32]) -> Vec<Self> {
        let mut brokers = Vec::new();
        for id in ids {
            brokers.push(Self::start(quorum, *id).await);
        }
        let active = quorum.active().await;
        quorum.eventually(active, "vltava_registered_brokers", ids.len() as i64).await;
        quorum.eventually(active, "vltava_fenced_brokers", 0).await;
        brokers
    }

    async fn start(quorum: &Quorum, id: i32) -> Self {
        let request = BrokerRegistrationRequest {
            broker_id: id,
            cluster_id: CLUSTER.into(),
            incarnation_id: Uuid::from_random(100 + id as u128),
            listeners: vec![Listener {
                name: "PLAINTEXT".into(),
                host: "localhost".into(),
                port: 9092,
                security_protocol: 0,
            }],
            features: supported_features()
                .iter()
                .map(|feature| Feature {
                    name: feature.name.into(),
                    min_supported_version: feature.min,
                    max_supported_version: feature.max,
                })
                .collect(),
            rack: None,
            log_dirs: vec![Uuid::from_random(200 + id as u128)],
            ..BrokerRegistrationRequest::default()
        };
        let decided = |response: BrokerRegistrationResponse| {
            (response.error_code != ErrorCode::NOT_CONTROLLER).then_some(response)
        };
        let (response, _) = quorum.call("registration", &request, decided).await;
        assert_eq!(response.error_code, ErrorCode::NONE);
        let heartbeat = BrokerHeartbeatRequest {
            broker_id: id,
            broker_epoch: response.broker_epoch,
            current_metadata_offset: i64::MAX,
            ..BrokerHeartbeatRequest::default()
        };
        let addresses = quorum.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let tasks =
            addresses.map(|address| tokio::spawn(beat(address, heartbeat.clone()))).collect();
        Self { tasks }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Sends heartbeats to one coordinator, and connects again whenever the connection ends.
async fn beat(address: String, heartbeat: BrokerHeartbeatRequest) {
    let options = ConnectOptions {
        connect_timeout: Duration::from_millis(500),
        ..ConnectOptions::named("broker")
    };
    loop {
        if let Ok(connection) = Connection::connect(&address, &options).await {
            while connection.call(&heartbeat).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
