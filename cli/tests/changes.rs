//! What changes while a cluster runs: listeners, replicas, disks that are lost, and who votes.

use std::net::TcpListener;
use std::path::PathBuf;

use cluster::{Cluster, eventually};
use serde_json::{Value, json};
use vltava_client::{
    AlterOp, Cluster as Client, ClusterOptions, ConfigResource, Election, RaftVoter,
};

#[path = "local/cluster.rs"]
#[allow(dead_code, reason = "each file of tests uses what it needs")]
mod cluster;

/// Does something by the Kafka protocol, by way of that broker.
fn by_client<T>(address: &str, does: impl AsyncFnOnce(&Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = Client::new(address, ClusterOptions::default());
        does(&client.expect("an address")).await
    })
}

fn partition(cluster: &Cluster, topic: &str) -> Value {
    cluster.json(&["topic", "describe", topic, "--json"])[0]["partitions"][0].clone()
}

/// As [`partition`], null while nobody says.
fn partition_if_told(cluster: &Cluster, topic: &str) -> Value {
    cluster.json_if_told(&["topic", "describe", topic, "--json"])[0]["partitions"][0].clone()
}

/// `NAME://host:port` of a node's listener.
fn listener(cluster: &Cluster, node: &str, name: &str) -> String {
    let rows = cluster.json(&["ps", "--json"]);
    let rows = rows.as_array().expect("it is a list");
    let row = rows.iter().find(|row| row["name"] == node).expect("the node is there");
    let listeners = row["listeners"].as_array().expect("it is a list").iter();
    let mut texts = listeners.filter_map(Value::as_str);
    texts.find(|text| text.starts_with(name)).expect("the listener is there").to_owned()
}

fn data_folder(cluster: &Cluster, node: &str) -> PathBuf {
    cluster.dir.path().join("data").join(node).join("data")
}

/// The brokers that clients of a listener are told of.
async fn told(client: &Client) -> Vec<String> {
    let described = client.describe_cluster().await.expect("an answer");
    described.brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect()
}

#[test]
fn listeners_come_and_go_while_the_broker_runs() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 1, "{name: orders}");
    cluster.run(&["up", "-d", "-f", &file]);
    let inside = listener(&cluster, "broker-1", "INTERNAL");
    let outside = listener(&cluster, "broker-1", "EXTERNAL");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken_port = taken.local_addr().expect("it is bound").port();

    let old = format!("127.0.0.1:{}", cluster.ports[0]);
    let broker = ConfigResource::broker(1);
    by_client(&old, async |client| {
        let listeners = format!("{inside},{outside},NEW://127.0.0.1:{port}");
        let set = |key: &'static str, text: String| (key, AlterOp::Set(text));
        let with_taken = format!("{listeners},TAKEN://127.0.0.1:{taken_port}");
        let advertised = format!("{inside},{outside},NEW://localhost:{port}");
        let changes = [set("listeners", with_taken), set("advertised.listeners", advertised)];
        client.alter_configs(&broker, &changes, false).await.expect("listeners are added");

        let without = [set("listeners", outside.clone())];
        let refused = client.alter_configs(&broker, &without, false).await;
        let refused = refused.expect_err("other brokers come by it").to_string();
        assert!(refused.contains("INTERNAL"), "{refused}");
        assert_eq!(told(client).await, std::slice::from_ref(&old), "its own listener stays");
    });
    let new = format!("127.0.0.1:{port}");
    eventually("the new listener", || std::net::TcpStream::connect(&new).is_ok());
    eventually("the broker at its new address", || {
        by_client(&new, async |client| told(client).await == [format!("localhost:{port}")])
    });

    // What was set outlives the process, and is there before the broker serves.
    cluster.run(&["stop", "broker-1"]);
    cluster.run(&["start", "broker-1"]);
    eventually("the new listener again", || std::net::TcpStream::connect(&new).is_ok());
    eventually("the broker at its new address again", || {
        by_client(&new, async |client| told(client).await == [format!("localhost:{port}")])
    });
    cluster.run(&[
        "config",
        "alter",
        "broker",
        "1",
        "-r",
        "listeners",
        "-r",
        "advertised.listeners",
    ]);
    eventually("the end of the listener", || std::net::TcpStream::connect(&new).is_err());
    assert_eq!(by_client(&old, async |client| told(client).await), std::slice::from_ref(&old));
}

