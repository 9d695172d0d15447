//! `vltava produce`: each line of standard input becomes a record.

use std::io::{self, BufRead, Read};

use tokio::sync::mpsc;
use vltava_client::{Delivery, NewRecord, Producer, ProducerOptions};

use crate::args::ProduceArgs;
use crate::cluster::active::Active;
use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::DataDir;

/// The longest line, in bytes: brokers take 1 MiB by default, and what they are told to at most.
const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Lines that have been read and not yet sent.
const LINES_MAX: usize = 256;
/// Records that have been sent and not yet acknowledged.
const UNACKNOWLEDGED_MAX: usize = 10_000;

/// Reads lines until they end, and waits until every record is acknowledged.
///
/// # Errors
/// If the cluster cannot be reached or does not take a record: then nothing more is read.
pub async fn run(dir: &DataDir, args: &ProduceArgs) -> Result<(), CliError> {
    let cluster = bootstrap::open(dir, &args.bootstrap)?;
    let active = Active::new(dir, &args.bootstrap, &cluster);
    let producer = Producer::new(cluster, ProducerOptions::default())?;
    let mut lines = read_lines();
    let (sent, deliveries) = mpsc::channel(UNACKNOWLEDGED_MAX);
    let mut acknowledged = tokio::spawn(acknowledged(deliveries, active.clone()));
    let mut number = 0;
    let unfinished = loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            outcome = &mut acknowledged => break outcome,
        };
        let Some(line) = line else {
            drop(sent);
            break acknowledged.await;
        };
        number += 1;
        let record = record(line?, args.key_delimiter.as_deref());
        let send = producer.send(&args.topic, record);
        let delivery = match number {
            // The topic may have to be made.
            1 => active.watch(send).await?,
            _ => send.await?,
        };
        // If nobody receives, a record has failed, and the loop ends with its outcome.
        let _ = sent.send((number, delivery)).await;
    };
    unfinished.expect("waiting for acknowledgements does not panic")
}

/// Waits for each record in turn. Before the first is acknowledged the cluster must have given the
/// producer an id, and have the topic.
async fn acknowledged(
    mut deliveries: mpsc::Receiver<(u64, Delivery)>,
    active: Active,
) -> Result<(), CliError> {
    let failed = |line| move |source| CliError::Produce { line, source };
    if let Some((line, delivery)) = deliveries.recv().await {
        active.watch(async { delivery.await.map_err(failed(line)) }).await?;
    }
    while let Some((line, delivery)) = deliveries.recv().await {
        delivery.await.map_err(failed(line))?;
    }
    Ok(())
}

/// Reads standard input on a thread of its own, as it may block for as long as a person thinks.
fn read_lines() -> mpsc::Receiver<Result<Vec<u8>, CliError>> {
    let (lines, receiver) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input).transpose() {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

fn next_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, CliError> {
    let mut line = Vec::new();
    input.take(LINE_MAX_BYTES + 1).read_until(b'\n', &mut line).map_err(CliError::ReadInput)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() as u64 > LINE_MAX_BYTES {
        let what = format!("a line is longer than {LINE_MAX_BYTES} bytes");
        return Err(CliError::ReadInput(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    Ok(Some(line))
}

/// A line as a record: with a delimiter in it, what stands before is the key.
fn record(line: Vec<u8>, delimiter: Option<&str>) -> NewRecord {
    let delimiter = delimiter.unwrap_or_default().as_bytes();
    let place = match delimiter.is_empty() {
        true => None,
        false => line.windows(delimiter.len()).position(|window| window == delimiter),
    };
    match place {
        Some(at) => {
            let value = line[at + delimiter.len()..].to_vec();
            NewRecord::keyed(line[..at].to_vec(), value)
        }
        None => NewRecord::value(line),
    }
}

#[cfg(test)]
mod tests {
    use super::{next_line, record};

    fn lines(text: &str) -> Vec<String> {
        let mut input = text.as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut input).expect("it can be read") {
            lines.push(String::from_utf8(line).expect("it is text"));
        }
        lines
    }

    #[test]
    fn each_line_is_a_record_and_so_is_an_empty_one() {
        assert_eq!(lines("a\n\nb\r\nc"), ["a", "", "b", "c"]);
        assert_eq!(lines(""), [""; 0]);
    }

    #[test]
    fn the_first_delimiter_ends_the_key() {
        let found = record(b"k::v::w".to_vec(), Some("::"));
        assert_eq!(found.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(found.value.as_deref(), Some(&b"v::w"[..]));
    }

    #[test]
    fn a_line_without_a_delimiter_has_no_key() {
        for delimiter in [Some(":"), Some(""), None] {
            let found = record(b"value".to_vec(), delimiter);
            assert_eq!((found.key, found.value.as_deref()), (None, Some(&b"value"[..])));
        }
    }
}
