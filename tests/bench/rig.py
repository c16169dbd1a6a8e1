"""What every benchmark stands on: a broker of its own, the filters as processes, and what they say of themselves."""
import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.request

import fastavro
from confluent_kafka import Producer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/bin"
HERE = ROOT / "build/bench"


@contextlib.contextmanager
def broker():
    """The address of a fresh broker; whatever ends the benchmark ends it too."""
    signal.signal(signal.SIGTERM, lambda *_: exit(1))
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    kafka = ROOT / "scripts/kafka"
    started = subprocess.run([kafka, "start", "--dir", HERE / "kafka", "--port", "free"], check=True, stdout=subprocess.PIPE, text=True)
    try:
        yield started.stdout.strip().splitlines()[-1]
    finally:
        subprocess.run([kafka, "stop", "--dir", HERE / "kafka"], capture_output=True)


def bulk_producer(address):
    return Producer({"bootstrap.servers": address, "partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": 20,
                     "queue.buffering.max.messages": 500000})


def encode_value(value):
    """Single-object encoding with fastavro: the fingerprint is that of the released schema."""
    schema = json.loads(max((ROOT / "avro/history").glob(value["type"] + ".*.avsc"), key=lambda p: int(p.stem.rsplit(".", 1)[1])).read_text())
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), {k: v for k, v in value.items() if k != "type"})
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return b"\xc3\x01" + bytes.fromhex(fingerprint) + body.getvalue()


def metrics(port):
    values = {}
    for line in urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10).read().decode().splitlines():
        if line.startswith("holdfast_"):
            name, value = line.rsplit(" ", 1)
            values[name.split("{")[0][len("holdfast_"):]] = float(value)
    return values


def port_of(log, process):
    until = time.time() + 60
    while time.time() < until:
        assert process.poll() is None, log.read_text()
        for line in log.read_text().splitlines():
            if "listening on port" in line:
                return int(line.rsplit(" ", 1)[1])
        time.sleep(0.02)
    raise SystemExit("bench: no port in " + str(log))


class Run:
    def __init__(self, address, prefix):
        self.environment = {**os.environ, "HOLDFAST_BROKERS": address, "HOLDFAST_PREFIX": prefix, "HOLDFAST_STATE_DIR": str(HERE / prefix)}
        self.processes, self.ports = {}, {}

    def holdfast(self, *arguments):
        subprocess.run([BIN / "holdfast", *arguments], env=self.environment, check=True, capture_output=True)

    def start(self, name, slot=0):
        """Its process and port go by the filter's name, or NAME-SLOT for more than one instance."""
        key = "%s-%d" % (name, slot) if slot else name
        log = HERE / (self.environment["HOLDFAST_PREFIX"] + key + ".log")
        command = [BIN / name, "--http", "127.0.0.1:0", "--slot", str(slot)]
        self.processes[key] = subprocess.Popen(command, stderr=open(log, "w"), env=self.environment)
        self.ports[key] = port_of(log, self.processes[key])

    def wait(self, name, records, limit=600):
        until = time.time() + limit
        while metrics(self.ports[name])["records_total"] < records:
            if time.time() > until:
                raise SystemExit("bench: %s did not get through" % name)
            time.sleep(0.02)

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.stop()
