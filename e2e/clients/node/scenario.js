// What every Node.js client does: see the README beside this folder.
const RECORDS = 600;
const PARTITIONS = 6;
const TRANSACTIONS = 12;
const IN_EACH = 30;
const END = "end";
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, reached, state) {
  const deadline = Date.now() + 60_000;
  while (!reached()) {
    if (Date.now() > deadline) throw new Error(`${what} did not come: ${JSON.stringify(state())}`);
    await sleep(50);
  }
}

// `client` has: `produce(count)`, which sends records round the partitions and waits for them;
// `join(seen)`, which gives a member that pushes "PARTITION/OFFSET" for each record and has
// `assigned()` and `leave()`; `committed()` and `committedInTransactions()`, sums of its groups'
// offsets; `openTransactional()`, which gives a producer with `close()` and `begin()`, which takes
// over the id and gives a transaction with `send(values)`, round the partitions,
// `sendOffset(offset)` for each partition of the topic that was consumed, `commit()` and `abort()`;
// `read(isCommittedOnly, see)`, which passes on each value until the function that it gives is
// called; and `isFenced(error)`.
async function run(client) {
  await client.produce(RECORDS);
  const seen = [];
  const members = [await client.join(seen), await client.join(seen)];
  const state = () => [members.map((one) => one.assigned()), seen.length];
  await until("3 + 3", () => members.every((one) => one.assigned() === 3), state);
  await until("all records", () => seen.length >= RECORDS, state);
  await members[1].leave();
  await until("all partitions", () => members[0].assigned() === PARTITIONS, state);
  await client.produce(RECORDS);
  await until("the records after one left", () => seen.length >= 2 * RECORDS, state);
  await members[0].leave();
  const different = new Set(seen).size;
  if (different !== seen.length) throw new Error(`${seen.length} records, ${different} different`);
  const committed = await client.committed();
  if (committed !== 2 * RECORDS) throw new Error(`${committed} records are committed`);
  const transacted = await inTransactions(client);
  return `ok: ${seen.length} records, each once; 3 + 3 partitions, then 6; ${transacted}`;
}

// Numbered records in transactions, each third of which is aborted; then another producer takes
// over the transactional id.
async function inTransactions(client) {
  const [kept, dropped] = [[], []];
  let told = 0;
  const first = await client.openTransactional();
  for (let number = 1; number <= TRANSACTIONS; number++) {
    const values = [...Array(IN_EACH).keys()].map((it) => String((number - 1) * IN_EACH + it));
    const transaction = await first.begin();
    await transaction.send(values);
    await transaction.sendOffset(told + 1);
    if (number % 3 === 0) {
      await transaction.abort();
      dropped.push(...values);
    } else {
      await transaction.commit();
      kept.push(...values);
      told += 1;
    }
  }
  const committed = await client.committedInTransactions();
  if (committed !== told * PARTITIONS) {
    throw new Error(`${committed} is committed by transactions, not ${told * PARTITIONS}`);
  }
  const late = await first.begin();
  await late.send(["fenced"]);
  dropped.push("fenced");
  const second = await client.openTransactional();
  const last = await second.begin();
  let refusal = null;
  try {
    await late.commit();
  } catch (error) {
    refusal = error;
  }
  if (refusal === null) throw new Error("a producer committed after another took over");
  if (!client.isFenced(refusal)) throw refusal;
  await last.send(Array(PARTITIONS).fill(END));
  await last.commit();
  expect("read committed", await read(client, true), kept);
  expect("read uncommitted", await read(client, false), [...kept, ...dropped]);
  await first.close();
  await second.close();
  return `${kept.length} records in transactions, and ${dropped.length} in aborted ones; fenced`;
}

// What comes before the last record of each partition.
async function read(client, isCommittedOnly) {
  const values = [];
  const close = await client.read(isCommittedOnly, (value) => values.push(value));
  const ends = () => values.filter((value) => value === END).length;
  await until("the ends", () => ends() === PARTITIONS, () => [values.length, ends()]);
  await close();
  return values.filter((value) => value !== END);
}

function expect(isolation, values, expected) {
  const is = JSON.stringify([...values].sort());
  if (is !== JSON.stringify([...expected].sort())) {
    const different = new Set(values).size;
    const found = `${values.length} values, ${different} different ones`;
    throw new Error(`${isolation}: ${found}, instead of ${expected.length}`);
  }
}

// Runs it for (bootstrap, topic, group) from the command line.
async function main(open) {
  const [bootstrap, topic, group] = process.argv.slice(2);
  try {
    console.log(await run(await open(bootstrap.split(","), topic, group)));
    process.exit(0);
  } catch (error) {
    console.log(String(error));
    process.exit(1);
  }
}

// How many records of a topic a group has committed, by an admin client as KafkaJS has it.
async function sumOfOffsets(admin, groupId, topic) {
  await admin.connect();
  const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
  await admin.disconnect();
  return offsets.partitions.reduce((sum, one) => sum + Number(one.offset), 0);
}

const partitions = [...Array(PARTITIONS).keys()];

// The same offset for each partition of a topic, as KafkaJS' transactions take it.
function offsetEverywhere(topic, offset) {
  const each = partitions.map((partition) => ({ partition, offset: String(offset) }));
  return [{ topic, partitions: each }];
}

module.exports = { PARTITIONS, main, offsetEverywhere, partitions, sumOfOffsets };
