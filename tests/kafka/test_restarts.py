"""A broker that comes back, under 100 commands a second: killed or stopped, away for 0, 2 or 8 seconds. All filters serve again within
seconds of its first answer, by themselves or started anew; a gateway takes requests. Of three brokers each dies in turn, and no outcome is
lost. RESTARTS=n makes n restarts instead of one, and n turns."""
import logging
import os
import socket
import struct
import subprocess
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka._model import ElectionType
from confluent_kafka.admin import AdminClient
from conftest import DEADLINE, PLAIN, ROOT, Background, Broker, Pipeline, encode, tell, wait_until
from test_chaos import open_shop, seed, settle, supervise
from test_gateway import WITHOUT_LIMIT, Gateway

RESTARTS = int(os.environ.get("RESTARTS", "1"))
VARIANTS = [("kill", 0), ("stop", 2), ("kill", 8), ("stop", 0), ("kill", 2), ("stop", 8)]
LONG = "RESTARTS" in os.environ  # on a machine that has nothing else to do
WITHIN = 5 if LONG else DEADLINE  # seconds from the broker's first answer
LATE = 5 if LONG else 60  # seconds: an outcome while one of three is away
RATE = 100  # commands a second
CUSTOMERS = 9973  # each is told one notice at a time
REPLICATED_RATE = 30  # three brokers and a controller share the cores with ten filters
LOOK_S = 20  # of what is sent so long after the answer each outcome is waited for
IN_A_ROW = 20
FLOW_S = 3  # between a restart and the next


def without_sanitizers(pipeline):
    """With them a restart takes minutes; test_chaos.py kills the broker under them."""
    if "HOLDFAST_BIN" not in os.environ:
        pipeline.bin = PLAIN


def log_of(path):
    log = logging.Logger("traffic")
    log.addHandler(logging.FileHandler(path))
    log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return log


