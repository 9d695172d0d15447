//! Consuming a topic from its start, as fast as it goes.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use vltava_e2e::Outcome;

use crate::client;

/// Silence for so long means that the rest does not come.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A consumer of all partitions of a topic from that offset on, without a group.
///
/// # Errors
/// What librdkafka said.
pub fn consumer(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    from: Offset,
    settings: &[(&str, &str)],
) -> Outcome<BaseConsumer> {
    let mut config = client::config(bootstrap, settings);
    config.set("group.id", "bench").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().map_err(|error| format!("a consumer: {error}"))?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, from).map_err(|error| error.to_string())?;
    }
    consumer.assign(&list).map_err(|error| format!("assign: {error}"))?;
    Ok(consumer)
}

/// Reads so many records from the start of a topic.
///
/// # Errors
/// If they do not come.
pub fn drain(bootstrap: &str, topic: &str, partitions: i32, records: u64) -> Outcome {
    let consumer = consumer(bootstrap, topic, partitions, Offset::Beginning, &[])?;
    let mut left = records;
    let mut last = Instant::now();
    while left > 0 {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                std::hint::black_box(message.payload());
                left -= 1;
                if left.is_multiple_of(1024) {
                    last = Instant::now();
                }
            }
            Some(Err(error)) => return Err(format!("consuming: {error}")),
            None if last.elapsed() > SILENCE_MAX => {
                return Err(format!("{left} records of {records} do not come"));
            }
            None => {}
        }
    }
    Ok(())
}
