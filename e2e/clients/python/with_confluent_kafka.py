"""confluent-kafka, librdkafka's Python binding."""

from confluent_kafka import Consumer as Inner
from confluent_kafka import Producer, TopicPartition

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

    def committed():
        asking = Inner(settings)
        partitions = [TopicPartition(topic, index) for index in range(scenario.PARTITIONS)]
        total = sum(max(p.offset, 0) for p in asking.committed(partitions, 30))
        asking.close()
        return total

    scenario.run(produce, Consumer, committed)


scenario.main(run)
