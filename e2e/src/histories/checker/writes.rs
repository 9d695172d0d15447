//! What became of what was sent: lost, unseen, twice, at one offset with another, out of order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::facts::Facts;
use super::{Anomaly, Finding};
use crate::histories::history::{Event, Kind, Step, UNTOLD};

pub(super) fn check(history: &[Event], facts: &Facts, findings: &mut BTreeSet<Finding>) {
    places(facts, findings);
    for event in history {
        for step in facts.in_force(event) {
            if let Step::Send { partition, value, ack } = step {
                let ack = ack.filter(|offset| *offset != UNTOLD);
                findings.extend(missing(facts, event.client, *partition, *value, ack));
            }
        }
    }
    order(history, findings);
}

/// Each value is at one place, and each place has one value.
fn places(facts: &Facts, findings: &mut BTreeSet<Finding>) {
    for (value, places) in &facts.places {
        if places.len() > 1 {
            let what = format!("{value} at {}", listed(places));
            findings.insert(Finding { anomaly: Anomaly::Duplicate, what });
        }
    }
    for ((partition, offset), values) in &facts.values {
        if values.len() > 1 {
            let values: Vec<String> = values.iter().map(u64::to_string).collect();
            let what = format!("{} at {partition}/{offset}", values.join(" and "));
            findings.insert(Finding { anomaly: Anomaly::InconsistentOffset, what });
        }
    }
}

fn listed(places: &BTreeSet<(i32, i64)>) -> String {
    let places: Vec<String> =
        places.iter().map(|(partition, offset)| format!("{partition}/{offset}")).collect();
    places.join(" and ")
}

/// What is committed and was never read: lost, if anybody read beyond it.
fn missing(
    facts: &Facts,
    client: u32,
    partition: i32,
    value: u64,
    offset: Option<i64>,
) -> Option<Finding> {
    if facts.polled.contains(&value) {
        return None;
    }
    let reached = facts.reached.get(&partition).copied().unwrap_or(-1);
    let told = offset.map_or("an offset untold".to_owned(), |offset| offset.to_string());
    let what = format!("{value} of client {client}, at {told} of {partition}, read to {reached}");
    let is_passed = offset.is_some_and(|offset| offset <= reached);
    let anomaly = if is_passed { Anomaly::LostWrite } else { Anomaly::Unseen };
    Some(Finding { anomaly, what })
}

/// What is sent after another record was acknowledged gets a higher offset; and so does what one
/// operation sends later than another record.
fn order(history: &[Event], findings: &mut BTreeSet<Finding>) {
    /// By partition, the highest acknowledged offset and its value.
    type Highest = BTreeMap<i32, (i64, u64)>;
    let mut highest = Highest::new();
    let mut before: HashMap<u32, Highest> = HashMap::new();
    for event in history {
        if event.kind == Kind::Invoke {
            before.insert(event.client, highest.clone());
            continue;
        }
        let mut last = before.remove(&event.client).unwrap_or_default();
        for step in event.operation.steps() {
            let Step::Send { partition, value, ack } = step else { continue };
            let Some(offset) = ack.filter(|offset| *offset != UNTOLD) else { continue };
            if let Some((earlier_offset, earlier)) = last.get(partition)
                && offset <= *earlier_offset
                && value != earlier
            {
                let what = format!(
                    "{value} of client {} at {partition}/{offset}, {earlier} before it at \
                     {earlier_offset}",
                    event.client
                );
                findings.insert(Finding { anomaly: Anomaly::NonmonotonicSend, what });
            }
            last.insert(*partition, (offset, *value));
            let most = highest.entry(*partition).or_insert((offset, *value));
            *most = (*most).max((offset, *value));
        }
    }
}
