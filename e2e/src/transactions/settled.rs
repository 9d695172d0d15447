//! The wait for the end of all transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use vltava_wire::messages::ListTransactionsRequest;

use crate::ask::ask;
use crate::cluster::Cluster;
use crate::{Outcome, until};

/// Longer than a transaction that was left behind stays open: its timeout of 15 s, and twice the
/// 10 s at which coordinators look.
const SETTLED: Duration = Duration::from_secs(60);

/// The states of transactions that have not ended.
const OPEN: [&str; 4] = ["Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"];

/// Waits until no transaction is open anywhere, and everything is stable.
///
/// # Errors
/// What is still open after a minute.
pub fn settled(cluster: &Cluster) -> Outcome {
    until("the end of all transactions", SETTLED, || {
        for broker in 1..=3 {
            let address = format!("127.0.0.1:{}", cluster.port(broker));
            let request = ListTransactionsRequest {
                state_filters: OPEN.iter().map(|state| (*state).into()).collect(),
                ..ListTransactionsRequest::default()
            };
            let answer = ask(&address, &request, 1)?;
            if answer.error_code.is_err() {
                return Err(format!("broker {broker}: {}", answer.error_code));
            }
            if let Some(open) = answer.transaction_states.first() {
                return Err(format!("broker {broker}: {open:?}"));
            }
        }
        Ok(())
    })?;
    until("stable ends", SETTLED, || {
        let (stable, all) = (ends(cluster, "read_committed")?, ends(cluster, "read_uncommitted")?);
        match all.iter().find(|(at, end)| stable.get(*at) != Some(end)) {
            Some((at, end)) => Err(format!("{at:?}: {end}, stable to {:?}", stable.get(at))),
            None => Ok(()),
        }
    })
}

/// The end of each partition of every topic, as a reader of that isolation sees it.
fn ends(cluster: &Cluster, isolation: &str) -> Outcome<BTreeMap<(String, i32), i64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "e2e-ends")
        .set("isolation.level", isolation)
        .create()
        .map_err(|error| error.to_string())?;
    let timeout = Duration::from_secs(20);
    let metadata = consumer.fetch_metadata(None, timeout).map_err(|error| error.to_string())?;
    let mut ends = BTreeMap::new();
    for topic in metadata.topics() {
        for partition in topic.partitions() {
            let (name, id) = (topic.name(), partition.id());
            let (_, end) = consumer
                .fetch_watermarks(name, id, timeout)
                .map_err(|error| format!("end of {name}-{id}: {error}"))?;
            ends.insert((name.to_owned(), id), end);
        }
    }
    Ok(ends)
}
