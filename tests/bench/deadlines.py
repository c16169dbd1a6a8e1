"""Pending deadlines by the million: none is lost and none comes twice, while deadline is killed again and again and moves to another disk.

Usage: scripts/bench deadlines [N]     [1000000]

N deadlines are produced to `deadlines`, due in a stretch that begins when all are stored. While they fire, deadline is killed with -9 five times,
once with its disk lost. Printed: how fast they are stored and fired, start to the first firing, memory, and what is missing or doubled."""
import shutil
import signal
import sys
import time

from rig import HERE, ROOT, Run, broker, bulk_producer, encode_value, metrics, reader

KILLS = 5


def produce(address, topic, count, due_at, stretch_ms):
    producer = bulk_producer(address)
    values = [encode_value({"type": "SetDeadline", "reservation_id": "d-0000000", "kind": "HOLD_END", "due_at": due_at + second * 1000})
              for second in range(stretch_ms // 1000 + 1)]
    for i in range(count):
        name = b"d-%07d" % i
        producer.produce(topic, values[i * stretch_ms // count // 1000].replace(b"d-0000000", name), name)
        if i % 10000 == 0:
            producer.poll(0.01)
    producer.flush()


def fired(address, topic, count, limit):
    """How often each fired: read committed to the end, until all have or the limit is over."""
    consumer = reader(address, topic)
    times, until, last = {}, time.time() + limit, time.time()
    while time.time() < until and (len(times) < count or time.time() < last + 5):
        for message in consumer.consume(1000, 0.5):
            if not message.error():
                times[message.key()] = times.get(message.key(), 0) + 1
                last = time.time()
    consumer.close()
    return times


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    with broker() as address, Run(address, "deadlines-") as run:
        run.holdfast("topics", "apply", "--topics", ROOT / "topics")
        stretch = max(10, count // 40000)
        due_at = int((time.time() + 20 + count / 15000) * 1000)
        print("%d deadlines, due over %d s" % (count, stretch), flush=True)
        run.start("deadline")
        began = time.time()
        produce(address, "deadlines-deadlines", count, due_at, stretch * 1000)
        run.wait("deadline", count)
        print("stored after %.1f s (produced and stored beside each other); %.0f MiB" % (
            time.time() - began, metrics(run.ports["deadline"])["process_resident_bytes"] / 2**20), flush=True)
        time.sleep(max(0, due_at / 1000 - time.time()))
        for kill in range(KILLS):
            time.sleep(stretch / (KILLS + 1))
            run.processes["deadline"].send_signal(signal.SIGKILL)
            run.processes["deadline"].wait()
            if kill == KILLS // 2:
                shutil.rmtree(HERE / "deadlines-" / "deadline-0")
            run.start("deadline")
        times = fired(address, "deadlines-payment-requests", count, 300)
        print("killed %d times, once with its disk lost: %d fired, %d missing, %d twice; the last %.1f s after it was due" % (
            KILLS, len(times), count - len(times), sum(n > 1 for n in times.values()), time.time() - 5 - due_at / 1000 - stretch))
        ok = len(times) == count and all(n == 1 for n in times.values())
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
