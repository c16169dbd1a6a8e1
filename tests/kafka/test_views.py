"""A view with several instances: whichever is asked, the answer is the same; and while a partition is being restored it says so."""
import json
import signal

from conftest import wait_until
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
