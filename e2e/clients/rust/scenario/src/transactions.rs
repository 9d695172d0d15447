//! Transactions, for a client that has them.

use std::time::{Duration, Instant};

use crate::{Outcome, PARTITIONS};

const TRANSACTIONS: usize = 12;
const IN_EACH: usize = 30;
const END: &str = "end";

/// A producer with a transactional id.
pub trait Producer {
    /// Begins a transaction.
    fn begin(&self) -> Outcome;
    /// Sends values round the partitions, within the transaction, and waits for them.
    fn send(&self, values: &[String]) -> Outcome;
    /// Tells an offset for each partition of the topic that was consumed.
    fn send_offset(&self, offset: i64) -> Outcome;
    /// Commits the transaction; whether it could, as no other producer has taken over.
    fn commit(&self) -> Outcome<bool>;
    /// Aborts the transaction.
    fn abort(&self) -> Outcome;
}

/// What a library must do that has transactions.
pub trait Transactional {
    /// A producer that has taken over the id.
    fn open(&self) -> Outcome<impl Producer>;
    /// The sum of the offsets of the group that producers tell.
    fn committed_in_transactions(&self) -> Outcome<i64>;
    /// Gives what is called for the next values, if some come within a moment, of the topic of
    /// transactions.
    fn reader(&self, is_committed_only: bool) -> Outcome<impl FnMut() -> Outcome<Vec<String>>>;
}

/// Writes numbered records in transactions, each third of which is aborted; then another producer
/// takes over.
pub fn in_transactions(client: &impl Transactional) -> Outcome<String> {
    let first = client.open()?;
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    let mut told = 0;
    for number in 0..TRANSACTIONS {
        let numbers = number * IN_EACH..(number + 1) * IN_EACH;
        let values: Vec<String> = numbers.map(|number| number.to_string()).collect();
        first.begin()?;
        first.send(&values)?;
        first.send_offset(told + 1)?;
        if number % 3 == 2 {
            first.abort()?;
            dropped.extend(values);
        } else if first.commit()? {
            kept.extend(values);
            told += 1;
        } else {
            return Err("a producer is fenced that is alone".to_owned());
        }
    }
    let (committed, expected) = (client.committed_in_transactions()?, told * i64::from(PARTITIONS));
    if committed != expected {
        return Err(format!("{committed} is committed by transactions, not {expected}"));
    }
    fence(client, &first)?;
    dropped.push("fenced".to_owned());
    let (count, aborted) = (kept.len(), dropped.len());
    expect("read committed", client.reader(true)?, &kept)?;
    kept.extend(dropped);
    expect("read uncommitted", client.reader(false)?, &kept)?;
    Ok(format!("{count} records in transactions, and {aborted} in aborted ones; fenced"))
}

/// A second producer takes over in the midst of a transaction of the first, and writes the last
/// record of each partition.
fn fence(client: &impl Transactional, first: &impl Producer) -> Outcome {
    first.begin()?;
    first.send(&["fenced".to_owned()])?;
    let second = client.open()?;
    if first.commit()? {
        return Err("a producer committed after another took over".to_owned());
    }
    second.begin()?;
    second.send(&vec![END.to_owned(); PARTITIONS as usize])?;
    match second.commit()? {
        true => Ok(()),
        false => Err("the producer that took over is fenced".to_owned()),
    }
}

/// Reads what comes before the last record of each partition.
fn expect(
    isolation: &str,
    mut read: impl FnMut() -> Outcome<Vec<String>>,
    expected: &[String],
) -> Outcome {
    let start = Instant::now();
    let (mut values, mut ends) = (Vec::new(), 0);
    while ends < PARTITIONS {
        if start.elapsed() > Duration::from_secs(60) {
            return Err(format!("{isolation}: {} values and {ends} ends came", values.len()));
        }
        for value in read()? {
            match value.as_str() {
                END => ends += 1,
                _ => values.push(value),
            }
        }
    }
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    values.sort_unstable();
    if values != expected {
        let count = values.len();
        values.dedup();
        let (different, expected) = (values.len(), expected.len());
        return Err(format!(
            "{isolation}: {count} values, {different} different ones, instead of {expected}"
        ));
    }
    Ok(())
}
