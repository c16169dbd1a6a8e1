"""What the five systems need, each row under its id, on the real broker."""
import json
import re
import subprocess
import sys

import over_http
import pytest
from confluent_kafka import Consumer
from conftest import ROOT, wait_until


def item(item_id, kind, **more):
    return {"type": "RegisterItem", "item_id": item_id, "title": more.pop("title", item_id), "kind": kind,
            "payment": more.pop("payment", "NONE"), **more}


def reserve(reservation_id, customer_id, item_id, **more):
    if "seats" not in more:
        more.setdefault("quantity", 1)
    return {"type": "Reserve", "reservation_id": reservation_id, "customer_id": customer_id, "item_id": item_id, **more}


def cancel(reservation_id, customer_id):
    return {"type": "Cancel", "reservation_id": reservation_id, "customer_id": customer_id}


def play(pipeline, system):
    """Sends the system's script. It ends only when everything that it waits for was so."""
    urls = [flag for name in ("history", "catalog", "tally") for flag in ("--%s-url" % name, pipeline.filters[name, 0].url(""))]
    return pipeline.holdfast("send", *urls, ROOT / "tests/scenarios" / (system + ".jsonl"))


def show(pipeline, *words):
    return pipeline.holdfast("show", *words, "--catalog-url", pipeline.filters["catalog", 0].url("")).stdout


def outcomes_of(pipeline, item_id):
    return {(line["key"], line["value"]["reservation_id"], line["value"]["status"]): line["value"]
            for line in pipeline.read("reservation-outcomes") if line["value"]["item_id"] == item_id}


def test_concert_C1_C2_C3_C4_C5_C6_C7_C8_C9_N1_N3(shared):
    play(shared, "concert")
    assert shared.statuses("concert-kim") == ["REQUESTED", "HELD", "APPROVED"]
    assert shared.statuses("concert-park") == ["REQUESTED", "HELD", "APPROVED", "REFUNDING", "CANCELLED"]
    assert shared.statuses("concert-choi") == ["REQUESTED", "HELD", "CANCELLED"]
    assert shared.statuses("concert-lee") == ["REQUESTED", "HELD", "FAILED"]
    assert len(shared.customer("lee")[1]["refused"]) == 2


def test_book_B1_B2_B3_B4_B5_B6_B7_B8_B9_B11_N10(shared):
    play(shared, "book")
    assert shared.statuses("book-kim") == ["REQUESTED", "HELD", "APPROVED", "CANCELLED"]
    assert shared.statuses("book-han") == shared.statuses("book-greedy") == ["REQUESTED", "FAILED"]
    assert shared.item("book-1")["capacity"] == 5


def test_sports_S1_S3_S4_S5_S6_S7(shared):
    play(shared, "sports")
    assert shared.statuses("bet-kim") == ["REQUESTED", "HELD", "APPROVED", "REFUNDING", "CANCELLED"]
    assert shared.item("match-1")["sold"] == 1


def test_movie_M1_M2_M3_M4_M5_M6_M7_M8(shared):
    play(shared, "movie")
    assert shared.item("film-4") is None
    assert shared.statuses("film-choi") == ["REQUESTED", "HELD", "FAILED"]
    assert re.search(r"screen 2\n +A +1  \.xxxxxxxx\.\n +B +11  \.{10}\n", show(shared, "item", "film-1"))
    outcomes = outcomes_of(shared, "film-1")
    outcome = outcomes["film-1", "film-lee-again", "APPROVED"]
    assert (outcome["screen"], outcome["seats"]) == ("2", ["A-2", "A-3"])
    assert outcomes["film-1", "film-park", "APPROVED"]["seats"] == ["A-4", "A-5", "A-6"]


def test_musical_O1_O2_O3_O4_O6_O7_O9_N3(shared):
    play(shared, "musical")
    assert shared.statuses("hot-kim") == ["REQUESTED", "HELD", "APPROVED"]
    assert shared.statuses("hot-lee") == ["REQUESTED", "HELD", "APPROVED", "REFUNDING", "CANCELLED"]
    assert len(outcomes_of(shared, "1003")) == 3


