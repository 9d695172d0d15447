"""What every Python client does: see the README beside this folder."""

import sys
import threading
import time

RECORDS = 600
PARTITIONS = 6


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


def run(produce, open_consumer, committed):
    """`produce(count)` sends records round the partitions and waits for them; `committed()` gives
    the sum of the group's offsets."""
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
    print(f"ok: {len(all_seen)} records, each once; 3 + 3 partitions, then 6")


def main(scenario):
    try:
        scenario(*sys.argv[1:4])
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
