"""Preloads commands, starts every filter, and measures until each reservation has its outcome. See scripts/bench."""
import json
import sys
import time

from confluent_kafka import Consumer, Producer
from rig import HERE, Run, broker, encode_value, metrics

FILTERS = ["reserve-requested", "stock-check", "payment", "charge", "deadline", "approved-failed", "history", "catalog"]


def commands(count, prefix):
    path = HERE / (prefix + ".jsonl")
    with open(path, "w") as file:
        for i in range(count):
            file.write(json.dumps({"type": "Reserve", "reservation_id": "%s%07d" % (prefix, i), "customer_id": "c%d" % (i % 9973),
                                   "item_id": "item-%d" % (i % 100), "quantity": 1}) + "\n")
    return path


def whole(address, count):
    run = Run(address, "whole-")
    run.holdfast("topics", "apply")
    items = HERE / "items.jsonl"
    items.write_text("".join(json.dumps({"type": "RegisterItem", "item_id": "item-%d" % i, "title": "t", "kind": "BOOK", "capacity": count,
                                         "payment": "NONE"}) + "\n" for i in range(100)))
    run.holdfast("send", str(items))
    for name in FILTERS:
        run.start(name)
    run.wait("stock-check", 100)
    run.holdfast("send", str(commands(1000, "warm")))
    run.wait("approved-failed", 2000)
    before = {name: metrics(run.ports[name]) for name in FILTERS}
    path = commands(count, "r")
    began = time.time()
    run.holdfast("send", str(path))
    sent = time.time() - began
    run.wait("approved-failed", 2 * (count + 1000))  # HELD and APPROVED of each
    elapsed = time.time() - began
    run.wait("history", 3 * (count + 1000))
    seen = time.time() - began
    print("\n%d reservations: sent in %.1f s, all approved after %.1f s (%d/s), all in the view after %.1f s" % (count, sent, elapsed, count / elapsed, seen))
    print("%-20s %22s %14s %20s" % ("filter", "CPU us a reservation", "memory MiB", "records a transaction"))
    for name in FILTERS:
        after, first = metrics(run.ports[name]), before[name]
        transactions = after["transactions_total"] - first["transactions_total"]
        print("%-20s %22.1f %14.1f %20.0f" % (name, (after["process_cpu_seconds_total"] - first["process_cpu_seconds_total"]) / count * 1e6,
                                              after["process_resident_bytes"] / 2**20,
                                              (after["records_total"] - first["records_total"]) / transactions if transactions else 0))
    run.stop()


def alone(address, count):
    """The entrance by itself, the others away: what records cost that are only checked and passed on in transactions."""
    run = Run(address, "alone-")
    run.holdfast("topics", "apply")
    run.holdfast("send", str(commands(count, "a")))
    began = time.time()
    run.start("reserve-requested")
    run.wait("reserve-requested", count)
    elapsed = time.time() - began
    after = metrics(run.ports["reserve-requested"])
    print("\npass-through alone (reserve-requested, three records out for each in): %d/s, CPU %.1f us a record, %.1f MiB" % (
        count / elapsed, after["process_cpu_seconds_total"] / count * 1e6, after["process_resident_bytes"] / 2**20))
    run.stop()


def low_load(address):
    """One reservation at a time: the time from the command to its outcome, read_committed, over the filters it passes."""
    run = Run(address, "low-")
    run.holdfast("topics", "apply")
    for name in FILTERS:
        run.start(name)
    run.holdfast("send", "RegisterItem", "item_id=i", "title=t", "kind=BOOK", "capacity=1000000", "payment=NONE")
    run.wait("stock-check", 1)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
    consumer = Consumer({"bootstrap.servers": address, "group.id": "low-bench", "isolation.level": "read_committed", "auto.offset.reset": "earliest",
                         "fetch.wait.max.ms": 10})
    consumer.subscribe(["low-reservation-outcomes"])
    times = []
    for i in range(60):
        value = encode_value({"type": "Reserve", "reservation_id": "l%d" % i, "customer_id": "c", "item_id": "i", "quantity": 1})
        began = time.time()
        producer.produce("low-reservation-commands", key="l%d" % i, value=value)
        producer.poll(0)
        while True:
            message = consumer.poll(5)
            if message is not None and not message.error():
                break
        times.append(time.time() - began)
    times = sorted(times[10:])
    print("\none at a time, command to outcome through four filters: median %.0f ms, p95 %.0f ms (%.0f ms a filter)" % (
        times[len(times) // 2] * 1e3, times[int(len(times) * .95)] * 1e3, times[len(times) // 2] * 1e3 / 4))
    consumer.close()
    run.stop()


def main():
    count = int(sys.argv[1])
    with broker() as address:
        alone(address, count)
        whole(address, count)
        low_load(address)


if __name__ == "__main__":
    main()