@pytest.fixture(scope="module")
def entrance(shared):
    """How three kinds of callers ask the gateway, each with tokens of its own; ids have a suffix, as the scripts were played without HTTP too."""
    secret = shared.folder / "jwt-secret"
    secret.write_bytes(b"32 bytes or more, that tests know")
    gateway = shared.start_gateway("--jwt-secret-file", secret, "--caller-rate", "0")
    return over_http.Player("http://127.0.0.1:%d" % gateway.port("requests"), secret.read_bytes(), suffix="-web")


@pytest.mark.parametrize("system,item_id", [("concert", "concert-1"), ("book", "book-1"), ("sports", "match-1"), ("movie", "film-1"), ("musical", "1003")])
def test_N19_what_each_system_needs_holds_over_http_alone(shared, entrance, system, item_id):
    """Every wait of the script, as its customers and managers see it; then the administrator's list has what the log has."""
    entrance.play(ROOT / "tests/scenarios" / (system + ".jsonl"))
    status, listed = entrance.ask("auditor", ("administrator",), "GET", "/reservations?limit=500&item=%s-web" % item_id)
    assert status == 200
    outcomes = {}
    for _, reservation_id, status in outcomes_of(shared, item_id + "-web"):
        outcomes.setdefault(reservation_id, set()).add(status)
    assert outcomes and set(outcomes) == {row["reservation_id"] for row in listed["reservations"]}
    assert all(row["status"] in outcomes[row["reservation_id"]] for row in listed["reservations"])


def test_M1_O1_a_hall_of_thousands_of_seats_of_which_a_hold_rewrites_the_rows_it_touches(shared):
    shared.send(item("hall", "MUSICAL", max_per_reservation=10, rows=[{"row": "R%d" % i, "seats": 60} for i in range(100)]))
    shared.wait_item("hall", available=6000)
    stock_check = shared.filters["stock-check", 0]
    before = stock_check.metric("changes_total")
    shared.send(*[reserve("hall-%d" % i, "c%d" % (i % 17), "hall", quantity=1 + i % 5) for i in range(300)])
    shared.wait_item("hall", available=5100, held=0, sold=900)
    assert stock_check.metric("changes_total") - before < 300 * 12, "an item, its row, a hold and its queue, twice each; not a hundred rows"
    taken = [seat for outcome in outcomes_of(shared, "hall").values() for seat in outcome["seats"]]
    assert len(taken) == len(set(taken)) == 900
    for outcome in outcomes_of(shared, "hall").values():
        places = [seat.rsplit("-", 1) for seat in outcome["seats"]]
        numbers = [int(number) for _, number in places]
        assert len({row for row, _ in places}) == 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))), outcome


@pytest.mark.parametrize("reservation_id", ["concert-park", "book-kim", "book-han", "film-choi", "film-kim", "hot-lee"])
def test_B10_M9_O5_O8_each_step_of_the_scripts_was_told_once(shared, reservation_id):
    """Success, failure, cancel and refund."""
    told = lambda: [n for n in shared.notices() if n["reservation_id"] == reservation_id]
    wait_until(lambda: len(told()) == len(shared.statuses(reservation_id)), "all notices")
    assert [n["status"] for n in told()] == shared.statuses(reservation_id)
    assert all(n["times"] == 1 and n["text"] for n in told())


def test_a_script_whose_wait_does_not_come_true_says_what_is_shown_instead(shared):
    url = ["--catalog-url", shared.filters["catalog", 0].url("")]
    late = shared.holdfast("send", *url, stdin='{"wait":{"item":"book-1","available":7,"rows":[],"seconds":1}}\n', check=False)
    assert late.returncode == 75
    assert 'waited 1 s for item book-1 to show {"available":7,"rows":[]}: it shows {"available":0,"rows":[]}' in late.stderr
    for wrong in ({"nothing": "x"}, {"item": 5}, {"item": "x", "seconds": 0}, {"item": "x", "seconds": "5"}, "x"):
        refused = shared.holdfast("send", *url, stdin=json.dumps({"wait": wrong}) + "\n", check=False)
        assert refused.returncode == 65 and 'line 1: needs {"wait":{"item":ID,...}}' in refused.stderr, wrong


