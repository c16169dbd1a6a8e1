"""Charges that wait for a provider that is away: when its breakers close once it is back, and when the last charge is paid.

Usage: scripts/bench waiting [N]     [100000]

N reservations are to be paid at once while nobody listens at the provider's port. When all are held and every breaker has tried in vain, the provider
comes back. Printed: how long the breakers stayed open, how long the last charge took, and the audit's verdict: nothing expired, nothing twice."""
import json
import subprocess
import sys
import time
import urllib.request

from rig import BIN, FILTERS, HERE, ROOT, Run, broker, metrics

HOLD_SECONDS = 86400


def free_port():
    return int(subprocess.run([ROOT / "scripts/free-port"], check=True, capture_output=True, text=True).stdout)


def breakers(port):
    lines = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10).read().decode().splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("holdfast_breaker_state{")]


def wait_for(condition, what, limit):
    until = time.time() + limit
    while not condition():
        if time.time() > until:
            raise SystemExit("bench: waited %d s for %s" % (limit, what))
        time.sleep(0.1)


def commands(count):
    path = HERE / "waiting.jsonl"
    with open(path, "w") as file:
        for i in range(count):
            file.write(json.dumps({"type": "Reserve", "reservation_id": "w%07d" % i, "customer_id": "c%d" % (i % 9973), "item_id": "hall",
                                   "quantity": 1}) + "\n")
    return path


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    provider_port = free_port()
    url = "http://127.0.0.1:%d" % provider_port
    item = HERE / "hall.jsonl"
    with broker() as address, Run(address, "waiting-") as run:
        run.holdfast("topics", "apply")
        for name in FILTERS:
            run.start(name, options=["--provider-url", url] if name == "charge" else [])
        item.write_text(json.dumps({"type": "RegisterItem", "item_id": "hall", "title": "t", "kind": "MUSICAL", "capacity": count, "price": 5,
                                    "payment": "AT_ONCE", "hold_seconds": HOLD_SECONDS}) + "\n")
        run.holdfast("send", str(item))
        run.wait("stock-check", 1)
        run.holdfast("send", str(commands(count)))
        run.wait("stock-check", count + 1)
        wait_for(lambda: min(breakers(run.ports["charge"])) > 0, "every breaker to be open", 600)
        run.wait("charge", count)
        time.sleep(20)  # they try in vain meanwhile, and wait for longer each time
        requests = metrics(run.ports["charge"])["records_total"]
        provider = subprocess.Popen([BIN / "provider-simulator", "--port", str(provider_port)], stdout=subprocess.DEVNULL)
        began = time.time()
        try:
            wait_for(lambda: max(breakers(run.ports["charge"])) == 0, "every breaker to be closed", 300)
            closed = time.time()
            stats = lambda: json.load(urllib.request.urlopen(url + "/stats", timeout=10))
            wait_for(lambda: stats()["charges"] >= count, "every charge", 1800)
            print("%d charges waited, asked for %.1f times each: breakers closed %.1f s after the provider was back, the last was paid %.1f s later, %d calls" % (
                count, requests / count, closed - began, time.time() - closed, stats()["calls"]))
            run.wait("approved-failed", 2 * count)
            audit = subprocess.run([BIN / "holdfast", "audit"], env=run.environment, capture_output=True, text=True)
            print(audit.stdout, end="")
        finally:
            provider.terminate()
            provider.wait()
    sys.exit(audit.returncode)


if __name__ == "__main__":
    main()
