//! The check after the faults: every acknowledged record is there, once, in order.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::producers::Acked;
use crate::{Outcome, admin, until};

/// A record as it was read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The offset.
    pub offset: i64,
    /// Which producer sent it.
    pub producer: u32,
    /// Its number.
    pub sequence: u64,
    /// Its time, in ms since 1970.
    pub timestamp_ms: i64,
}

/// A client that only asks.
fn asking(bootstrap: &str) -> Outcome<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "e2e-check")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()
        .map_err(|error| error.to_string())
}

/// The end of each partition.
///
/// # Errors
/// If the brokers do not say within 30 seconds.
pub fn ends(bootstrap: &str, topic: &str) -> Outcome<BTreeMap<i32, i64>> {
    let consumer = asking(bootstrap)?;
    let timeout = Duration::from_secs(30);
    let metadata = consumer
        .fetch_metadata(Some(topic), timeout)
        .map_err(|error| format!("metadata of {topic}: {error}"))?;
    let partitions = metadata.topics().first().map(|topic| topic.partitions()).unwrap_or(&[]);
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (_, high) = watermarks(&consumer, topic, partition.id())?;
        ends.insert(partition.id(), high);
    }
    Ok(ends)
}

/// The leader of a topic's first partition; −1 if it has none.
///
/// # Errors
/// If the brokers do not say within ten seconds.
pub fn leader_of(bootstrap: &str, topic: &str) -> Outcome<i32> {
    let metadata = asking(bootstrap)?
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .map_err(|error| error.to_string())?;
    let partitions = metadata.topics().first().map(|topic| topic.partitions());
    let first = partitions.and_then(|all| all.iter().find(|partition| partition.id() == 0));
    first.map(|partition| partition.leader()).ok_or_else(|| format!("{topic} has no partition"))
}

/// The first offset of a partition and the one after its last. Who has just led a partition may not
/// do so any more: then another is asked.
///
/// # Errors
/// If nobody says within 30 seconds.
pub fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Outcome<(i64, i64)> {
    let timeout = Duration::from_secs(30);
    until(&format!("the ends of {topic}-{partition}"), timeout, || {
        let found = consumer.fetch_watermarks(topic, partition, timeout);
        found.map_err(|error| error.to_string())
    })
}

/// Reads a whole topic.
///
/// # Errors
/// If a partition cannot be read to its end within two minutes.
pub fn read_back(bootstrap: &str, topic: &str) -> Outcome<BTreeMap<i32, Vec<Read>>> {
    let ends = ends(bootstrap, topic)?;
    let consumer = asking(bootstrap)?;
    let mut assignment = TopicPartitionList::new();
    for partition in ends.keys() {
        assignment
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .map_err(|error| error.to_string())?;
    }
    consumer.assign(&assignment).map_err(|error| error.to_string())?;
    let mut read: BTreeMap<i32, Vec<Read>> = ends.keys().map(|at| (*at, Vec::new())).collect();
    let start = Instant::now();
    let is_short = |read: &BTreeMap<i32, Vec<Read>>| {
        ends.iter().any(|(partition, end)| {
            let last = read[partition].last().map_or(0, |record| record.offset + 1);
            last < *end
        })
    };
    while is_short(&read) {
        if start.elapsed() > Duration::from_secs(120) {
            let counts: Vec<String> = read
                .iter()
                .map(|(at, records)| {
                    let last = records.last().map_or(0, |record| record.offset + 1);
                    format!("{at}: {last} of {}", ends[at])
                })
                .collect();
            return Err(format!("{topic} cannot be read to its end: {}", counts.join(", ")));
        }
        match consumer.poll(Duration::from_millis(500)) {
            Some(Ok(message)) => {
                let record = parse(&message)?;
                read.entry(message.partition()).or_default().push(record);
            }
            Some(Err(error)) if error.rdkafka_error_code().is_none() => {
                return Err(format!("reading {topic}: {error}"));
            }
            _ => {}
        }
    }
    Ok(read)
}

fn parse(message: &impl Message) -> Outcome<Read> {
    let offset = message.offset();
    let text = String::from_utf8_lossy(message.payload().unwrap_or_default());
    let numbers = text.split_once(':');
    let parsed = numbers
        .and_then(|(producer, sequence)| Some((producer.parse().ok()?, sequence.parse().ok()?)));
    let (producer, sequence) =
        parsed.ok_or_else(|| format!("a record that nobody sent, at {offset}: {text:?}"))?;
    let timestamp_ms = message.timestamp().to_millis().unwrap_or(-1);
    Ok(Read { offset, producer, sequence, timestamp_ms })
}

