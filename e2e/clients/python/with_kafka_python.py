"""kafka-python, a client in plain Python."""

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import InvalidProducerEpochError, ProducerFencedError

import scenario


def run(bootstrap, topic, group):
    servers = bootstrap.split(",")
    partitions = [TopicPartition(topic, index) for index in range(scenario.PARTITIONS)]

    def produce(count):
        producer = KafkaProducer(bootstrap_servers=servers, acks="all")
        sent = [
            producer.send(topic, b"%d" % index, partition=index % scenario.PARTITIONS)
            for index in range(count)
        ]
        for future in sent:
            future.get(30)
        producer.close()

    class Consumer:
        def __init__(self):
            self.inner = KafkaConsumer(
                topic,
                bootstrap_servers=servers,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                heartbeat_interval_ms=500,
                session_timeout_ms=10000,
            )

        def poll(self):
            polled = self.inner.poll(timeout_ms=100)
            return [(r.partition, r.offset) for records in polled.values() for r in records]

        def commit(self):
            self.inner.commit()

        def assigned(self):
            return len(self.inner.assignment())

        def close(self):
            self.inner.close()

    def offsets_of(name):
        asking = KafkaConsumer(bootstrap_servers=servers, group_id=name, enable_auto_commit=False)
        total = sum(asking.committed(partition) or 0 for partition in partitions)
        asking.close()
        return total

    def transactions():
        return scenario.in_transactions(
            lambda: Transactional(servers, topic, f"{group}-transactions"),
            lambda isolation: Reader(servers, f"{topic}-transactions", isolation),
            lambda error: isinstance(error, (ProducerFencedError, InvalidProducerEpochError)),
            lambda: offsets_of(f"{group}-transactions"),
        )

    scenario.run(produce, Consumer, lambda: offsets_of(group), transactions)


class Transactional:
    def __init__(self, servers, topic, group):
        self.topic = topic
        self.group = group
        self.inner = KafkaProducer(bootstrap_servers=servers, transactional_id=group)
        self.inner.init_transactions()
        self.begin = self.inner.begin_transaction
        self.commit = self.inner.commit_transaction
        self.abort = self.inner.abort_transaction

    def send(self, values):
        name = f"{self.topic}-transactions"
        sent = [
            self.inner.send(name, value.encode(), partition=index % scenario.PARTITIONS)
            for index, value in enumerate(values)
        ]
        for future in sent:
            future.get(30)

    def send_offset(self, offset):
        told = OffsetAndMetadata(offset, "", -1)
        partitions = [TopicPartition(self.topic, index) for index in range(scenario.PARTITIONS)]
        self.inner.send_offsets_to_transaction(dict.fromkeys(partitions, told), self.group)


class Reader:
    def __init__(self, servers, name, isolation):
        self.inner = KafkaConsumer(
            bootstrap_servers=servers, auto_offset_reset="earliest", isolation_level=isolation
        )
        self.inner.assign([TopicPartition(name, index) for index in range(scenario.PARTITIONS)])
        self.close = self.inner.close

    def poll(self):
        polled = self.inner.poll(timeout_ms=100)
        return [record.value.decode() for records in polled.values() for record in records]


scenario.main(run)
