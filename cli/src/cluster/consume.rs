//! `vltava consume`: prints the records of a topic.

use std::cell::Cell;
use std::time::{Duration, Instant};

use vltava_client::{AutoOffsetReset, Cluster, ConsumedRecord, Consumer, ConsumerOptions};

use crate::args::ConsumeArgs;
use crate::cluster::active::Active;
use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::{DataDir, Ends};
use crate::output;

/// How long one look for records takes when none come.
const POLL: Duration = Duration::from_secs(1);
/// How often a group's offsets are committed. What was printed since may be printed again by
/// another member if this one dies.
const COMMIT: Duration = Duration::from_secs(1);
/// How long the last commit, and leaving the group, may take once it was interrupted: the group's
/// coordinator may stand still.
const LAST: Duration = Duration::from_secs(3);

/// Prints records until it is interrupted, or has printed as many as it should.
///
/// # Errors
/// If the topic does not exist, or the cluster cannot be reached.
pub async fn run(dir: &DataDir, args: &ConsumeArgs) -> Result<(), CliError> {
    let mut ends = Ends::new()?;
    let cluster = bootstrap::open(dir, &args.bootstrap)?;
    let active = Active::new(dir, &args.bootstrap, &cluster);
    let mut consumer = tokio::select! {
        opened = active.watch(consumer(&cluster, args)) => opened?,
        () = ends.next() => return Ok(()),
    };
    let mut printed = Printed::new(args);
    let (result, is_interrupted) = tokio::select! {
        result = print(&mut printed, args, &mut consumer) => (result, false),
        () = ends.next() => (Ok(()), true),
    };
    leave(printed, consumer, &mut ends, is_interrupted).await?;
    result
}

/// Prints records until it has printed as many as it should. May be cancelled at any point.
async fn print(
    printed: &mut Printed,
    args: &ConsumeArgs,
    consumer: &mut Consumer,
) -> Result<(), CliError> {
    while !printed.is_enough() {
        let records = consumer.poll(POLL).await?;
        printed.print(&records, args, consumer)?;
        if printed.is_due(consumer) {
            printed.commit(consumer).await;
        }
    }
    Ok(())
}

/// Commits what was printed, and leaves the group. Once it is interrupted there are seconds left
/// for that, and none once it is interrupted again.
async fn leave(
    mut printed: Printed,
    mut consumer: Consumer,
    ends: &mut Ends,
    is_interrupted: bool,
) -> Result<(), CliError> {
    let is_committed = Cell::new(!consumer.has_stored());
    let leaving = async {
        printed.commit(&mut consumer).await;
        is_committed.set(true);
        consumer.close().await
    };
    let mut leaving = std::pin::pin!(leaving);
    if !is_interrupted {
        tokio::select! {
            left = &mut leaving => return left.map_err(CliError::from),
            () = ends.next() => {}
        }
    }
    tokio::select! {
        left = leaving => return left.map_err(CliError::from),
        () = tokio::time::sleep(LAST) => {}
        () = ends.next() => {}
    }
    if !is_committed.get() {
        not_committed("the group's coordinator does not answer");
    }
    Ok(())
}

/// Says that others of the group will print again what was printed here.
fn not_committed(why: impl std::fmt::Display) {
    output::notice(format_args!("what was printed last is not committed: {why}"));
}

async fn consumer(cluster: &Cluster, args: &ConsumeArgs) -> Result<Consumer, CliError> {
    let auto_offset_reset = match args.from_beginning {
        true => AutoOffsetReset::Earliest,
        false => AutoOffsetReset::Latest,
    };
    let options = ConsumerOptions { auto_offset_reset, ..ConsumerOptions::default() };
    let topic = cluster.retry(|| cluster.topic(&args.topic)).await?;
    if let Some(group) = &args.group {
        // The first group of a cluster has its topic made.
        cluster.retry(|| cluster.group_coordinator(group)).await?;
        return Ok(Consumer::subscribed(cluster.clone(), options, group, &[&args.topic]));
    }
    let partitions = topic.partitions.iter();
    let all = partitions.map(|partition| ((args.topic.clone(), partition.index), None));
    Ok(Consumer::assigned(cluster.clone(), options, all))
}

/// What has been printed, and when it was last committed.
struct Printed {
    left: Option<u64>,
    in_group: bool,
    committed_at: Instant,
}

impl Printed {
    fn new(args: &ConsumeArgs) -> Self {
        Self {
            left: args.max_messages,
            in_group: args.group.is_some(),
            committed_at: Instant::now(),
        }
    }

    fn is_enough(&self) -> bool {
        self.left == Some(0)
    }

    fn print(
        &mut self,
        records: &[ConsumedRecord],
        args: &ConsumeArgs,
        consumer: &mut Consumer,
    ) -> Result<(), CliError> {
        let most = self.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let records = &records[..records.len().min(most)];
        let mut text = Vec::new();
        for record in records {
            if let Some(delimiter) = &args.key_delimiter {
                text.extend_from_slice(record.key.as_deref().unwrap_or_default());
                text.extend_from_slice(delimiter.as_bytes());
            }
            text.extend_from_slice(record.value.as_deref().unwrap_or_default());
            text.push(b'\n');
        }
        output::bytes(&text)?;
        self.left = self.left.map(|left| left - records.len() as u64);
        for record in records.iter().filter(|_| self.in_group) {
            let place = (record.topic.to_string(), record.partition);
            consumer.store_offset(place, record.offset + 1);
        }
        Ok(())
    }

    fn is_due(&self, consumer: &Consumer) -> bool {
        consumer.has_stored() && self.committed_at.elapsed() >= COMMIT
    }

    /// Commits what was printed. If the group has gone on without this member, others print it
    /// again, which is said.
    async fn commit(&mut self, consumer: &mut Consumer) {
        if let Err(error) = consumer.commit_stored().await {
            not_committed(error);
        }
        self.committed_at = Instant::now();
    }
}
