"""The tools that prove it, on a real broker: audit, explain, replay, snapshot, reset."""
import json
import os
import signal
import subprocess
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from conftest import BIN, FILTERS, REPLAYED, encode, wait_until

RESERVATIONS = 300


def load(pipeline, prefix, count=RESERVATIONS):
    """Books until they are sold out, shows that are paid, a used id, a cancel after the payment, garbage that is refused."""
    commands = []
    for i in range(count):
        commands.append({"type": "Reserve", "reservation_id": "%sb%d" % (prefix, i), "customer_id": "c%d" % (i % 7), "item_id": "book", "quantity": 1})
        if i % 3 == 0:
            commands.append({"type": "Reserve", "reservation_id": "%ss%d" % (prefix, i), "customer_id": "c%d" % (i % 7), "item_id": "show", "quantity": 2})
        if i % 30 == 9:
            commands.append({"type": "Reserve", "reservation_id": "%sb%d" % (prefix, i - 1), "customer_id": "thief", "item_id": "book", "quantity": 1})
            commands.append({"type": "Cancel", "reservation_id": "%ss%d" % (prefix, i), "customer_id": "c%d" % (i % 7)})
            commands.append({"type": "Pay", "reservation_id": "%sb%d" % (prefix, i), "customer_id": "c%d" % (i % 7)})
            commands.append({"type": "Reserve", "reservation_id": "%sx%d" % (prefix, i), "customer_id": "c1", "item_id": "book", "quantity": -1})
    pipeline.send(*commands)


@pytest.fixture(scope="module")
def sold(shared):
    shared.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": RESERVATIONS // 2, "payment": "NONE"},
                {"type": "RegisterItem", "item_id": "show", "title": "show", "kind": "MUSICAL", "capacity": 150, "price": 7, "payment": "AT_ONCE",
                 "max_per_reservation": 3, "hold_seconds": 3600})
    shared.wait_item("show")
    load(shared, "p")
    settle(shared)
    return shared


def settle(pipeline):
    """The audit's summary once everything is settled and everybody was told: notices are sent after the outcomes are there."""
    def told():
        summary = pipeline.settled()
        return summary if summary and summary["to_be_told"] == 0 else None
    return wait_until(told, "everything to be settled and told", 180)


def tables(pipeline):
    """The last value of each key of every table."""
    found = {}
    for topic in ("stock-levels", "stock-check-changelog", "payment-changelog", "charge-changelog", "deadline-changelog", "history-changelog",
                  "notify-changelog", "tally-changelog", "option-tallies"):
        for line in pipeline.read(topic):
            found[topic, line["partition"], line["key"]] = json.dumps(line["value"], sort_keys=True)
    return {key: value for key, value in found.items() if value != "null"}


def test_an_audit_of_a_pipeline_that_works_is_clean_and_counts(sold):
    audit = sold.audit("--stores", sold.stores)
    summary = audit["summary"]
    assert summary["reservations"] == RESERVATIONS + RESERVATIONS // 3 and summary["refused_ids"] == RESERVATIONS // 30
    assert summary["approved"] + summary["failed"] + summary["cancelled"] == summary["reservations"]
    assert summary["dead_letters"] == RESERVATIONS // 30 and audit["stores"] == 8
    assert summary["charged"] - summary["refunded"] == 14 * sum(
        1 for i in range(0, RESERVATIONS, 3) if sold.reservation("ps%d" % i)["status"] == "APPROVED")


def test_an_audit_tells_what_is_on_its_way_from_what_is_lost(sold):
    sold.restart("payment", signal.SIGTERM, wait=False).end(signal.SIGTERM)
    sold.send({"type": "Reserve", "reservation_id": "late", "customer_id": "c1", "item_id": "book", "quantity": 1})
    wait_until(lambda: sold.audit()["summary"]["on_the_way"] == 1, "one reservation to be on its way")
    sold.start("payment")
    settle(sold)


def write_outcome_twice(broker, of, to):
    """Two copies of one pipeline's outcome in another's log, as a producer without transactions would leave them."""
    line = of.read("reservation-outcomes", "-c", "1")[0]
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "test"})
    consumer.assign([TopicPartition(of.prefix + "reservation-outcomes", line["partition"], line["offset"])])
    record = wait_until(lambda: consumer.poll(1), "the record")
    consumer.close()
    producer = Producer({"bootstrap.servers": broker.address})
    for _ in range(2):
        producer.produce(to.prefix + "reservation-outcomes", record.value(), record.key(), partition=0, headers=record.headers())
    producer.flush()


