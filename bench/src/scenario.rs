//! What is measured: a table, a row for each scenario.

mod endings;
mod latencies;
mod many;
mod throughput;

use vltava_e2e::Outcome;

use crate::figure::{CPU_PER_GB, CPU_PER_RECORD, Figure, P50, P99, Sample};
use crate::ground::Ground;
use crate::subject::{ALL, AS_THEY_COME, Subject, WITHOUT_KAFKA_SYNCED};

/// One scenario.
pub struct Scenario {
    /// Its number.
    pub number: &'static str,
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does.
    pub title: &'static str,
    /// How many brokers there are.
    pub brokers: usize,
    /// On whom it is run, in turns.
    pub subjects: &'static [Subject],
    /// Whether the first round only warms up.
    pub warms_up: bool,
    /// What the plot shows.
    pub headline: Figure,
    /// Runs it once.
    pub run: fn(&mut Ground, Subject, usize) -> Outcome<Sample>,
}

/// What most scenarios have in common.
const fn row(
    number: &'static str,
    name: &'static str,
    title: &'static str,
    run: fn(&mut Ground, Subject, usize) -> Outcome<Sample>,
) -> Scenario {
    let (subjects, headline) = (ALL, CPU_PER_GB);
    Scenario { number, name, title, brokers: 1, subjects, warms_up: true, headline, run }
}

/// All scenarios, those of one shape together.
pub const SCENARIOS: &[Scenario] = &[
    row("1a", "produce", "produce, acks=all, 1 KiB, 6 partitions, 1 broker", throughput::produce),
    Scenario {
        subjects: AS_THEY_COME,
        ..row("2", "consume", "consume 1 KiB records, page cache warm", throughput::consume)
    },
    Scenario {
        subjects: AS_THEY_COME,
        ..row(
            "3",
            "consume-cold",
            "consume what is not in the page cache, beside 1,000 records/s produced",
            throughput::consume_cold,
        )
    },
    Scenario {
        headline: P99,
        ..row("4a", "latency", "produce at 5,000 records/s, 1 KiB, linger 0", latencies::produce)
    },
    Scenario {
        headline: P99,
        ..row("4b", "end-to-end", "producer to consumer at 2,000 records/s", latencies::end_to_end)
    },
    Scenario { headline: P50, ..row("5", "serial", "one record in flight", latencies::serial) },
    Scenario {
        headline: CPU_PER_RECORD,
        ..row(
            "6",
            "small",
            "100-byte keyed records, 1,000 partitions, 50 producers, linger 0",
            many::small,
        )
    },
    Scenario {
        subjects: AS_THEY_COME,
        headline: P50,
        ..row("15a", "transaction", "begin, one record of 1 KiB, commit", latencies::transaction)
    },
    row("7", "large", "records of 1 MB", throughput::large),
    row("8a", "lz4", "text compressed by lz4, produced and consumed", throughput::lz4),
    row("8b", "zstd", "text compressed by zstd, produced and consumed", throughput::zstd),
    Scenario {
        subjects: AS_THEY_COME,
        headline: P99,
        ..row(
            "9",
            "connections",
            "1,000 silent and 1,000 slow connections beside 1,000 records/s",
            many::connections,
        )
    },
    Scenario {
        headline: P99,
        ..row(
            "11",
            "backlog",
            "a backlog is drained while 5,000 records/s are produced",
            throughput::backlog,
        )
    },
    Scenario {
        subjects: AS_THEY_COME,
        headline: many::REBALANCED,
        ..row("12", "group", "a group of 50 members: all join, then one leaves", many::group)
    },
    Scenario {
        subjects: AS_THEY_COME,
        warms_up: false,
        headline: endings::FIRST_ACK,
        ..row("13a", "start", "start to the first acknowledged record", endings::start)
    },
    Scenario {
        subjects: AS_THEY_COME,
        headline: CPU_PER_RECORD,
        ..row(
            "14",
            "growth",
            "cost of a record with 10 times the data, partitions, connections",
            many::growth,
        )
    },
    Scenario {
        subjects: AS_THEY_COME,
        warms_up: false,
        headline: P99,
        ..row("10", "partitions", "10,000 partitions on one broker", many::partitions)
    },
    Scenario {
        brokers: 3,
        subjects: WITHOUT_KAFKA_SYNCED,
        ..row(
            "1b",
            "produce-replicated",
            "produce, acks=all, 1 KiB, 6 partitions, 3 brokers, RF 3, min ISR 2",
            throughput::produce,
        )
    },
    Scenario {
        brokers: 3,
        subjects: WITHOUT_KAFKA_SYNCED,
        headline: P99,
        ..row(
            "4c",
            "latency-replicated",
            "produce at 1,000 records/s, 3 brokers, RF 3",
            latencies::produce_replicated,
        )
    },
    Scenario {
        brokers: 3,
        subjects: AS_THEY_COME,
        headline: P50,
        ..row(
            "15b",
            "transaction-replicated",
            "begin, one record of 1 KiB, commit; 3 brokers, RF 3, min ISR 2",
            latencies::transaction,
        )
    },
    Scenario {
        brokers: 3,
        subjects: AS_THEY_COME,
        warms_up: false,
        headline: endings::GAP,
        ..row("13b", "failover", "kill -9 of a leader under load", endings::failover)
    },
];
