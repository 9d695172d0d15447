// KafkaJS, a client in plain JavaScript.
const { createRequire } = require("node:module");
const { Kafka, logLevel } = createRequire(`${process.env.CLIENTS_MODULES}/`)("kafkajs");
const { PARTITIONS, main } = require("./scenario.js");

main((brokers, topic, groupId) => {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });

  async function produce(count) {
    const producer = kafka.producer({ idempotent: true });
    await producer.connect();
    const messages = [...Array(count).keys()].map((index) => ({
      value: String(index),
      partition: index % PARTITIONS,
    }));
    await producer.send({ topic, acks: -1, messages });
    await producer.disconnect();
  }

  async function join(seen) {
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 500 });
    let assigned = 0;
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      assigned = (payload.memberAssignment[topic] || []).length;
    });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      autoCommitThreshold: 1,
      eachMessage: async ({ partition, message }) => seen.push(`${partition}/${message.offset}`),
    });
    return { assigned: () => assigned, leave: () => consumer.disconnect() };
  }

  async function committed() {
    const admin = kafka.admin();
    await admin.connect();
    const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
    await admin.disconnect();
    return offsets.partitions.reduce((sum, one) => sum + Number(one.offset), 0);
  }

  return { produce, join, committed };
});
