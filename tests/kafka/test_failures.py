"""Whatever dies and whenever: one outcome for each Reserve, and never a unit sold twice."""
import itertools
import shutil
import signal
import subprocess
import time

import pytest
from conftest import BIN, FILTERS, SESSION_TIMEOUT_MS, STATEFUL, one_outcome_each, tell, wait_until

STEPS = ["polled", "decided", "settled", "state-written", "offsets-sent", "committed", "promoted"]


def book(item_id, capacity):
    return {"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "BOOK", "capacity": capacity, "payment": "NONE"}


def reservations(item_id, count, prefix):
    return [{"type": "Reserve", "reservation_id": "%s-%d" % (prefix, i), "customer_id": "c%d" % (i % 11), "item_id": item_id, "quantity": 1} for i in range(count)]


def sold(pipeline, item_id, capacity, count):
    """Every reservation has its one outcome, and exactly the capacity was sold."""
    outcomes = pipeline.wait_outcomes(item_id, count)
    seen = one_outcome_each(outcomes)
    assert len(seen) == count
    assert sum(statuses == ["APPROVED"] for statuses in seen.values()) == capacity
    pipeline.wait_item(item_id, available=0, held=0, sold=capacity)


@pytest.fixture
def running(pipeline):
    return pipeline.start_all()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_of_the_protocol_stock_check_goes_on(shared, step):
    item_id = "step-" + step
    shared.send(book(item_id, 20))
    shared.wait_item(item_id)
    victim = shared.restart("stock-check", signal.SIGTERM, environment={"HOLDFAST_FAILPOINT": step + ":3"}, flags=["--batch-records", "5"])
    shared.send(*reservations(item_id, 60, step))
    assert victim.process.wait(timeout=60) == -signal.SIGKILL
    shared.start("stock-check")
    sold(shared, item_id, 20, 60)


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "charge"])  # see test_charge_killed_while_calling_charges_once
def test_each_filter_killed_in_the_middle_of_a_batch_goes_on(shared, name):
    item_id, more = "kill-" + name, itertools.count()
    shared.send(book(item_id, 20), book("more-" + item_id, 1000))
    shared.wait_item(item_id)
    victim = shared.restart(name, signal.SIGKILL, environment={"HOLDFAST_FAILPOINT": "state-written:2"}, flags=["--batch-records", "7"],
                            wait=name != "notify")  # what that has still to tell may kill it before it is asked whether it is ready
    shared.send(*reservations(item_id, 60, name))

    def is_killed():
        """Where the filters before it took all of them in one transaction, it has made one itself, so more follows."""
        killed = victim.process.poll() is not None
        if not killed:
            shared.send(*reservations("more-" + item_id, 1, "more-%s-%d" % (name, next(more))))
        return killed

    wait_until(is_killed, "the failpoint")
    assert victim.process.returncode == -signal.SIGKILL
    shared.start(name)
    sold(shared, item_id, 20, 60)
    wait_until(lambda: (shared.reservation("%s-59" % name) or {}).get("status") in ("APPROVED", "FAILED"), "the view")


def test_each_filter_stops_on_sigterm_and_goes_on_after_it(shared):
    shared.send(book("term", 50))
    shared.wait_item("term")
    for number, name in enumerate(FILTERS):
        shared.send(*reservations("term", 20, "term-%d" % number))
        assert shared.filters[name, 0].end() == 0
        shared.start(name, wait=False)
    for name in FILTERS:
        wait_until(shared.filters[name, 0].ready, name)
    sold(shared, "term", 50, 20 * len(FILTERS))


