"""What the five systems need, each row under its id, on the real broker."""
import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT, wait_until


def item(item_id, kind, **more):
    return {"type": "RegisterItem", "item_id": item_id, "title": more.pop("title", item_id), "kind": kind,
            "payment": more.pop("payment", "NONE"), **more}


def reserve(reservation_id, customer_id, item_id, **more):
    if "seats" not in more:
        more.setdefault("quantity", 1)
    return {"type": "Reserve", "reservation_id": reservation_id, "customer_id": customer_id, "item_id": item_id, **more}


def pay(reservation_id, customer_id):
    return {"type": "Pay", "reservation_id": reservation_id, "customer_id": customer_id}


def cancel(reservation_id, customer_id):
    return {"type": "Cancel", "reservation_id": reservation_id, "customer_id": customer_id}


def test_concert_C1_C3_C4_C5_C6_paid_and_approved(shared):
    shared.send(item("concert", "CONCERT", capacity=10, max_per_reservation=5, price=50000, payment="BY_CUSTOMER"))
    shared.wait_item("concert", available=10)
    shared.send(reserve("concert-1", "kim", "concert", quantity=5))
    held = shared.wait_status("concert-1", "HELD")
    assert held["amount"] == 250000
    shared.wait_item("concert", available=5, held=5, sold=0)
    shared.send(pay("concert-1", "kim"))
    shared.wait_status("concert-1", "APPROVED")
    shared.wait_item("concert", available=5, held=0, sold=5)
    assert shared.statuses("concert-1") == ["REQUESTED", "HELD", "APPROVED"]


def test_concert_C7_C8_cancelled_and_refunded_units_back_once(shared):
    shared.send(item("concert-2", "CONCERT", capacity=3, max_per_reservation=3, price=100, payment="BY_CUSTOMER"),
                reserve("concert-2-1", "kim", "concert-2", quantity=3), pay("concert-2-1", "kim"))
    shared.wait_status("concert-2-1", "APPROVED")
    shared.send(cancel("concert-2-1", "kim"), cancel("concert-2-1", "kim"))
    shared.wait_status("concert-2-1", "CANCELLED")
    assert shared.statuses("concert-2-1") == ["REQUESTED", "HELD", "APPROVED", "REFUNDING", "CANCELLED"]
    shared.wait_item("concert-2", available=3, held=0, sold=0)


def test_concert_N1_expired_when_nobody_pays(shared):
    shared.send(item("brief", "CONCERT", capacity=1, price=100, payment="BY_CUSTOMER", hold_seconds=2))
    shared.wait_item("brief", available=1)
    shared.send(reserve("brief-1", "kim", "brief"))
    shared.wait_status("brief-1", "FAILED", "EXPIRED")
    shared.wait_item("brief", available=1, held=0, sold=0)
    assert shared.statuses("brief-1") == ["REQUESTED", "HELD", "FAILED"]


def test_book_B1_B2_received_stock_counts_a_receipt_once(shared):
    receipt = {"type": "ReceiveStock", "item_id": "book", "receipt_id": "delivery-1", "quantity": 5}
    shared.send(item("book", "BOOK", capacity=0, title="자산어보"), receipt, receipt)
    assert shared.wait_item("book", available=5)["title"] == "자산어보"


def test_book_B4_B5_B6_B7_one_copy_each_until_sold_out(shared):
    shared.send(item("book-2", "BOOK", capacity=2))
    shared.wait_item("book-2", available=2)
    shared.send(reserve("b1", "kim", "book-2"), reserve("b2", "lee", "book-2"), reserve("b4", "park", "book-2", quantity=2))
    shared.wait_status("b1", "APPROVED")
    shared.wait_status("b2", "APPROVED")
    shared.wait_status("b4", "FAILED", "OVER_LIMIT")
    shared.send(reserve("b3", "park", "book-2"))
    shared.wait_status("b3", "FAILED", "SOLD_OUT")


def test_B11_an_unknown_item_is_answered(shared):
    shared.send(reserve("unknown-1", "kim", "no-such-item"))
    shared.wait_status("unknown-1", "FAILED", "UNKNOWN_ITEM")


def test_sports_S3_S4_S5_team_and_amount(shared):
    shared.send(item("match", "SPORTS", capacity=100, payment="AT_ONCE", options=["KT", "AA"]))
    shared.wait_item("match", available=100)
    shared.send(reserve("bet-1", "kim", "match", option="KT", amount=1000000), reserve("bet-2", "lee", "match", option="AA", amount=100),
                reserve("bet-3", "lee", "match", option="LG", amount=100))
    found = shared.wait_status("bet-1", "APPROVED")
    assert (found["option"], found["amount"]) == ("KT", 1000000)
    shared.wait_status("bet-3", "FAILED", "UNKNOWN_OPTION")
    shared.send(cancel("bet-1", "kim"))
    shared.wait_status("bet-1", "CANCELLED")


