// KafkaJS, a client in plain JavaScript: see the README beside this folder.
const { createRequire } = require("node:module");
const { Kafka, logLevel } = createRequire(`${process.env.CLIENTS_MODULES}/`)("kafkajs");

const RECORDS = 600;
const PARTITIONS = 6;
const [bootstrap, topic, groupId] = process.argv.slice(2);
const kafka = new Kafka({ brokers: bootstrap.split(","), logLevel: logLevel.NOTHING });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, reached, state) {
  const deadline = Date.now() + 60_000;
  while (!reached()) {
    if (Date.now() > deadline) throw new Error(`${what} did not come: ${JSON.stringify(state())}`);
    await sleep(50);
  }
}

async function produce() {
  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  const messages = [...Array(RECORDS).keys()].map((index) => ({
    value: String(index),
    partition: index % PARTITIONS,
  }));
  await producer.send({ topic, acks: -1, messages });
  await producer.disconnect();
}

async function member(seen) {
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 500 });
  const joined = { assigned: 0, consumer };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    joined.assigned = (payload.memberAssignment[topic] || []).length;
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async ({ partition, message }) => seen.push(`${partition}/${message.offset}`),
  });
  return joined;
}

async function main() {
  await produce();
  const seen = [];
  const members = [await member(seen), await member(seen)];
  const state = () => [members.map((one) => one.assigned), seen.length];
  await until("3 + 3", () => members.every((one) => one.assigned === 3), state);
  await until("all records", () => seen.length >= RECORDS, state);
  await members[1].consumer.disconnect();
  await until("all partitions", () => members[0].assigned === PARTITIONS, state);
  await produce();
  await until("the records after one left", () => seen.length >= 2 * RECORDS, state);
  await members[0].consumer.disconnect();
  const different = new Set(seen).size;
  if (different !== seen.length) throw new Error(`${seen.length} records, ${different} different`);
  const admin = kafka.admin();
  await admin.connect();
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
  await admin.disconnect();
  const committed = offsets.partitions.reduce((sum, one) => sum + Number(one.offset), 0);
  if (committed !== 2 * RECORDS) throw new Error(`${committed} records are committed`);
  console.log(`ok: ${seen.length} records, each once; 3 + 3 partitions, then 6`);
}

main().catch((error) => {
  console.log(String(error));
  process.exit(1);
});
