"""Under steady load, with a reader that runs and a provider that declines, fails and loses answers: every filter killed at random moments,
instances that join and leave, are stopped and continued, a broker that dies, disks that are empty, old or full. Each ends with the proof:
the audit is clean, and a replay decides the same. SEED=n repeats the choices; CHAOS_SECONDS=n (make chaos MINUTES=n) makes it longer."""
import collections
import datetime
import json
import os
import random
import resource
import shutil
import signal
import threading
import time

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from conftest import DEADLINE, FILTERS, SESSION_TIMEOUT_MS, STATEFUL, Background, one_outcome_each, tell, wait_until
from hostile import throw_round

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
LONGER = float(os.environ.get("CHAOS_SECONDS", "0"))
RESERVATIONS = int(100 * SECONDS)
TABLE = []  # what was done and found, printed at the end


@pytest.fixture(scope="module", autouse=True)
def table():
    yield
    tell("%-34s %8s %8s %10s %10s %10s  %s" % ("harm", "times", "records", "duplicates", "missing", "oversold", "start to first partition served"))
    for row in TABLE:
        tell("%-34s %8s %8d %10d %10d %10d  %s" % row)


def enter(harm, times, summary, recoveries=()):
    """A clean audit has no duplicate, nothing missing, nothing oversold: a violation has failed the test before."""
    spread = "median %.2f s, worst %.2f s" % (sorted(recoveries)[len(recoveries) // 2], max(recoveries)) if recoveries else "-"
    TABLE.append((harm, times, summary["records"], 0, 0, 0, spread))


class Load(Background):
    """Reserves books and shows at a steady rate from a thread of its own, and reads the views meanwhile."""

    def __init__(self, pipeline, name, rate=40):
        super().__init__()
        self.pipeline, self.name, self.rate, self.sent = pipeline, name, rate, 0

    def run(self):
        while not self.stopping.is_set():
            lines = []
            for i in range(self.sent, self.sent + self.rate):
                show = i % 4 == 0
                lines.append({"type": "Reserve", "reservation_id": "%s%d" % (self.name, i), "customer_id": "c%d" % (i % 97), "quantity": 1 + i % 3 if show else 1,
                              "item_id": "show" if show else "book"})
                if i % 40 == 20:
                    lines.append({"type": "Cancel", "reservation_id": "%s%d" % (self.name, i - 20), "customer_id": "c%d" % ((i - 20) % 97)})
            self.pipeline.holdfast("send", stdin="".join(json.dumps(line) + "\n" for line in lines))
            self.sent += self.rate
            for name, path in (("history", "/customers/c1/reservations"), ("catalog", "/items")):
                try:
                    status, body = self.pipeline.filters[name, 0].get(path)
                    assert status in (200, 404, 503), (status, body)
                except OSError:
                    pass  # it is dead at the moment
            self.stopping.wait(0.7)


def open_shop(pipeline, seed, **provider):
    pipeline.apply()
    pipeline.start_provider(delay_ms=20, jitter_ms=50, decline=0.1, fail=0.1, lose=0.02, seed=seed % 1000, **provider)
    pipeline.start_receiver()
    pipeline.start(*FILTERS)
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": RESERVATIONS // 4, "payment": "NONE"},
                  {"type": "RegisterItem", "item_id": "show", "title": "show", "kind": "MUSICAL", "capacity": RESERVATIONS // 5, "price": 7,
                   "payment": "AT_ONCE", "max_per_reservation": 3, "hold_seconds": 3600})
    pipeline.wait_item("show")


def supervise(pipeline):
    """Starts again what has ended, as scripts/run would. Returns (name, exit code) of each."""
    ended = []
    for (name, slot), one in list(pipeline.filters.items()):
        code = one.process.poll()
        if code is not None and name in FILTERS:
            ended.append((name, code))
            assert code in (0, 69, 75, 70, 71, 74) or code < 0, (name, code, one.text()[-2000:])
            pipeline.start(name, slot=slot, wait=False)
    return ended


def wait_settled(pipeline, sent, seconds=240):
    """Until every reservation has its outcome and none is on its way."""
    def settled():
        supervise(pipeline)
        summary = pipeline.settled()
        return summary and summary["reservations"] == sent
    wait_until(settled, "every reservation to be settled", seconds + 3 * LONGER)  # each look at them is an audit


def settle(pipeline, sent, seconds=240):
    wait_settled(pipeline, sent, seconds)
    return pipeline.prove()


def recovery_times(pipeline):
    """Of every start that came so far: from the first line of its log to the first partition that is served, in seconds."""
    def at(line):
        return datetime.datetime.fromisoformat(line.split(" ", 1)[0].rstrip("Z"))
    for path in pipeline.folder.glob("*.log"):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line[:2] == "20"]
        ready = [line for line in lines if " is ready at offset " in line]
        if ready:
            yield (at(ready[0]) - at(lines[0])).total_seconds()