def test_movie_M2_M5_seats_have_one_holder_and_declined_ones_are_free_again(shared):
    shared.send(item("film", "MOVIE", title="분노의 질주", screen="2", payment="AT_ONCE", price=12000, max_per_reservation=4,
                     rows=[{"row": "A", "seats": 5}, {"row": "B", "seats": 5, "first": 6}]))
    shared.wait_item("film", available=10)
    shared.send(reserve("film-1", "kim", "film", seats=["A-1", "A-2"]))
    shared.wait_status("film-1", "APPROVED")
    shared.send(reserve("film-2", "lee", "film", seats=["A-2", "A-3"]))
    shared.wait_status("film-2", "FAILED", "SEAT_TAKEN")
    shared.send(reserve("film-3", "declined-choi", "film", seats=["B-6"]))
    shared.wait_status("film-3", "FAILED", "DECLINED")
    found = shared.wait_item("film", available=8, sold=2, held=0)
    assert {row["row"]: (row["first"], row["seats"]) for row in found["seats"]} == {"A": (1, "xx..."), "B": (6, ".....")}


def test_movie_M3_the_outcome_carries_screen_and_seats_keyed_by_item(shared):
    shared.send(item("film-2", "MOVIE", screen="7", rows=[{"row": "A", "seats": 2}]))
    shared.wait_item("film-2", available=2)
    shared.send(reserve("film-2-1", "kim", "film-2", seats=["A-2"]))
    shared.wait_status("film-2-1", "APPROVED")
    outcome, = [line for line in shared.read("reservation-outcomes") if line["value"]["reservation_id"] == "film-2-1"]
    assert (outcome["key"], outcome["value"]["screen"], outcome["value"]["seats"]) == ("film-2", "7", ["A-2"])


def test_movie_M4_a_film_without_screen_is_refused_with_the_reason(shared):
    shared.send({**item("film-3", "MOVIE", capacity=5), "manager_id": "manager"})
    def told():
        refused = shared.customer("manager")[1].get("refused", [])
        return [r for r in refused if r["item_id"] == "film-3"]
    refused, = wait_until(told, "the manager to be told")
    assert refused["refusal"] == "INVALID" and refused["detail"] == "a MOVIE needs its screen"


def test_musical_O1_O2_a_hundred_thousand_seats(shared):
    shared.send(item("1003", "MUSICAL", title="HOT", capacity=100000, max_per_reservation=10, price=10, payment="AT_ONCE"))
    shared.wait_item("1003", available=100000)
    shared.send(reserve("hot-1", "kim", "1003", quantity=10))
    shared.wait_status("hot-1", "APPROVED")
    shared.wait_item("1003", available=99990)


def test_C2_a_customer_is_known_by_name(shared):
    shared.send({"type": "RegisterCustomer", "customer_id": "known", "name": "김철수", "contact": "010-1234", "language": "ko"})
    who = wait_until(lambda: shared.customer("known")[0] == 200 and shared.customer("known")[1]["customer"], "the customer")
    assert who["name"] == "김철수" and who["language"] == "ko"


def test_N3_only_the_owner_cancels_and_the_sender_is_told(shared):
    shared.send(item("mine", "BOOK", capacity=1), reserve("mine-1", "owner", "mine"))
    shared.wait_status("mine-1", "APPROVED")
    shared.send(cancel("mine-1", "thief"), pay("never-was", "thief"))
    wait_until(lambda: len(shared.customer("thief")[1].get("refused", [])) == 2, "the sender to be told")
    assert {r["refusal"] for r in shared.customer("thief")[1]["refused"]} == {"UNKNOWN_RESERVATION"}
    assert shared.statuses("mine-1") == ["REQUESTED", "HELD", "APPROVED"]


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


def test_the_python_producer_of_the_readme_works(shared, tmp_path):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    shared.send(item("from-python", "BOOK", capacity=1))
    shared.wait_item("from-python", available=1)
    script = tmp_path / "produce.py"
    script.write_text(code.replace("127.0.0.1:9092", shared.broker.address).replace('"reservation-commands"', '"%sreservation-commands"' % shared.prefix)
                      .replace('"book-1"', '"from-python"').replace('"r-python-1"', '"py-1"'))
    subprocess.run([sys.executable, script], check=True, cwd=ROOT, timeout=60)
    shared.wait_status("py-1", "APPROVED")
