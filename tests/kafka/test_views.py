"""A view with several instances: whichever is asked, the answer is the same; and while a partition is being restored it says so."""
import collections
import itertools
import json
import shutil
import signal
import threading
import time

from conftest import tell, wait_until
from test_stories import item, reserve


def ask_all(pipeline, name, path):
    return [filter_.get(path) for (filter_name, _), filter_ in sorted(pipeline.filters.items()) if filter_name == name]


def pages(filter_, path, field):
    """Everything, page by page."""
    found, after = [], None
    while True:
        status, body = filter_.get(path + ("&after=" + after if after else ""))
        assert status == 200 and "restoring" not in body, body
        found += body[field]
        after = body["next"]
        if after is None:
            return found


def test_any_instance_of_a_view_answers_any_question(pipeline):
    pipeline.apply()
    pipeline.start_provider()
    pipeline.start_receiver()
    pipeline.start("reserve-requested", "stock-check", "payment", "charge", "deadline", "approved-failed", "notify")
    for name in ("history", "catalog", "tally"):
        for slot in (0, 1):
            pipeline.start(name, slot=slot, wait=False)
    for name in ("history", "catalog", "tally"):
        for slot in (0, 1):
            wait_until(lambda: pipeline.filters[name, slot].metric("partitions_ready") == 2, "%s/%d to have two partitions" % (name, slot))
    items = ["several-%02d" % i for i in range(20)]
    pipeline.holdfast("send", stdin="".join(json.dumps(item(i, "BOOK", capacity=10)) + "\n" for i in items))
    wait_until(lambda: all(status == 200 and len(body["items"]) == 20 for status, body in ask_all(pipeline, "catalog", "/items")), "both to list all")
    pipeline.send(*[reserve("s-%02d-%d" % (c, i), "customer-%02d" % c, items[c]) for c in range(20) for i in range(3)])
    pipeline.wait_outcomes(items[0], 3)
    path = "/reservations?status=APPROVED&limit=500"
    wait_until(lambda: all(len(body.get("reservations", [])) == 60 for _, body in ask_all(pipeline, "history", path)), "both to show all")

    for one in items[:5] + ["nothing"]:
        first, second = ask_all(pipeline, "catalog", "/items/" + one)
        assert first == second and first[0] == (404 if one == "nothing" else 200), (first, second)
    for c in range(20):
        first, second = ask_all(pipeline, "history", "/customers/customer-%02d/reservations" % c)
        assert first == second and len(first[1]["reservations"]) == 3, (first, second)
        first, second = ask_all(pipeline, "history", "/reservations/s-%02d-1" % c)
        assert first == second and first[0] == 200, (first, second)
    assert [status for status, _ in ask_all(pipeline, "history", "/customers/nobody/reservations")] == [404, 404]
    assert [status for status, _ in ask_all(pipeline, "history", "/reservations?limit=0")] == [400, 400]
    lists = [[r["reservation_id"] for r in pages(pipeline.filters["history", slot], "/reservations?limit=7", "reservations")] for slot in (0, 1)]
    assert lists[0] == lists[1] == sorted("s-%02d-%d" % (c, i) for c in range(20) for i in range(3))
    wait_until(lambda: all(len(body["tallies"]) == 20 for _, body in ask_all(pipeline, "tally", "/tallies")), "both to list the tallies")
    for one in items[:5] + ["nothing"]:
        first, second = ask_all(pipeline, "tally", "/tallies/" + one)
        assert first == second and len(first[1]["tallies"]) == (one != "nothing") and "restoring" not in first[1], (first, second)

    # One dies. Until the other has its partitions, what it had is said to be away, and the rest is answered.
    survivor = pipeline.filters["history", 0]
    pipeline.filters.pop(("history", 1)).end(signal.SIGKILL)
    status, body = survivor.get("/reservations?limit=500")
    assert status == 200 and len(body["restoring"]) == 2 and 0 < len(body["reservations"]) < 60
    answers = [survivor.get("/customers/customer-%02d/reservations" % c) for c in range(20)]
    assert {status for status, _ in answers} == {200, 503}
    assert all("being restored" in body["detail"] for status, body in answers if status == 503)
    wait_until(lambda: "restoring" not in survivor.get("/reservations?limit=500")[1], "the other to have all")
    assert len(survivor.get("/reservations?limit=500")[1]["reservations"]) == 60
    assert all(survivor.get("/customers/customer-%02d/reservations" % c)[0] == 200 for c in range(20))


def test_views_and_probes_are_asked_while_rows_change_and_partitions_move(pipeline):
    """Nobody waits for long and nothing else is answered than 200, 503, and 404 for what is not there yet. With ThreadSanitizer (make tsan) it looks for races between all threads."""
    pipeline.apply()
    pipeline.start("reserve-requested", "stock-check")
    for slot in (0, 1):
        pipeline.start("catalog", slot=slot, wait=False)
    stop, answers = threading.Event(), collections.Counter()

    def ask(slot):
        for path in itertools.cycle(["/readyz", "/items?limit=20", "/metrics", "/items/moved-0007", "/livez"]):
            if stop.wait(0.01):
                return
            try:
                answers[pipeline.filters["catalog", slot].get(path)[0]] += 1
            except OSError:
                time.sleep(0.01)  # it is being started again
    askers = [threading.Thread(target=ask, args=(slot,)) for slot in (0, 0, 1, 1)]
    for one in askers:
        one.start()
    try:
        items = [item("moved-%04d" % i, "BOOK", capacity=10) for i in range(1000)]
        pipeline.holdfast("send", stdin="".join(json.dumps(one) + "\n" for one in items))
        wait_until(lambda: "moved-0999" in str(pipeline.filters["catalog", 0].get("/items/moved-0999")[1]), "all to be listed")
        for number in (signal.SIGKILL, signal.SIGTERM):
            pipeline.filters["catalog", 1].end(number)
            shutil.rmtree(pipeline.folder / "state/catalog-1")
            pipeline.start("catalog", slot=1)
        wait_until(lambda: answers[200] > 100, "a hundred right answers")
    finally:
        stop.set()
        for one in askers:
            one.join()
    assert set(answers) <= {200, 404, 503} and answers[200] > 100, answers


def test_a_filter_that_lingers_takes_what_came_meanwhile_at_once(pipeline):
    pipeline.apply()
    pipeline.start("reserve-requested")
    history = pipeline.start("history", flags=("--linger-ms", "1000"))
    began, before = time.monotonic(), history.metric("transactions_total")
    for i in range(40):
        pipeline.send({"type": "Reserve", "reservation_id": "r%d" % i, "customer_id": "kim", "item_id": "book", "quantity": 1})
    wait_until(lambda: history.metric("records_total") >= 40, "history to have read all")
    took = time.monotonic() - began
    tell("40 commands in %.1f s: %d transactions of history" % (took, history.metric("transactions_total") - before))
    assert history.metric("transactions_total") - before <= took + 2
