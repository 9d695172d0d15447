//! What readers saw: only what is committed, in order, without gaps; and groups each record once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::facts::Facts;
use super::{Anomaly, Finding};
use crate::histories::history::{Event, Kind, Operation, Polled, Step};

/// A client, the number of its assignment, and a partition.
type Reader = (u32, u32, i32);

pub(super) fn check(history: &[Event], facts: &Facts, findings: &mut BTreeSet<Finding>) {
    // The offset before the first that a reader is to see.
    let mut last: HashMap<Reader, i64> = HashMap::new();
    for event in history.iter().filter(|event| event.kind != Kind::Invoke) {
        if let Operation::Assign { assignment, from } = &event.operation {
            for (partition, offset) in from {
                last.insert((event.client, *assignment, *partition), offset - 1);
            }
        }
        for step in event.operation.steps() {
            let Step::Poll { assignment, records } = step else { continue };
            for record in records {
                let reader = (event.client, *assignment, record.0);
                findings.extend(content(facts, event.client, *record));
                if let Some(last) = last.insert(reader, record.1) {
                    findings.extend(order(facts, reader, last, record.1));
                }
            }
        }
        findings.extend(precommitted(event));
    }
    groups(history, facts, findings);
}

/// A record that was read was sent, and not within a transaction that was aborted.
fn content(facts: &Facts, client: u32, (partition, offset, value): Polled) -> Option<Finding> {
    let anomaly = match value {
        value if facts.aborted.contains(&value) => Anomaly::AbortedRead,
        value if !facts.begun.contains(&value) => Anomaly::Unsent,
        _ => return None,
    };
    let what = format!("{value} at {partition}/{offset}, read by client {client}");
    Some(Finding { anomaly, what })
}

/// A reader goes on from one record to the next.
fn order(facts: &Facts, reader: Reader, last: i64, offset: i64) -> Option<Finding> {
    let (client, assignment, partition) = reader;
    let whose = format!("client {client}, assignment {assignment}, partition {partition}");
    if offset <= last {
        let what = format!("{whose}: {offset} after {last}");
        return Some(Finding { anomaly: Anomaly::NonmonotonicPoll, what });
    }
    let between = (Bound::Excluded(last), Bound::Excluded(offset));
    let mut skipped = facts.visible.get(&partition)?.range(between);
    let first = skipped.next()?;
    let what =
        format!("{whose}: {last} to {offset}, without {first}, {} in all", { skipped.count() + 1 });
    Some(Finding { anomaly: Anomaly::PollSkip, what })
}

/// A transaction does not see its own records.
fn precommitted(event: &Event) -> Vec<Finding> {
    let Operation::Transaction { steps, .. } = &event.operation else { return Vec::new() };
    let mut sent = BTreeSet::new();
    let mut findings = Vec::new();
    for step in steps {
        match step {
            Step::Send { value, .. } => {
                sent.insert(*value);
            }
            Step::Poll { records, .. } => {
                for (partition, offset, value) in records {
                    if sent.contains(value) {
                        let client = event.client;
                        let what = format!("{value} at {partition}/{offset}, by client {client}");
                        findings.push(Finding { anomaly: Anomaly::PrecommittedRead, what });
                    }
                }
            }
        }
    }
    findings
}

/// The transactions of the group that were committed consumed each record once, up to where the
/// group has come.
fn groups(history: &[Event], facts: &Facts, findings: &mut BTreeSet<Finding>) {
    let mut consumed: BTreeMap<i32, BTreeMap<i64, u32>> = BTreeMap::new();
    for event in history {
        if !matches!(event.operation, Operation::Transaction { consumes: true, .. }) {
            continue;
        }
        for step in facts.in_force(event) {
            let Step::Poll { records, .. } = step else { continue };
            for (partition, offset, value) in records {
                let offsets = consumed.entry(*partition).or_default();
                if let Some(other) = offsets.insert(*offset, event.client) {
                    let what = format!(
                        "{value} at {partition}/{offset}, by clients {other} and {}",
                        event.client
                    );
                    findings.insert(Finding { anomaly: Anomaly::ConsumedTwice, what });
                }
            }
        }
    }
    for (partition, offsets) in &consumed {
        let Some((end, _)) = offsets.last_key_value() else { continue };
        let visible = facts.visible.get(partition).into_iter().flatten();
        for offset in visible.take_while(|offset| *offset < end) {
            if !offsets.contains_key(offset) {
                let what = format!("{partition}/{offset}, consumed to {end}");
                findings.insert(Finding { anomaly: Anomaly::NeverConsumed, what });
            }
        }
    }
}
