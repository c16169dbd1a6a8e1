"""Years in minutes: the ledger with a moving window. What it keeps on disk and in memory stays as large as the window, however long it runs.

Usage: scripts/bench soak [DAYS]     [2000]

Reservations that are opened and sold are produced straight to payment-requests with the times they would have, PER_DAY a day, and payment takes
them. From day 435 on (a window of 400 days and a slack of 35) rows go as fast as others come. Printed every hundred days: rows, disk, memory."""
import pathlib
import sys
import time

from rig import HERE, ROOT, Run, broker, bulk_producer, encode_value, metrics

PER_DAY, STEP = 400, 100
DAY_MS = 86400 * 1000
BEGIN_MS = 1600000000 * 1000


def values():
    """Of one reservation, its id to be put in."""
    opened = encode_value({"type": "OpenReservation", "reservation_id": "s-00000000", "customer_id": "c", "item_id": "item", "content_hash": 7, "quantity": 1,
                           "seats": [], "option": "", "amount": 0})
    held = encode_value({"type": "StockHeld", "reservation_id": "s-00000000", "item_id": "item", "content_hash": 7, "quantity": 1, "amount": 0,
                         "payment": "NONE", "hold_seconds": 60, "screen": "", "seats": []})
    return opened, held


def produce(producer, first, days, day):
    opened, held = values()
    number = first
    for d in range(day, day + days):
        for i in range(PER_DAY):
            name = b"s-%08d" % number
            at = BEGIN_MS + d * DAY_MS + i * DAY_MS // PER_DAY
            for value in (opened, held):
                producer.produce("soak-payment-requests", value.replace(b"s-00000000", name), name, timestamp=at)
            number += 1
        producer.poll(0)
    producer.flush()
    return number


def disk_mib():
    return sum(path.stat().st_size for path in pathlib.Path(HERE / "soak-").rglob("*") if path.is_file()) / 2**20


def main():
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with broker() as address, Run(address, "soak-") as run:
        producer = bulk_producer(address)
        run.holdfast("topics", "apply", "--topics", ROOT / "topics")
        run.start("payment")
        number = 0
        print("%6s %14s %10s %12s %14s" % ("day", "reservations", "disk MiB", "memory MiB", "records/s"))
        for day in range(0, days, STEP):
            began = time.time()
            number = produce(producer, number, STEP, day)
            run.wait("payment", 2 * number)
            took = time.time() - began
            print("%6d %14d %10.1f %12.1f %14.0f" % (day + STEP, number, disk_mib(), metrics(run.ports["payment"])["process_resident_bytes"] / 2**20,
                                                    2 * STEP * PER_DAY / took), flush=True)


if __name__ == "__main__":
    main()
