//! A group of two members on six partitions, of which one leaves, or is replaced by one that speaks
//! the other group protocol.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::{Outcome, until};

const TOPIC: &str = "shared";

/// How often each record came, by partition and offset.
type Seen = BTreeMap<(i32, i64), u32>;

pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let cluster = cluster(folder.path())?;
    let (mut members, mut seen) = pair(&cluster)?;
    let loads = loads(&cluster)?;
    until("1,000 acknowledged records", Duration::from_secs(30), || {
        poll(&members, &mut seen)?;
        let acked: usize = loads.iter().map(Load::acked).sum();
        if acked >= 1000 { Ok(()) } else { Err(format!("{acked}")) }
    })?;
    if let Some(member) = members.pop() {
        leave(member, &mut seen)?;
    }
    shares(&members, &mut seen, &[6])?;
    let acked = each_once(&members, loads, seen)?;
    Ok(format!("3 + 3, then 6; {acked} records, each once"))
}

/// Two classic members are replaced one by one by two of KIP-848's protocol, and these by classic
/// ones again.
pub(super) fn migration() -> Outcome<String> {
    let folder = super::folder()?;
    let cluster = cluster(folder.path())?;
    let (mut members, mut seen) = pair(&cluster)?;
    let loads = loads(&cluster)?;
    for protocol in ["consumer", "consumer", "classic", "classic"] {
        leave(members.remove(0), &mut seen)?;
        members.push(member(&cluster, protocol)?);
        shares(&members, &mut seen, &[3, 3])?;
    }
    let acked = each_once(&members, loads, seen)?;
    Ok(format!("classic, both, consumer, both, classic; {acked} records, each once"))
}

fn cluster(folder: &Path) -> Outcome<Cluster> {
    let shape = Shape { topics: vec![(TOPIC.to_owned(), 6, 3)], ..Shape::default() };
    Cluster::up(folder, &shape)
}

/// Two classic members that share the partitions.
fn pair(cluster: &Cluster) -> Outcome<(Vec<BaseConsumer>, Seen)> {
    let members = vec![member(cluster, "classic")?, member(cluster, "classic")?];
    let mut seen = Seen::new();
    shares(&members, &mut seen, &[3, 3])?;
    Ok((members, seen))
}

/// A steady load on each partition.
fn loads(cluster: &Cluster) -> Outcome<Vec<Load>> {
    let load = |partition| {
        Load::start(Options {
            bootstrap: cluster.bootstrap(),
            topic: TOPIC.to_owned(),
            id: partition as u32,
            rate: 50,
            partition: Some(partition),
            settings: Vec::new(),
            log: None,
        })
    };
    (0..6).map(load).collect()
}

/// Ends the loads, and waits until all that they had acknowledged has come. Returns how many that
/// were.
fn each_once(members: &[BaseConsumer], loads: Vec<Load>, mut seen: Seen) -> Outcome<usize> {
    let mut acked = 0;
    for load in loads {
        acked += load.finish()?.acked.len();
    }
    until("every record", Duration::from_secs(60), || {
        poll(members, &mut seen)?;
        if seen.len() >= acked { Ok(()) } else { Err(format!("{} of {acked}", seen.len())) }
    })?;
    match seen.iter().find(|(_, count)| **count > 1) {
        Some(((partition, offset), count)) => {
            Err(format!("record {partition}/{offset} came {count} times"))
        }
        None => Ok(acked),
    }
}

fn member(cluster: &Cluster, protocol: &str) -> Outcome<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "share")
        .set("group.protocol", protocol)
        .set("auto.offset.reset", "earliest")
        .create()
        .map_err(|error| error.to_string())?;
    consumer.subscribe(&[TOPIC]).map_err(|error| error.to_string())?;
    Ok(consumer)
}

/// Closes a member. What it hands out until it is closed, it commits, so that counts as well: to
/// drop it would throw those records away.
fn leave(member: BaseConsumer, seen: &mut Seen) -> Outcome {
    member.close_queue().map_err(|error| error.to_string())?;
    let members = [member];
    until("a member's end", Duration::from_secs(30), || {
        poll(&members, seen)?;
        if members.iter().all(BaseConsumer::closed) { Ok(()) } else { Err("open".to_owned()) }
    })
}

fn poll(members: &[BaseConsumer], seen: &mut Seen) -> Outcome {
    for member in members {
        for _ in 0..100 {
            match member.poll(Duration::from_millis(1)) {
                Some(Ok(message)) => {
                    *seen.entry((message.partition(), message.offset())).or_default() += 1;
                }
                Some(Err(_)) | None => break,
            }
        }
    }
    Ok(())
}

/// Waits until the members have so many partitions each.
fn shares(members: &[BaseConsumer], seen: &mut Seen, wanted: &[usize]) -> Outcome {
    until(&format!("shares of {wanted:?}"), Duration::from_secs(30), || {
        poll(members, seen)?;
        let mut shares = Vec::new();
        for member in members {
            let assignment = member.assignment().map_err(|error| error.to_string())?;
            shares.push(assignment.count());
        }
        if shares == wanted { Ok(()) } else { Err(format!("{shares:?}")) }
    })
}
