"""Replaced without a failed request: every filter and every gateway is restarted in turn while requests come through whatever says that it is ready, as a
balancer sees it. ROLLING_RATE=500 ROLLING_SECONDS=120 is the long form (with HOLDFAST_BIN=build/bin), ROLLING_SIEGE=1 has siege beside, through haproxy.
scripts/try-upgrade makes another release, to which and back from which everything is replaced in the same way."""
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from conftest import BIN, FILTERS, Background, free_port, one_outcome_each, tell, wait_until
from siege import Siege

RATE = int(os.environ.get("ROLLING_RATE", "25"))
SECONDS = float(os.environ.get("ROLLING_SECONDS", "0"))  # at least; and until each was restarted
INSTANCES = 3
WORKERS = max(8, RATE // 8)
# With siege beside: of each gateway the ports of its requests and of its probes, which haproxy must know.
PLACES = [(free_port(), free_port()) for _ in range(INSTANCES)] if "ROLLING_SIEGE" in os.environ else []
DRAIN_SECONDS = 5 if PLACES else 2
LOOKS_EVERY = 0.1  # seconds: of the balancer, well within the drain


@pytest.fixture(autouse=True)
def behind_is_ready(monkeypatch):
    """Siege sends more than the receiver of notices takes: an instance of notify that has that much before it does its work."""
    if PLACES:
        monkeypatch.setenv("HOLDFAST_READY_LAG", "100000000")


class Balancer(Background):
    """Which gateways are ready, looked for all the time."""

    def __init__(self, pipeline):
        super().__init__()
        self.pipeline, self.ports = pipeline, []

    def run(self):
        while not self.stopping.is_set():
            self.ports = [port for slot in range(INSTANCES) if (port := self.port_if_ready(slot))]
            self.stopping.wait(LOOKS_EVERY)

    def port_if_ready(self, slot):
        try:
            gateway = self.pipeline.filters["gateway", slot]
            return gateway.get("/readyz")[0] == 200 and gateway.port("requests")
        except (OSError, KeyError):
            return None


class Load(Background):
    """One request after another at a fixed rate, whatever the answers take; none is sent again."""

    def __init__(self, balancer, name="roll"):
        super().__init__()
        self.balancer, self.name, self.lock, self.number = balancer, name, threading.Lock(), 0
        self.seconds, self.failed, self.ids = [], [], []

    def next_number(self):
        with self.lock:
            self.number += 1
            return self.number - 1

    def name_of(self, number):
        return "%s-%d" % (self.name, number)

    def one(self, number):
        ports = self.balancer.ports
        connection = http.client.HTTPConnection("127.0.0.1", ports[number % len(ports)], timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/reservations", json.dumps({"item_id": "book", "quantity": 1, "reservation_id": self.name_of(number)}),
                               {"Content-Type": "application/json", "Holdfast-Subject": "c%d" % (number % 97), "Prefer": "wait=1" if number % 10 == 0 else "respond-async"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def work(self, began):
        while not self.stopping.is_set():
            number = self.next_number()
            time.sleep(max(0, began + number / RATE - time.monotonic()))
            sent = time.monotonic()
            try:
                status, body = self.one(number)
            except (OSError, http.client.HTTPException, ZeroDivisionError) as error:
                status, body = 0, repr(error)
            with self.lock:
                self.ids.append(self.name_of(number))
                if number % 10:  # those that wait take as long as the outcome does
                    self.seconds.append(time.monotonic() - sent)
                if status not in (200, 202):
                    self.failed.append((number, status, body))

    def run(self):
        began = time.monotonic()
        workers = [threading.Thread(target=self.work, args=(began,)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


class Outcomes(Background):
    """The longest time between two outcomes that somebody who reads them has waited."""

    def __init__(self, pipeline):
        super().__init__()
        self.topic, self.longest = pipeline.prefix + "reservation-outcomes", 0.0
        self.consumer = Consumer({"bootstrap.servers": pipeline.broker.address, "group.id": "nobody", "isolation.level": "read_committed", "log_level": 0})
        partitions = self.consumer.list_topics(self.topic, 30).topics[self.topic].partitions
        self.consumer.assign([TopicPartition(self.topic, number, 0) for number in partitions])

    def run(self):
        last = None
        while not self.stopping.is_set():
            if [message for message in self.consumer.consume(500, 0.02) if not message.error()]:
                now = time.monotonic()
                self.longest, last = max(self.longest, now - (last or now)), now
        self.consumer.close()


def start_gateway(pipeline, slot):
    place = ("--http", "127.0.0.1:%d" % PLACES[slot][0], "--health", "127.0.0.1:%d" % PLACES[slot][1]) if PLACES else ()
    pipeline.start("gateway", slot=slot, flags=("--auth", "none", "--caller-rate", "0", "--drain-seconds", str(DRAIN_SECONDS), *place))


def restart_each(pipeline):
    """SIGTERM, and the next once this one is ready again."""
    for name in FILTERS:
        assert pipeline.filters[name, 0].end(signal.SIGTERM) == 0, pipeline.filters[name, 0].text()[-2000:]
        pipeline.start(name)
    for slot in range(INSTANCES):
        assert pipeline.filters["gateway", slot].end(signal.SIGTERM) == 0, pipeline.filters["gateway", slot].text()[-2000:]
        start_gateway(pipeline, slot)


@contextlib.contextmanager
def under_requests(pipeline, what):
    """Everything runs and is asked; in the end no request has failed, and each is one reservation with one outcome."""
    pipeline.apply()
    pipeline.start_provider()
    pipeline.start_receiver()
    pipeline.start(*FILTERS)
    for slot in range(INSTANCES):
        start_gateway(pipeline, slot)
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": 1000000, "payment": "NONE"})
    pipeline.wait_item("book")
    with Balancer(pipeline) as balancer:
        wait_until(lambda: len(balancer.ports) == INSTANCES, "all gateways to be ready")
        siege = Siege(pipeline.folder, PLACES, {"item_id": "book", "quantity": 1}) if PLACES else None
        with Load(balancer) as load, Outcomes(pipeline) as seen, siege or contextlib.nullcontext():
            yield
    assert not load.failed, "%d of %d failed: %s" % (len(load.failed), len(load.ids), load.failed[:5])
    failed_beside = siege.failed() if siege else []
    assert not failed_beside, "%s\n%s" % failed_beside
    beside = siege.answered() if siege else 0
    wait_until(lambda: (pipeline.settled() or {"reservations": 0})["reservations"] >= len(load.ids) + beside, "every reservation to be settled", 300 + beside / 100)
    outcomes = one_outcome_each(record["value"] for record in pipeline.read("reservation-outcomes"))
    assert set(load.ids) <= set(outcomes) and all(statuses == ["APPROVED"] for statuses in outcomes.values())
    assert beside <= len(outcomes) - len(load.ids) <= beside + (siege.without_answer if siege else 0)
    for line in siege.lines() if siege else ():
        tell(line)
    seconds = sorted(load.seconds)
    tell("%s: %d requests at %d/s, availability 100.00 %%, p50 %.0f ms, p99.9 %.0f ms, longest %.0f ms; longest time without an outcome %.1f s"
         % (what, len(load.ids), RATE, seconds[len(seconds) // 2] * 1e3, seconds[int(len(seconds) * 0.999)] * 1e3, seconds[-1] * 1e3,
            seen.longest))


def test_every_filter_and_gateway_is_restarted_in_turn_and_no_request_fails(pipeline):
    began = time.monotonic()
    with under_requests(pipeline, "rolling restarts of %d processes" % (len(FILTERS) + INSTANCES)):
        restart_each(pipeline)
        while time.monotonic() < began + SECONDS:
            restart_each(pipeline)
    pipeline.prove()


@pytest.mark.skipif("UPGRADE_TO" not in os.environ, reason="scripts/try-upgrade makes another release")
def test_another_release_with_other_schemas_takes_over_and_is_put_back_and_no_request_fails(pipeline, monkeypatch):
    later, schemas = pathlib.Path(os.environ["UPGRADE_TO"]), pipeline.folder / "schemas.jsonl"
    monkeypatch.setenv("HOLDFAST_SCHEMAS", str(schemas))
    with under_requests(pipeline, "upgrade, and back"):
        shutil.copy(later / "gen/schemas.jsonl", schemas)
        pipeline.bin = later / "bin"
        restart_each(pipeline)
        pipeline.bin = BIN
        restart_each(pipeline)
    pipeline.audit("--stores", pipeline.stores)
