"""The whole pipeline, filter by filter: CPU, memory and the size of a transaction. See scripts/bench."""
import json
import sys
import time

from rig import FILTERS, HERE, Run, broker, metrics


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


def main():
    count = int(sys.argv[1])
    with broker() as address:
        whole(address, count)


if __name__ == "__main__":
    main()