def test_an_audit_finds_a_record_that_was_written_twice(broker, sold):
    # To a pipeline of its own: the log of the others stays clean.
    other = type(sold)(broker, sold.folder / "other")
    other.folder.mkdir()
    other.apply()
    write_outcome_twice(broker, sold, other)
    result = other.holdfast("audit", check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "repeated" in result.stdout and "outcome-twice" in result.stdout and "reservation-outcomes-0@1" in result.stdout
    assert "NOT CLEAN" in result.stdout


def test_an_audit_that_follows_alarms_when_it_happens(broker, sold, tmp_path):
    """Clean round by round; then somebody writes an outcome past the filters, twice, and the next round says so."""
    other = type(sold)(broker, tmp_path)
    other.apply()
    audit = subprocess.Popen([BIN / "holdfast", "audit", "-b", broker.address, "--prefix", other.prefix, "--follow", "--interval", "1", "-o", "json"],
                             stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(audit.stdout.readline())["clean"]
        write_outcome_twice(broker, sold, other)
        rounds = (json.loads(line) for line in audit.stdout)
        alarm = next(round_ for round_ in rounds if not round_["clean"])
        assert {"repeated", "outcome-twice"} <= {violation["rule"] for violation in alarm["violations"]}, alarm
        assert next(rounds)["violations"] == [], "told once"
    finally:
        audit.send_signal(signal.SIGINT)
    assert audit.wait(60) == 1


def test_an_audit_of_a_cluster_without_the_topics_could_not_tell(sold):
    result = sold.holdfast("audit", "--prefix", "nobody-", check=False)
    assert result.returncode == 2 and "does not exist" in result.stderr and "--prefix" in result.stderr


def test_explain_tells_the_story_of_a_reservation(sold):
    # Partitions have no order among them: which shows were sold before the last unit went is not said.
    sale = sold.filters["history", 0].get("/reservations?item=show&status=APPROVED&limit=1")[1]["reservations"][0]["reservation_id"]
    story = json.loads(sold.holdfast("explain", sale, "--stock", "-o", "json").stdout)["steps"]
    what = [step["what"] for step in story]
    assert what[0] == "Reserve" and "StockHeld" in what and "ChargeSettled" in what and what.count("ReservationOutcome") >= 1
    held = next(step for step in story if step["what"] == "RequestHold")["stock"]
    assert held["before"]["available"] - held["after"]["available"] == 2
    states = [(step["ledger_before"], step["ledger_after"]) for step in story if "ledger_before" in step]
    assert states[0] == ("nothing known", "REQUESTED") and ("REQUESTED", "CHARGING") in states
    assert all(step["took_ms"] >= 0 for step in story if "took_ms" in step)
    text = sold.holdfast("explain", sale).stdout
    assert "stock-check after" in text and "ledger: REQUESTED -> CHARGING" in text
    nobody = sold.holdfast("explain", "nobody", check=False)
    assert nobody.returncode == 66 and "nobody" in nobody.stderr


@pytest.mark.parametrize("name", REPLAYED)
def test_a_replay_decides_the_same_again(sold, name):
    result = sold.replay(name)
    assert result["identical"] and result["inputs"] > 0
    assert result["outputs"] + result["rows"] > 0 or name == "catalog"


def test_a_replay_begins_with_a_snapshot(sold, tmp_path):
    snapshot = json.loads(sold.holdfast("snapshot", "payment", tmp_path / "payment", "--state-dir", sold.stores, "-o", "json").stdout)
    load(sold, "q", 30)
    settle(sold)
    result = sold.replay("payment", "--snapshot", tmp_path / "payment")
    inputs = sum(int(p["next_input"]) for p in snapshot)
    assert 0 < result["inputs"] < inputs and result["outputs"] > 0


def test_a_replay_says_what_it_cannot_do(sold):
    for arguments, text in ((("charge",), "the world's answers"), (("nothing",), "name one filter"),
                            (("payment", "--from", "999999999"), "has the offsets"), (("payment", "--from", "yesterday"), "neither beginning")):
        result = sold.holdfast("replay", *arguments, "--diff", check=False)
        assert result.returncode in (2, 64) and text in result.stderr, (arguments, result.stderr)


def test_a_reset_refuses_while_the_filter_runs(sold):
    plan = sold.holdfast("reset", "history").stdout
    assert "epoch 1 -> 2" in plan and "stop it first" in plan and "nothing was changed" in plan
    result = sold.holdfast("reset", "history", "--apply", "--wait", "0", check=False)
    assert result.returncode == 75 and "members still" in result.stderr
    sold.audit()


def test_a_reset_to_before_what_is_remembered_says_so(pipeline):
    pipeline.apply()
    producer = Producer({"bootstrap.servers": pipeline.broker.address})
    for number, days in enumerate([500, 401, 399, 1]):
        opened = encode("OpenReservation", reservation_id="old-%d" % number, customer_id="c", item_id="i", content_hash=1, quantity=1, seats=[], option="",
                        amount=0)
        producer.produce(pipeline.prefix + "payment-requests", opened, "old", timestamp=int((time.time() - days * 86400) * 1000))
    producer.flush(30)
    pipeline.start("payment")
    wait_until(lambda: "2 of these records are older than the 400 days" in pipeline.holdfast("reset", "payment").stdout, "all to be read, and the plan to say so")
    recent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 399.5 * 86400))
    assert "older" not in pipeline.holdfast("reset", "payment", "--to", recent).stdout


def test_after_a_reset_of_each_filter_everything_is_as_before(sold):
    money = lambda: {name: sold.provider_stats()[name] for name in ("charges", "refunds")}
    summary, before, paid, told = settle(sold), tables(sold), money(), len(sold.notices())
    # One at a time in the long form; in the short one those go together that do not read each other.
    in_turn = [[name] for name in FILTERS] if "CHAOS_SECONDS" in os.environ else [
        ["reserve-requested", "charge", "history"], ["stock-check", "deadline", "notify"], ["payment", "catalog", "tally"], ["approved-failed"]]
    for names in in_turn:
        for name in names:
            assert sold.filters[name, 0].end() == 0
        for name in names:
            sold.holdfast("reset", name, "--apply")
        sold.start(*names)
        after = settle(sold)
        for field in ("reservations", "approved", "failed", "cancelled", "units_sold", "charged", "refunded"):
            assert after[field] == summary[field], (names, field)
        wait_until(lambda: tables(sold) == before, "the tables to be as before the reset of %s" % names, 30)
        assert money() == paid, names
        assert len(sold.notices()) == told, names
    assert settle(sold)["repeats"] > 0
    for name in ("stock-check", "payment", "history"):
        sold.replay(name)
    load(sold, "z", 30)  # and it goes on
    assert settle(sold)["reservations"] > summary["reservations"]
