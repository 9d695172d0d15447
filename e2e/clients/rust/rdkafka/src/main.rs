//! librdkafka by rust-rdkafka, idempotent, then transactional.

mod transactions;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use scenario::{Client, Consumer, Outcome, PARTITIONS, Place};

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

struct Rdkafka {
    bootstrap: String,
    topic: String,
    group: String,
}

/// Counts what was acknowledged.
#[derive(Default)]
struct Acked(AtomicUsize);

impl ClientContext for Acked {}

impl ProducerContext for Acked {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(usize::from(result.is_ok()), Ordering::AcqRel);
    }
}

struct Member(BaseConsumer);

impl Consumer for Member {
    fn poll(&mut self) -> Outcome<Vec<Place>> {
        let Some(message) = self.0.poll(Duration::from_millis(100)) else { return Ok(Vec::new()) };
        let message = message.map_err(text)?;
        self.0.commit_message(&message, CommitMode::Sync).map_err(text)?;
        Ok(vec![(message.partition(), message.offset())])
    }

    fn assigned(&self) -> Outcome<usize> {
        self.0.assignment().map(|assigned| assigned.count()).map_err(text)
    }
}

impl Rdkafka {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

impl Client for Rdkafka {
    type Member = Member;

    fn produce(&self, count: usize) -> Outcome {
        let mut config = self.config();
        config.set("enable.idempotence", "true");
        let producer: ThreadedProducer<Acked> =
            config.create_with_context(Acked::default()).map_err(text)?;
        for index in 0..count {
            let value = index.to_string();
            let record = BaseRecord::<(), str>::to(&self.topic)
                .partition(index as i32 % PARTITIONS)
                .payload(&value);
            producer.send(record).map_err(|(error, _)| text(error))?;
        }
        producer.flush(Duration::from_secs(60)).map_err(text)?;
        match producer.context().0.load(Ordering::Acquire) {
            acked if acked == count => Ok(()),
            acked => Err(format!("{acked} of {count} records are acknowledged")),
        }
    }

    fn member(&self) -> impl FnOnce() -> Outcome<Member> + Send + 'static {
        let (mut config, topic) = (self.config(), self.topic.clone());
        config
            .set("group.id", &self.group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        move || {
            let consumer: BaseConsumer = config.create().map_err(text)?;
            consumer.subscribe(&[&topic]).map_err(text)?;
            Ok(Member(consumer))
        }
    }

    fn committed(&self) -> Outcome<i64> {
        self.committed_by(&self.group)
    }
}

impl Rdkafka {
    fn committed_by(&self, group: &str) -> Outcome<i64> {
        let mut config = self.config();
        let consumer: BaseConsumer = config.set("group.id", group).create().map_err(text)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(&self.topic, 0, PARTITIONS - 1);
        let found = consumer.committed_offsets(asked, Duration::from_secs(30)).map_err(text)?;
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        Ok(found.elements().iter().map(|element| offset(element.offset())).sum())
    }
}

fn main() -> ExitCode {
    scenario::main(|bootstrap, topic, group| {
        let client = Rdkafka {
            bootstrap: bootstrap.to_owned(),
            topic: topic.to_owned(),
            group: group.to_owned(),
        };
        let said = scenario::in_a_group(&client)?;
        let transacted = scenario::in_transactions(&client)?;
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        Ok(format!("{said}; {transacted}; librdkafka {librdkafka}"))
    })
}
