"""A hostile producer at the entrance: whatever it sends, the next good command is served, no filter takes more memory than is stated, and the
audit is clean. With the plain build, as memory is measured."""
import conftest
import pytest
from conftest import FILTERS, ROOT, encode, tell, wait_until
from hostile import LIMIT, Hostile, name_in, throw_round

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def plain_build():
    before, conftest.BIN = conftest.BIN, ROOT / "build/bin"
    yield
    conftest.BIN = before


def peak_mib(one):
    """Of a process, as the kernel saw it."""
    for line in open("/proc/%d/status" % one.process.pid):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def letters(pipeline):
    return pipeline.read("dead-letters")


def test_what_compresses_well_is_a_dead_letter_by_its_beginning_or_by_its_place(pipeline):
    pipeline.apply()
    hostile = Hostile(pipeline)
    hostile.zeros(3000000, "zstd", partition=0)
    hostile.zeros(150000000, "zstd", partition=0)
    hostile.send([(b"after", b"garbage", [])], partition=0)
    pipeline.start("reserve-requested")
    wait_until(lambda: len(letters(pipeline)) == 3, "three dead letters")
    large, unread, after = sorted(letters(pipeline), key=lambda line: line["headers"]["causation"])
    assert large["headers"]["whole-value"].startswith("3000000 bytes, sha256 "), large["headers"]
    assert len(large["value"]["bytes"]) == 2 * LIMIT
    assert unread["value"] is None and "cannot be decompressed" in unread["headers"]["error"], unread
    assert unread["headers"]["causation"] == "reservation-commands-0-1"
    assert after["headers"]["causation"] == "reservation-commands-0-2"
    pipeline.audit()
    pipeline.replay("reserve-requested")


def test_a_batch_that_cannot_be_fetched_is_passed_record_by_record_and_nothing_else_is(pipeline):
    """What shares a compressed batch with it has one sender, and cannot be had either: it is named by its place."""
    pipeline.apply()
    hostile = Hostile(pipeline)
    name = name_in(2, "r")
    key, good = name.encode(), encode("Pay", reservation_id=name, customer_id="c")
    hostile.send([(key, good, [])], partition=2)
    hostile.send([(key, good, [])] * 20 + [(b"z", bytes(150000000), [])] + [(key, good, [])] * 20, partition=2,
                 **{"compression.codec": "zstd", "linger.ms": 1000, "batch.size": 200000000})
    hostile.send([(key, good, [])], partition=2)
    pipeline.start("reserve-requested")
    wait_until(lambda: len(pipeline.read("payment-requests")) == 2, "the good commands before and after")
    places = sorted(int(line["headers"]["causation"].rsplit("-", 1)[1]) for line in letters(pipeline))
    assert places == list(range(1, 42)), places
    pipeline.replay("reserve-requested")


def test_between_filters_it_stops_the_one_that_reads_it_and_skip_passes_exactly_it(pipeline):
    pipeline.apply()
    requests = [encode("RegisterItem", item_id=name, title=name, kind="BOOK", capacity=1, price=0, payment="NONE", max_per_reservation=1,
                       hold_seconds=60, options=[], screen="", rows=[], manager_id="") for name in ("before", "after")]
    hostile = Hostile(pipeline, "stock-requests")
    hostile.send([(b"before", requests[0], [])], partition=1)
    hostile.zeros(150000000, "zstd", partition=1)
    hostile.send([(b"after", requests[1], [])], partition=1)
    for _ in range(2):
        stock = pipeline.start("stock-check", wait=False)
        wait_until(lambda: stock.process.poll() is not None, "stock-check to stop")
        assert stock.process.returncode == 78, stock.text()
        assert "stock-requests-1@1 cannot be processed: its batch cannot be decompressed" in stock.text(), stock.text()
        assert "holdfast skip stock-requests 1 1" in stock.text()
    refused = pipeline.holdfast("skip", "stock-requests", "1", "2", check=False)
    assert refused.returncode == 65 and "next record is at 1" in refused.stderr, refused.stderr
    pipeline.holdfast("skip", "stock-requests", "1", "1")
    pipeline.start("stock-check")
    wait_until(lambda: {line["key"] for line in pipeline.read("stock-levels")} == {"before", "after"}, "both items")


