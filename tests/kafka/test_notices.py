"""What customers hear: who is told what, under which key."""
import confluent_kafka
from conftest import encode, wait_until


def test_two_customers_who_used_one_id_are_both_told_and_one_of_them_that_it_was_refused(shared):
    shared.send({"type": "RegisterItem", "item_id": "told", "title": "told", "kind": "BOOK", "capacity": 5, "payment": "NONE"})
    shared.wait_item("told")
    for customer in ("owner", "other"):
        shared.send({"type": "Reserve", "reservation_id": "one-id", "customer_id": customer, "item_id": "told", "quantity": 1})
    wait_until(lambda: len(shared.notices("owner")) == 3 and len(shared.notices("other")) == 2, "both to be told")
    assert [n["status"] for n in shared.notices("owner")] == ["REQUESTED", "HELD", "APPROVED"]
    requested, refused = shared.notices("other")
    assert requested["status"] == "REQUESTED" and requested["name"] == requested["contact"] == "other"
    assert (refused["status"], refused["reason"], refused["command"]) == ("REFUSED", "ID_REUSED", "Reserve")
    assert refused["place"].startswith("reservation-commands-") and "revision" not in refused and "quantity" not in refused
    assert refused["text"] == "other, your Reserve (one-id) was refused: this number belongs to another reservation."
    shared.holdfast("send", "Cancel", "reservation_id=one-id", "customer_id=stranger")
    wait_until(lambda: [n["reason"] for n in shared.notices("stranger")] == ["UNKNOWN_RESERVATION"], "the stranger to be told")
    assert all(n["times"] == 1 for n in shared.notices())
    wait_until(shared.settled, "all to be told")
    shared.audit()


def test_a_refusal_that_a_reset_says_again_is_not_told_again(shared):
    before = shared.notices()
    for name in ("payment", "reserve-requested"):
        shared.filters[name, 0].end()
        shared.holdfast("reset", name, "--apply")
        shared.start(name)
    shared.holdfast("send", "Cancel", "reservation_id=never", "customer_id=last")
    wait_until(lambda: shared.notices("last"), "what came after it")
    wait_until(shared.settled, "all to be told")
    assert [n for n in shared.notices() if n["customer_id"] != "last"] == before
    shared.audit()


def test_a_receiver_that_is_slow_keeps_no_partition_waiting_behind_another(pipeline):
    """What was fetched is handed out in its order: a large piece of one partition came before the first record of the next."""
    pipeline.apply()
    pipeline.start_receiver()
    pipeline.receiver_says(delay=0.3)
    step = encode("StatusChanged", reservation_id="slow-00000", customer_id="c-00000", item_id="slow", content_hash=1, revision=0, status="REQUESTED", reason="NONE",
                  quantity=1, seats=[], option="", amount=0, screen="", until=0, hold="KEEP")
    producer = confluent_kafka.Producer({"bootstrap.servers": pipeline.broker.address, "batch.num.messages": 100, "linger.ms": 20})
    for number in range(20000):
        value = step.replace(b"slow-00000", b"slow-%05d" % number).replace(b"c-00000", b"%d-%05d" % (number % 4, number))
        producer.produce(pipeline.prefix + "reservation-events", key="slow-%05d" % number, value=value, partition=number % 4)
        producer.poll(0)
    assert producer.flush(60) == 0
    pipeline.start("notify", wait=False)
    wait_until(lambda: {notice["customer_id"][0] for notice in pipeline.notices()} == set("0123"), "a notice of each partition")
    assert len(pipeline.notices()) < 8000
