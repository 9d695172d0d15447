//! The guide that people learn Kafka's fault tolerance by: create, list, produce, consume, kill the
//! leader, look, restart, kill the quorum's leader, look.

use std::time::Duration;

use super::kcat;
use crate::cluster::{Cluster, Shape};
use crate::{Outcome, until};

const TOPIC: &str = "testTopic";
const PATIENCE: Duration = Duration::from_secs(60);

/// What `kcat -L` says of the only partition.
struct Listing {
    brokers: usize,
    controller: i32,
    leader: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
}

pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let cluster = Cluster::up(folder.path(), &Shape::default())?;
    cluster.vltava(&[
        "topic",
        "create",
        TOPIC,
        "--partitions",
        "1",
        "--replication-factor",
        "3",
    ])?;
    let first = until("three replicas in sync", PATIENCE, || {
        let found = list(&cluster, 1)?;
        if found.isr.len() == 3 { Ok(found) } else { Err(format!("isr {:?}", found.isr)) }
    })?;
    produce_and_consume(&cluster, first.leader, "42\ntest test\n", "42\ntest test\n")?;

    let (killed, survivor) = (first.leader, first.leader % 3 + 1);
    cluster.vltava(&["kill", &format!("broker-{killed}")])?;
    let second = until("another leader", PATIENCE, || {
        let found = list(&cluster, survivor)?;
        let moved = found.leader != killed && found.leader > 0;
        if moved && !found.isr.contains(&killed) && found.brokers == 2 {
            return Ok(found);
        }
        Err(format!("leader {}, isr {:?}", found.leader, found.isr))
    })?;
    if second.controller == killed || second.controller < 1 {
        return Err(format!("the controller is {}, broker {killed} is dead", second.controller));
    }
    if first.controller != killed && second.controller != first.controller {
        return Err("the controller moved though its broker lives".to_owned());
    }
    produce_and_consume(&cluster, survivor, "after\n", "42\ntest test\nafter\n")?;

    cluster.vltava(&["start", &format!("broker-{killed}")])?;
    until("the first leader back in the ISR and leading", PATIENCE, || {
        let found = list(&cluster, survivor)?;
        let preferred = found.replicas.first().copied();
        if found.isr.len() == 3 && Some(found.leader) == preferred {
            return Ok(());
        }
        Err(format!("leader {}, isr {:?}", found.leader, found.isr))
    })?;

    let active = cluster.active_coordinator()?;
    cluster.vltava(&["kill", &active])?;
    let next = until("another leader of the quorum", PATIENCE, || {
        let next = cluster.active_coordinator()?;
        if next == active { Err(format!("still {next}")) } else { Ok(next) }
    })?;
    produce_and_consume(&cluster, survivor, "end\n", "42\ntest test\nafter\nend\n")?;
    cluster.vltava(&["down"])?;
    Ok(format!("leader {killed} → {}, coordinator {active} → {next}", second.leader))
}

fn produce_and_consume(cluster: &Cluster, broker: i32, input: &str, all: &str) -> Outcome {
    let address = format!("127.0.0.1:{}", cluster.port(broker));
    kcat(&["-b", &address, "-t", TOPIC, "-P"], input)?;
    let read = kcat(&["-b", &address, "-t", TOPIC, "-C", "-e", "-q"], "")?;
    if read != all {
        return Err(format!("consumed {read:?} instead of {all:?}"));
    }
    Ok(())
}

fn list(cluster: &Cluster, broker: i32) -> Outcome<Listing> {
    let address = format!("127.0.0.1:{}", cluster.port(broker));
    let text = kcat(&["-L", "-J", "-b", &address, "-t", TOPIC], "")?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("kcat -L -J: {error}: {text}"))?;
    let partition = &json["topics"][0]["partitions"][0];
    let numbers = |value: &serde_json::Value| -> Vec<i32> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or(&[]);
        items.iter().filter_map(|item| Some(item["id"].as_i64()? as i32)).collect()
    };
    let number = |value: &serde_json::Value| value.as_i64().unwrap_or(-1) as i32;
    Ok(Listing {
        brokers: json["brokers"].as_array().map_or(0, Vec::len),
        controller: number(&json["controllerid"]),
        leader: number(&partition["leader"]),
        replicas: numbers(&partition["replicas"]),
        isr: numbers(&partition["isrs"]),
    })
}
