//! rskafka, a client in plain Rust. It has no groups: it produces to partitions and reads them.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use scenario::{Outcome, PARTITIONS, Place, RECORDS};

/// How long the server waits for records, and how many bytes it answers at most.
const WAIT_MS: i32 = 500;
const BYTES: std::ops::Range<i32> = 1..1 << 20;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn open(client: &Client, topic: &str) -> Outcome<Vec<PartitionClient>> {
    let mut partitions = Vec::new();
    for partition in 0..PARTITIONS {
        let opened = client.partition_client(topic, partition, UnknownTopicHandling::Retry).await;
        partitions.push(opened.map_err(text)?);
    }
    Ok(partitions)
}

/// The same records, in one batch to each partition.
async fn produce(partitions: &[PartitionClient], compression: Compression) -> Outcome {
    for partition in partitions {
        let record = |index: usize| Record {
            key: None,
            value: Some(index.to_string().into_bytes()),
            headers: BTreeMap::from([("by".to_owned(), b"rskafka".to_vec())]),
            timestamp: Utc::now(),
        };
        let records = (0..RECORDS / partitions.len()).map(record).collect();
        partition.produce(records, compression).await.map_err(text)?;
    }
    Ok(())
}

async fn read(index: i32, partition: &PartitionClient) -> Outcome<Vec<Place>> {
    let mut at = partition.get_offset(OffsetAt::Earliest).await.map_err(text)?;
    let end = partition.get_offset(OffsetAt::Latest).await.map_err(text)?;
    let mut places = Vec::new();
    while at < end {
        let (records, _) = partition.fetch_records(at, BYTES, WAIT_MS).await.map_err(text)?;
        for record in records {
            if record.record.headers.get("by").map(Vec::as_slice) != Some(b"rskafka") {
                return Err(format!("{index}/{}: its header is missing", record.offset));
            }
            places.push((index, record.offset));
            at = record.offset + 1;
        }
    }
    Ok(places)
}

async fn run(bootstrap: &str, topic: &str) -> Outcome<String> {
    let brokers = bootstrap.split(',').map(str::to_owned).collect();
    let client = ClientBuilder::new(brokers).build().await.map_err(text)?;
    let partitions = open(&client, topic).await?;
    produce(&partitions, Compression::NoCompression).await?;
    produce(&partitions, Compression::Zstd).await?;
    let mut places = Vec::new();
    for (index, partition) in (0..).zip(&partitions) {
        places.extend(read(index, partition).await?);
    }
    scenario::each_once(&places, 2 * RECORDS)?;
    Ok(format!("{} records, each once; by partition, as it has no groups", places.len()))
}

fn main() -> ExitCode {
    scenario::main(|bootstrap, topic, _| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let all = async {
            let limit = Duration::from_secs(120);
            tokio::time::timeout(limit, run(bootstrap, topic)).await.map_err(text)?
        };
        runtime.map_err(text)?.block_on(all)
    })
}
