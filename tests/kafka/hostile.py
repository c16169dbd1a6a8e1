"""What a hostile or broken producer sends: each a function that produces it and says how many records that were. For test_hostile.py, and for
the chaos suite, which throws rounds of it at a pipeline under load."""
import os
import struct

import confluent_kafka
from conftest import encode

LIMIT = 64 * 1024  # RECORD_SIZE_MAX


def murmur2(key):
    """As the partitioner of JVM clients hashes a key."""
    mask, m = 0xffffffff, 0x5bd1e995
    h = 0x9747b28c ^ len(key)
    whole = len(key) // 4 * 4
    for (k,) in struct.iter_unpack("<I", key[:whole]):
        k = k * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = key[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7fffffff


def name_in(partition, stem, partitions=4):
    """A key that begins with the stem and belongs into the partition."""
    return next(name for name in ("%s%d" % (stem, i) for i in range(1000)) if murmur2(name.encode()) % partitions == partition)


def producer(pipeline, **settings):
    return confluent_kafka.Producer({"bootstrap.servers": pipeline.broker.address, "message.max.bytes": 1000000000, "linger.ms": 50,
                                     "partitioner": "murmur2_random", **settings})


class Hostile:
    """One producer of hostile records; counts what it sent."""

    def __init__(self, pipeline, topic="reservation-commands"):
        self.pipeline, self.topic, self.sent, self.errors = pipeline, pipeline.prefix + topic, 0, []

    def send(self, records, partition=None, **settings):
        """Records as (key, value, headers), by one producer: compressed, they share batches. Fails where Kafka refuses one."""
        one = producer(self.pipeline, **settings)
        for key, value, headers in records:
            where = {} if partition is None else {"partition": partition}
            one.produce(self.topic, key=key, value=value, headers=headers, on_delivery=lambda error, _: error and self.errors.append(error), **where)
            self.sent += 1
        assert one.flush(60) == 0 and not self.errors, self.errors

    def out_of_time(self):
        """Records whose producers' clocks are wrong by any amount."""
        one = producer(self.pipeline)
        for time_ms in (1, 1000, 4102444800000, 253402300799000, 2**62):
            one.produce(self.topic, key=b"h-time", value=b"x", timestamp=time_ms, on_delivery=lambda error, _: error and self.errors.append(error))
            self.sent += 1
        assert one.flush(60) == 0 and not self.errors, self.errors

    def zeros(self, size, codec, count=1, as_key=False, as_header=False, **where):
        """Records that are small on the wire and large in memory. One by one: each is a batch of its own."""
        zeros = bytes(size)
        for _ in range(count):
            record = (zeros if as_key else b"zeros", zeros if not as_header else b"x", [("large", zeros)] if as_header else [])
            if as_key:
                record = (zeros, b"x", [])
            self.send([record], **{"compression.codec": codec}, **where)


def avro_blocks():
    """A Reserve whose seats come in blocks of one empty item: 64 KiB that asked for 8 GiB."""
    whole = encode("Reserve", reservation_id="h-blocks", customer_id="h", item_id="h", seats=["x"], quantity=0, option="", amount=0)
    at = whole.index(b"\x02\x02x\x00")  # a block of one seat, "x", no further block
    blocks = b"\x02\x00" * ((LIMIT - len(whole)) // 2)
    return whole[:at] + blocks + b"\x00" + whole[at + 4:]


def not_utf8():
    return encode("Reserve", reservation_id="h-latin1", customer_id="cafe", item_id="h", seats=[], quantity=1, option="", amount=0).replace(b"cafe", b"caf\xe9")


def garbage():
    """(key, value, headers) of records that no decoder may stumble over."""
    reserve = encode("Reserve", reservation_id="h-r", customer_id="h", item_id="nothing", seats=[], quantity=1, option="", amount=0)
    many = [("h%d" % i, b"x") for i in range(5000)]
    yield b"h-tombstone", None, []
    yield None, None, []
    yield b"h-empty", b"", []
    yield b"h-blocks", avro_blocks(), []
    yield b"h-latin1", not_utf8(), []
    yield b"h-unknown", b"\xc3\x01" + struct.pack("<Q", 0x0123456789abcdef) + b"body", []
    yield b"h-long", bytes(LIMIT + 1), []
    yield b"h-cut", reserve[:-1], []
    yield b"h-more", reserve + b"x", []
    yield bytes(900000), b"a huge key", []
    yield b"h-huge-number", b"\xc3\x01" + reserve[2:10] + b"\xff" * 9 + b"\x01", []
    yield b"h-random", os.urandom(60000), []
    for headers in (many, [("large", bytes(900000))], [("traceparent", bytes(900000))], [("correlation-id", b"\xff\xfe")],
                    [("correlation-id", b"x" * 100000)], [("correlation-id", None)], [("", b"")], [("traceparent", b"a")] * 1000):
        yield b"h-r", reserve, headers


def throw_round(pipeline):
    """One round of everything that a small machine can take beside other work. Returns the records sent; among them is one reservation, h-r, of an
    item that nobody knows: it counts in the summary of an audit."""
    hostile = Hostile(pipeline)
    hostile.send(garbage())
    stray = name_in(0, "h-stray")
    hostile.send([(stray.encode(), encode("Pay", reservation_id=stray, customer_id="h"), [])], partition=1)
    hostile.out_of_time()
    for codec in ("zstd", "gzip", "lz4", "snappy"):
        hostile.zeros(3000000, codec)
    hostile.zeros(3000000, "zstd", as_key=True)
    hostile.zeros(3000000, "zstd", as_header=True)
    hostile.zeros(150000000, "zstd")
    return hostile.sent