def test_an_id_that_is_reused_is_refused_and_the_good_hold_stays(shared):
    shared.send(item("reuse", "BOOK", capacity=5))
    shared.wait_item("reuse", available=5)
    shared.send(reserve("reuse-1", "owner2", "reuse"))
    shared.wait_status("reuse-1", "APPROVED")
    shared.send(reserve("reuse-1", "owner2", "reuse"), reserve("reuse-1", "other2", "reuse"))
    wait_until(lambda: shared.customer("other2")[1].get("refused"), "the sender to be told")
    assert shared.customer("other2")[1]["refused"][0]["refusal"] == "ID_REUSED"
    assert shared.customer("other2")[1]["reservations"][0]["status"] == "REFUSED"
    shared.wait_item("reuse", available=4, held=0, sold=1)
    assert shared.reservation("reuse-1")["customer_id"] == "owner2"


def test_N15_one_correlation_id_through_every_record(shared):
    shared.send(item("trace", "BOOK", capacity=1))
    shared.wait_item("trace", available=1)
    shared.send(reserve("trace-1", "kim", "trace"))
    shared.wait_status("trace-1", "APPROVED")
    topics = ["reservation-commands", "payment-requests", "stock-requests", "payment-results", "reservation-events", "reservation-outcomes"]
    for topic in topics:
        lines = [line for line in shared.read(topic) if line["value"].get("reservation_id") == "trace-1"]
        assert lines, topic
        assert {line["headers"]["correlation-id"] for line in lines} == {"trace-1"}
        if topic != "reservation-commands":
            assert all(re.fullmatch(r"[a-z-]+-\d+-\d+", line["headers"]["causation"]) for line in lines)
            assert all(re.fullmatch(r"[a-z-]+/\d+", line["headers"]["source"]) for line in lines)


def test_N23_concurrent_reservations_of_the_last_unit_have_one_winner(shared):
    shared.send(item("last", "BOOK", capacity=1))
    shared.wait_item("last", available=1)
    shared.send(*[reserve("last-%d" % i, "c%d" % i, "last") for i in range(50)])
    outcomes = shared.wait_outcomes("last", 50)
    assert sorted(o["status"] for o in outcomes) == ["APPROVED"] + ["FAILED"] * 49


def test_S7_the_list_is_paged_and_filtered_and_stays_correct_while_rows_change(shared):
    shared.send(item("paged", "BOOK", capacity=1000))
    shared.wait_item("paged", available=1000)
    shared.send(*[reserve("paged-%03d" % i, "pager%d" % (i % 7), "paged") for i in range(60)])
    shared.wait_item("paged", sold=60)
    wait_until(lambda: len(shared.filters["history", 0].get("/reservations?item=paged&status=APPROVED&limit=500")[1]["reservations"]) == 60, "60 rows")
    seen, after = [], ""
    while True:
        status, page = shared.filters["history", 0].get("/reservations?item=paged&status=APPROVED&limit=7" + after)
        assert status == 200
        seen += [row["reservation_id"] for row in page["reservations"]]
        if not page["next"]:
            break
        after = "&after=" + page["next"]
        if len(seen) == 14:  # rows before and behind the place change meanwhile
            shared.send(reserve("paged-000x", "pager1", "paged"), reserve("paged-059x", "pager1", "paged"))
            shared.wait_status("paged-059x", "APPROVED")
    assert seen == sorted(seen) and len(seen) == len(set(seen))
    assert set("paged-%03d" % i for i in range(60)) <= set(seen)


@pytest.mark.parametrize("path,status", [
    ("/reservations/nobody", 404), ("/customers/nobody/reservations", 404), ("/nothing", 404), ("/reservations?status=HAPPY", 400),
    ("/reservations?limit=0", 400), ("/reservations?limit=501", 400), ("/reservations?after=zz", 400), ("/livez", 200), ("/readyz", 200)])
def test_the_views_answer_what_is_wrong_with_a_problem_document(shared, path, status):
    code, body = shared.filters["history", 0].get(path)
    assert code == status
    assert status == 200 or (body["status"] == status and body["title"] and body["detail"])


