// KafkaJS, a client in plain JavaScript.
const { createRequire } = require("node:module");
const { Kafka, logLevel } = createRequire(`${process.env.CLIENTS_MODULES}/`)("kafkajs");
const scenario = require("./scenario.js");
const { PARTITIONS, main, offsetEverywhere, partitions, sumOfOffsets } = scenario;

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

  const own = `${groupId}-transactions`;

  async function openTransactional() {
    const producer = kafka.producer({
      transactionalId: own,
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    const begin = async () => inTransaction(await producer.transaction());
    return { begin, close: () => producer.disconnect() };
  }

  function inTransaction(transaction) {
    return {
      // Partition by partition: KafkaJS sends to several brokers at once, and if one of them has to
      // be asked again (CONCURRENT_TRANSACTIONS, after the last transaction), it sends anew what
      // the others have not answered yet, as other records.
      send: async (values) => {
        for (const partition of partitions) {
          const messages = values
            .filter((_, index) => index % PARTITIONS === partition)
            .map((value) => ({ value, partition }));
          if (messages.length === 0) continue;
          await transaction.send({ topic: `${topic}-transactions`, acks: -1, messages });
        }
      },
      sendOffset: (offset) => transaction.sendOffsets({
        consumerGroupId: own,
        topics: offsetEverywhere(topic, offset),
      }),
      commit: () => transaction.commit(),
      abort: () => transaction.abort(),
    };
  }

  async function read(isCommittedOnly, see) {
    const consumer = kafka.consumer({
      groupId: `${groupId}-reads-${isCommittedOnly ? "committed" : "all"}`,
      readUncommitted: !isCommittedOnly,
      maxWaitTimeInMs: 500,
    });
    await consumer.connect();
    await consumer.subscribe({ topic: `${topic}-transactions`, fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => see(message.value.toString()),
    });
    return () => consumer.disconnect();
  }

  return {
    produce,
    join,
    committed: () => sumOfOffsets(kafka.admin(), groupId, topic),
    committedInTransactions: () => sumOfOffsets(kafka.admin(), own, topic),
    openTransactional,
    read,
    isFenced: ({ type }) => ["PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"].includes(type),
  };
});
