"""confluent-kafka, librdkafka's Python binding."""

from confluent_kafka import Consumer as Inner
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

import scenario


def run(bootstrap, topic, group):
    def produce(count):
        failed = []
        producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        for index in range(count):
            producer.produce(
                topic,
                b"%d" % index,
                partition=index % scenario.PARTITIONS,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        if producer.flush(30) or failed:
            raise scenario.Failure(f"not delivered: {failed[:1]}")

    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }

    class Consumer:
        def __init__(self):
            self.inner = Inner(settings)
            self.inner.subscribe([topic])

        def poll(self):
            messages = self.inner.consume(100, 0.1)
            return [(m.partition(), m.offset()) for m in messages if not m.error()]

        def commit(self):
            self.inner.commit(asynchronous=False)

        def assigned(self):
            return len(self.inner.assignment())

        def close(self):
            self.inner.close()

    def offsets_of(name):
        asking = Inner({**settings, "group.id": name})
        partitions = [TopicPartition(topic, index) for index in range(scenario.PARTITIONS)]
        total = sum(max(p.offset, 0) for p in asking.committed(partitions, 30))
        asking.close()
        return total

    def transactions():
        return scenario.in_transactions(
            lambda: Transactional(bootstrap, topic, f"{group}-transactions"),
            lambda isolation: Reader({**settings, "isolation.level": isolation}, topic),
            is_fenced,
            lambda: offsets_of(f"{group}-transactions"),
        )

    scenario.run(produce, Consumer, lambda: offsets_of(group), transactions)


class Transactional:
    def __init__(self, bootstrap, topic, group):
        self.topic = topic
        self.group = Inner({"bootstrap.servers": bootstrap, "group.id": group})
        self.inner = Producer({"bootstrap.servers": bootstrap, "transactional.id": group})
        self.inner.init_transactions(30)
        self.begin = self.inner.begin_transaction

    def send(self, values):
        failed = []
        for index, value in enumerate(values):
            self.inner.produce(
                f"{self.topic}-transactions",
                value.encode(),
                partition=index % scenario.PARTITIONS,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        if self.inner.flush(30) or failed:
            raise scenario.Failure(f"not delivered in a transaction: {failed[:1]}")

    def send_offset(self, offset):
        told = [TopicPartition(self.topic, p, offset) for p in range(scenario.PARTITIONS)]
        member = self.group.consumer_group_metadata()
        self.inner.send_offsets_to_transaction(told, member, 30)

    def commit(self):
        self.inner.commit_transaction(30)

    def abort(self):
        self.inner.abort_transaction(30)


class Reader:
    def __init__(self, settings, topic):
        name = f"{topic}-transactions"
        self.inner = Inner(settings)
        self.inner.assign([TopicPartition(name, p, 0) for p in range(scenario.PARTITIONS)])
        self.close = self.inner.close

    def poll(self):
        messages = self.inner.consume(100, 0.1)
        return [m.value().decode() for m in messages if not m.error()]


def is_fenced(error):
    return isinstance(error, KafkaException) and error.args[0].code() == KafkaError._FENCED


scenario.main(run)
