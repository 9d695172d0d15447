//! Calls that are made twice, so that the second answer says that it is done already; and nodes
//! that nobody knows yet, or that say nothing.

use std::collections::VecDeque;
use std::time::Duration;

use peer::{Peer, listen};
use tokio::task::JoinHandle;
use vltava_client::{
    ClientError, Cluster, ClusterOptions, ConfigResource, ConnectOptions, NewTopic, RaftVoter,
};
use vltava_wire::messages::create_partitions::CreatePartitionsTopicResult;
use vltava_wire::messages::create_topics::CreatableTopicResult;
use vltava_wire::messages::delete_topics::DeletableTopicResult;
use vltava_wire::messages::describe_quorum::{
    PartitionDataResponse, ReplicaState, TopicDataResponse,
};
use vltava_wire::messages::metadata::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use vltava_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    MetadataRequest, MetadataResponse, RemoveRaftVoterRequest, RemoveRaftVoterResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use vltava_wire::{ApiKey, ErrorCode, Message, Request, Uuid, Writer};

#[path = "connection/peer.rs"]
mod peer;

/// How a node answers.
type Answer = Box<dyn FnOnce(&mut Writer) + Send>;

/// What a node does with one request: it answers in the highest version that we know, or ends the
/// connection once it has read it.
struct Turn {
    key: ApiKey,
    version: i16,
    answer: Option<Answer>,
}

fn lost<R: Request>() -> Turn {
    Turn { key: R::KEY, version: R::VERSIONS.max, answer: None }
}

fn says<R: Request>(response: R::Response) -> Turn
where
    R::Response: Send + 'static,
{
    let version = R::VERSIONS.max;
    let answer: Answer = Box::new(move |writer| response.write(writer, version));
    Turn { key: R::KEY, version, answer: Some(answer) }
}

/// A cluster of one node that takes these turns, once each is asked for.
struct Node {
    address: String,
    cluster: Cluster,
    serving: JoinHandle<()>,
}

impl Node {
    async fn new(turns: impl FnOnce(u16) -> Vec<Turn>) -> Self {
        let (listener, address) = listen().await;
        let port = listener.local_addr().expect("it is bound").port();
        let mut turns = VecDeque::from(turns(port));
        let keys: Vec<(ApiKey, i16)> = turns.iter().map(|turn| (turn.key, turn.version)).collect();
        let serving = tokio::spawn(async move {
            while !turns.is_empty() {
                let mut peer = Peer::accept(&listener).await;
                peer.negotiate(&keys).await;
                while let Some(turn) = turns.pop_front() {
                    let (header, _) = peer.request().await;
                    let asked = (header.api_key, header.api_version);
                    assert_eq!(asked, (turn.key.code(), turn.version), "{} is next", turn.key);
                    let Some(answer) = turn.answer else { break };
                    peer.answer_by(turn.key, turn.version, header.correlation_id, answer).await;
                }
            }
        });
        let backoff_min = Duration::from_millis(1);
        let options = ClusterOptions { backoff_min, ..ClusterOptions::default() };
        let cluster = Cluster::new(&address, options).expect("an address");
        Self { address, cluster, serving }
    }

    /// Takes these turns whatever its port is.
    async fn taking(turns: impl IntoIterator<Item = Turn>) -> Self {
        let turns = turns.into_iter().collect();
        Self::new(|_| turns).await
    }

    /// Fails the test if not all turns were asked for.
    async fn finish(self) {
        drop(self.cluster);
        let served = tokio::time::timeout(Duration::from_secs(60), self.serving).await;
        served.expect("every turn was asked for").expect("every turn was as it should be");
    }
}

fn created(code: ErrorCode) -> Turn {
    let topic = CreatableTopicResult { name: "a".into(), error_code: code, ..Default::default() };
    says::<CreateTopicsRequest>(CreateTopicsResponse { topics: vec![topic], ..Default::default() })
}

