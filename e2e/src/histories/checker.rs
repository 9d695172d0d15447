//! Holds a history against what a log of partitions promises: a pure function.
//!
//! The anomalies are those of Jepsen's workload for Kafka, and two of groups whose members commit
//! what they have read within their transactions. Readers are taken to read what is committed. An
//! operation of which its client was not told whether it was done counts as done once anybody has
//! seen a record of it.

mod facts;
mod reads;
mod writes;

use std::collections::BTreeSet;
use std::fmt;

use super::history::{Event, Kind, Operation, Step};
use facts::Facts;

/// What a history can have that it must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// A record was acknowledged (its transaction committed), and who read beyond its offset did
    /// not see it.
    LostWrite,
    /// A record of a transaction that was aborted was read.
    AbortedRead,
    /// A transaction read what it had written itself, before it was committed.
    PrecommittedRead,
    /// A record was read that nobody sent.
    Unsent,
    /// A record is at two places.
    Duplicate,
    /// Two records are at one offset.
    InconsistentOffset,
    /// A consumer went on and left out a record that others read.
    PollSkip,
    /// A consumer went back.
    NonmonotonicPoll,
    /// A record was acknowledged at an offset below that of one acknowledged before it was sent, or
    /// below that of one sent before it by the same operation.
    NonmonotonicSend,
    /// Two committed transactions of a group consumed the same record.
    ConsumedTwice,
    /// Committed transactions of a group went on and left out a record.
    NeverConsumed,
    /// A record was acknowledged, and nobody has read up to it at the end.
    Unseen,
}

impl Anomaly {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LostWrite => "lost write",
            Self::AbortedRead => "aborted read",
            Self::PrecommittedRead => "precommitted read",
            Self::Unsent => "unsent",
            Self::Duplicate => "duplicate",
            Self::InconsistentOffset => "inconsistent offset",
            Self::PollSkip => "poll skip",
            Self::NonmonotonicPoll => "non-monotonic poll",
            Self::NonmonotonicSend => "non-monotonic send",
            Self::ConsumedTwice => "consumed twice",
            Self::NeverConsumed => "never consumed",
            Self::Unseen => "unseen",
        }
    }
}

/// An anomaly, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it is.
    pub anomaly: Anomaly,
    /// Which records, at which offsets.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.anomaly.name(), self.what)
    }
}

/// How much there was to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events, two of each operation.
    pub events: usize,
    /// Operations that were done.
    pub ok: usize,
    /// Operations that were not.
    pub fail: usize,
    /// Operations of which nobody knows.
    pub info: usize,
    /// Transactions among all these.
    pub transactions: usize,
    /// Records that were sent.
    pub sent: usize,
    /// Records that were acknowledged.
    pub acked: usize,
    /// Records that were polled, each time.
    pub polled: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, ok, fail, info, transactions, sent, acked, polled } = self;
        write!(
            formatter,
            "{events} events; {} operations ({ok} ok, {fail} failed, {info} unknown), \
             {transactions} of them transactions; {sent} records sent, {acked} acknowledged, \
             {polled} polled",
            ok + fail + info
        )
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How much there was.
    pub counts: Counts,
    /// What is wrong, each once.
    pub findings: BTreeSet<Finding>,
}

/// Checks a history that has ended: each operation is there as it ended, and somebody has read all
/// partitions to their ends.
pub fn check(history: &[Event]) -> Verdict {
    let facts = Facts::of(history);
    let mut findings = BTreeSet::new();
    writes::check(history, &facts, &mut findings);
    reads::check(history, &facts, &mut findings);
    Verdict { counts: count(history), findings }
}

fn count(history: &[Event]) -> Counts {
    let mut counts = Counts { events: history.len(), ..Counts::default() };
    for event in history {
        match event.kind {
            Kind::Invoke => continue,
            Kind::Ok => counts.ok += 1,
            Kind::Fail => counts.fail += 1,
            Kind::Info => counts.info += 1,
        }
        counts.transactions +=
            usize::from(matches!(event.operation, Operation::Transaction { .. }));
        for step in event.operation.steps() {
            match step {
                Step::Send { ack, .. } => {
                    counts.sent += 1;
                    counts.acked += usize::from(ack.is_some());
                }
                Step::Poll { records, .. } => counts.polled += records.len(),
            }
        }
    }
    counts
}

/// The anomalies of a verdict.
pub fn anomalies(verdict: &Verdict) -> BTreeSet<Anomaly> {
    verdict.findings.iter().map(|finding| finding.anomaly).collect()
}

#[cfg(test)]
mod tests;