def show(item_id, **more):
    return {"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "MUSICAL", "capacity": 10, "price": 5, "payment": "AT_ONCE", **more}


def test_charge_killed_while_calling_charges_once(shared):
    shared.provider_says(delay_ms=400)
    before = shared.filters["charge", 0].metric("records_total")
    shared.send(show("paid"), *reservations("paid", 5, "paid"))
    wait_until(lambda: shared.filters["charge", 0].metric("records_total") > before, "a charge to begin")
    shared.restart("charge", signal.SIGKILL)
    for i in range(5):
        shared.wait_status("paid-%d" % i, "APPROVED")
    stats = shared.provider_stats()
    assert stats["charges"] == 5 and stats["refunds"] == 0


def test_a_provider_that_is_down_defers_and_pays_when_it_is_back_unless_the_hold_has_ended(shared):
    port = shared.provider_url.rsplit(":", 1)[1]
    shared.provider.terminate()
    shared.provider.wait()
    shared.send(show("late"), show("brief", hold_seconds=3), *reservations("late", 2, "late"), *reservations("brief", 1, "too-late"))
    shared.wait_status("late-0", "PAYMENT_DEFERRED")
    shared.wait_status("too-late-0", "FAILED", "EXPIRED")
    assert shared.statuses("too-late-0")[:3] == ["REQUESTED", "HELD", "PAYMENT_DEFERRED"]
    shared.wait_item("brief", available=10, held=0, sold=0)
    shared.provider = subprocess.Popen([BIN / "provider-simulator", "--port", port], stdout=subprocess.PIPE)
    shared.wait_status("late-0", "APPROVED")
    shared.wait_status("late-1", "APPROVED")
    shared.wait_item("late", available=8, held=0, sold=2)
    assert shared.provider_stats()["charges"] == 2


def test_ten_thousand_pending_deadlines_fire_once_each_while_deadline_dies_and_moves(pipeline):
    """scripts/bench deadlines is the same with a million. Here they are the holds of a concert that nobody pays."""
    pipeline.apply()
    pipeline.start("reserve-requested", "stock-check", "payment", "deadline", "approved-failed", "catalog")
    pipeline.send({"type": "RegisterItem", "item_id": "many", "title": "many", "kind": "CONCERT", "capacity": 10000, "price": 1,
                   "payment": "BY_CUSTOMER", "hold_seconds": 8})
    pipeline.wait_item("many")
    pipeline.send(*reservations("many", 10000, "many"))
    for number in range(6):
        wait_until(lambda until=time.monotonic() + 2: time.monotonic() > until, "a moment")
        if number == 3:
            pipeline.start("deadline", slot=1, wait=False)  # half of them move
        elif number == 5:
            pipeline.filters.pop(("deadline", 1)).end(signal.SIGKILL)
        else:
            pipeline.restart("deadline", signal.SIGKILL, wait=False)
    pipeline.wait_item("many", available=10000, held=0, sold=0)
    passed = [line["value"]["reservation_id"] for line in pipeline.read("payment-requests") if line["value"]["type"] == "DeadlinePassed"]
    assert len(passed) == len(set(passed)) == 10000


@pytest.mark.parametrize("name", STATEFUL)
def test_a_partition_is_restored_on_an_empty_disk(shared, name):
    item_id = "disk-" + name
    shared.send(book(item_id, 10), *reservations(item_id, 15, item_id))
    sold(shared, item_id, 10, 15)
    shared.filters[name, 0].end(signal.SIGKILL)
    shutil.rmtree(shared.stores / (name + "-0"))
    filter_ = shared.start(name)
    if name not in ("charge",):
        assert filter_.metric("restored_records_total") > 0
    shared.send(*reservations(item_id, 15, item_id), *reservations(item_id, 3, item_id + "-more"))  # repeats change nothing
    shared.wait_status(item_id + "-more-2", "FAILED", "SOLD_OUT")
    sold(shared, item_id, 10, 18)


def test_a_slot_that_is_released_is_served_by_the_others_at_once(shared):
    shared.send(book("gone", 30))
    shared.wait_item("gone")
    second = shared.start("stock-check", slot=1, flags=["-X", "session.timeout.ms=60000"])
    first = shared.filters["stock-check", 0]
    wait_until(lambda: first.metric("partitions_assigned") == 2, "both to share")
    assert second.end() == 0
    stopped = time.monotonic()
    assert "slot 1 of stock-check is released" in shared.holdfast("release", "stock-check", "--slot", "1").stdout
    wait_until(lambda: first.metric("partitions_assigned") == 4, "the first to have all", 30)
    tell("a released slot's partitions were taken over %.1f s after it had stopped, with a session of 60 s" % (time.monotonic() - stopped))
    shared.send(*reservations("gone", 40, "gone"))
    sold(shared, "gone", 30, 40)
    assert "is not in the group" in shared.holdfast("release", "stock-check", "--slot", "1").stdout
    del shared.filters["stock-check", 1]


@pytest.mark.parametrize("beside", [0, 1])
def test_a_standby_takes_the_slot_of_a_process_that_was_killed(shared, beside):
    """Other instances must hear that the slot is lost before the group gives it to the standby."""
    item_id = "stand%d" % beside
    shared.send(book(item_id, 30))
    shared.wait_item(item_id)
    active = shared.start("stock-check", slot=1) if beside else shared.filters["stock-check", 0]
    share = 4 - 2 * beside
    wait_until(lambda: active.metric("partitions_assigned") == share, "the slot to have its share")
    standby = shared.start("stock-check", slot=beside, flags=["--standby"])
    shared.send(*reservations(item_id, 20, item_id + "a"))
    shared.wait_outcomes(item_id, 20)
    assert active.process.poll() is None and standby.metric("partitions_assigned") == 0
    killed = time.time()
    active.end(signal.SIGKILL)
    shared.send(*reservations(item_id, 20, item_id + "b"))
    sold(shared, item_id, 30, 40)
    assert standby.metric("partitions_assigned") == share
    seconds = standby.last_time(" is ready at offset ") - killed
    tell("a standby with %d others served %.2f s after a kill -9, with a session of %.0f s" % (beside, seconds, SESSION_TIMEOUT_MS / 1000))
    assert seconds < SESSION_TIMEOUT_MS / 1000 + 2  # 0.3 s where nothing else runs
    standby.end()
    if beside:
        del shared.filters["stock-check", 1]
        shared.holdfast("release", "stock-check", "--slot", "1")
    else:
        shared.start("stock-check")


def test_a_second_instance_joins_and_leaves_without_a_second_effect(shared):
    shared.send(book("share", 30))
    shared.wait_item("share")
    for name in ("stock-check", "payment"):
        shared.start(name, slot=1, wait=False)
        shared.send(*reservations("share", 40, "join-" + name))
        second = shared.filters[name, 1]
        wait_until(second.ready, "the second instance")
        text = second.text()
        assert 0 < text.index("partitions before it joins their group") < text.index("assigned 2 partitions")
        wait_until(lambda: second.metric("partitions_assigned") == 2 and shared.filters[name, 0].metric("partitions_assigned") == 2, "both to share")
        shared.send(*reservations("share", 40, "both-" + name))
        second.end()
        shared.send(*reservations("share", 10, "left-" + name))
        wait_until(lambda: shared.filters[name, 0].metric("partitions_assigned") == 4, "the first to have all again")
        del shared.filters[name, 1]
    sold(shared, "share", 30, 180)
