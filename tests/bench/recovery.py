"""How fast a filter is back: stock-check with a million rows, killed with -9 and started again, started on an empty disk, and joined by a
second instance whose disk is empty.

Usage: scripts/bench recovery-alone [ROWS]     [1000000]

The rows come from that many Reserves of one item, produced straight to stock-requests with the project's own codec (holdfast encode), so
that stock-check alone is measured. A pause is the longest time in which a reader of committed records saw none of a partition, at 200 requests/s."""
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

from confluent_kafka import Producer
from rig import BIN, HERE, ROOT, Run, broker, bulk_producer, connection, encode_value, metrics, reader

KILLS = 5
PARTITIONS = 4


def uuid_text(high, low):
    return b"%08x-%04x-%04x-%04x-%012x" % (high >> 32, high >> 16 & 0xffff, high & 0xffff, low >> 48, low & 0xffffffffffff)


def random_id(number):
    """A UUID of version 4, another one at each call."""
    return uuid_text(random.getrandbits(64) & ~0xf000 | 0x4000, random.getrandbits(62) | 1 << 63)


def ordered_id(number):
    """A UUID of version 7: ordered by time, as if ten were made each millisecond."""
    return uuid_text((1760000000000 + number // 10) << 16 | 0x7000 | random.getrandbits(12), random.getrandbits(62) | 1 << 63)


IDS = {"counted": lambda number: b"r-%08d" % number, "ordered": ordered_id, "random": random_id}


def make_holds(rows, items=16, example="r-00000000"):
    """(key, value) of RegisterItem and of the RequestHolds, an example for each item: an id of the example's size is put in."""
    commands = [{"type": "RegisterItem", "item_id": "item-%05d" % i, "title": "t", "kind": "BOOK", "capacity": rows, "payment": "NONE"} for i in range(items)]
    commands += [{"type": "Reserve", "reservation_id": example, "customer_id": "c", "item_id": "item-%05d" % i, "quantity": 1} for i in range(items)]
    text = "".join(json.dumps(c) + "\n" for c in commands)
    encoded = subprocess.run([BIN / "holdfast", "encode"], input=text, capture_output=True, text=True, check=True).stdout
    decided = subprocess.run([BIN / "reserve-requested", "--pipe"], input=encoded, capture_output=True, text=True, check=True).stdout
    lines = [line for line in map(json.loads, decided.splitlines()) if line["topic"] == "stock-requests"]
    return tuple([(line["key"], encode_value(line["value"])) for line in lines if line["value"]["type"] == kind] for kind in ("RegisterItem", "RequestHold"))


def fill(address, topic, rows, items=16, ids="counted", first=0):
    make_id = IDS[ids]
    example = make_id(0)
    registered, holds = make_holds(rows, items, example.decode())
    producer = bulk_producer(address)
    for key, value in registered:
        producer.produce(topic, value, key)
    producer.flush()
    headers = [("correlation-id", b"r-00000000"), ("causation", b"reservation-commands-0-000000"), ("source", b"reserve-requested/1"),
               ("produced-at", b"1760000000000")]
    for i in range(rows):
        key, value = holds[i % len(holds)]
        producer.produce(topic, value.replace(example, make_id(first + i)), key, headers=headers)
        if i % 10000 == 0:
            producer.poll(0.01)
    producer.flush()


def first_commit(run, begun):
    until = time.time() + 300
    while time.time() < until:
        try:
            if metrics(run.ports["stock-check"])["transactions_total"] > 0:
                return time.time() - begun
        except OSError:
            pass
        time.sleep(0.005)
    raise SystemExit("bench: no commit")


class Trickle:
    """New requests at 200/s over all partitions, and when the changelog of each partition got a committed record."""

    def __init__(self, address, prefix, rows, changelog="stock-check-changelog"):
        self.changelog = prefix + changelog
        self.address, self.prefix, self.holds, self.stopping = address, prefix, make_holds(rows)[1], threading.Event()
        self.seen = {p: [] for p in range(PARTITIONS)}
        self.threads = [threading.Thread(target=self.produce), threading.Thread(target=self.consume)]

    def produce(self):
        producer = Producer({**connection(self.address), "partitioner": "murmur2_random", "linger.ms": 0})
        number = 0
        while not self.stopping.wait(0.02):
            for _ in range(4):
                key, value = self.holds[number % len(self.holds)]
                producer.produce(self.prefix + "stock-requests", value.replace(b"r-00000000", b"t-%08d" % number), key)
                number += 1
            producer.poll(0)
        producer.flush()

    def consume(self):
        consumer = reader(self.address, self.changelog, at_end=True, fetch_wait_max_ms=10)
        while not self.stopping.is_set():
            for message in consumer.consume(100, 0.1):
                if not message.error():
                    self.seen[message.partition()].append(time.time())
        consumer.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def pauses(self, since, until):
        """The longest time without a record, of each partition, in seconds."""
        for p in range(PARTITIONS):
            times = [since] + [t for t in self.seen[p] if since <= t <= until] + [until]
            yield max(b - a for a, b in zip(times, times[1:]))


def wait_ready(run, name, partitions, limit=300):
    until = time.time() + limit
    while metrics(run.ports[name])["partitions_ready"] != partitions:
        if time.time() > until:
            raise SystemExit("bench: %s does not get its partitions" % name)
        time.sleep(0.02)


def drain(run):
    """What the kills left undone would be done beside the next figure."""
    until = time.time() + 300
    while metrics(run.ports["stock-check"])["lag_records"] != 0 and time.time() < until:
        time.sleep(0.1)


def scale_out(run, address, rows):
    """A second instance with an empty disk joins: two of four partitions move to it."""
    with Trickle(address, "recovery-", rows) as trickle:
        time.sleep(3)
        steady = list(trickle.pauses(time.time() - 2, time.time()))
        since = time.time()
        run.start("stock-check", slot=1)
        wait_ready(run, "stock-check-1", 2)
        took = time.time() - since
        time.sleep(3)
        pauses = sorted(trickle.pauses(since, time.time()))
    restored = metrics(run.ports["stock-check-1"])["restored_records_total"]
    print("scale-out: the second instance restored %d rows and served after %.2f s (%d rows/s), beside the first that served" % (
        restored, took, restored / took))
    print("longest pause: partitions that stayed %s s, that moved %s s (before: %.2f s)" % (
        " ".join("%.2f" % p for p in pauses[:2]), " ".join("%.2f" % p for p in pauses[2:]), max(steady)))


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    with broker() as address, Run(address, "recovery-") as run:
        run.holdfast("topics", "apply", "--topics", ROOT / "topics")
        print("filling stock-requests with %d requests" % rows, flush=True)
        fill(address, "recovery-stock-requests", rows)
        run.start("stock-check")
        run.wait("stock-check", rows)
        print("stock-check has %d rows; killing it %d times with -9 under load" % (rows, KILLS), flush=True)
        times, restored = [], 0
        for kill in range(KILLS):
            fill(address, "recovery-stock-requests", 20000)  # repeats: read, known, and committed
            run.processes["stock-check"].send_signal(signal.SIGKILL)
            run.processes["stock-check"].wait()
            begun = time.time()
            run.start("stock-check")
            times.append(first_commit(run, begun))
            restored += metrics(run.ports["stock-check"])["restored_records_total"]
            time.sleep(1)
        print("kill -9, %d rows: restart to first commit median %.2f s (%s), rows restored %d" % (
            rows, statistics.median(times), " ".join("%.2f" % t for t in times), restored))
        drain(run)
        run.processes["stock-check"].send_signal(signal.SIGKILL)
        run.processes["stock-check"].wait()
        shutil.rmtree(HERE / "recovery-" / "stock-check-0")
        begun = time.time()
        run.start("stock-check")
        wait_ready(run, "stock-check", PARTITIONS)
        took, restored = time.time() - begun, metrics(run.ports["stock-check"])["restored_records_total"]
        print("empty disk: %d rows restored in %.2f s, %d rows/s" % (restored, took, restored / took))
        scale_out(run, address, rows)


if __name__ == "__main__":
    main()