/// The topic `a` as a node shows it, with so many partitions of two replicas; 0 if it is unknown.
fn shows(partitions: i32) -> Turn {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1, 2],
        ..Default::default()
    };
    let error_code = match partitions {
        0 => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        _ => ErrorCode::NONE,
    };
    let topic = MetadataResponseTopic {
        error_code,
        name: Some("a".into()),
        topic_id: Uuid::from_random(7),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    says::<MetadataRequest>(MetadataResponse { topics: vec![topic], ..Default::default() })
}

#[tokio::test]
async fn a_topic_that_the_lost_attempt_created_is_created() {
    let exists = || created(ErrorCode::TOPIC_ALREADY_EXISTS);
    let first = [lost::<CreateTopicsRequest>, || created(ErrorCode::NOT_CONTROLLER)];
    for (first, shown, wanted, outcome) in [
        (Some(first[0]), Some(3), 3, Ok(3)),
        (Some(first[1]), Some(3), -1, Ok(3)),
        // The node that is asked has not heard of it yet.
        (Some(first[0]), Some(0), 3, Ok(-1)),
        // One that is otherwise was there before.
        (Some(first[0]), Some(4), 3, Err(())),
        (None, None, 3, Err(())),
    ] {
        let turns = first.map(|turn| turn()).into_iter();
        let node = Node::taking(turns.chain([exists()]).chain(shown.map(shows))).await;
        let topics = [NewTopic::new("a", wanted, 2)];
        let mut outcomes = node.cluster.create_topics(&topics, false).await.expect("an answer");
        let (name, made) = outcomes.remove(0);
        assert_eq!(name, "a");
        let code = made.as_ref().err().and_then(ClientError::code);
        assert_eq!(made.map(|made| made.partitions).map_err(|_| ()), outcome);
        let refused = outcome.is_err().then_some(ErrorCode::TOPIC_ALREADY_EXISTS);
        assert_eq!(code, refused);
        node.finish().await;
    }
}

#[tokio::test]
async fn a_topic_that_the_lost_attempt_deleted_is_deleted() {
    let unknown = || {
        let result = DeletableTopicResult {
            name: Some("a".into()),
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ..Default::default()
        };
        let responses = vec![result];
        says::<DeleteTopicsRequest>(DeleteTopicsResponse { responses, ..Default::default() })
    };
    for again in [true, false] {
        let first = again.then(lost::<DeleteTopicsRequest>);
        let node = Node::taking(first.into_iter().chain([unknown()])).await;
        let outcomes = node.cluster.delete_topics(&["a"]).await.expect("an answer");
        assert_eq!(outcomes[0].1.is_ok(), again);
        node.finish().await;
    }
}

#[tokio::test]
async fn partitions_that_the_lost_attempt_added_are_added() {
    let invalid = || {
        let result = CreatePartitionsTopicResult {
            name: "a".into(),
            error_code: ErrorCode::INVALID_PARTITIONS,
            ..Default::default()
        };
        let results = vec![result];
        says::<CreatePartitionsRequest>(CreatePartitionsResponse { results, ..Default::default() })
    };
    // A node may not have heard of them yet, and what has more did not get them by this call.
    for (first, shown, done) in
        [(true, Some(4), true), (true, Some(3), true), (true, Some(5), false), (false, None, false)]
    {
        let first = first.then(lost::<CreatePartitionsRequest>);
        let node = Node::taking(first.into_iter().chain([invalid()]).chain(shown.map(shows))).await;
        let outcomes = node.cluster.create_partitions(&[("a", 4)], false).await;
        assert_eq!(outcomes.expect("an answer")[0].1.is_ok(), done, "{shown:?}");
        node.finish().await;
    }
}

fn quorum(voters: &[(i32, Uuid)]) -> Turn {
    let voter = |(replica_id, replica_directory_id): &(i32, Uuid)| ReplicaState {
        replica_id: *replica_id,
        replica_directory_id: *replica_directory_id,
        ..Default::default()
    };
    let partition = PartitionDataResponse {
        current_voters: voters.iter().map(voter).collect(),
        ..Default::default()
    };
    let topic = TopicDataResponse { partitions: vec![partition], ..Default::default() };
    says::<DescribeQuorumRequest>(DescribeQuorumResponse {
        topics: vec![topic],
        ..Default::default()
    })
}