#[test]
fn replicas_move_between_brokers_and_leave_nothing_behind() {
    let cluster = Cluster::new(3);
    let file = cluster.manifest(3, 1, "{name: orders, replicationFactor: 1}");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.produce(&["orders"], "a\nb\n");
    let address = format!("127.0.0.1:{}", cluster.ports[0]);
    let first = partition(&cluster, "orders")["leader"].as_i64().expect("it is led") as i32;
    let others: Vec<i32> = (1..=3).filter(|id| *id != first).collect();
    let holds = |id: i32| data_folder(&cluster, &format!("broker-{id}")).join("orders-0").exists();

    let grown = vec![others[0], first, others[1]];
    for wanted in [grown, others.clone(), vec![first]] {
        by_client(&address, async |client| {
            let moved = client.reassign_partition("orders", 0, Some(wanted.clone())).await;
            moved.expect("it begins");
        });
        eventually("the end of the move", || {
            let moving = by_client(&address, async |client| client.list_reassignments().await);
            moving.is_ok_and(|moving| moving.is_empty())
        });
        // Whichever broker answers may learn of it a moment later.
        eventually("the replicas, all in sync", || {
            let now = partition_if_told(&cluster, "orders");
            let in_sync = now["isr"].as_array().map(Vec::len);
            now["replicas"] == json!(wanted) && in_sync == Some(wanted.len())
        });
        eventually("the folders of those that hold it, and no others", || {
            (1..=3).all(|id| holds(id) == wanted.contains(&id))
        });
        cluster.produce(&["orders"], "c\n");
    }
    let consumed = cluster.run(&["consume", "orders", "--from-beginning", "-m", "5"]);
    assert_eq!(consumed, "a\nb\nc\nc\nc\n");
}

#[test]
fn a_broker_that_lost_its_disk_refills_and_last_copies_wait_for_a_person() {
    let cluster = Cluster::new(2);
    let topics = "{name: both, replicationFactor: 2}, {name: alone, replicationFactor: 1}";
    let file = cluster.manifest(2, 1, topics);
    cluster.run(&["up", "-d", "-f", &file]);
    let keeper = partition(&cluster, "alone")["leader"].as_i64().expect("it is led");
    cluster.produce(&["both"], "a\nb\n");
    cluster.produce(&["alone"], "a\nb\n");

    let node = format!("broker-{keeper}");
    cluster.run(&["kill", &node]);
    std::fs::remove_dir_all(data_folder(&cluster, &node)).expect("its disk is lost");
    cluster.run(&["start", &node]);
    eventually("an ISR of two", || {
        partition_if_told(&cluster, "both")["isr"].as_array().map(Vec::len) == Some(2)
    });
    let consumed = cluster.run(&["consume", "both", "--from-beginning", "-m", "2"]);
    assert_eq!(consumed, "a\nb\n", "what others had is whole");
    let alone = partition(&cluster, "alone");
    assert!(alone["leader"].as_i64().is_none_or(|id| id < 0), "nobody leads it: {alone}");
    assert_eq!(alone["isr"], json!([]));

    let address = format!("127.0.0.1:{}", cluster.ports[0]);
    by_client(&address, async |client| {
        let elected = client.elect_leaders(Election::Unclean, Some(&[("alone", 0)])).await;
        let (name, outcome) = elected.expect("an answer").remove(0);
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    });
    eventually("a leader", || partition_if_told(&cluster, "alone")["leader"] == json!(keeper));
}

#[test]
fn a_coordinator_that_lost_its_disk_votes_again_by_its_new_directory() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 3, "{name: orders}");
    cluster.run(&["up", "-d", "-f", &file]);
    let directory = || -> vltava_wire::Uuid {
        let meta = data_folder(&cluster, "coordinator-1").join("meta.properties");
        let text = std::fs::read_to_string(meta).expect("it is formatted");
        let id = text.lines().find_map(|line| line.strip_prefix("directory.id="));
        id.expect("it has an id").parse().expect("an id")
    };
    let old = RaftVoter { id: 3001, directory_id: directory() };
    cluster.run(&["kill", "coordinator-1"]);
    std::fs::remove_dir_all(data_folder(&cluster, "coordinator-1")).expect("its disk is lost");
    cluster.run(&["start", "coordinator-1"]);
    eventually("the observer", || {
        let status = cluster.told(&["quorum", "status"]);
        status.is_some_and(|status| status.contains("coordinator-1 -> Mode: observer"))
    });
    let new = RaftVoter { id: 3001, directory_id: directory() };
    assert_ne!(old, new);

    let listener = listener(&cluster, "coordinator-1", "CONTROLLER");
    let (_, address) = listener.split_once("://").expect("an address");
    let (host, port) = address.rsplit_once(':').expect("a port");
    let listeners = [("CONTROLLER", host, port.parse().expect("a port"))];
    let broker = format!("127.0.0.1:{}", cluster.ports[0]);
    by_client(&broker, async |client| {
        let twice = client.add_raft_voter(&new, &listeners).await.expect_err("its id votes");
        assert!(twice.to_string().contains("DUPLICATE_VOTER"), "{twice}");
        client.remove_raft_voter(&old).await.expect("the old directory goes");
        client.add_raft_voter(&new, &listeners).await.expect("the new one votes");
    });
    eventually("three voters", || {
        let status = cluster.told(&["quorum", "status"]).unwrap_or_default();
        let votes =
            |line: &&str| line.ends_with("Mode: follower") || line.ends_with("Mode: leader");
        status.lines().filter(votes).count() == 3
    });
    // With one of the others gone, its vote is needed.
    cluster.run(&["kill", "coordinator-2"]);
    cluster.run(&["topic", "create", "more"]);
}

