//! A producer with a transactional id, and readers of what it wrote.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use scenario::{Outcome, PARTITIONS, Producer, Transactional};

use crate::{Acked, Rdkafka, text};

const LIMIT: Duration = Duration::from_secs(30);

/// A producer, and a consumer that stands for the group for which it tells offsets.
struct Transacting<'client> {
    client: &'client Rdkafka,
    producer: ThreadedProducer<Acked>,
    group: BaseConsumer,
}

impl Rdkafka {
    fn transactions(&self) -> String {
        format!("{}-transactions", self.topic)
    }

    /// The transactional id, and the name of the group that is told offsets.
    fn own(&self) -> String {
        format!("{}-transactions", self.group)
    }
}

impl Producer for Transacting<'_> {
    fn begin(&self) -> Outcome {
        self.producer.begin_transaction().map_err(text)
    }

    fn send(&self, values: &[String]) -> Outcome {
        let acked = &self.producer.context().0;
        acked.store(0, Ordering::Release);
        let topic = self.client.transactions();
        for (value, partition) in values.iter().zip((0..PARTITIONS).cycle()) {
            let record =
                BaseRecord::<(), str>::to(&topic).partition(partition).payload(value.as_str());
            self.producer.send(record).map_err(|(error, _)| text(error))?;
        }
        self.producer.flush(LIMIT).map_err(text)?;
        match acked.load(Ordering::Acquire) {
            acked if acked == values.len() => Ok(()),
            acked => Err(format!("{acked} of {} records are acknowledged", values.len())),
        }
    }

    fn send_offset(&self, offset: i64) -> Outcome {
        let mut told = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let offset = Offset::Offset(offset);
            told.add_partition_offset(&self.client.topic, partition, offset).map_err(text)?;
        }
        let group = self.group.group_metadata().ok_or("a consumer has no group")?;
        self.producer.send_offsets_to_transaction(&told, &group, LIMIT).map_err(text)
    }

    fn commit(&self) -> Outcome<bool> {
        match self.producer.commit_transaction(LIMIT) {
            Ok(()) => Ok(true),
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fenced) => Ok(false),
            Err(error) => Err(text(error)),
        }
    }

    fn abort(&self) -> Outcome {
        self.producer.abort_transaction(LIMIT).map_err(text)
    }
}

impl Transactional for Rdkafka {
    fn open(&self) -> Outcome<impl Producer> {
        let own = self.own();
        let mut config = self.config();
        config.set("transactional.id", &own);
        let producer: ThreadedProducer<Acked> =
            config.create_with_context(Acked::default()).map_err(text)?;
        producer.init_transactions(LIMIT).map_err(text)?;
        let group = self.config().set("group.id", &own).create().map_err(text)?;
        Ok(Transacting { client: self, producer, group })
    }

    fn committed_in_transactions(&self) -> Outcome<i64> {
        self.committed_by(&self.own())
    }

    fn reader(&self, is_committed_only: bool) -> Outcome<impl FnMut() -> Outcome<Vec<String>>> {
        let mut config = self.config();
        config.set("group.id", &self.group).set("enable.auto.commit", "false").set(
            "isolation.level",
            if is_committed_only { "read_committed" } else { "read_uncommitted" },
        );
        let consumer: BaseConsumer = config.create().map_err(text)?;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let topic = self.transactions();
            all.add_partition_offset(&topic, partition, Offset::Beginning).map_err(text)?;
        }
        consumer.assign(&all).map_err(text)?;
        Ok(move || {
            let Some(message) = consumer.poll(Duration::from_millis(100)) else {
                return Ok(Vec::new());
            };
            let message = message.map_err(text)?;
            let value = message.payload().ok_or("a record has no value")?;
            Ok(vec![String::from_utf8_lossy(value).into_owned()])
        })
    }
}
