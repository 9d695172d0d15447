// What every Node.js client does: see the README beside this folder.
const RECORDS = 600;
const PARTITIONS = 6;
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
// `assigned()` and `leave()`; and `committed()`, the sum of the group's offsets.
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
  return `ok: ${seen.length} records, each once; 3 + 3 partitions, then 6`;
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

module.exports = { PARTITIONS, main };
