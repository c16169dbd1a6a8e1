"""The provider's own books against the ledger: a provider that dies at a chosen moment of a request, and books that somebody has changed."""
import csv
import json
import signal

import pytest
from conftest import Pipeline, wait_until

MOMENTS = ["before-reading", "after-reading", "after-books", "mid-answer"]
RESERVATIONS = 60
DIES_AT = 25  # the so-manieth charge


def show(item_id, **more):
    return {"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "MUSICAL", "capacity": 1000, "price": 7, "payment": "AT_ONCE", **more}


def reserve(reservation_id, item_id):
    return {"type": "Reserve", "reservation_id": reservation_id, "customer_id": "c-" + reservation_id, "item_id": item_id, "quantity": 1}


def broken(pipeline, about=""):
    """The rules that the audit finds broken, each with its subjects that are about that."""
    result = pipeline.holdfast("audit", "-o", "json", "--limit", "10000", "--provider", pipeline.provider_url, check=False)
    assert result.returncode in (0, 1), result.stderr
    rules = {}
    for violation in json.loads(result.stdout)["violations"]:
        if about in violation["subject"]:
            rules.setdefault(violation["rule"], []).append(violation["subject"])
    return rules


@pytest.fixture(scope="module")
def harmed(broker, tmp_path_factory):
    """A pipeline whose provider dies."""
    pipeline = Pipeline(broker, tmp_path_factory.mktemp("harmed"))
    pipeline.start_all()
    yield pipeline
    pipeline.close()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_provider_killed_in_a_request_under_load_loses_and_keeps_nobodys_money(harmed, moment):
    """Half of the holds end while it is dead. A charge that may have been made is then asked for by its key and not given up."""
    long, brief = "long-" + moment, "brief-" + moment
    harmed.send(show(long), show(brief, hold_seconds=2))
    harmed.provider_says(delay_ms=100, die=moment, die_after=DIES_AT)
    harmed.send(*[reserve("%s-%d" % (item_id, i), item_id) for i in range(RESERVATIONS) for item_id in (long, brief)])
    assert harmed.provider.wait(60) == -signal.SIGKILL
    harmed.send(reserve("after-" + moment, brief))
    harmed.wait_status("after-" + moment, "FAILED", "EXPIRED")  # so the holds of before it have ended too
    harmed.restart_provider()
    for i in range(RESERVATIONS):
        harmed.wait_status("%s-%d" % (long, i), "APPROVED")
    harmed.send(*[{"type": "Cancel", "reservation_id": "%s-%d" % (long, i), "customer_id": "c-%s-%d" % (long, i)} for i in range(10)])
    for i in range(10):
        harmed.wait_status("%s-%d" % (long, i), "CANCELLED")
    wait_until(harmed.settled, "everything to settle")
    assert broken(harmed, moment) == {}
    entries = harmed.provider_lists()
    assert len({(e["kind"], e["key"]) for e in entries}) == len(entries) >= RESERVATIONS


def test_an_audit_finds_what_somebody_wrote_into_the_books_or_out_of_them(shared):
    shared.send(show("kept"), *[reserve("kept-%d" % i, "kept") for i in range(3)])
    for i in range(3):
        shared.wait_status("kept-%d" % i, "APPROVED")
    assert broken(shared) == {}
    shared.provider.send_signal(signal.SIGTERM)
    shared.provider.wait(30)
    before = shared.provider_books.read_text()
    lines = [json.loads(line) for line in before.splitlines()]
    gone, more = [line for line in lines if "kept-0" in line["key"]][0]["key"], [line for line in lines if "kept-1" in line["key"]][0]["key"]
    planted = {"key": "nobody/charge", "kind": "charge", "amount": 3, "customer": "nobody", "status": "approved", "calls": 1}
    changed = [{**line, "amount": 8} if line["key"] == more else line for line in lines if line["key"] != gone]
    shared.provider_books.write_text("".join(json.dumps(line) + "\n" for line in [*changed, planted]))
    shared.restart_provider()
    assert broken(shared) == {"books-uncharged": [gone], "books-amount": [more], "books-unasked": ["nobody/charge"]}
    shared.provider_books.write_text(before)
    shared.restart_provider()
    assert broken(shared) == {}


def test_an_export_is_as_good_as_the_pages(shared, tmp_path):
    entries = shared.provider_lists()
    export = tmp_path / "books.csv"

    def audit(entries):
        with open(export, "w", newline="") as file:
            writer = csv.DictWriter(file, ["status", "amount", "key", "kind"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(entries)
        return shared.holdfast("audit", "-o", "json", "--provider-csv", export, check=False)

    whole = audit(entries)
    assert whole.returncode == 0 and json.loads(whole.stdout)["summary"]["books"] == len(entries)
    without = audit(entries[1:])
    assert without.returncode == 1
    assert [(v["rule"], v["subject"]) for v in json.loads(without.stdout)["violations"]] == [("books-uncharged", entries[0]["key"])]


def test_an_audit_that_cannot_read_the_books_could_not_tell(shared, tmp_path):
    export = tmp_path / "books.csv"
    export.write_text("key,amount\n")
    for flag, value, says in (("--provider", "http://127.0.0.1:9", "nobody answers at http://127.0.0.1:9/charges?after="),
                              ("--provider", shared.receiver_url, "the provider answers GET /charges?after= with no page"),
                              ("--provider", shared.provider_url + "/stats", "with status 404"),
                              ("--provider-csv", tmp_path / "none.csv", "none.csv' cannot be read: No such file"),
                              ("--provider-csv", export, "books.csv' line 1 has no head that names the columns")):
        result = shared.holdfast("audit", flag, value, check=False)
        assert result.returncode == 2, result.stdout
        assert "could not tell: " in result.stderr and says in result.stderr, result.stderr