def test_an_unknown_item_is_a_404(shared):
    assert shared.filters["catalog", 0].get("/items/nothing")[0] == 404


def test_holdfast_show_reads_well_and_as_json(shared):
    shared.send(item("shown", "BOOK", capacity=1, title="간이역"), reserve("shown-1", "shower", "shown"))
    shared.wait_status("shown-1", "APPROVED")
    urls = ["--history-url", shared.filters["history", 0].url(""), "--catalog-url", shared.filters["catalog", 0].url("")]
    text = shared.holdfast("show", "reservation", "shown-1", *urls).stdout
    assert re.search(r"shown-1  APPROVED  item shown, 1, (counted, )?customer shower\n.*REQUESTED.*\n.*HELD.*\n.*APPROVED", text)
    assert "간이역" in shared.holdfast("show", "item", "shown", *urls).stdout
    assert json.loads(shared.holdfast("show", "customer", "shower", "-o", "json", *urls).stdout)["reservations"][0]["status"] == "APPROVED"
    assert shared.holdfast("show", "item", "nothing", *urls, check=False).returncode == 65


def test_send_waits_for_the_views_and_names_a_bad_line(shared):
    urls = ["--history-url", shared.filters["history", 0].url(""), "--catalog-url", shared.filters["catalog", 0].url("")]
    good = [item("waited", "BOOK", capacity=1), {"wait": {"item": "waited"}}, reserve("waited-1", "kim", "waited"),
            {"wait": {"reservation": "waited-1", "status": "APPROVED"}}]
    shared.holdfast("send", *urls, stdin="".join(json.dumps(line) + "\n" for line in good))
    assert shared.reservation("waited-1")["status"] == "APPROVED"
    before = len(shared.read("reservation-commands"))
    bad = shared.holdfast("send", *urls, stdin=json.dumps(good[0]) + "\n\n" + json.dumps({"type": "Reserve", "reservation_id": 5}) + "\n", check=False)
    assert bad.returncode == 65 and "line 3: Reserve.reservation_id: must be a string; nothing was sent" in bad.stderr
    assert len(shared.read("reservation-commands")) == before
    shared.holdfast("send", "Reserve", "reservation_id=waited-2", "customer_id=kim", "item_id=waited", "quantity=1")
    shared.wait_status("waited-2", "FAILED", "SOLD_OUT")


def test_N16_a_new_subscriber_has_everything_from_the_beginning_and_its_going_changes_nothing(shared):
    shared.send(item("heard", "BOOK", capacity=5), *[reserve("heard-%d" % i, "kim", "heard") for i in range(3)])
    shared.wait_item("heard", sold=3)
    subscriber = Consumer({"bootstrap.servers": shared.broker.address, "group.id": shared.prefix + "crm", "auto.offset.reset": "earliest",
                           "isolation.level": "read_committed"})
    subscriber.subscribe([shared.prefix + "reservation-outcomes"])
    heard = set()
    def hears(count):
        heard.update(message.key().decode() + message.value()[10:].decode(errors="replace") for message in subscriber.consume(500, 0.5) if not message.error())
        return len([one for one in heard if one.startswith("heard")]) == count and len(heard) >= len(shared.read("reservation-outcomes"))
    wait_until(lambda: hears(3), "the new subscriber to have heard of everything before it came")
    shared.send(reserve("heard-3", "kim", "heard"))
    wait_until(lambda: hears(4), "and of what comes")
    subscriber.close()
    shared.send(reserve("heard-4", "kim", "heard"))
    shared.wait_status("heard-4", "APPROVED")


def test_N17_a_new_way_in_the_python_producer_of_the_readme_works(shared, tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    shared.send(item("from-python", "BOOK", capacity=1))
    shared.wait_item("from-python", available=1)
    script = tmp_path / "produce.py"
    script.write_text(code.replace("127.0.0.1:9092", shared.broker.address).replace('"reservation-commands"', '"%sreservation-commands"' % shared.prefix)
                      .replace('"book-1"', '"from-python"').replace('"r-python-1"', '"py-1"'))
    subprocess.run([sys.executable, script], check=True, cwd=ROOT, timeout=60)
    shared.wait_status("py-1", "APPROVED")
