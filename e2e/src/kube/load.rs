//! The steady load of a scenario: numbered records from outside, each acknowledged, and all of them
//! looked for afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::manifest::LOAD;
use crate::producers::{Acked, Load, Options};
use crate::{Outcome, check, until};

/// Records a second of each producer.
const RATE: u32 = 100;
/// Where each producer writes: one to a partition whose leader a scenario may take away, so that
/// nothing hides the gap, and one to all of them.
const PRODUCERS: [Option<i32>; 2] = [Some(0), None];
/// The number of the next producer.
static NEXT_ID: AtomicU32 = AtomicU32::new(1);
/// How long the first record may take.
const FIRST: Duration = Duration::from_secs(90);
/// How long more records may take: librdkafka waits 30 s for an answer that does not come any more,
/// as much for a connection to a pod that is gone, and up to 15 s before it connects anew.
/// Scenarios that promise less hold the longest gap against it.
const MORE: Duration = Duration::from_secs(120);

/// Producers at work.
pub struct Steady {
    bootstrap: String,
    loads: Vec<Load>,
}

/// What the producers saw and what was found in the topic afterwards.
#[derive(Clone, Debug)]
pub struct Found {
    /// The records that were acknowledged.
    pub acked: Vec<Acked>,
    /// How many were given up, with the reason of the first.
    pub failed: Vec<String>,
    /// The longest time without an acknowledgement, of any producer.
    pub longest_gap: Duration,
}

impl Steady {
    /// Starts to produce to the topic of the load, and waits for the first acknowledgement.
    ///
    /// # Errors
    /// If no record is acknowledged in time.
    pub fn start(bootstrap: &str) -> Outcome<Self> {
        Self::start_with(bootstrap, &[])
    }

    /// As [`start`](Self::start), with settings of librdkafka.
    ///
    /// # Errors
    /// If no record is acknowledged in time.
    pub fn start_with(bootstrap: &str, settings: &[(&str, &str)]) -> Outcome<Self> {
        let mut loads = Vec::new();
        for partition in PRODUCERS {
            // No two of a run have the same, so that several may write to one topic.
            let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            loads.push(Load::start(Options {
                bootstrap: bootstrap.to_owned(),
                topic: LOAD.to_owned(),
                id,
                rate: RATE,
                partition,
                settings: settings.iter().map(pair).collect(),
                log: None,
            })?);
        }
        let steady = Self { bootstrap: bootstrap.to_owned(), loads };
        until("the first record", FIRST, || {
            if steady.loads.iter().all(|load| load.acked() > 0) {
                return Ok(());
            }
            Err(format!("none acknowledged at {bootstrap}"))
        })?;
        steady.reset_gap();
        Ok(steady)
    }

    /// Forgets the longest gap so far.
    pub fn reset_gap(&self) {
        self.loads.iter().for_each(Load::reset_gap);
    }

    /// The longest gap since the last reset, of any producer.
    pub fn longest_gap(&self) -> Duration {
        self.loads.iter().map(Load::longest_gap).max().unwrap_or_default()
    }

    /// How many records have been acknowledged.
    pub fn acked(&self) -> usize {
        self.loads.iter().map(Load::acked).sum()
    }

    /// Waits until so many more records are acknowledged.
    ///
    /// # Errors
    /// If they are not within two minutes.
    pub fn more(&self, records: usize) -> Outcome {
        let goal = self.acked() + records;
        until("more records", MORE, || match self.acked() {
            acked if acked >= goal => Ok(()),
            acked => Err(format!("{acked} of {goal} acknowledged")),
        })
    }

    /// Ends the load and reads the topic: nothing lost, doubled or out of order.
    ///
    /// # Errors
    /// What was found wrong.
    pub fn finish(mut self) -> Outcome<Found> {
        let mut found =
            Found { acked: Vec::new(), failed: Vec::new(), longest_gap: self.longest_gap() };
        for load in std::mem::take(&mut self.loads) {
            let report = load.finish()?;
            found.acked.extend(report.acked);
            found.failed.extend(report.failed.into_iter().map(|(_, reason)| reason));
            if let Some(reason) = report.fatal.into_iter().next() {
                return Err(format!("a producer ended for good: {reason}"));
            }
        }
        found.still_there(&self.bootstrap)?;
        Ok(found)
    }

    /// As [`finish`](Self::finish), and no delivery has failed.
    ///
    /// # Errors
    /// What was found wrong.
    pub fn finish_without_errors(self) -> Outcome<Found> {
        let found = self.finish()?;
        match found.failed.first() {
            None => Ok(found),
            Some(reason) => {
                Err(format!("{} deliveries failed, the first: {reason}", found.failed.len()))
            }
        }
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // What comes next at the same ports must not get these records.
        self.loads.iter().for_each(Load::stop);
    }
}

impl Found {
    /// Reads the topic and holds it against what was acknowledged.
    ///
    /// # Errors
    /// What is lost, doubled or out of order.
    pub fn still_there(&self, bootstrap: &str) -> Outcome<usize> {
        check::nothing_lost(&self.acked, &check::read_back(bootstrap, LOAD)?)
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acked, failed, longest_gap } = self;
        let (acked, count) = (acked.len(), failed.len());
        write!(f, "{acked} records, {count} failed, longest gap {longest_gap:.1?}")?;
        // Why, the most frequent reason first: each is one of a client that gave up.
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        failed.iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons.iter().try_for_each(|(reason, count)| write!(f, "; {count} times {reason}"))
    }
}
