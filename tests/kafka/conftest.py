"""A real broker for the tests, and pipelines on it: each test has its own prefix, state and ports, so that none sees another."""
import concurrent.futures
import datetime
import functools
import io
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import fastavro
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / os.environ.get("HOLDFAST_BIN", "build/test/bin")
PLAIN = ROOT / "build/bin"  # for what sanitizers change: memory
sys.path.insert(0, str(ROOT / "tests/lib"))
from described import described, replayed, stateful, views

DESCRIBED = described(BIN)
FILTERS, VIEWS, STATEFUL, REPLAYED = list(DESCRIBED), views(DESCRIBED), stateful(DESCRIBED), replayed(DESCRIBED)
PROBES = ["/livez", "/readyz", "/metrics"]
SECRET = "not so secret"
DEADLINE = 90  # seconds: other work shares the cores
READING = 300 + 2 * float(os.environ.get("CHAOS_SECONDS", "0"))  # seconds: a command reads all that a test has sent, with sanitizers
SESSION_TIMEOUT_MS = 6000
_numbers = itertools.count(1)


def wait_until(condition, what, deadline=DEADLINE):
    """Returns the condition's first true value; fails with what it waited for."""
    until = time.monotonic() + deadline
    last = None
    while time.monotonic() < until:
        try:
            last = condition()
            if last:
                return last
        except (OSError, urllib.error.URLError) as error:
            last = error
        time.sleep(0.05)
    raise AssertionError("waited %d s for %s; last: %s" % (deadline, what, last))


_told = []


def tell(line):
    """What a test measured: shown at the end, whether it passed or not."""
    _told.append(line)


