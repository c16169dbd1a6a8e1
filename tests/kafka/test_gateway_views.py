"""Where the gateway finds the views: by the topic in which their instances announce themselves, or where it is told."""
import concurrent.futures
import signal

from conftest import VIEWS, wait_until
from test_gateway import Gateway, stands_still

ITEM = {"kind": "BOOK", "payment": "NONE", "capacity": 100}


def register(gateway, *names):
    for name in names:
        assert gateway.ask("PUT", "/items/" + name, {"title": name, **ITEM}, "boss", ("manager",)).status == 202
        wait_until(lambda: gateway.ask("GET", "/items/" + name).status == 200, "item %s to be listed" % name)


def test_views_are_found_without_an_address_and_followed_where_they_go(pipeline):
    pipeline.start_all()
    gateway = Gateway(pipeline)
    register(gateway, "book")
    mine = gateway.reserve("book", wait=30)
    place = "/reservations/" + mine.json["reservation_id"]
    for name, path in (("history", place), ("catalog", "/items/book"), ("tally", "/tallies/book")):
        wait_until(lambda: gateway.ask("GET", path, roles=("customer", "manager")).status == 200, "%s to be found" % name)
        for number in (signal.SIGTERM, signal.SIGKILL):
            before = pipeline.filters[name, 0].port("questions")
            after = pipeline.restart(name, number).port("questions")
            assert after != before
            wait_until(lambda: gateway.ask("GET", path, roles=("customer", "manager")).status == 200, "%s to be found again" % name)


def test_views_that_come_after_the_gateway_are_found(pipeline):
    pipeline.apply()
    gateway = Gateway(pipeline)
    for path in ("/items", "/reservations", "/tallies"):
        answer = gateway.ask("GET", path, roles=("administrator",))
        assert answer.status == 503 and answer.headers["Retry-After"], answer
    pipeline.start(*VIEWS)
    for path in ("/items", "/reservations", "/tallies"):
        wait_until(lambda: gateway.ask("GET", path, roles=("administrator",)).status == 200, "%s to be answered" % path)


def test_an_address_that_is_given_counts_and_the_others_are_found(pipeline):
    pipeline.apply()
    pipeline.start(*VIEWS)
    gateway = Gateway(pipeline, flags=("--catalog-url", "http://127.0.0.1:9"))
    wait_until(lambda: gateway.ask("GET", "/tallies", roles=("manager",)).status == 200, "tally to be found")
    assert gateway.ask("GET", "/items").status == 503


def test_an_instance_that_hangs_or_dies_costs_the_questions_of_others_nothing(pipeline):
    """One of two stands still: what the other has is answered, by the other, and the rest after a moment with 503 or what is known."""
    pipeline.apply()
    pipeline.start("reserve-requested", "stock-check")
    for slot in (0, 1):
        pipeline.start("catalog", slot=slot, wait=False)
    for slot in (0, 1):
        wait_until(lambda: pipeline.filters["catalog", slot].metric("partitions_ready") == 2, "catalog/%d to have two partitions" % slot)
    gateway = Gateway(pipeline)
    names = ["item-%d" % i for i in range(12)]
    register(gateway, *names)
    with stands_still(pipeline.filters["catalog", 1].process.pid), concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: gateway.ask("GET", "/items/" + name), names))
        assert {answer.status for answer in answers} == {200, 503}, answers
        found = [name for name, answer in zip(names, answers) if answer.status == 200]
        for name in found * 3:
            assert gateway.ask("GET", "/items/" + name).status == 200
        wait_until(lambda: gateway.ask("GET", "/items").json.get("items"), "the list of what is known")
    pipeline.filters["catalog", 1].end(signal.SIGKILL)
    for name in found:
        wait_until(lambda: gateway.ask("GET", "/items/" + name).status == 200, "what the living one has")
    wait_until(lambda: all(gateway.ask("GET", "/items/" + name).status == 200 for name in names), "the living one to take over")
