//! A compacted topic shrinks while it is written and its brokers are killed, and a reader from the
//! start finds the last value of every key.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::kcat;
use crate::cluster::{Cluster, Shape};
use crate::{Outcome, check, faults, until};

const TOPIC: &str = "compacted";
const BROKERS: usize = 3;
/// Keys, and how often each is written.
const KEYS: usize = 500;
const ROUNDS: usize = 40;
/// How much of a value is ballast, in bytes: 40 rounds take 20 MB.
const BALLAST: usize = 1000;
/// Every so many keys, one is deleted in the end.
const DELETED_EACH: usize = 5;
/// How large the folder may be once it was compacted: two segments of dirt, the active one, and one
/// value for each key.
const SIZE_MAX: u64 = 4 << 20;

pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let config = [("log.cleaner.backoff.ms", "200"), ("log.cleaner.threads", "2")];
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::up(folder.path(), &Shape { config, ..Shape::default() })?;
    let topic = [
        "topic",
        "create",
        TOPIC,
        "--partitions",
        "1",
        "--replication-factor",
        "3",
        "--config",
        "cleanup.policy=compact",
        "--config",
        "segment.bytes=1048576",
        "--config",
        "min.cleanable.dirty.ratio=0.1",
        "--config",
        "delete.retention.ms=1000",
    ];
    cluster.vltava(&topic)?;
    check::isr_whole(&cluster, BROKERS, Duration::from_secs(30))?;
    keyless_is_refused(&cluster)?;
    let mut told = BTreeMap::new();
    for round in 0..ROUNDS {
        // Each of them dies in the middle of something, and comes back a round later.
        let victim = format!("broker-{}", round / 4 % BROKERS + 1);
        match round % 4 {
            1 => faults::signal_node(&cluster, &victim, Signal::KILL)?,
            2 => cluster.start_all()?,
            3 => check::isr_whole(&cluster, BROKERS, Duration::from_secs(60))?,
            _ => {}
        }
        produce(&cluster, round, &mut told)?;
    }
    check::isr_whole(&cluster, BROKERS, Duration::from_secs(60))?;
    let written = told.len() * ROUNDS * BALLAST;
    delete(&cluster, &mut told)?;
    let sizes = until("compacted logs on every broker", Duration::from_secs(90), || {
        // Nothing is compacted in the segment that grows, so it is made to end.
        produce(&cluster, ROUNDS, &mut told)?;
        let sizes = sizes(&cluster)?;
        if sizes.iter().all(|size| *size <= SIZE_MAX) {
            Ok(sizes)
        } else {
            Err(format!("{sizes:?}"))
        }
    })?;
    let read = read(&cluster, &told)?;
    for node in cluster.nodes()?.iter().filter(|node| node.role == "broker") {
        faults::signal_node(&cluster, &node.name, Signal::KILL)?;
    }
    cluster.start_all()?;
    check::isr_whole(&cluster, BROKERS, Duration::from_secs(60))?;
    self::read(&cluster, &told)?;
    Ok(format!(
        "{written} bytes written, {sizes:?} left; {read} records read, with the last of {} keys",
        told.len()
    ))
}

fn keyless_is_refused(cluster: &Cluster) -> Outcome {
    let brokers = cluster.bootstrap();
    match kcat(&["-P", "-b", &brokers, "-t", TOPIC, "-p", "0"], "no key\n") {
        Err(error) if error.contains("Broker failed to validate record") => Ok(()),
        other => Err(format!("a record without a key: {other:?}")),
    }
}

/// Writes each key that is not deleted once more.
fn produce(
    cluster: &Cluster,
    round: usize,
    told: &mut BTreeMap<String, Option<String>>,
) -> Outcome {
    let mut lines = String::new();
    for number in (0..KEYS).filter(|number| round < ROUNDS || number % DELETED_EACH > 0) {
        let (key, value) = (format!("key-{number}"), format!("{round}-{}", "x".repeat(BALLAST)));
        lines.push_str(&format!("{key}:{value}\n"));
        told.insert(key, Some(value));
    }
    let brokers = cluster.bootstrap();
    let arguments = ["-P", "-b", &brokers, "-t", TOPIC, "-p", "0", "-K", ":", "-X", "acks=all"];
    kcat(&[&arguments[..], &["-X", "enable.idempotence=true"]].concat(), &lines).map(|_| ())
}

/// Writes tombstones.
fn delete(cluster: &Cluster, told: &mut BTreeMap<String, Option<String>>) -> Outcome {
    let keys = (0..KEYS).step_by(DELETED_EACH).map(|number| format!("key-{number}"));
    let keys: Vec<String> = keys.collect();
    let lines: String = keys.iter().map(|key| format!("{key}:\n")).collect();
    let brokers = cluster.bootstrap();
    kcat(&["-P", "-b", &brokers, "-t", TOPIC, "-p", "0", "-K", ":", "-Z"], &lines)?;
    told.extend(keys.into_iter().map(|key| (key, None)));
    Ok(())
}

/// Bytes of the records in the partition's folder, on each broker.
fn sizes(cluster: &Cluster) -> Outcome<Vec<u64>> {
    let size = |folder: &Path| -> std::io::Result<u64> {
        let mut size = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A segment that was replaced may be gone by now.
            let is_log = entry.path().extension().is_some_and(|ending| ending == "log");
            size += if is_log { entry.metadata().map_or(0, |it| it.len()) } else { 0 };
        }
        Ok(size)
    };
    let nodes = cluster.nodes()?.into_iter().filter(|node| node.role == "broker");
    nodes
        .map(|node| {
            let folder = node.data_dir.join(format!("{TOPIC}-0"));
            size(&folder).map_err(|error| format!("{}: {error}", folder.display()))
        })
        .collect()
}

/// Reads from the start: offsets rise, and the last of each key is what was told; how many records
/// there were.
fn read(cluster: &Cluster, told: &BTreeMap<String, Option<String>>) -> Outcome<usize> {
    let brokers = cluster.bootstrap();
    let text = kcat(
        &["-C", "-b", &brokers, "-t", TOPIC, "-o", "beginning", "-e", "-q", "-f", "%o %k %S %s\n"],
        "",
    )?;
    let (mut found, mut last, mut count) = (BTreeMap::new(), -1, 0);
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(|| format!("kcat printed {line:?}"));
        let offset: i64 = word()?.parse().map_err(|_| format!("an offset in {line:?}"))?;
        let (key, size, value) = (word()?.to_owned(), word()?, word()?);
        if offset <= last {
            return Err(format!("offset {offset} after {last}"));
        }
        (last, count) = (offset, count + 1);
        // kcat prints the length of a null as −1.
        found.insert(key, (size != "-1").then(|| value.to_owned()));
    }
    for (key, value) in told {
        // A tombstone may have gone by now.
        let is = found.get(key).cloned().unwrap_or_default();
        if is != *value {
            let short = |value: &Option<String>| {
                value.as_deref().map(|it| it.split('-').next().unwrap_or_default().to_owned())
            };
            return Err(format!("{key} is of round {:?}, not {:?}", short(&is), short(value)));
        }
    }
    Ok(count)
}
