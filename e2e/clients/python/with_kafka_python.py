"""kafka-python, a client in plain Python."""

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

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

    def committed():
        asking = KafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
        total = sum(asking.committed(partition) or 0 for partition in partitions)
        asking.close()
        return total

    scenario.run(produce, Consumer, committed)


scenario.main(run)
