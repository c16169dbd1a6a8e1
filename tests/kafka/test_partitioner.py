"""A client whose partitioner is librdkafka's own (CRC32), beside those that place by murmur2: what it puts elsewhere is refused aloud."""
import confluent_kafka
import pytest
from conftest import encode, wait_until

RESERVATIONS = 24


class Client:
    def __init__(self, pipeline, partitioner):
        self.topic = pipeline.prefix + "reservation-commands"
        self.producer = confluent_kafka.Producer({"bootstrap.servers": pipeline.broker.address, "partitioner": partitioner, "linger.ms": 0})

    def send(self, name, **fields):
        """Returns the partition that the record came to."""
        reports = []
        self.producer.produce(self.topic, encode(name, **fields), fields["reservation_id"], on_delivery=lambda error, message: reports.append((error, message)))
        self.producer.flush(30)
        (error, message), = reports
        assert error is None, error
        return message.partition()


@pytest.fixture
def show(pipeline):
    pipeline.start_all()
    pipeline.send({"type": "RegisterItem", "item_id": "show", "title": "show", "kind": "CONCERT", "capacity": RESERVATIONS, "price": 5,
                   "payment": "BY_CUSTOMER", "hold_seconds": 3600})
    pipeline.wait_item("show", available=RESERVATIONS)
    return pipeline


def refusals(pipeline, customer_id):
    return pipeline.customer(customer_id)[1]["refused"]


def test_a_command_that_another_partitioner_placed_is_refused_and_none_vanishes(show):
    ours, theirs = Client(show, "murmur2_random"), Client(show, "consistent_random")
    wish = lambda i: ("Pay", "APPROVED") if i % 2 else ("Cancel", "CANCELLED")
    fields = lambda i: {"reservation_id": "r%d" % i, "customer_id": "c%d" % i}
    own = [ours.send("Reserve", **fields(i), item_id="show", quantity=1) for i in range(RESERVATIONS)]
    for i in range(RESERVATIONS):
        show.wait_status("r%d" % i, "HELD")
    misplaced = {i for i in range(RESERVATIONS) if theirs.send(wish(i)[0], **fields(i)) != own[i]}
    assert 0 < len(misplaced) < RESERVATIONS
    for i in range(RESERVATIONS):
        name, status = wish(i)
        if i not in misplaced:
            show.wait_status("r%d" % i, status)
            continue
        refusal, = wait_until(lambda i=i: refusals(show, "c%d" % i), "the sender of r%d to be told" % i)
        assert (refusal["command"], refusal["refusal"], refusal["reservation_id"]) == (name, "INVALID", "r%d" % i)
        assert "murmur2_random" in refusal["detail"] and "partitioner" in refusal["detail"]
        assert show.reservation("r%d" % i)["status"] == "HELD"
    dead = [line for line in show.read("dead-letters") if "murmur2_random" in line["headers"]["error"]]
    assert {line["key"] for line in dead} == {"r%d" % i for i in misplaced}
    assert show.audit()["summary"]["dead_letters"] == len(misplaced)
    for i in misplaced:  # as its sender does once it has been told
        ours.send(wish(i)[0], **fields(i))
        show.wait_status("r%d" % i, wish(i)[1])
    wait_until(show.settled, "everything to settle")
    assert show.prove()["dead_letters"] == len(misplaced)
    assert show.provider_stats()["charges"] == RESERVATIONS // 2
