"""What every benchmark stands on: a broker of its own, the filters as processes, and what they say of themselves."""
import contextlib
import functools
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/bin"
HERE = ROOT / "build/bench"
sys.path.insert(0, str(ROOT / "tests/lib"))
from access import read_properties
from described import described, stateful, views

FILTERS = described(BIN)
VIEWS, STATEFUL = views(FILTERS), stateful(FILTERS)
# A broker gets faster for a dozen runs: BENCH_KAFKA=DIR uses the one that runs there (scripts/kafka start --dir DIR) and leaves it running.
KAFKA = pathlib.Path(os.environ.get("BENCH_KAFKA", HERE / "kafka"))


FOLDERS = {}  # of the brokers that were started, by their addresses


@contextlib.contextmanager
def broker(secure=False):
    """The address of a fresh broker, which ends with the benchmark however that ends; or that of BENCH_KAFKA. secure: beside another one."""
    signal.signal(signal.SIGTERM, lambda *_: exit(1))
    if not secure:
        shutil.rmtree(HERE, ignore_errors=True)
        HERE.mkdir(parents=True)
    kafka, folder = ROOT / "scripts/kafka", KAFKA.with_name(KAFKA.name + "-secure") if secure else KAFKA
    started = subprocess.run([kafka, "start", "--dir", folder, "--port", "free", *(["--secure"] if secure else [])], check=True, stdout=subprocess.PIPE, text=True)
    address = started.stdout.strip().splitlines()[-1]
    FOLDERS[address] = folder
    try:
        yield address
    finally:
        if secure or "BENCH_KAFKA" not in os.environ:
            subprocess.run([kafka, "stop", "--dir", folder], capture_output=True)


def properties_of(address, user):
    """The user's properties file; None where nobody asks who comes."""
    path = FOLDERS[address] / "secure" / (user + ".properties") if address in FOLDERS else None
    return path if path and path.exists() else None


def connection(address):
    """The first settings of every client of ours, who may do everything."""
    path = properties_of(address, "admin")
    return {**(read_properties(path) if path else {}), "bootstrap.servers": address}


def bulk_producer(address):
    return Producer({**connection(address), "partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": 20,
                     "queue.buffering.max.messages": 500000, "log_level": 0})


def reader(address, topic, at_end=False, **settings):
    """A consumer of what is committed in all partitions, from the first record or from the end. Settings with _ for a dot."""
    consumer = Consumer({**connection(address), "group.id": "bench", "isolation.level": "read_committed", "log_level": 0,
                         **{name.replace("_", "."): value for name, value in settings.items()}})
    places = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, timeout=20).topics[topic].partitions]
    if at_end:
        for place in places:
            place.offset = consumer.get_watermark_offsets(place)[1]
    consumer.assign(places)
    return consumer


@functools.cache
def released(record):
    """The newest schema of a record, and what its encodings begin with."""
    newest = max((ROOT / "avro/history").glob(record + ".*.avsc"), key=lambda path: int(path.stem.rsplit(".", 1)[1]))
    schema = json.loads(newest.read_text())
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")
    return fastavro.parse_schema(schema), b"\xc3\x01" + bytes.fromhex(fingerprint)


def encode_value(value):
    """Single-object encoding with fastavro: the fingerprint is that of the released schema."""
    schema, head = released(value["type"])
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, {k: v for k, v in value.items() if k != "type"})
    return head + body.getvalue()


def metrics(port):
    values = {}
    for line in urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10).read().decode().splitlines():
        if line.startswith("holdfast_"):
            name, value = line.rsplit(" ", 1)
            values[name.split("{")[0][len("holdfast_"):]] = float(value)
    return values


def port_of(log, process, what):
    until = time.time() + 60
    while time.time() < until:
        assert process.poll() is None, log.read_text()
        for line in log.read_text().splitlines():
            if "listening for %s on port" % what in line:
                return int(line.rsplit(" ", 1)[1])
        time.sleep(0.02)
    raise SystemExit("bench: no port in " + str(log))


class Run:
    def __init__(self, address, prefix):
        self.environment = {**os.environ, "HOLDFAST_BROKERS": address, "HOLDFAST_PREFIX": prefix, "HOLDFAST_STATE_DIR": str(HERE / prefix)}
        if properties_of(address, "admin"):
            self.environment["HOLDFAST_PROPERTIES"] = str(properties_of(address, "admin"))
        self.processes, self.ports, self.question_ports = {}, {}, {}

    def holdfast(self, *arguments):
        subprocess.run([BIN / "holdfast", *arguments], env=self.environment, check=True, capture_output=True)

    def start(self, name, slot=0, options=()):
        """Its process and ports (of the probes; a view's of the questions) go by the filter's name, or NAME-SLOT for more than one instance."""
        key = "%s-%d" % (name, slot) if slot else name
        log = HERE / (self.environment["HOLDFAST_PREFIX"] + key + ".log")
        command = [BIN / name, "--health", "127.0.0.1:0", "--slot", str(slot), *options]
        if name in VIEWS:
            command += ["--http", "127.0.0.1:0"]
        if properties_of(self.environment["HOLDFAST_BROKERS"], name):
            command += ["-F", properties_of(self.environment["HOLDFAST_BROKERS"], name)]
        self.processes[key] = subprocess.Popen(command, stderr=open(log, "w"), env=self.environment)
        self.ports[key] = port_of(log, self.processes[key], "probes")
        if name in VIEWS:
            self.question_ports[key] = port_of(log, self.processes[key], "questions")

    def wait(self, name, count, limit=600, metric="records_total"):
        """Until it has done so many: its metrics then."""
        until = time.time() + limit
        while (now := metrics(self.ports[name]))[metric] < count:
            if time.time() > until:
                raise SystemExit("bench: %s did not get through" % name)
            time.sleep(0.02)
        return now

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.stop()


# ---- what is measured of a process ----

def cpu_seconds(pid):
    """User and system time so far, of a process that runs."""
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid):
    return int(next(line for line in pathlib.Path("/proc/%d/status" % pid).read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def written_bytes(pid):
    """What it handed to the kernel to be written to files (and sockets are not in it)."""
    return int(next(line for line in pathlib.Path("/proc/%d/io" % pid).read_text().splitlines() if line.startswith("write_bytes")).split()[1])


def broker_pid(address=None):
    """Of that broker, or of the only one."""
    return int((FOLDERS.get(address, KAFKA) / "broker.pid").read_text())


class Progress:
    """How much of a topic a group has committed: the same question to whatever consumes it."""

    def __init__(self, address, group, topic, partitions=4):
        self.consumer = Consumer({**connection(address), "group.id": group, "isolation.level": "read_committed", "log_level": 0})
        self.partitions = [TopicPartition(topic, p) for p in range(partitions)]

    def committed(self):
        return sum(max(p.offset, 0) for p in self.consumer.committed(self.partitions, timeout=20))

    def lag(self):
        return sum(self.consumer.get_watermark_offsets(p, timeout=20)[1] for p in self.partitions) - self.committed()

    def reach(self, count, limit=600, alive=lambda: True):
        """Waits until so much is committed: (when that was seen, how much it was then). A transaction can leap far past the count."""
        until = time.time() + limit
        while time.time() < until:
            now = self.committed()
            if now >= count:
                return time.time(), now
            if not alive():
                raise SystemExit("bench: it ended before its time")
            time.sleep(0.005)
        raise SystemExit("bench: %d of %d were committed in %d s" % (self.committed(), count, limit))

    def close(self):
        self.consumer.close()
