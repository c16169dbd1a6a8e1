"""Years in minutes: the whole pipeline with a moving window. What each filter keeps on disk and in memory stays as large as the window, however
long it runs.

Usage: scripts/bench soak [DAYS]     [2000]

Reservations of a priced item, paid at once, are produced with the times they would have, PER_DAY a day, to a reservation-commands whose time is
the producer's. They go through every filter, provider and receiver included. From day 435 on (a window of 400 days and a slack of 35) rows go as
fast as others come. Printed every STEP days: what each filter has on disk and in memory; at the end the last quarter beside the first after the
window. The days lie ahead, so that no deadline is over before its reservation has settled; charge and notify note the end of a call by their
own clock, so their rows go as soon as the window is full, earlier than they would."""
import pathlib
import shutil
import subprocess
import sys
import time

from rig import BIN, FILTERS, HERE, ROOT, STATEFUL, Run, broker, bulk_producer, encode_value, metrics

PER_DAY, STEP, WINDOW = 100, 100, 500
ITEMS, CUSTOMERS = 20, 1000
DAY_MS = 86400 * 1000


def topics():
    """As the project has them, but that the producer says what time it is, however far ahead."""
    folder = HERE / "topics"
    shutil.copytree(ROOT / "topics", folder)
    for path in folder.glob("*.topic"):
        path.write_text(path.read_text().replace("message.timestamp.type = LogAppendTime\n", ""))
    return folder


def register_items(producer):
    for number in range(ITEMS):
        item = {"type": "RegisterItem", "item_id": "item-%02d" % number, "manager_id": "", "title": "soak", "kind": "CONCERT", "capacity": 2**30, "rows": [],
                "max_per_reservation": 1, "price": 5, "payment": "AT_ONCE", "hold_seconds": 600, "options": [], "screen": ""}
        producer.produce("soak-reservation-commands", encode_value(item), item["item_id"])
    producer.flush()


def reserves():
    """Encoded for each item; reservation and customer to be put in."""
    return [encode_value({"type": "Reserve", "reservation_id": "s-00000000", "customer_id": "c-0000", "item_id": "item-%02d" % number, "quantity": 1, "seats": [],
                          "option": "", "amount": 0}) for number in range(ITEMS)]


def produce(producer, values, first, days, begin_ms):
    number = first
    for day in range(days):
        for i in range(PER_DAY):
            name, customer = b"s-%08d" % number, b"c-%04d" % (number * 7919 % CUSTOMERS)
            value = values[number % ITEMS].replace(b"s-00000000", name).replace(b"c-0000", customer)
            producer.produce("soak-reservation-commands", value, name, timestamp=begin_ms + day * DAY_MS + i * DAY_MS // PER_DAY)
            number += 1
        producer.poll(0)
    producer.flush()
    return number


def disk_mib(name):
    return sum(path.stat().st_size for path in pathlib.Path(HERE / "soak-" / (name + "-0")).rglob("*") if path.is_file()) / 2**20


def child(*command):
    """A process that prints its port."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, "http://127.0.0.1:" + process.stdout.readline().strip()


def growth(rows, name, column):
    """The last quarter of the days after the window beside the first: medians."""
    after = [row[name][column] for day, row in rows if day > WINDOW]
    quarter = max(1, len(after) // 4)
    first, last = sorted(after[:quarter])[quarter // 2], sorted(after[-quarter:])[quarter // 2]
    return "%.1f -> %.1f" % (first, last)


def run_days(run, days):
    producer, values, begin_ms, number, rows = bulk_producer(run.environment["HOLDFAST_BROKERS"]), reserves(), int(time.time() * 1000), 0, []
    register_items(producer)
    run.wait("catalog", ITEMS)
    print("MiB on disk / in memory\n%6s %13s %6s" % ("day", "reservations", "/s") + "".join("%14s" % name for name in STATEFUL), flush=True)
    for day in range(0, days, STEP):
        began = time.time()
        number = produce(producer, values, number, STEP, begin_ms + day * DAY_MS)
        run.wait("approved-failed", 2 * number)  # HELD and APPROVED of each
        run.wait("history", 3 * number)
        run.wait("notify", 3 * number)
        rate = STEP * PER_DAY / (time.time() - began)
        row = {name: (disk_mib(name), metrics(run.ports[name])["process_resident_bytes"] / 2**20) for name in STATEFUL}
        rows.append((day + STEP, row))
        print("%6d %13d %6.0f" % (day + STEP, number, rate) + "".join("%14s" % ("%.1f / %.0f" % row[name]) for name in STATEFUL), flush=True)
    if days > WINDOW:
        print("\nfirst quarter after day %d -> last quarter, medians" % WINDOW)
        for name in STATEFUL:
            print("%-12s disk %-18s memory %s" % (name, growth(rows, name, 0), growth(rows, name, 1)))


def main():
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with broker() as address, Run(address, "soak-") as run:
        run.holdfast("topics", "apply", "--topics", topics())
        provider, provider_url = child(BIN / "provider-simulator", "--port", "0")
        receiver, receiver_url = child(ROOT / "tests/lib/receiver.py", "--forget")
        try:
            run.environment.update(HOLDFAST_PROVIDER_URL=provider_url, HOLDFAST_WEBHOOK_URL=receiver_url, HOLDFAST_WEBHOOK_SECRET="soak")
            for name in FILTERS:
                run.start(name)
            run_days(run, days)
        finally:
            provider.terminate()
            receiver.terminate()


if __name__ == "__main__":
    main()
