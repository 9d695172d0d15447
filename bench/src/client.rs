//! librdkafka as both sides see it: the same settings, the same calls.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use vltava_e2e::{Outcome, until};

/// How long an administrative call may take.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Settings of librdkafka: its own defaults but for what is named.
pub fn config(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config
}

fn admin(bootstrap: &str) -> Outcome<AdminClient<DefaultClientContext>> {
    config(bootstrap, &[]).create().map_err(|error| format!("an admin client: {error}"))
}

/// Makes a topic, and waits until every partition of it has a leader.
///
/// # Errors
/// What the broker said.
pub fn create_topic(
    bootstrap: &str,
    name: &str,
    partitions: i32,
    replicas: i32,
    flush_messages: &str,
) -> Outcome {
    let min_in_sync = replicas.min(2).to_string();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
        .set("flush.messages", flush_messages)
        .set("min.insync.replicas", &min_in_sync)
        .set("max.message.bytes", "2000000");
    let options = AdminOptions::new().operation_timeout(Some(CALL_MAX));
    let created = admin(bootstrap)?;
    let created = futures::executor::block_on(created.create_topics([&topic], &options));
    for result in created.map_err(|error| format!("CreateTopics: {error}"))? {
        result.map_err(|(name, code)| format!("CreateTopics of {name}: {code}"))?;
    }
    let consumer: BaseConsumer =
        config(bootstrap, &[]).create().map_err(|error| error.to_string())?;
    until("leaders of all partitions", CALL_MAX, || {
        let metadata = consumer
            .fetch_metadata(Some(name), Duration::from_secs(10))
            .map_err(|error| error.to_string())?;
        let led = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let led = led.filter(|partition| partition.leader() >= 0).count();
        if led == partitions as usize { Ok(()) } else { Err(format!("{led} have one")) }
    })
}

/// Removes a topic.
///
/// # Errors
/// What the broker said.
pub fn delete_topic(bootstrap: &str, name: &str) -> Outcome {
    let admin = admin(bootstrap)?;
    let deleted = futures::executor::block_on(admin.delete_topics(&[name], &AdminOptions::new()));
    for result in deleted.map_err(|error| format!("DeleteTopics: {error}"))? {
        result.map_err(|(name, code)| format!("DeleteTopics of {name}: {code}"))?;
    }
    Ok(())
}