/// The modes of the coordinators, in their order; none while nobody says.
fn modes(cluster: &Cluster) -> Vec<String> {
    let status = cluster.json_if_told(&["quorum", "status", "--json"]);
    let all = status["coordinators"].as_array().into_iter().flatten();
    all.map(|one| one["mode"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn up_lets_a_coordinator_that_lost_its_disk_vote_again() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 3, "{name: orders}");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.produce(&["orders"], "a\n");
    for node in ["coordinator-2", "coordinator-3"] {
        cluster.run(&["kill", node]);
        std::fs::remove_dir_all(data_folder(&cluster, node)).expect("its disk is lost");
        cluster.run(&["start", node]);
        eventually("the observer", || modes(&cluster).contains(&"observer".to_owned()));
        let status = cluster.run(&["quorum", "status"]);
        let hint = format!("{node} has another disk than the one that votes, and only observes");
        assert!(status.contains(&hint) && status.contains("`vltava up`"), "{status}");

        let said = cluster.run(&["up", "-d"]);
        assert!(
            said.contains(&format!("{node} votes no more with the disk that it had")),
            "{said}"
        );
        assert!(said.contains(&format!("{node} votes with the disk that it has now")), "{said}");
        let votes = |mode: &String| mode == "follower" || mode == "leader";
        eventually("three voters", || modes(&cluster).iter().filter(|it| votes(it)).count() == 3);
        assert!(!cluster.run(&["up", "-d"]).contains("votes"), "nothing is left to do");
    }
    // One that was lost while nothing ran, with all that lay around it; the others are new already.
    cluster.run(&["down"]);
    let folder = cluster.dir.path().join("data/coordinator-1");
    std::fs::remove_dir_all(folder).expect("its disk is lost");
    let said = cluster.run(&["up", "-d"]);
    assert!(said.contains("coordinator-1 votes with the disk that it has now"), "{said}");
    cluster.run(&["kill", "coordinator-2"]);
    cluster.run(&["topic", "create", "more"]);
    let consumed = cluster.run(&["consume", "orders", "--from-beginning", "-m", "1"]);
    assert_eq!(consumed, "a\n");
}

#[test]
fn a_majority_of_lost_disks_is_refused_with_what_is_left_to_do() {
    let cluster = Cluster::new(1);
    let file = cluster.manifest(1, 3, "");
    cluster.run(&["up", "-d", "-f", &file]);
    cluster.run(&["down"]);
    let lost = ["coordinator-1", "coordinator-3"].map(|node| data_folder(&cluster, node));
    let saved = cluster.dir.path().join("saved");
    std::fs::rename(&lost[0], &saved).expect("a backup");
    std::fs::remove_dir_all(&lost[1]).expect("its disk is lost");
    let refused = |args: &[&str]| {
        let output = cluster.output(args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("the quorum is lost: 2 of 3 coordinators have another"), "{said}");
        let folders = lost.each_ref().map(|folder| folder.display().to_string()).join(", ");
        assert!(last.contains(&format!("put back {folders} from a backup until 2")), "{said}");
    };
    refused(&["up", "-d"]);
    assert!(cluster.states().iter().all(|(_, state)| state == "stopped"), "nothing is started");

    // Whoever starts them has empty disks that say nothing against it.
    let all = ["coordinator-1", "coordinator-2", "coordinator-3"];
    let begun = cluster.command(&["start", all[0], all[1], all[2]]).spawn();
    let mut starting = begun.expect("the binary runs");
    eventually("the new disks", || lost.iter().all(|it| it.join("meta.properties").exists()));
    let _ = starting.kill();
    let _ = starting.wait();
    refused(&["up", "-d"]);
    refused(&["quorum", "status"]);

    cluster.run(&["down"]);
    std::fs::remove_dir_all(&lost[0]).expect("it is there");
    std::fs::rename(&saved, &lost[0]).expect("the backup is put back");
    let said = cluster.run(&["up", "-d"]);
    assert!(said.contains("coordinator-3 votes with the disk that it has now"), "{said}");
}
