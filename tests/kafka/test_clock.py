"""Wrong clocks on a real broker: of one record, of a day, and the operator's way back."""
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from conftest import encode, wait_until

DAY_MS = 86400 * 1000
CLOCKED = ["payment", "stock-check", "charge", "history", "notify", "tally"]


def stamped_by(pipeline, who):
    """Who stamps the commands from now on: the broker (LogAppendTime), or as if its clock were wrong (CreateTime)."""
    entry = ConfigEntry("message.timestamp.type", who, incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, pipeline.prefix + "reservation-commands", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": pipeline.broker.address})
    for future in admin.incremental_alter_configs([topic]).values():
        future.result()


def reserve_at(pipeline, item, customer, times):
    """Reserves whose time at the broker is said, by their ids."""
    stamped_by(pipeline, "CreateTime")
    producer = Producer({"bootstrap.servers": pipeline.broker.address, "partitioner": "murmur2_random", "enable.idempotence": True})
    for reservation, at in times.items():
        value = encode("Reserve", reservation_id=reservation, customer_id=customer, item_id=item, quantity=1, seats=[], option="", amount=0)
        producer.produce(pipeline.prefix + "reservation-commands", value, reservation, timestamp=at)
    producer.flush()
    stamped_by(pipeline, "LogAppendTime")


def reserve(pipeline, reservation, customer, item):
    pipeline.send({"type": "Reserve", "reservation_id": reservation, "customer_id": customer, "item_id": item, "quantity": 1})


def metric_of_all(filter_, name):
    lines = filter_.get("/metrics")[1].splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("holdfast_%s{" % name))


def now_ms():
    return int(time.time() * 1000)


def begin(pipeline):
    pipeline.start_all()
    pipeline.send({"type": "RegisterItem", "item_id": "show", "title": "show", "kind": "MUSICAL", "capacity": 1000, "price": 7,
                   "payment": "AT_ONCE", "hold_seconds": 3600})
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": 2000, "payment": "NONE"})
    pipeline.wait_item("show")
    pipeline.wait_item("book")


def test_one_record_of_a_wrong_clock_stops_nothing(pipeline):
    """A Reserve, and with it a charge and an outcome, stamped 440 days ahead: what comes after is served as ever."""
    begin(pipeline)
    reserve(pipeline, "before", "kim", "show")
    pipeline.wait_status("before", "APPROVED")
    reserve_at(pipeline, "show", "kim", {"ahead": now_ms() + 440 * DAY_MS})
    pipeline.wait_status("ahead", "APPROVED")
    for i in range(8):
        reserve(pipeline, "after%d" % i, "kim", "show")
    for i in range(8):
        pipeline.wait_status("after%d" % i, "APPROVED")
    pipeline.send({"type": "Cancel", "reservation_id": "after0", "customer_id": "kim"})
    pipeline.wait_status("after0", "CANCELLED")
    wait_until(pipeline.settled, "everything to be settled")
    assert all(metric_of_all(pipeline.filters[name, 0], "too_old_records") == 0 for name in CLOCKED)
    assert pipeline.prove()["charged"] == 70


def other_partition(pipeline, wrong, customers):
    """A customer whose events lie in another partition: its views keep the right time."""
    of = {line["value"]["customer_id"]: line["partition"] for line in pipeline.read("reservation-events") if line["value"].get("status") == "REQUESTED"}
    return next(customer for customer in customers if of[customer] != of[wrong])


def test_a_clock_that_was_wrong_for_a_day_is_refused_aloud_and_set_back_by_the_operator(pipeline):
    begin(pipeline)
    customers = ["c%d" % i for i in range(8)]
    for customer in ["wrong", *customers]:
        reserve(pipeline, "first-" + customer, customer, "book")
        pipeline.wait_status("first-" + customer, "APPROVED")
    right = other_partition(pipeline, "wrong", customers)
    ahead = now_ms() + 440 * DAY_MS
    # In each of the ledger's four partitions, whose first time is believed with the first hundred: 300, a day long.
    reserve_at(pipeline, "book", "wrong", {"w%d" % i: ahead + i * 90_000 for i in range(1200)})
    wait_until(lambda: pipeline.settled(), "what is stamped ahead to be settled", 180)
    reserve(pipeline, "refused", right, "book")
    wait_until(lambda: any(step["refusal"] == "TOO_OLD" for step in pipeline.customer(right)[1]["refused"]), "the refusal to be told")
    wait_until(lambda: metric_of_all(pipeline.filters["payment", 0], "too_old_records") == 1, "the refusal to be counted")
    assert "'holdfast clock'" in pipeline.filters["payment", 0].text()

    shown = pipeline.holdfast("clock", "payment").stdout
    assert shown.count("days AHEAD") == 4 and "-> is set back" in shown and "nothing was changed" in shown
    running = pipeline.holdfast("clock", "payment", "--apply", "--wait", "0", check=False)
    assert running.returncode == 75 and "stop the filter first" in running.stderr
    for name in CLOCKED:
        assert pipeline.filters[name, 0].end() == 0
    for name in CLOCKED:
        applied = pipeline.holdfast("clock", name, "--apply").stdout
        assert name == "charge" or "done; start %s again" % name in applied, "books cost nothing: charge has seen no opening"
        assert "none is ahead" in pipeline.holdfast("clock", name).stdout
    pipeline.start(*CLOCKED)
    for i in range(8):
        reserve(pipeline, "again%d" % i, right, "book")
    for i in range(8):
        pipeline.wait_status("again%d" % i, "APPROVED")
    wait_until(pipeline.settled, "everything to be settled")
    pipeline.audit("--stores", pipeline.stores)


def test_the_clock_of_what_has_none_is_refused(pipeline):
    refused = pipeline.holdfast("clock", "catalog", check=False)
    assert refused.returncode == 64 and "name one filter whose partitions have a time" in refused.stderr
    pipeline.apply()
    assert "no time yet" in pipeline.holdfast("clock", "tally").stdout
    wrong = pipeline.holdfast("clock", "tally", "--set", "soon", check=False)
    assert wrong.returncode == 64 and "2026-11-21T14:00:00Z" in wrong.stderr
