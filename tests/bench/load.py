"""What is asked of a contender, and how its answers are counted."""
import subprocess
import threading
import time

from confluent_kafka import KafkaError, Producer
from recovery import make_holds
from rig import HERE, bulk_producer, connection, cpu_seconds, encode_value, reader


def commands(address, run, first, count):
    """Reserves, with one encoding: the id is put in."""
    value = [encode_value({"type": "Reserve", "reservation_id": "r-00000000", "customer_id": "c%04d" % c, "item_id": "item-%05d" % (c % 100), "quantity": 1})
             for c in range(1000)]
    producer, topic = bulk_producer(address), run.environment["HOLDFAST_PREFIX"] + "reservation-commands"
    for i in range(first, first + count):
        name = b"r-%08d" % i
        producer.produce(topic, value[i % 1000].replace(b"r-00000000", name), name)
        if i % 5000 == 0:
            producer.poll(0)
    producer.flush()


def everything(address, topic):
    """(key, value) of every committed record."""
    consumer = reader(address, topic, enable_partition_eof=True)
    ends = set()
    while len(ends) < 4:
        for message in consumer.consume(10000, 1):
            if not message.error():
                yield message.key(), message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ends.add(message.partition())
    consumer.close()


class Outcomes:
    """Counts committed outcomes in a thread of its own, and remembers when each thousand was reached."""

    def __init__(self, address, prefix):
        self.consumer = reader(address, prefix + "reservation-outcomes", fetch_wait_max_ms=10)
        self.count = 0

    def reach(self, count, alive, limit=600):
        until = time.time() + limit
        while self.count < count:
            if time.time() > until or not alive():
                raise SystemExit("bench: %d of %d outcomes, and then %s" % (self.count, count, "the time was over" if alive() else "a process had ended"))
            self.count += sum(not message.error() for message in self.consumer.consume(10000, 0.05))
        return time.time()

    def reach_silence(self):
        """Until a second passes without one."""
        seen, until = -1, 0
        while time.time() < until or seen != self.count:
            if seen != self.count:
                seen, until = self.count, time.time() + 1
            self.count += sum(not message.error() for message in self.consumer.consume(10000, 0.05))

    def close(self):
        self.consumer.close()


class Paced:
    """Produces at a steady rate and reads what comes of it; the time between is the latency. Ids carry the time they were made."""

    def __init__(self, address, prefix, work, rate, first=0):
        self.address, self.prefix, self.rate = address, prefix, rate
        self.input, self.output = ("stock-requests", "payment-requests") if work == "stage" else ("reservation-commands", "reservation-outcomes")
        if work == "stage":
            self.values = make_holds(1000000, 100)[1]
        else:
            self.values = [(None, encode_value({"type": "Reserve", "reservation_id": "r-00000000", "customer_id": "c%04d" % c, "item_id": "item-%05d" % (c % 100),
                                                "quantity": 1})) for c in range(1000)]
        self.sent, self.times, self.first = {}, [], first
        self.stopping = threading.Event()

    def produce(self, seconds):
        producer = Producer({**connection(self.address), "partitioner": "murmur2_random", "linger.ms": 2 if self.rate <= 2000 else 5, "log_level": 0,
                             "queue.buffering.max.messages": 1000000})
        began, number = time.time(), 0
        while time.time() < began + seconds:
            due = int((time.time() - began) * self.rate)
            while number < due:
                name = b"p-%08d" % (self.first + number)
                key, value = self.values[number % len(self.values)]
                value = value.replace(b"r-00000000", name)
                if number % max(1, self.rate // 1000) == 0:
                    self.sent[name] = time.time()
                producer.produce(self.prefix + self.input, value, key or name)
                number += 1
            producer.poll(0)
            time.sleep(0.001)
        producer.flush()

    def consume(self):
        consumer = reader(self.address, self.prefix + self.output, at_end=True, fetch_wait_max_ms=5)
        while not self.stopping.is_set():
            for message in consumer.consume(1000, 0.01):
                if message.error():
                    continue
                at, value = time.time(), message.value()
                place = value.find(b"p-")
                sent = self.sent.get(value[place:place + 10]) if place >= 0 else None
                if sent:
                    self.times.append((sent, at - sent))
        consumer.close()

    def run(self, warm, seconds, cores=None):
        """Milliseconds of what was sent after the warm-up; and of each counter of CPU seconds in cores, how many it kept busy then."""
        reader = threading.Thread(target=self.consume)
        reader.start()
        time.sleep(1)
        began = time.time()
        sender = threading.Thread(target=self.produce, args=(warm + seconds,))
        sender.start()
        time.sleep(warm)
        before = {name: count() for name, count in (cores or {}).items()}
        time.sleep(seconds)
        busy = {name: (count() - before[name]) / seconds for name, count in (cores or {}).items()}
        sender.join()
        time.sleep(2)
        self.stopping.set()
        reader.join()
        times = sorted(took for sent, took in self.times if sent > began + warm)
        if len(times) < min(100, self.rate * seconds * 0.8):
            raise SystemExit("bench: too few came through")
        return {**{name: times[min(len(times) - 1, int(len(times) * part))] * 1e3 for name, part in (("p50", .5), ("p99", .99), ("p99.9", .999))}, **busy}


def wrk(port, pid, path):
    script = HERE / "wrk.lua"
    script.write_text('request = function() return wrk.format("GET", string.format("%s", math.random(0, 99))) end' % path)
    cpu = cpu_seconds(pid)
    out = subprocess.run(["wrk", "-t1", "-c16", "-d8s", "--latency", "-s", script, "http://127.0.0.1:%d" % port], check=True, capture_output=True, text=True).stdout
    cpu = cpu_seconds(pid) - cpu
    rate = float(next(line for line in out.splitlines() if "Requests/sec" in line).split()[1])
    count = int(next(line for line in out.splitlines() if " requests in " in line).split()[0])
    p99 = next(line for line in out.splitlines() if line.strip().startswith("99%")).split()[1]
    if "Non-2xx" in out:
        raise SystemExit("bench: a view refused: " + out)
    return {"requests/s": rate, "CPU us": cpu / count * 1e6, "p99 ms": float(p99.rstrip("mus")) * (1e-3 if p99.endswith("us") else 1 if p99.endswith("ms") else 1e3)}