class Traffic(Background):
    """Sends Reserves at a steady rate, and notes when each was sent and when its outcome was read."""

    def __init__(self, pipeline, rate=RATE):
        super().__init__()
        self.rate = rate
        self.sent, self.outcomes = {}, {}
        quick = {"bootstrap.servers": pipeline.broker.address, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
                 "topic.metadata.refresh.interval.ms": 1000}  # else a partition that had no leader as a broker stopped may wait five minutes for it
        self.topic = pipeline.prefix + "reservation-commands"
        self.producer = Producer({**quick, "partitioner": "murmur2_random", "enable.idempotence": True}, logger=log_of(pipeline.folder / "traffic.log"))
        self.consumer = Consumer({**quick, "group.id": "nobody", "isolation.level": "read_committed", "log_level": 0})
        outcomes = pipeline.prefix + "reservation-outcomes"
        partitions = self.consumer.list_topics(outcomes, 10).topics[outcomes].partitions
        self.consumer.assign([TopicPartition(outcomes, number, 0) for number in partitions])

    def run(self):
        begun = time.monotonic()
        while not self.stopping.is_set():
            while len(self.sent) < (time.monotonic() - begun) * self.rate:
                self.send()
            self.producer.poll(0)
            self.read()

    def send(self):
        number = len(self.sent)
        paid = number % 4 == 0
        name = "%s%d" % ("p" if paid else "r", number)
        self.sent[name] = time.monotonic()
        self.producer.produce(self.topic, key=name, value=encode("Reserve", reservation_id=name, customer_id="c%d" % (number % CUSTOMERS),
                                                                 item_id="seats" if paid else "copies", quantity=1))

    def read(self):
        for message in self.consumer.consume(500, 0.02):
            if not message.error():
                value = message.value()
                self.outcomes.setdefault(value[11:11 + value[10] // 2].decode(), time.monotonic())

    def first_outcome(self, since):
        """When the first outcome of a command was read that had been sent since then; None: there is none yet."""
        return min((at for name, at in self.outcomes.copy().items() if self.sent[name] >= since), default=None)

    def longest_wait(self, since, until):
        """Seconds that a command sent before `until` waited for its outcome, not counted before `since`; None: one still waits. A paid one
        waits for the provider, which fails now and then."""
        names = [name for name, sent in self.sent.copy().items() if name[0] == "r" and sent < until and self.outcomes.get(name, since) >= since]
        if any(name not in self.outcomes for name in names):
            return None
        return max(self.outcomes[name] - max(self.sent[name], since) for name in names)

    def __exit__(self, *failure):
        super().__exit__(*failure)
        assert self.producer.flush(60) == 0
        self.consumer.close()


def open_large_shop(pipeline, seed):
    """One that does not sell out, so that each filter has something to do."""
    open_shop(pipeline, seed)
    for item_id, payment in (("copies", "NONE"), ("seats", "AT_ONCE")):
        pipeline.send({"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "BOOK", "capacity": 1000000, "price": 7, "payment": payment})
        pipeline.wait_item(item_id)


def answers(address):
    """Asks for ApiVersions (key 18, version 0), as any client does first."""
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def bring_back(broker, address):
    """When it first answered."""
    starting = subprocess.Popen([ROOT / "scripts/kafka", "start", "--dir", broker.folder, "--port", address.rsplit(":", 1)[1]], stdout=subprocess.DEVNULL)
    wait_until(lambda: answers(address), "the broker to answer")
    at = time.monotonic()
    return at, starting


class Supervisor(Background):
    """Starts again what ends, from a thread of its own, and notes it as (name, exit code)."""

    def __init__(self, pipeline):
        super().__init__()
        self.pipeline, self.ended = pipeline, []

    def run(self):
        while not self.stopping.wait(0.05):
            self.ended += supervise(self.pipeline)


class Watch:
    """Which filters have done something since the broker died, before which it must not be made."""

    def __init__(self, pipeline):
        self.pipeline, self.served = pipeline, {}
        self.before = {one: self.transactions(one) for one in pipeline.filters.values()}

    @staticmethod
    def transactions(one):
        """-1: it does not answer."""
        try:
            return one.metric("transactions_total")
        except (OSError, AssertionError):
            return -1

    def look(self):
        """True if all serve."""
        now = list(self.pipeline.filters.values())
        for one in now:
            if one not in self.served and self.serves(one):
                self.served[one] = time.monotonic()
        return all(one in self.served for one in now)

    def serves(self, one):
        try:
            return one.get("/readyz")[0] == 200 and self.transactions(one) > max(0, self.before.get(one, 0))
        except OSError:
            return False

    def last(self):
        """(when, name) of the last to serve."""
        return max((at, one.name) for one, at in self.served.items() if one in self.pipeline.filters.values())


def restart(pipeline, broker, traffic, how, away):
    """(seconds until all serve, the last to serve, the longest wait of a command, the filters that ended)"""
    with Supervisor(pipeline) as supervisor:
        (broker.kill if how == "kill" else broker.stop)()
        watch = Watch(pipeline)
        time.sleep(away)
        back, starting = bring_back(broker, broker.address)
        wait_until(watch.look, "every filter to serve again")
        outcome = wait_until(lambda: traffic.first_outcome(back), "the outcome of a command sent after the broker's answer")
        at, name = watch.last()
        assert starting.wait(60) == 0
        wait_until(lambda: time.monotonic() > max(at, outcome) + FLOW_S, "commands to flow")
        longest = wait_until(lambda: traffic.longest_wait(back, back + LOOK_S), "every outcome")
    return max(at, outcome) - back, name if at > outcome else "outcome", longest, supervisor.ended


def test_all_filters_serve_again_within_seconds_of_the_brokers_answer(pipeline, broker, seed, monkeypatch):
    without_sanitizers(pipeline)
    monkeypatch.setenv("HOLDFAST_READY_LAG", "10000000")  # a filter that works off what waits for it serves
    open_large_shop(pipeline, seed)
    figures = []
    with Traffic(pipeline) as traffic:
        wait_until(lambda: len(traffic.outcomes) > 3 * RATE, "some load")
        for round_ in range(RESTARTS):
            how, away = VARIANTS[round_ % len(VARIANTS)]
            figures.append(restart(pipeline, broker, traffic, how, away))
            tell("%s, away %d s: all serve after %.2f s, last %s; a command waited %.2f s; ended %s" % (how, away, *figures[-1]))
    seconds = sorted(figure[0] for figure in figures)
    tell("%d restarts: median %.2f s, worst %.2f s, %d processes ended" % (len(seconds), seconds[len(seconds) // 2], seconds[-1], sum(len(f[3]) for f in figures)))
    settle(pipeline, len(traffic.sent))
    assert seconds[-1] <= WITHIN, figures


class Caller(Background):
    """Asks the gateway for one reservation after the other, and notes when each was answered and how."""

    def __init__(self, gateway):
        super().__init__()
        self.gateway, self.answers = gateway, []

    def run(self):
        while not self.stopping.wait(0.01):
            status = self.gateway.reserve("copies").status
            self.answers.append((time.monotonic(), status))

    def taken(self, since):
        """When the first of IN_A_ROW requests, enough to meet each partition, was taken; None: not yet."""
        answers = [one for one in self.answers.copy() if one[0] >= since]
        return next((answers[i][0] for i in range(len(answers) - IN_A_ROW + 1) if all(status == 202 for _, status in answers[i:i + IN_A_ROW])), None)


def test_a_gateway_takes_requests_within_seconds_of_the_brokers_answer(pipeline, broker):
    without_sanitizers(pipeline)
    pipeline.apply()
    figures = []
    with Caller(Gateway(pipeline, flags=(*WITHOUT_LIMIT, "--accept-ms", "1000"), folder=pipeline.bin)) as caller, Supervisor(pipeline) as supervisor:
        for round_ in range(2 * RESTARTS):
            how, away = VARIANTS[round_ % len(VARIANTS)]
            wait_until(lambda now=time.monotonic(): caller.taken(now), "requests to be taken")
            (broker.kill if how == "kill" else broker.stop)()
            time.sleep(away)
            back, starting = bring_back(broker, broker.address)
            figures.append(wait_until(lambda: caller.taken(back), "requests to be taken again") - back)
            assert starting.wait(60) == 0
            tell("%s, away %d s: the gateway takes requests after %.2f s" % (how, away, figures[-1]))
    assert not supervisor.ended
    assert max(figures) <= WITHIN, figures


@pytest.fixture
def cluster(tmp_path_factory):
    cluster = Broker(tmp_path_factory.mktemp("cluster"), 3)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def replicated(cluster, tmp_path):
    """A pipeline on three brokers: with one partition, as four JVMs and ten filters have two cores busy with four."""
    pipeline = Pipeline(cluster, tmp_path)
    pipeline.with_partitions(1)
    without_sanitizers(pipeline)
    yield pipeline
    pipeline.close()


def partitions(admin):
    return [(topic.topic, one) for topic in admin.list_topics(timeout=10).topics.values() for one in topic.partitions.values()]


def in_step(admin):
    return all(len(one.isrs) == 3 for _, one in partitions(admin))


def lead_as_planned(admin):
    """Each partition is led by the first of its brokers, as Kafka sees to itself every five minutes: one that came back leads again."""
    wait_until(lambda: in_step(admin), "each partition to be on three brokers")
    admin.elect_leaders(ElectionType.PREFERRED).result()
    wait_until(lambda: all(one.leader == one.replicas[0] for _, one in partitions(admin)), "each partition to have its first leader")


def test_each_of_three_brokers_dies_in_turn_and_no_outcome_is_lost(replicated, cluster, seed):
    open_large_shop(replicated, seed)
    admin = AdminClient({"bootstrap.servers": cluster.address, "log_level": 0})
    waits, ended = [], 0
    with Traffic(replicated, REPLICATED_RATE) as traffic, Supervisor(replicated) as supervisor:
        wait_until(lambda: len(traffic.outcomes) > 3 * REPLICATED_RATE, "some load")
        for turn in range(3 * RESTARTS):
            node = str(turn % 3 + 1)
            lead_as_planned(admin)
            killed = time.monotonic()
            cluster.kill("--node", node)
            cluster.run("start", "--node", node)
            lead_as_planned(admin)
            waits.append(wait_until(lambda until=time.monotonic(): traffic.longest_wait(killed, until), "every outcome"))
            tell("broker %s of 3 killed: a command waited %.2f s; ended %s" % (node, waits[-1], supervisor.ended[ended:]))
            ended = len(supervisor.ended)
    tell("%d brokers killed: median %.2f s, worst %.2f s, %d processes ended" % (len(waits), sorted(waits)[len(waits) // 2], max(waits), ended))
    settle(replicated, len(traffic.sent))
    assert max(waits) <= LATE, waits
