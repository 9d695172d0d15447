//! The cluster of `images/compose.yaml`: a walk through docker-compose and `docker kill`, then the
//! settings that compose files of old have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{folder, kcat};
use crate::cluster::free_ports;
use crate::{Outcome, until};

/// How long the cluster may take to notice what happened.
const SOON: Duration = Duration::from_secs(30);
/// The topic of the walk.
const TOPIC: &str = "testTopic";
/// What a broker was given in compose files for other images; its command is not run, its
/// ZooKeeper is not asked.
const OF_OLD: &str = r#"
      HOSTNAME_COMMAND: "docker info | grep ^Name: | cut -d' ' -f 2"
      KAFKA_ZOOKEEPER_CONNECT: zookeeper:2181
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT
      KAFKA_ADVERTISED_PROTOCOL_NAME: OUTSIDE
      KAFKA_ADVERTISED_PORT: 9094
      KAFKA_PROTOCOL_NAME: INSIDE
      KAFKA_PORT: 9092
      KAFKA_CREATE_TOPICS: myTopic:3:3,anotherTopic:2:2
"#;

/// A project of docker-compose. Dropping it takes away its containers and volumes.
struct Project {
    files: Vec<PathBuf>,
    ports: Vec<u16>,
}

/// The walk.
pub(super) fn run() -> Outcome<String> {
    let answers = |program: &str, word: &str| {
        Command::new(program).arg(word).output().is_ok_and(|output| output.status.success())
    };
    if !answers("docker", "info") || !answers("docker-compose", "version") {
        return Ok("SKIPPED: no docker engine answers, or there is no docker-compose".to_owned());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let project = Project { files: vec![root.join("images/compose.yaml")], ports: free_ports(3)? };
    project.compose(&["down", "--volumes"])?;
    project.compose(&["up", "-d"])?;
    project.brokers(3)?;
    topic_and_records(&project)?;
    let gap = a_broker_dies(&project)?;
    the_active_coordinator_dies(&project)?;
    project.compose(&["down"])?;
    project.compose(&["up", "-d"])?;
    project.brokers(3)?;
    read(&project, 1)?;
    project.compose(&["down", "--volumes"])?;
    drop(project);
    as_of_old(&root)?;
    Ok(format!("stages done, another leader {gap:.1?} after docker kill; settings of old work"))
}

/// A topic is made by a command in a container, and records go through kcat outside.
fn topic_and_records(project: &Project) -> Outcome {
    let words = ["/vltava", "topic", "create", TOPIC, "-p", "1", "-r", "3"];
    project.compose(&[["exec", "-T", "kafka1"].as_slice(), &words].concat())?;
    let listing = project.listing(1)?;
    for broker in 1..=3 {
        let line = format!("broker {broker} at localhost:{}", project.port(broker));
        if !listing.contains(&line) {
            return Err(format!("kcat -L does not say {line:?}: {listing}"));
        }
    }
    kcat(&["-P", "-b", &project.address(1), "-t", TOPIC], "42\ntest test\n")?;
    read(project, 1)
}

/// The records are there, through this broker.
fn read(project: &Project, broker: usize) -> Outcome {
    let address = project.address(broker);
    until("the records", SOON, || {
        let words = ["-C", "-b", address.as_str(), "-t", TOPIC, "-e", "-q", "-o", "beginning"];
        let text = kcat(&words, "")?;
        if text.starts_with("42\ntest test\n") { Ok(()) } else { Err(format!("{text:?}")) }
    })
}

fn a_broker_dies(project: &Project) -> Outcome<Duration> {
    let listing = project.listing(1)?;
    let leader: usize = listing
        .split("leader ")
        .nth(1)
        .and_then(|rest| rest.split(',').next()?.parse().ok())
        .ok_or_else(|| format!("no leader in {listing}"))?;
    let other = leader % 3 + 1;
    let name = format!("kafka{leader}");
    docker(&["kill", &name])?;
    let start = std::time::Instant::now();
    until("another leader, and the dead one out of the ISR", SOON, || {
        let listing = project.listing(other)?;
        let line = listing.lines().find(|line| line.contains("partition 0, leader"));
        let line = line.ok_or_else(|| listing.clone())?;
        let isr = line.split("isrs: ").nth(1).unwrap_or_default();
        let led = !line.contains(&format!("leader {leader},")) && !line.contains("leader -1");
        if led && !isr.contains(&leader.to_string()) { Ok(()) } else { Err(line.to_owned()) }
    })?;
    let gap = start.elapsed();
    read(project, other)?;
    kcat(&["-P", "-b", &project.address(other), "-t", TOPIC], "after\n")?;
    project.compose(&["up", "-d", &name])?;
    until("a whole ISR", SOON, || {
        let listing = project.listing(leader)?;
        let isr = listing.split("isrs: ").nth(1).unwrap_or_default();
        if isr.trim().split(',').count() == 3 { Ok(()) } else { Err(listing.clone()) }
    })?;
    Ok(gap)
}

fn the_active_coordinator_dies(project: &Project) -> Outcome {
    let leader = project.active()?;
    docker(&["kill", &leader])?;
    until("another coordinator to lead", SOON, || {
        let now = project.active()?;
        if now == leader { Err(format!("{now} is dead")) } else { Ok(()) }
    })?;
    kcat(&["-P", "-b", &project.address(1), "-t", TOPIC], "later\n")?;
    read(project, 2)?;
    project.compose(&["up", "-d", &leader]).map(|_| ())
}

/// What older compose files say is read for what it means, and their topics are made.
fn as_of_old(root: &Path) -> Outcome {
    let folder = folder()?;
    let over = folder.path().join("of-old.yaml");
    let mut text = "version: \"3.2\"\nservices:\n".to_owned();
    for broker in 1..=3 {
        text.push_str(&format!("  kafka{broker}:\n    environment:{OF_OLD}"));
        // Of the two ways to say where clients connect, the older alone: a variable without a
        // value is one that is not set.
        for name in ["LISTENERS", "ADVERTISED_LISTENERS", "INTER_BROKER_LISTENER_NAME"] {
            text.push_str(&format!("      KAFKA_{name}:\n"));
        }
    }
    std::fs::write(&over, text).map_err(|error| format!("{}: {error}", over.display()))?;
    let files = vec![root.join("images/compose.yaml"), over];
    let project = Project { files, ports: free_ports(3)? };
    project.compose(&["down", "--volumes"])?;
    project.compose(&["up", "-d"])?;
    for (topic, partitions, replicas) in [("myTopic", 3, 3), ("anotherTopic", 2, 2)] {
        until(&format!("{topic} of KAFKA_CREATE_TOPICS"), SOON, || {
            let words = ["exec", "-T", "kafka1", "/vltava", "topic", "describe", topic];
            let text = project.compose(&words)?;
            let rows = text.lines().filter(|line| {
                line.split_whitespace().any(|word| word.split(',').count() == replicas)
            });
            if rows.count() >= partitions { Ok(()) } else { Err(text) }
        })?;
    }
    project.compose(&["down", "--volumes"]).map(|_| ())
}

impl Project {
    fn compose(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new("docker-compose");
        command.args(["--project-name", "vltava-e2e", "--no-ansi"]);
        for file in &self.files {
            command.arg("--file").arg(file);
        }
        for (index, port) in self.ports.iter().enumerate() {
            command.env(format!("KAFKA{}_PORT", index + 1), port.to_string());
        }
        output(command.args(arguments))
    }

    fn port(&self, broker: usize) -> u16 {
        self.ports[broker - 1]
    }

    fn address(&self, broker: usize) -> String {
        format!("localhost:{}", self.port(broker))
    }

    fn listing(&self, broker: usize) -> Outcome<String> {
        kcat(&["-L", "-b", &self.address(broker), "-m", "5"], "")
    }

    fn brokers(&self, count: usize) -> Outcome {
        until(&format!("{count} brokers"), SOON, || {
            let listing = self.listing(1)?;
            if listing.contains(&format!("{count} brokers:")) { Ok(()) } else { Err(listing) }
        })
    }

    /// The container of the coordinator that leads.
    fn active(&self) -> Outcome<String> {
        until("a leader of the quorum", SOON, || {
            let words = ["exec", "-T", "kafka1", "/vltava", "quorum", "status"];
            let text = self.compose(&words)?;
            let line = text.lines().find(|line| line.contains("Mode: leader"));
            let name = line.and_then(|line| line.split_whitespace().next());
            name.map(|name| name.replace('-', "")).ok_or(text.clone())
        })
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes", "--timeout", "5"]);
    }
}

fn docker(arguments: &[&str]) -> Outcome<String> {
    output(Command::new("docker").args(arguments))
}

fn output(command: &mut Command) -> Outcome<String> {
    let line = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{line}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
