"""How fast a filter is back: stock-check with a million rows, killed with -9 and started again, and started on an empty disk.

Usage: scripts/bench recovery [ROWS]     [1000000]

The rows come from that many Reserves of one item, produced straight to stock-requests with the project's own codec (holdfast encode), so
that stock-check alone is measured. While the empty disk is restored a second instance serves nothing: what is printed is this machine's."""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from confluent_kafka import Producer
from pipeline import BIN, HERE, ROOT, Run, metrics

KILLS = 5


def requests(rows):
    """(key, value) of RegisterItem and the RequestHolds, by reserve-requested in a pipe: one example of each, then the id is put in."""
    commands = [{"type": "RegisterItem", "item_id": "item-%02d" % i, "title": "t", "kind": "BOOK", "capacity": rows, "payment": "NONE"} for i in range(16)]
    commands += [{"type": "Reserve", "reservation_id": "r-00000000", "customer_id": "c", "item_id": "item-%02d" % i, "quantity": 1} for i in range(16)]
    text = "".join(json.dumps(c) + "\n" for c in commands)
    encoded = subprocess.run([BIN / "holdfast", "encode"], input=text, capture_output=True, text=True, check=True).stdout
    decided = subprocess.run([BIN / "reserve-requested", "--pipe"], input=encoded, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in decided.splitlines()]
    return [line for line in lines if line["topic"] == "stock-requests"]


def encode_value(value):
    """Single-object encoding with fastavro: the fingerprint is that of the released schema."""
    import fastavro
    import io
    schema = json.loads(max((ROOT / "avro/history").glob(value["type"] + ".*.avsc"), key=lambda p: int(p.stem.rsplit(".", 1)[1])).read_text())
    parsed = fastavro.parse_schema(schema)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed, {k: v for k, v in value.items() if k != "type"})
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return b"\xc3\x01" + bytes.fromhex(fingerprint) + body.getvalue()


def fill(address, topic, rows):
    lines = requests(rows)
    producer = Producer({"bootstrap.servers": address, "partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": 20,
                         "queue.buffering.max.messages": 500000})
    items = [line for line in lines if line["value"]["type"] == "RegisterItem"]
    holds = [(line["key"], encode_value(line["value"])) for line in lines if line["value"]["type"] == "RequestHold"]
    for line in items:
        producer.produce(topic, encode_value(line["value"]), line["key"])
    producer.flush()
    for i in range(rows):
        key, value = holds[i % len(holds)]
        producer.produce(topic, value.replace(b"r-00000000", b"r-%08d" % i), key)
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


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    address = subprocess.run([ROOT / "scripts/kafka", "start", "--dir", HERE / "kafka", "--port", "free"], check=True, capture_output=True,
                             text=True).stdout.strip().splitlines()[-1]
    run = Run(address, "recovery-")
    try:
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
        run.processes["stock-check"].send_signal(signal.SIGKILL)
        run.processes["stock-check"].wait()
        shutil.rmtree(HERE / "recovery-" / "stock-check-0")
        begun = time.time()
        run.start("stock-check")
        until = time.time() + 300
        while metrics(run.ports["stock-check"])["partitions_ready"] < 4 and time.time() < until:
            time.sleep(0.02)
        took, restored = time.time() - begun, metrics(run.ports["stock-check"])["restored_records_total"]
        print("empty disk: %d rows restored in %.2f s, %d rows/s" % (restored, took, restored / took))
    finally:
        run.stop()
        subprocess.run([ROOT / "scripts/kafka", "stop", "--dir", HERE / "kafka"], capture_output=True)


if __name__ == "__main__":
    main()
