"""What every Python client does: see the README beside this folder."""

import sys
import threading
import time

RECORDS = 600
PARTITIONS = 6
TRANSACTIONS = 12
IN_EACH = 30
END = "end"


class Failure(Exception):
    """Something was not as promised."""


class Member(threading.Thread):
    """A consumer in a thread of its own. `open_consumer()` gives an object with `poll() ->
    [(partition, offset)]`, `commit()`, `assigned() -> int` and `close()`."""

    def __init__(self, open_consumer):
        super().__init__(daemon=True)
        self.open_consumer = open_consumer
        self.seen = []
        self.assigned = 0
        self.stopping = False
        self.error = None

    def run(self):
        try:
            consumer = self.open_consumer()
            while not self.stopping:
                records = consumer.poll()
                self.seen.extend(records)
                if records:
                    consumer.commit()
                self.assigned = consumer.assigned()
            consumer.close()
        except Exception as error:
            self.error = error

    def leave(self):
        self.stopping = True
        self.join(30)


def until(what, members, reached, limit=60):
    deadline = time.monotonic() + limit
    while not reached():
        for member in members:
            if member.error:
                raise member.error
        if time.monotonic() > deadline:
            state = [(member.assigned, len(member.seen)) for member in members]
            raise Failure(f"{what} did not come within {limit} s: {state}")
        time.sleep(0.05)


def in_transactions(open_producer, open_reader, is_fenced, committed):
    """Numbered records in transactions, each third of which is aborted; then another producer takes
    over the transactional id.

    `open_producer()` gives a producer that is ready, with `begin()`, `send(values)`, which sends
    values round the partitions and waits for them, `send_offset(offset)`, which tells it for each
    partition of the topic that was consumed, `commit()` and `abort()`; `open_reader(isolation)` an
    object with `poll() -> [value]` and `close()`; `is_fenced(error)` says whether an error means
    that; `committed()` gives the sum of the group's offsets."""
    kept, dropped = [], []
    told = 0
    first = open_producer()
    for number in range(1, TRANSACTIONS + 1):
        values = [str((number - 1) * IN_EACH + index) for index in range(IN_EACH)]
        first.begin()
        first.send(values)
        first.send_offset(told + 1)
        if number % 3 == 0:
            first.abort()
            dropped += values
        else:
            first.commit()
            kept += values
            told += 1
    if committed() != told * PARTITIONS:
        raise Failure(f"{committed()} is committed by transactions, not {told * PARTITIONS}")
    first.begin()
    first.send(["fenced"])
    dropped.append("fenced")
    second = open_producer()
    try:
        first.commit()
    except Exception as error:
        if not is_fenced(error):
            raise
    else:
        raise Failure("a producer committed after another took over")
    second.begin()
    second.send([END] * PARTITIONS)
    second.commit()
    expect("read_committed", read(open_reader("read_committed")), kept)
    expect("read_uncommitted", read(open_reader("read_uncommitted")), kept + dropped)
    return f"{len(kept)} records in transactions, and {len(dropped)} in aborted ones; fenced"


def read(reader, limit=60):
    """What comes before the last record of each partition."""
    deadline = time.monotonic() + limit
    values, ends = [], 0
    while ends < PARTITIONS:
        if time.monotonic() > deadline:
            raise Failure(f"{len(values)} values and {ends} ends came within {limit} s")
        for value in reader.poll():
            if value == END:
                ends += 1
            else:
                values.append(value)
    reader.close()
    return values


def expect(isolation, values, expected):
    if sorted(values) != sorted(expected):
        different = set(values) ^ set(expected)
        raise Failure(
            f"{isolation}: {len(values)} values instead of {len(expected)}, {sorted(different)[:9]}"
        )


def run(produce, open_consumer, committed, transactions):
    """`produce(count)` sends records round the partitions and waits for them; `committed()` gives
    the sum of the group's offsets; `transactions()` runs `in_transactions`."""
    produce(RECORDS)
    members = [Member(open_consumer), Member(open_consumer)]
    for member in members:
        member.start()
    seen = lambda: sum(len(member.seen) for member in members)
    until("three partitions each", members, lambda: all(m.assigned == 3 for m in members))
    until("all records", members, lambda: seen() >= RECORDS)
    members[1].leave()
    until("all partitions", members, lambda: members[0].assigned == PARTITIONS)
    produce(RECORDS)
    until("the records after one left", members, lambda: seen() >= 2 * RECORDS)
    members[0].leave()
    all_seen = [record for member in members for record in member.seen]
    if len(set(all_seen)) != len(all_seen):
        raise Failure(f"{len(all_seen)} records came, {len(set(all_seen))} different ones")
    if committed() != 2 * RECORDS:
        raise Failure(f"{committed()} records are committed, {2 * RECORDS} were consumed")
    transacted = transactions()
    print(f"ok: {len(all_seen)} records, each once; 3 + 3 partitions, then 6; {transacted}")


def main(scenario):
    try:
        scenario(*sys.argv[1:4])
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
