//! What holds after a power cut beside the records: epochs, indexes, equal replicas.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::check::Read;
use crate::cluster::Cluster;
use crate::{Outcome, admin, at_last, until};

/// Bytes of a batch before its records.
const BATCH_HEADER: usize = 61;
/// How many times of records are looked up in each partition.
const TIMES: usize = 5;

fn asking(bootstrap: &str) -> Outcome<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).create().map_err(|error| error.to_string())
}

/// What a cluster that does not become whole says of itself: nodes that ended, logs that brokers
/// cannot use. `None` if it is only slow.
pub(super) fn damage(cluster: &Cluster) -> Option<String> {
    for node in cluster.nodes().ok()? {
        if node.pid.is_none() {
            let log = cluster.vltava(&["logs", &node.name, "--tail", "1"]).unwrap_or_default();
            return Some(format!("{} ended: {}", node.name, log.trim()));
        }
        let offline = admin::metrics(&node).ok()?.get("vltava_partitions_offline").copied();
        if let Some(count) = offline.filter(|count| *count > 0.0) {
            return Some(format!("{} has {count} logs that it cannot use", node.name));
        }
    }
    None
}

/// How many replicas of a topic's partition 0 are in sync.
pub(super) fn in_sync(bootstrap: &str, topic: &str) -> Outcome<usize> {
    let metadata = asking(bootstrap)?
        .fetch_metadata(Some(topic), Duration::from_secs(10))
        .map_err(|error| error.to_string())?;
    let partitions = metadata.topics().first().map(|topic| topic.partitions());
    let first = partitions.and_then(|all| all.iter().find(|partition| partition.id() == 0));
    Ok(first.map_or(0, |partition| partition.isr().len()))
}

/// Partition 0 starts at or above that offset and can be asked for both ends.
pub(super) fn starts_at(bootstrap: &str, topic: &str, least: i64) -> Outcome {
    let consumer = asking(bootstrap)?;
    let (low, high) = crate::check::watermarks(&consumer, topic, 0)?;
    if low < least || high < low {
        return Err(format!(
            "{topic}-0 goes from {low} to {high}; all below {least} was deleted, and said to be"
        ));
    }
    Ok(())
}

/// Looks up times of records: the answer is the first record that is not older.
pub(super) fn times_lead_to_records(
    bootstrap: &str,
    topic: &str,
    read: &BTreeMap<i32, Vec<Read>>,
) -> Outcome {
    let consumer = asking(bootstrap)?;
    for (partition, records) in read {
        for step in 0..TIMES.min(records.len()) {
            let time = records[records.len() * step / TIMES].timestamp_ms;
            let expected = records.iter().find(|record| record.timestamp_ms >= time);
            let expected = expected.map(|record| record.offset);
            let mut asked = TopicPartitionList::new();
            asked
                .add_partition_offset(topic, *partition, Offset::Offset(time))
                .map_err(|error| error.to_string())?;
            let found = until("offsets for times", Duration::from_secs(30), || {
                let failed = |error| format!("{topic}-{partition}: {error}");
                let found = consumer
                    .offsets_for_times(asked.clone(), Duration::from_secs(30))
                    .map_err(failed)?;
                found.elements().iter().try_for_each(|it| it.error()).map_err(failed)?;
                Ok(found)
            })?;
            let found = found.elements().first().and_then(|element| element.offset().to_raw());
            if found != expected {
                return Err(format!(
                    "{topic}-{partition}: time {time} leads to offset {found:?}, the first record \
                     of that time is {expected:?}"
                ));
            }
        }
    }
    Ok(())
}

/// The batches of a log: base offset → leader epoch and CRC.
type Batches = BTreeMap<i64, (i32, u32)>;

/// Holds the logs of one partition against each other, on every node, and each log against its
/// list of leader epochs. Returns how many logs there are.
pub(super) fn replicas_equal(cluster: &Cluster) -> Outcome<usize> {
    at_last(Duration::from_secs(20), || {
        let mut logs: BTreeMap<String, Vec<(String, Batches)>> = BTreeMap::new();
        for node in cluster.nodes()? {
            let data = super::promised::data_of(&node);
            let entries = std::fs::read_dir(&data).map_err(|error| error.to_string())?;
            for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.contains('.') {
                    continue;
                }
                let batches = batches(&entry.path())?;
                epochs_agree(&entry.path(), &batches)
                    .map_err(|error| format!("{}, {name}: {error}", node.name))?;
                logs.entry(name).or_default().push((node.name.clone(), batches));
            }
        }
        for (name, replicas) in &logs {
            alike(replicas).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(logs.values().map(Vec::len).sum())
    })
}

fn alike(replicas: &[(String, Batches)]) -> Outcome {
    let Some(((first, one), rest)) = replicas.split_first() else { return Ok(()) };
    for (name, other) in rest {
        for (base, batch) in one {
            match other.get(base) {
                Some(there) if there != batch => {
                    return Err(format!(
                        "offset {base} is {batch:?} on {first}, {there:?} on {name}"
                    ));
                }
                // A log may begin later, where segments were given up, or end earlier.
                None if other.range(..base).next().is_some()
                    && other.range(base..).next().is_some() =>
                {
                    return Err(format!("offset {base} of {first} is missing on {name}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn batches(folder: &Path) -> Outcome<Batches> {
    let mut batches = Batches::new();
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        // A segment may be given up while the folder is read.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + BATCH_HEADER) {
            let int = |from: usize| {
                let bytes = header[from..from + 4].try_into().expect("four bytes");
                u32::from_be_bytes(bytes)
            };
            let base = header[..8].try_into().map(i64::from_be_bytes).expect("eight bytes");
            batches.insert(base, (int(12).cast_signed(), int(17)));
            at += 12 + int(8) as usize;
        }
    }
    Ok(batches)
}

/// Each batch's epoch is the one that the list of leader epochs has for its offset.
fn epochs_agree(folder: &Path, batches: &Batches) -> Outcome {
    let text = std::fs::read_to_string(folder.join("leader-epoch-checkpoint")).unwrap_or_default();
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    for line in text.lines().skip(2) {
        if let Some((epoch, start)) = line.split_once(' ')
            && let (Ok(epoch), Ok(start)) = (epoch.parse(), start.parse())
        {
            epochs.push((epoch, start));
        }
    }
    for (base, (epoch, _)) in batches {
        let listed = epochs.iter().rev().find(|(_, start)| start <= base);
        // What lies below the log's start has no entry.
        if let Some((listed, _)) = listed
            && listed != epoch
        {
            return Err(format!(
                "offset {base} is of leader epoch {epoch}; the list of epochs says {listed}"
            ));
        }
    }
    Ok(())
}
