// @confluentinc/kafka-javascript, librdkafka's Node.js binding, by its interface like KafkaJS's.
const { createRequire } = require("node:module");
const library = createRequire(`${process.env.CLIENTS_MODULES}/`)("@confluentinc/kafka-javascript");
const { Kafka, ErrorCodes, logLevel } = library.KafkaJS;
const { PARTITIONS, main, offsetEverywhere, sumOfOffsets } = require("./scenario.js");

main((brokers, topic, groupId) => {
  const kafka = new Kafka({ kafkaJS: { brokers, logLevel: logLevel.NOTHING } });
  const roundThem = (values) => values.map((value, index) => ({
    value,
    partition: index % PARTITIONS,
  }));

  async function produce(count) {
    const producer = kafka.producer({ kafkaJS: { idempotent: true, acks: -1 } });
    await producer.connect();
    await producer.send({ topic, messages: roundThem([...Array(count).keys()].map(String)) });
    await producer.disconnect();
  }

  async function join(seen) {
    const consumer = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true } });
    await consumer.connect();
    await consumer.subscribe({ topic });
    await consumer.run({
      eachMessage: async ({ partition, message }) => seen.push(`${partition}/${message.offset}`),
    });
    let isHere = true;
    return {
      assigned: () => (isHere ? consumer.assignment().length : 0),
      leave: () => {
        isHere = false;
        return consumer.disconnect();
      },
    };
  }

  const own = `${groupId}-transactions`;

  // A producer, and a consumer that stands for the group for which it tells offsets.
  async function openTransactional() {
    const producer = kafka.producer({ kafkaJS: { transactionalId: own } });
    const consumer = kafka.consumer({ kafkaJS: { groupId: own } });
    await producer.connect();
    await consumer.connect();
    const begin = async () => inTransaction(await producer.transaction(), consumer);
    return { begin, close: () => Promise.all([producer.disconnect(), consumer.disconnect()]) };
  }

  function inTransaction(transaction, consumer) {
    return {
      send: (values) => transaction.send({
        topic: `${topic}-transactions`,
        messages: roundThem(values),
      }),
      sendOffset: (offset) => transaction.sendOffsets({
        consumer,
        topics: offsetEverywhere(topic, offset),
      }),
      commit: () => transaction.commit(),
      abort: () => transaction.abort(),
    };
  }

  async function read(isCommittedOnly, see) {
    const consumer = kafka.consumer({
      kafkaJS: {
        groupId: `${groupId}-reads-${isCommittedOnly ? "committed" : "all"}`,
        readUncommitted: !isCommittedOnly,
        fromBeginning: true,
        autoCommit: false,
      },
    });
    await consumer.connect();
    await consumer.subscribe({ topic: `${topic}-transactions` });
    await consumer.run({ eachMessage: async ({ message }) => see(message.value.toString()) });
    return () => consumer.disconnect();
  }

  return {
    produce,
    join,
    committed: () => sumOfOffsets(kafka.admin(), groupId, topic),
    committedInTransactions: () => sumOfOffsets(kafka.admin(), own, topic),
    openTransactional,
    read,
    isFenced: ({ code }) => code === ErrorCodes.ERR__FENCED,
  };
});