@pytest.fixture
def seed():
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print("seed %d: repeat with SEED=%d" % (seed, seed))
    return seed


def commands():
    """(reservation ids, commands): books and shows, a tenth of them cancelled a little later."""
    sent, ids = [], []
    for i in range(RESERVATIONS):
        customer = "c%d" % (i % 97)
        ids.append("b%d" % i)
        sent.append({"type": "Reserve", "reservation_id": "b%d" % i, "customer_id": customer, "item_id": "book", "quantity": 1})
        if i % 4 == 0:
            ids.append("s%d" % i)
            sent.append({"type": "Reserve", "reservation_id": "s%d" % i, "customer_id": customer, "item_id": "show", "quantity": 1 + i % 3})
        for prefix, step, rest, back in (("b", 10, 5, 5), ("s", 40, 20, 20), ("s", 40, 8, 404)):  # at once, or when it is paid already
            if i % step == rest and i >= back:
                sent.append({"type": "Cancel", "reservation_id": "%s%d" % (prefix, i - back), "customer_id": "c%d" % ((i - back) % 97)})
    return ids, sent


def send_steadily(pipeline, sent, seconds):
    pieces = max(1, int(seconds))
    size = -(-len(sent) // pieces)
    for begin in range(0, len(sent), size):
        text = "".join(json.dumps(command) + "\n" for command in sent[begin:begin + size])
        pipeline.holdfast("send", stdin=text)


def kill_at_random(pipeline, chance, seconds):
    kills, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        name = chance.choice(FILTERS)
        if pipeline.filters[name, 0].process.poll() is None:
            pipeline.filters[name, 0].end(chance.choice([signal.SIGKILL] * 4 + [signal.SIGTERM]))
            kills += 1
        pipeline.start(name, wait=False)
        wait_until(lambda until_=time.monotonic() + chance.random(): time.monotonic() > until_, "a random moment")
    return kills


def test_killed_at_random_under_load_everything_still_adds_up(pipeline, seed):
    open_shop(pipeline, seed)
    ids, sent = commands()
    seconds = SECONDS
    sender = threading.Thread(target=send_steadily, args=(pipeline, sent, seconds))
    sender.start()
    kills = kill_at_random(pipeline, random.Random(seed), seconds)
    sender.join()
    wait_settled(pipeline, len(ids))
    outcomes = [line["value"] for line in pipeline.read("reservation-outcomes")]
    seen = one_outcome_each(outcomes)
    quantities = {o["reservation_id"]: o["quantity"] for o in outcomes}
    for item_id in ("book", "show"):
        sold = sum(quantities[rid] for rid, statuses in seen.items() if rid[0] == item_id[0] and statuses == ["APPROVED"])
        item = pipeline.wait_item(item_id, sold=sold, held=0)
        assert item["available"] >= 0, item
    paid = collections.Counter(tuple(statuses) for rid, statuses in seen.items() if rid[0] == "s")
    stats = pipeline.provider_stats()
    assert stats["charges"] == paid["APPROVED",] + paid["APPROVED", "CANCELLED"], (stats, paid)
    assert stats["refunds"] == paid["APPROVED", "CANCELLED"], (stats, paid)
    tell("%d kills, %d reservations, provider %s" % (kills, len(ids), stats))
    enter("killed at random (-9, some TERM)", kills, pipeline.prove(), list(recovery_times(pipeline)))


def test_N14_instances_join_and_leave_and_die(pipeline, seed):
    """1 -> 3 -> 2 -> 1 of every stateful filter: the second ends by SIGTERM, the third by -9; their partitions wait for the session time-out."""
    open_shop(pipeline, seed)
    scaled = [name for name in STATEFUL if name != "catalog"]
    with Load(pipeline, "j") as load:
        for slot in (1, 2):
            for name in scaled:
                pipeline.start(name, slot=slot, wait=False)
        for name in scaled:
            for slot in (1, 2):
                wait_until(pipeline.filters[name, slot].ready, "%s/%d to be ready" % (name, slot))
        for slot, number in ((2, signal.SIGTERM), (1, signal.SIGKILL)):
            for name in scaled:
                pipeline.filters.pop((name, slot)).end(number)
            for name in scaled:
                wait_until(lambda: pipeline.filters[name, 0].metric("partitions_assigned") == (2 if slot == 2 else 4), "%s/0 to have what was left" % name)
    enter("instances 1 -> 3 -> 2 -> 1", 4 * len(scaled), settle(pipeline, load.sent))


@pytest.mark.parametrize("inside", [True, False], ids=["inside-a-transaction", "outside"])
def test_stopped_longer_than_its_session_and_continued(pipeline, seed, inside):
    """Inside a transaction it is fenced and ends; outside it joins again, and nothing of its old generation is committed."""
    open_shop(pipeline, seed)
    # A transaction times out after 10 s, and the broker looks for such ones every 10 s.
    wait_ms = 24000 if inside else SESSION_TIMEOUT_MS + 3000
    if inside:
        pipeline.restart("stock-check", signal.SIGTERM, environment={"HOLDFAST_FAILPOINT": "settled:3:stop"}, flags=["--batch-records", "20"])
    victim = pipeline.filters["stock-check", 0]
    with Load(pipeline, "z") as load:
        is_stopped = lambda: open("/proc/%d/stat" % victim.process.pid).read().rsplit(") ", 1)[1][0] == "T"
        if not inside:
            victim.process.send_signal(signal.SIGSTOP)
        wait_until(is_stopped, "stock-check to be stopped")
        pipeline.start("stock-check", slot=1, wait=False)
        wait_until(lambda until=time.monotonic() + wait_ms / 1000: time.monotonic() > until, "its session to be over")
        wait_until(lambda: pipeline.filters["stock-check", 1].metric("partitions_assigned") == 4, "another to have its partitions")
        victim.process.send_signal(signal.SIGCONT)
        if inside:
            assert victim.process.wait(60) == 75 and "fenced" in victim.text().lower(), victim.text()[-2000:]
        else:
            wait_until(lambda: victim.process.poll() is not None or victim.metric("partitions_assigned") in (2, 4), "it to be back in the group")
    enter("stopped and continued, %s" % ("inside" if inside else "outside"), 1, settle(pipeline, load.sent))


def test_the_broker_killed_and_restarted_under_load(pipeline, broker, seed):
    open_shop(pipeline, seed)
    sent = 0
    rounds = max(1, int(SECONDS / 60))
    for round_ in range(rounds):
        with Load(pipeline, "k%d-" % round_) as load:
            wait_until(lambda: load.sent >= 120, "some load")
        sent += load.sent
        broker.kill()
        port = broker.address.rsplit(":", 1)[1]
        broker.run("start", "--port", port)
    enter("broker killed", rounds, settle(pipeline, sent, 300))


# The short forms of these two are test_books.py and test_hostile.py.
long_form = pytest.mark.skipif("CHAOS_SECONDS" not in os.environ, reason="part of make chaos")


@long_form
def test_the_provider_dies_at_any_moment_of_a_request_under_load(pipeline, seed):
    """It is started again with its books, and what they say is what the ledger says: the proof asks them."""
    open_shop(pipeline, seed)
    chance, until, deaths = random.Random(seed), time.monotonic() + SECONDS, 0
    with Load(pipeline, "m") as load:
        while time.monotonic() < until or not deaths:
            pipeline.provider_says(die=chance.choice(["before-reading", "after-reading", "after-books", "mid-answer"]), die_after=chance.randrange(1, 20))
            wait_until(lambda: pipeline.provider.poll() is not None, "the provider to die")
            deaths += 1
            pipeline.restart_provider(delay_ms=20, jitter_ms=50, decline=0.1, fail=0.1, lose=0.02, seed=chance.randrange(1000))
    enter("provider dead in a request", deaths, settle(pipeline, load.sent))


@long_form
def test_hostile_producers_under_load(pipeline, seed):
    open_shop(pipeline, seed)
    until, rounds = time.monotonic() + SECONDS, 0
    with Load(pipeline, "h") as load:
        while time.monotonic() < until or not rounds:
            throw_round(pipeline)
            rounds += 1
            wait_until(lambda sent=load.sent: load.sent > sent, "good commands between them")
    enter("rounds of hostile records", rounds, settle(pipeline, load.sent + 1))  # and one of theirs: h-r


def test_an_empty_disk_an_old_one_and_a_full_one(pipeline, seed):
    """stock-check gets an empty disk; history comes back to a disk older than its changelog's tombstones; payment's disk is full."""
    open_shop(pipeline, seed)
    admin = AdminClient({"bootstrap.servers": pipeline.broker.address})
    changelog = ConfigResource("topic", pipeline.prefix + "history-changelog",
                               incremental_configs=[ConfigEntry("delete.retention.ms", "3000", incremental_operation=AlterConfigOpType.SET)])
    for future in admin.incremental_alter_configs([changelog]).values():
        future.result()  # what is started from now on knows it
    state = pipeline.stores
    with Load(pipeline, "d") as load:
        wait_until(lambda: load.sent >= 200, "some load")
        pipeline.filters["stock-check", 0].end(signal.SIGKILL)
        shutil.rmtree(state / "stock-check-0")
        empty = pipeline.start("stock-check")
        pipeline.filters["history", 0].end(signal.SIGKILL)
        shutil.copytree(state / "history-0", state / "old")
        pipeline.start("history")
        wait_until(lambda: load.sent >= 400, "more load")
        pipeline.filters["payment", 0].end(signal.SIGKILL)
        full = pipeline.start("payment", wait=False)
        wait_until(lambda: full.port("probes"), "payment to listen")
        resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, (200000, 200000))
        wait_until(lambda: full.process.poll() is not None, "payment to end on its full disk", 60)
        assert full.process.returncode == 74, full.text()[-2000:]
        pipeline.start("payment")
        pipeline.filters["history", 0].end(signal.SIGKILL)
        shutil.rmtree(state / "history-0")
        shutil.move(state / "old", state / "history-0")
        old = pipeline.start("history")
    assert "has never had this partition" in empty.text() and "older than the changelog's tombstones" in old.text()
    enter("empty, old and full disks", 3, settle(pipeline, load.sent))