def test_a_batch_whose_checksum_is_wrong_is_not_passed_over_in_silence(pipeline):
    """librdkafka tells of it and reads on behind it."""
    pipeline.apply()
    hostile = Hostile(pipeline)
    names = [name_in(3, stem) for stem in ("first", "damaged-here", "last")]
    for name in names:
        hostile.send([(name.encode(), encode("Pay", reservation_id=name, customer_id="c"), [])], partition=3)
    (segment,) = pipeline.broker.folder.glob("**/%sreservation-commands-3/*.log" % pipeline.prefix)
    with open(segment, "r+b") as file:
        bytes_ = file.read()
        file.seek(bytes_.index(b"damaged-here"))
        file.write(b"D")
    pipeline.start("reserve-requested")
    wait_until(lambda: [line["key"] for line in pipeline.read("payment-requests")] == [names[0], names[2]], "what is not damaged")
    (letter,) = letters(pipeline)
    assert letter["headers"]["causation"] == "reservation-commands-3-1" and "the checksum is wrong" in letter["headers"]["error"], letter


RESERVE = dict(reservation_id="r", customer_id="c", item_id="i", quantity=1, seats=[], option="", amount=0)
LIMITS = [  # a field, a value at its limit, one past it
    ("reservation_id", "r" * 64, "r" * 65), ("reservation_id", "r", ""), ("customer_id", "c" * 64, "c" * 65), ("item_id", "i" * 64, "i" * 65),
    ("quantity", 1000000, 1000001), ("quantity", 1, -1), ("quantity", 1, 2**31 - 1), ("quantity", 1, -2**31), ("option", "o" * 64, "o" * 65),
    ("amount", 10**12, 10**12 + 1), ("amount", 0, -1), ("amount", 0, 2**63 - 1), ("amount", 0, -2**63), ("seats", ["s%d" % i for i in range(100)],
    ["s%d" % i for i in range(101)]), ("seats", ["s" * 64], ["s" * 65]), ("seats", ["a", "b"], ["a", "a"]), ("item_id", "i", "i\0"), ("option", "\u00e9", "\x7f")]


def test_each_field_is_taken_at_its_limit_and_refused_one_past_it(pipeline):
    pipeline.apply()
    pipeline.start("reserve-requested")
    for index, (field, at, past) in enumerate(LIMITS):
        for value in (at, past):
            reserve = {**RESERVE, "reservation_id": "r%d" % index, "quantity": 0 if field == "seats" else 1, field: value}
            Hostile(pipeline).send([(reserve["reservation_id"].encode(), encode("Reserve", **reserve), [])])
    wait_until(lambda: len(letters(pipeline)) == len(LIMITS), "each past its limit to be refused")
    wait_until(lambda: len(pipeline.read("payment-requests")) == len(LIMITS), "each at its limit to be taken")


def test_what_a_fetch_can_become_is_bounded_at_the_entrance(pipeline):
    """Many small batches come in one fetch, and each becomes large: 32 of 1.3 KB become 1.3 GB."""
    pipeline.apply()
    Hostile(pipeline).zeros(40000000, "zstd", count=32, partition=0)
    entrance = pipeline.start("reserve-requested")
    wait_until(lambda: len(letters(pipeline)) == 32, "thirty-two dead letters")
    assert all("whole-value" in line["headers"] for line in letters(pipeline))
    tell("entrance, 32 batches of 40 MB: peak %d MiB" % peak_mib(entrance))
    assert peak_mib(entrance) < 700


def test_after_a_round_of_everything_the_next_good_command_is_served_and_the_audit_is_clean(pipeline):
    pipeline.start_all()
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": 5, "payment": "NONE"})
    pipeline.wait_item("book")
    throw_round(pipeline)
    pipeline.send({"type": "Reserve", "reservation_id": "good", "customer_id": "kim", "item_id": "book", "quantity": 1})
    pipeline.wait_status("good", "APPROVED")
    wait_until(lambda: pipeline.filters["reserve-requested", 0].metric("lag_records") == 0, "everything to be read")
    for name in FILTERS:
        one = pipeline.filters[name, 0]
        tell("%-18s peak %4d MiB after a round of hostile records" % (name, peak_mib(one)))
        assert peak_mib(one) < (400 if name == "reserve-requested" else 150), name
        assert one.metric("stalled_partitions") == 0
    wait_until(pipeline.settled, "everything to be settled")
    pipeline.prove()