def pytest_sessionfinish(session):
    """A worker's figures go to the process that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = _told


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    _told.extend(getattr(node, "workeroutput", {}).get("told", []))


def pytest_terminal_summary(terminalreporter):
    if _told:
        terminalreporter.section("measured")
    for line in _told:
        terminalreporter.write_line(line)


@functools.cache
def first_version(record):
    """(schema, fingerprint)"""
    schema = fastavro.schema.load_schema(str(ROOT / "avro/history" / (record + ".1.avsc")))
    return schema, fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO")


def encode(record, **fields):
    """As a client in another language would: Avro's single-object encoding of the record's first version."""
    schema, fingerprint = first_version(record)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, fields)
    return b"\xc3\x01" + bytes.fromhex(fingerprint) + body.getvalue()


_ports = iter(random.sample(range(2000, 8000), 1000))


def free_port():
    """One that stays free until it is taken: below those that scripts/free-port gives to others, and never the same again."""
    return next(port for port in _ports if is_free(port))


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Background:
    """run(), in a thread of its own as long as the block lasts: it ends once stopping is set."""

    def __init__(self):
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.stopping.set()
        self.thread.join()


class Broker:
    """One, or several of which one may be away."""

    def __init__(self, folder, count=1):
        self.folder, self.count = folder, count
        self.address = None

    def run(self, command, *arguments):
        result = subprocess.run([ROOT / "scripts/kafka", command, "--dir", self.folder, *arguments], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def start(self, *flags):
        self.address = self.run("start", "--port", "free", "--brokers", str(self.count), *flags).splitlines()[-1]
        return self.address

    def stop(self):
        self.run("stop")

    def kill(self, *node):
        self.run("kill", *node)


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


class Filter:
    """One process of a filter."""

    def __init__(self, pipeline, name, slot=0, flags=(), environment=None, folder=None):
        self.pipeline, self.name, self.slot, self.ports = pipeline, name, slot, {}
        self.log_path = pipeline.folder / ("%s-%d-%d.log" % (name, slot, next(_numbers)))
        self.log = open(self.log_path, "w")
        command = [(folder or pipeline.bin) / name, "-b", pipeline.broker.address, "--prefix", pipeline.prefix, "--health", "127.0.0.1:0",
                   *(["--http", "127.0.0.1:0"] if name in (*VIEWS, "gateway") else [])]
        if name != "gateway":
            command += ["--slot", str(slot), "--state-dir", pipeline.stores, "-X", "session.timeout.ms=%d" % SESSION_TIMEOUT_MS]
        command += [*pipeline.identity(name), *flags]
        if name == "charge":
            command += ["--provider-url", pipeline.provider_url]
        if name == "notify":
            command += ["--webhook-url", pipeline.receiver_url]
        environment = {**pipeline.environment(), "HOLDFAST_WEBHOOK_SECRET": SECRET, **(environment or {})}
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, env=environment)

    def text(self):
        return self.log_path.read_text(errors="replace")

    def last_time(self, text):
        """Of the last line with that text, as seconds since 1970."""
        line = [line for line in self.text().splitlines() if text in line][-1]
        return datetime.datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()

    def port(self, what):
        """Where it answers "probes", "questions" (a view) or "requests" (the gateway)."""
        if what not in self.ports:
            found = [line for line in self.text().splitlines() if "listening for %s on port " % what in line]
            if not found:
                raise OSError("%s does not listen for %s yet" % (self.name, what))
            self.ports[what] = int(found[0].rsplit(" ", 1)[1])
        return self.ports[what]

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.port("probes" if path in PROBES else "questions"), path)

    def get(self, path):
        """(status, JSON or text)"""
        try:
            with urllib.request.urlopen(self.url(path), timeout=20) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode()
        return status, json.loads(body) if body[:1] in "{[" else body

    def ready(self):
        assert self.process.poll() is None, "%s ended: %s" % (self.name, self.text()[-2000:])
        return self.get("/readyz")[0] == 200

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith("holdfast_%s{" % name):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError("no metric " + name)

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=DEADLINE)
        self.log.close()
        return code


class Pipeline:
    def __init__(self, broker, folder):
        self.broker, self.folder, self.stores = broker, folder, folder / "state"
        self.prefix = "t%d-%d-" % (os.getpid(), next(_numbers))
        self.filters = {}
        self.bin = BIN  # of what is started from here on
        self.topics = ROOT / "topics"
        self.provider = None
        self.receiver = None
        self.provider_url = self.receiver_url = "http://127.0.0.1:9"  # nobody answers there

    def identity(self, name):
        """The flags by which a filter, or a command of holdfast, shows who it is: nobody asks."""
        return []

    def environment(self):
        """Of every process."""
        return dict(os.environ)

    def holdfast(self, *arguments, stdin=None, check=True):
        result = subprocess.run([BIN / "holdfast", arguments[0], "-b", self.broker.address, "--prefix", self.prefix, *self.identity(arguments[0]), *arguments[1:]]
                                if arguments[0] in ("topics", "acls", "send", "read", "skip", "audit", "explain", "replay", "reset", "clock", "release") else [BIN / "holdfast", *arguments],
                                input=stdin, capture_output=True, text=True, timeout=READING, env=self.environment())
        assert not check or result.returncode == 0, result.stderr + result.stdout
        return result

    def apply(self):
        self.holdfast("topics", "apply", "--topics", self.topics)

    def with_partitions(self, count):
        """The topics that are made from here on have so many."""
        self.topics = self.folder / "topics"
        shutil.copytree(ROOT / "topics", self.topics)
        for path in self.topics.glob("*.topic"):
            path.write_text(re.sub("(?m)^partitions = .*", "partitions = %d" % count, path.read_text()))

    def start_provider(self, port=0, **settings):
        """Its books are in the pipeline's folder: whoever starts it again finds them."""
        self.provider_books = self.folder / "provider-books.jsonl"
        flags = [text for name, value in settings.items() for text in ("--" + name.replace("_", "-"), str(value))]
        self.provider = subprocess.Popen([BIN / "provider-simulator", "--port", str(port), "--books", self.provider_books, *flags],
                                         stdout=subprocess.PIPE, text=True)
        self.provider_url = "http://127.0.0.1:" + self.provider.stdout.readline().strip()

    def restart_provider(self, number=signal.SIGKILL, **settings):
        """The same port and books; kills what still runs. Returns how the former ended."""
        if self.provider.poll() is None:
            self.provider.send_signal(number)
        code = self.provider.wait(timeout=30)
        self.provider.stdout.close()
        self.start_provider(int(self.provider_url.rsplit(":", 1)[1]), **settings)
        return code

    def provider_says(self, **settings):
        request = urllib.request.Request(self.provider_url + "/settings", json.dumps(settings).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=20).read()

    def provider_stats(self):
        return json.load(urllib.request.urlopen(self.provider_url + "/stats", timeout=20))

    def provider_lists(self):
        """Its books, page by page."""
        entries, cursor, more = [], "", True
        while more:
            page = json.load(urllib.request.urlopen("%s/charges?after=%s&limit=100" % (self.provider_url, cursor), timeout=20))
            entries, cursor, more = entries + page["charges"], page["next"], page["more"]
        return entries

    def start_receiver(self):
        self.receiver = subprocess.Popen([ROOT / "tests/lib/receiver.py", "--secret", SECRET], stdout=subprocess.PIPE, text=True)
        self.receiver_url = "http://127.0.0.1:" + self.receiver.stdout.readline().strip()

    def receiver_says(self, **settings):
        request = urllib.request.Request(self.receiver_url, json.dumps(settings).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=20).read()

    def notices(self, customer=None):
        found = json.load(urllib.request.urlopen(self.receiver_url, timeout=20))
        assert found["refused_signatures"] == 0
        return [notice for notice in found["notices"] if customer in (None, notice["customer_id"])]

    def start(self, *names, slot=0, flags=(), environment=None, wait=True, folder=None):
        for name in names:
            self.filters[name, slot] = Filter(self, name, slot, flags, environment, folder)
        if wait:
            for name in names:
                wait_until(self.filters[name, slot].ready, "%s to be ready" % name)
        return self.filters[names[-1], slot]

    def start_all(self):
        self.apply()
        self.start_provider()
        self.start_receiver()
        self.start(*FILTERS)
        return self

    def start_gateway(self, *flags, slot=0, wait=True, folder=None):
        """Without slots: the number tells the test's instances apart."""
        return self.start("gateway", slot=slot, flags=["--drain-seconds", "0", *flags], wait=wait, folder=folder)

    def restart(self, name, number, **options):
        self.filters[name, 0].end(number)
        return self.start(name, **options)

    def send(self, *commands):
        """Commands as dictionaries. Commands of different keys have no order among them: an item is listed before what follows is sent."""
        for index, command in enumerate(commands[:-1]):
            if command["type"] == "RegisterItem" and ("catalog", 0) in self.filters:
                self.send(*commands[:index + 1])
                self.wait_item(command["item_id"])
                return self.send(*commands[index + 1:])
        self.holdfast("send", "--history-url", "http://127.0.0.1:1", stdin="".join(json.dumps(c) + "\n" for c in commands))

    def read(self, topic, *flags):
        return [json.loads(line) for line in self.holdfast("read", topic, *flags).stdout.splitlines()]

    def item(self, item_id):
        status, body = self.filters["catalog", 0].get("/items/" + urllib.parse.quote(item_id, safe=""))
        return body if status == 200 else None

    def reservation(self, reservation_id):
        status, body = self.filters["history", 0].get("/reservations/" + urllib.parse.quote(reservation_id, safe=""))
        return body if status == 200 else None

    def customer(self, customer_id):
        return self.filters["history", 0].get("/customers/%s/reservations" % urllib.parse.quote(customer_id, safe=""))

    def wait_item(self, item_id, **fields):
        def so():
            item = self.item(item_id)
            return item if item and all(item[name] == value for name, value in fields.items()) else None
        return wait_until(so, "item %s with %s" % (item_id, fields))

    def wait_status(self, reservation_id, status, reason=None):
        def so():
            found = self.reservation(reservation_id)
            fits = found and found["status"] == status and (reason is None or found["reason"] == reason)
            return found if fits else None
        return wait_until(so, "%s to be %s %s" % (reservation_id, status, reason or ""))

    def statuses(self, reservation_id):
        return [step["status"] for step in self.reservation(reservation_id)["timeline"]]

    def wait_outcomes(self, item_id, count):
        def so():
            outcomes = [line["value"] for line in self.read("reservation-outcomes") if line["value"]["item_id"] == item_id]
            return outcomes if len({o["reservation_id"] for o in outcomes}) >= count else None
        return wait_until(so, "%d outcomes of %s" % (count, item_id), 150)

    def audit(self, *flags):
        """The audit's answer as JSON; fails with the violations."""
        result = self.holdfast("audit", "-o", "json", *flags, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout)

    def replay(self, name, *flags):
        result = self.holdfast("replay", name, "--diff", "-o", "json", *flags, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return json.loads(result.stdout)

    def settled(self):
        """The audit's summary once nothing waits and nothing is on its way; fails at a violation."""
        audit = self.holdfast("audit", "-o", "json", check=False)
        assert audit.returncode != 1, audit.stdout
        summary = json.loads(audit.stdout)["summary"] if audit.returncode == 0 else None
        return summary if summary and summary["waiting"] == summary["on_the_way"] == 0 and summary["reservations"] else None

    def prove(self):
        """What every test of harm ends with: the audit is clean, the provider's books too, and what was decided would be decided again."""
        books = ["--provider", self.provider_url] if self.provider and self.provider.poll() is None else []
        summary = self.audit("--stores", self.stores, *books)["summary"]
        with concurrent.futures.ThreadPoolExecutor(3) as pool:  # each mostly waits for the broker
            list(pool.map(self.replay, REPLAYED))
        return summary

    def close(self):
        failures = []
        for (name, slot), filter_ in self.filters.items():
            try:
                alive = filter_.process.poll() is None
                code = filter_.end()
                if alive and code != 0:
                    failures.append("%s ended with %d: %s" % (name, code, filter_.text()[-2000:]))
                if "Sanitizer" in filter_.text() or "runtime error" in filter_.text():
                    failures.append("%s: %s" % (name, filter_.text()[-4000:]))
            except subprocess.TimeoutExpired:
                filter_.process.kill()
                failures.append("%s did not stop" % name)
        for process in (self.provider, self.receiver):
            if process:
                process.terminate()
                process.wait(timeout=30)
        assert not failures, "\n".join(failures)


@pytest.fixture
def pipeline(broker, tmp_path):
    pipeline = Pipeline(broker, tmp_path)
    yield pipeline
    pipeline.close()


@pytest.fixture(scope="module")
def shared(broker, tmp_path_factory):
    """One whole pipeline for the tests of a module that do not harm it."""
    pipeline = Pipeline(broker, tmp_path_factory.mktemp("shared"))
    pipeline.start_all()
    yield pipeline
    pipeline.close()


def one_outcome_each(outcomes):
    """No reservation with two outcomes; APPROVED may be followed by one CANCELLED."""
    seen = {}
    for outcome in outcomes:
        seen.setdefault(outcome["reservation_id"], []).append(outcome["status"])
    wrong = {rid: statuses for rid, statuses in seen.items() if len(statuses) > 1 and statuses != ["APPROVED", "CANCELLED"]}
    assert not wrong, wrong
    return seen