#[tokio::test]
async fn votes_that_the_lost_attempt_gave_and_took_are_given_and_taken() {
    let voter = RaftVoter { id: 3001, directory_id: Uuid::from_random(1) };
    let other = Uuid::from_random(2);
    let added = |error_code| {
        says::<AddRaftVoterRequest>(AddRaftVoterResponse { error_code, ..Default::default() })
    };
    for (first, voters, done) in [
        (true, Some([(3001, voter.directory_id), (3002, other)]), true),
        (true, Some([(3001, other), (3002, voter.directory_id)]), false),
        (false, None, false),
    ] {
        let first = first.then(lost::<AddRaftVoterRequest>).into_iter();
        let turns = first.chain([added(ErrorCode::DUPLICATE_VOTER)]);
        let node = Node::taking(turns.chain(voters.map(|voters| quorum(&voters)))).await;
        let listeners = [("CONTROLLER", "localhost", 9093)];
        assert_eq!(node.cluster.add_raft_voter(&voter, &listeners).await.is_ok(), done);
        node.finish().await;
    }
    let removed = |error_code| {
        says::<RemoveRaftVoterRequest>(RemoveRaftVoterResponse { error_code, ..Default::default() })
    };
    for first in [
        None,
        Some(lost::<RemoveRaftVoterRequest>()),
        Some(removed(ErrorCode::NOT_CONTROLLER)),
        Some(removed(ErrorCode::NOT_LEADER_OR_FOLLOWER)),
        Some(removed(ErrorCode::REQUEST_TIMED_OUT)),
    ] {
        let again = first.is_some();
        let turns = first.into_iter().chain([removed(ErrorCode::VOTER_NOT_FOUND)]);
        let node = Node::taking(turns).await;
        assert_eq!(node.cluster.remove_raft_voter(&voter).await.is_ok(), again);
        node.finish().await;
    }
}

#[tokio::test]
async fn a_broker_that_the_lost_attempt_took_off_the_books_is_off_them() {
    let unknown = || {
        says::<UnregisterBrokerRequest>(UnregisterBrokerResponse {
            error_code: ErrorCode::BROKER_ID_NOT_REGISTERED,
            ..Default::default()
        })
    };
    for again in [true, false] {
        let first = again.then(lost::<UnregisterBrokerRequest>);
        let node = Node::taking(first.into_iter().chain([unknown()])).await;
        assert_eq!(node.cluster.unregister_broker(9).await.is_ok(), again);
        node.finish().await;
    }
}

#[tokio::test]
async fn a_node_that_nobody_knows_yet_is_asked_for_again() {
    let knows = |id: i32, port: u16| {
        let broker = MetadataResponseBroker {
            node_id: id,
            host: "127.0.0.1".into(),
            port: i32::from(port),
            ..Default::default()
        };
        says::<MetadataRequest>(MetadataResponse { brokers: vec![broker], ..Default::default() })
    };
    let node = Node::new(|port| {
        let described = DescribeConfigsResponse::default();
        vec![
            knows(1, port),
            knows(1, port),
            knows(2, port),
            says::<DescribeConfigsRequest>(described),
        ]
    })
    .await;
    let described = node.cluster.describe_configs(&ConfigResource::broker(2), false).await;
    described.expect("the node is known in the end");
    node.finish().await;
}

#[tokio::test]
async fn a_node_that_says_nothing_keeps_nobody_from_the_others() {
    let silent = listen().await;
    let known = || says::<MetadataRequest>(MetadataResponse::default());
    // Which node is tried first is a matter of chance.
    for _ in 0..8 {
        let node = Node::taking([known()]).await;
        let late = Duration::from_secs(600);
        let connect = ConnectOptions { connect_timeout: late, ..ConnectOptions::default() };
        let options = ClusterOptions { connect, deadline: late, ..ClusterOptions::default() };
        let both = format!("{},{}", silent.1, node.address);
        let cluster = Cluster::new(&both, options).expect("addresses");
        let asked = tokio::time::timeout(late / 10, cluster.metadata(Some(&[]), false)).await;
        asked.expect("the other one is asked").expect("it answers");
        node.finish().await;
    }
}