def stopped(process):
    return open("/proc/%d/stat" % process.pid).read().rsplit(")", 1)[1].split()[0] == "T"


@pytest.mark.parametrize("step", ["decided", "settled"] if LONGER else ["settled"])
def test_sigterm_while_a_transaction_waits_for_a_dead_broker_ends_the_filter_in_seconds(pipeline, broker, step):
    pipeline.apply()
    entrance = pipeline.start("reserve-requested", environment={"HOLDFAST_FAILPOINT": step + ":1:stop"})
    pipeline.send(*[{"type": "Reserve", "reservation_id": "r-%d" % i, "customer_id": "c", "item_id": "book", "quantity": 1} for i in range(20)])
    wait_until(lambda: stopped(entrance.process), "a transaction to be open")
    kafka = int((broker.folder / "broker.pid").read_text())
    os.kill(kafka, signal.SIGSTOP)
    try:
        entrance.process.send_signal(signal.SIGCONT)
        time.sleep(1)
        assert entrance.process.poll() is None
        begun = time.monotonic()
        entrance.process.send_signal(signal.SIGTERM)
        assert entrance.process.wait(timeout=DEADLINE) == 0, entrance.text()
        took = time.monotonic() - begun
        tell("SIGTERM after %s, the broker dead: ended after %.1f s" % (step, took))
        assert took < 15, entrance.text()
    finally:
        os.kill(kafka, signal.SIGCONT)
    pipeline.start("reserve-requested")
    wait_until(lambda: len(pipeline.read("payment-requests")) >= 20, "what was not committed to be done again")
    assert sorted(line["key"] for line in pipeline.read("payment-requests")) == sorted("r-%d" % i for i in range(20))