/// Holds what was acknowledged against what was read. Returns how many records were read.
///
/// # Errors
/// The first ten findings: a record lost, twice, out of order, or elsewhere than was said.
pub fn nothing_lost(acked: &[Acked], read: &BTreeMap<i32, Vec<Read>>) -> Outcome<usize> {
    let mut findings = Vec::new();
    let mut where_read: HashMap<(u32, u64), (i32, i64)> = HashMap::new();
    for (partition, records) in read {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for record in records {
            let Read { offset, producer, sequence, .. } = *record;
            let earlier = where_read.insert((producer, sequence), (*partition, offset));
            if let Some((at, earlier)) = earlier {
                findings.push(format!(
                    "record {producer}:{sequence} twice: {at}/{earlier} and {partition}/{offset}"
                ));
            }
            if last.insert(producer, sequence).is_some_and(|last| last >= sequence) {
                findings.push(format!("record {producer}:{sequence} out of order at {offset}"));
            }
        }
    }
    for record in acked {
        let Acked { partition, offset, producer, sequence } = *record;
        match where_read.get(&(producer, sequence)) {
            None => findings.push(format!(
                "record {producer}:{sequence} LOST; acknowledged as {partition}/{offset}"
            )),
            // An acknowledgement of a duplicate may leave the offset out (−1).
            Some(at) if *at != (partition, offset) && offset >= 0 => findings.push(format!(
                "record {producer}:{sequence} is at {}/{}; acknowledged as {partition}/{offset}",
                at.0, at.1
            )),
            Some(_) => {}
        }
    }
    if findings.is_empty() {
        return Ok(where_read.len());
    }
    let count = findings.len();
    findings.truncate(10);
    Err(format!("{count} findings:\n  {}", findings.join("\n  ")))
}

/// Waits until every partition has a leader and all its replicas in sync, as every broker says.
///
/// # Errors
/// The partition that is not whole in time.
pub fn isr_whole(cluster: &Cluster, brokers: usize, limit: Duration) -> Outcome {
    for broker in 1..=brokers {
        let address = format!("127.0.0.1:{}", cluster.port(broker as i32));
        let consumer = asking(&address)?;
        until(&format!("a whole ISR, as broker {broker} says,"), limit, || {
            let metadata = consumer
                .fetch_metadata(None, Duration::from_secs(5))
                .map_err(|error| error.to_string())?;
            if metadata.brokers().len() != brokers {
                return Err(format!("{} brokers", metadata.brokers().len()));
            }
            for topic in metadata.topics() {
                for partition in topic.partitions() {
                    let (isr, replicas) = (partition.isr(), partition.replicas());
                    if isr.len() != replicas.len() || partition.leader() < 0 {
                        let name = topic.name();
                        let leader = partition.leader();
                        return Err(format!(
                            "{name}-{}: leader {leader}, replicas {replicas:?}, isr {isr:?}",
                            partition.id()
                        ));
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Waits until all nodes have applied the same metadata.
///
/// # Errors
/// What each node has, if they do not agree in time.
pub fn metadata_equal(cluster: &Cluster, limit: Duration) -> Outcome {
    until("equal metadata on all nodes", limit, || {
        let mut seen = BTreeMap::new();
        for node in cluster.nodes()? {
            let metrics = admin::metrics(&node)?;
            let value = |name: &str| {
                let found = metrics.get(name).map(|value| format!("{value}"));
                found.ok_or_else(|| format!("{} has no metric {name}", node.name))
            };
            let digest = value("vltava_metadata_digest")?;
            seen.insert(node.name.clone(), digest);
        }
        let mut digests: Vec<&String> = seen.values().collect();
        digests.dedup();
        if digests.len() == 1 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acked(offset: i64, sequence: u64) -> Acked {
        Acked { partition: 0, offset, producer: 1, sequence }
    }

    fn read(records: &[(i64, u64)]) -> BTreeMap<i32, Vec<Read>> {
        let record = |(offset, sequence): &(i64, u64)| Read {
            offset: *offset,
            producer: 1,
            sequence: *sequence,
            timestamp_ms: *offset,
        };
        BTreeMap::from([(0, records.iter().map(record).collect())])
    }

    #[test]
    fn what_was_acknowledged_and_read_in_order_passes() {
        let read = read(&[(0, 0), (1, 1), (2, 2)]);
        assert_eq!(nothing_lost(&[acked(0, 0), acked(2, 2)], &read), Ok(3));
    }

    #[test]
    fn each_fault_is_found() {
        let lost = nothing_lost(&[acked(0, 0), acked(1, 1)], &read(&[(0, 0)]));
        assert!(lost.unwrap_err().contains("LOST"));
        let twice = nothing_lost(&[], &read(&[(0, 0), (1, 0)]));
        assert!(twice.unwrap_err().contains("twice"));
        let order = nothing_lost(&[], &read(&[(0, 1), (1, 0)]));
        assert!(order.unwrap_err().contains("out of order"));
        let elsewhere = nothing_lost(&[acked(5, 0)], &read(&[(0, 0)]));
        assert!(elsewhere.unwrap_err().contains("acknowledged as"));
    }
}
