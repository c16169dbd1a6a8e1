"""Every filter killed at random moments under load, with a provider that declines, fails and loses answers. SEED=n repeats a run,
CHAOS_SECONDS=n makes it longer."""
import collections
import json
import os
import random
import signal
import threading
import time
import urllib.request

from conftest import FILTERS, one_outcome_each, wait_until

RESERVATIONS = 3000


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


def test_killed_at_random_under_load_everything_still_adds_up(pipeline):
    seed = int(os.environ.get("SEED", time.time_ns() % 1000000))
    print("seed %d: repeat with SEED=%d" % (seed, seed))
    pipeline.apply()
    pipeline.start_provider(delay_ms=20, jitter_ms=50, decline=0.1, fail=0.1, lose=0.02, seed=seed % 1000)
    pipeline.start(*FILTERS)
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": RESERVATIONS // 4, "payment": "NONE"},
                  {"type": "RegisterItem", "item_id": "show", "title": "show", "kind": "MUSICAL", "capacity": RESERVATIONS // 5, "price": 7,
                   "payment": "AT_ONCE", "max_per_reservation": 3, "hold_seconds": 3600})
    pipeline.wait_item("show")
    ids, sent = commands()
    seconds = float(os.environ.get("CHAOS_SECONDS", "25"))
    sender = threading.Thread(target=send_steadily, args=(pipeline, sent, seconds))
    sender.start()
    kills = kill_at_random(pipeline, random.Random(seed), seconds)
    sender.join()

    def settled():
        for name in FILTERS:  # as a supervisor would
            if pipeline.filters[name, 0].process.poll() is not None:
                pipeline.start(name, wait=False)
        outcomes = [line["value"] for line in pipeline.read("reservation-outcomes")]
        items = [pipeline.item("book"), pipeline.item("show")]
        refunding = pipeline.filters["history", 0].get("/reservations?status=REFUNDING")
        quiet = all(item and item["held"] == 0 for item in items) and refunding[0] == 200 and not refunding[1]["reservations"]
        return outcomes if quiet and len({o["reservation_id"] for o in outcomes}) == len(ids) else None
    outcomes = wait_until(settled, "every reservation to be settled", 180)
    seen = one_outcome_each(outcomes)
    quantities = {o["reservation_id"]: o["quantity"] for o in outcomes}
    for item_id in ("book", "show"):
        sold = sum(quantities[rid] for rid, statuses in seen.items() if rid[0] == item_id[0] and statuses == ["APPROVED"])
        item = wait_until(lambda: pipeline.item(item_id), item_id)
        assert (item["sold"], item["held"]) == (sold, 0) and item["available"] >= 0, item
    paid = collections.Counter(tuple(statuses) for rid, statuses in seen.items() if rid[0] == "s")
    stats = json.load(urllib.request.urlopen(pipeline.provider_url + "/stats"))
    assert stats["charges"] == paid["APPROVED",] + paid["APPROVED", "CANCELLED"], (stats, paid)
    assert stats["refunds"] == paid["APPROVED", "CANCELLED"], (stats, paid)
    print("%d kills, %d reservations, provider %s" % (kills, len(ids), stats))
