//! Transactions while brokers die: what was committed is read once, what was aborted never, and no
//! transaction stays open.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::transactions::{Copier, End, Reader, Transaction, Writer, only_committed, settled};
use crate::{Outcome, check, faults, until};

const WRITTEN: &str = "written";
const SOURCE: &str = "source";
const COPIED: &str = "copied";
const PARTITIONS: i32 = 3;
/// How often each broker dies.
const ROUNDS: i32 = 2;
pub(super) fn run() -> Outcome<String> {
    let seed = rand::random();
    tried(seed).map_err(|error| format!("seed {seed}: {error}"))
}

fn tried(seed: u64) -> Outcome<String> {
    let folder = super::folder()?;
    let topic = |name: &str| (name.to_owned(), PARTITIONS, 3);
    let shape =
        Shape { topics: vec![topic(WRITTEN), topic(SOURCE), topic(COPIED)], ..Shape::default() };
    let cluster = Cluster::up(folder.path(), &shape)?;
    let bootstrap = cluster.bootstrap();
    let along = Reader::start(bootstrap.clone(), WRITTEN, PARTITIONS);
    let writers: Vec<_> =
        (0..3).map(|worker| Writer::start(bootstrap.clone(), WRITTEN, worker, seed)).collect();
    let copiers: Vec<_> =
        (0..2).map(|number| Copier::start(bootstrap.clone(), SOURCE, COPIED, number)).collect();
    let load = Load::start(Options {
        bootstrap: bootstrap.clone(),
        topic: SOURCE.to_owned(),
        id: 100,
        rate: 100,
        partition: None,
        settings: Vec::new(),
        log: None,
    })?;
    for broker in (0..ROUNDS * 3).map(|round| 1 + round % 3) {
        check::isr_whole(&cluster, 3, Duration::from_secs(90))?;
        std::thread::sleep(Duration::from_secs(4));
        faults::signal_node(&cluster, &format!("broker-{broker}"), Signal::KILL)?;
        std::thread::sleep(Duration::from_secs(4));
        cluster.start_all()?;
    }
    check::isr_whole(&cluster, 3, Duration::from_secs(90))?;
    let report = load.finish()?;
    let sent: Vec<String> =
        report.acked.iter().map(|it| format!("{}:{}", it.producer, it.sequence)).collect();
    let copied = copied_once(&bootstrap, &sent)?;
    let mut transactions: Vec<Transaction> = Vec::new();
    for writer in writers {
        transactions.append(&mut writer.finish()?);
    }
    let mut copies = 0;
    for copier in copiers {
        copies += copier.finish()?;
    }
    settled(&cluster)?;
    let again = Reader::start(bootstrap, WRITTEN, PARTITIONS).finish()?;
    let visible = only_committed(&transactions, &again)?;
    only_committed(&transactions, &along.finish()?)
        .map_err(|error| format!("who read along: {error}"))?;
    let count = |end: End| transactions.iter().filter(|it| it.end == end).count();
    Ok(format!(
        "{} transactions ({} committed, {} aborted, {} unknown; {visible} visible); {copied} \
         records copied once in {copies} transactions; none open, all that is committed is stable",
        transactions.len(),
        count(End::Committed),
        count(End::Aborted),
        count(End::Unknown),
    ))
}

/// Waits until every record that was sent was copied; none may come twice.
fn copied_once(bootstrap: &str, sent: &[String]) -> Outcome<usize> {
    until("every copy", Duration::from_secs(120), || {
        let read = Reader::start(bootstrap.to_owned(), COPIED, PARTITIONS).finish()?;
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        read.iter().for_each(|text| *counts.entry(text).or_default() += 1);
        if let Some((text, count)) = counts.iter().find(|(_, count)| **count > 1) {
            return Err(format!("{text} was copied {count} times"));
        }
        match sent.iter().find(|text| !counts.contains_key(text.as_str())) {
            Some(text) => Err(format!("{text} was not copied, nor others")),
            None => Ok(counts.len()),
        }
    })
}
