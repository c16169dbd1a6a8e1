"""What TLS, certificates and ACLs cost: the same work on a plain broker and on a secure one, in turns.

Usage: scripts/bench secure [TURNS]     [3]

Both brokers are warmed up first. Printed: records/s and CPU of stock-check and of a pass-through, and their ratio between the brokers."""
import json
import subprocess
import sys

from compare import Bench
from confluent_kafka.admin import AdminClient
from contenders import Holdfast, PassThrough
from results import Table, say
from rig import BIN, broker, connection  # which knows where the next is
from access import grant

RECORDS, WARM = 300000, 100000
PLAIN, SECURE = "plain", "TLS and ACLs"


class SecureBench(Bench):
    def run(self, kind, partitions=None):
        run = super().run(kind, partitions)
        rights = subprocess.run([BIN / "holdfast", "acls", "list", "-o", "json", "--principal", "User:{}", "stock-check"], env=run.environment,
                                check=True, capture_output=True, text=True).stdout
        grant(AdminClient({**connection(self.address), "log_level": 0}), json.loads(rights))
        return run


def main():
    turns, table, scenario = int(sys.argv[1]), Table(), "stock-check alone, a record"
    with broker() as plain, broker(secure=True) as secure:
        benches = {PLAIN: Bench(plain, table, False, turns), SECURE: SecureBench(secure, table, False, turns)}
        for bench in benches.values():
            bench.stage_once(PassThrough, RECORDS, WARM)
            bench.stage_once(Holdfast, RECORDS, WARM)
        for turn in range(turns):
            for name, bench in list(benches.items())[::1 if turn % 2 else -1]:
                for kind in (Holdfast, PassThrough):
                    table.add(scenario, "%s, %s" % (kind.title, name), **bench.stage_once(kind, RECORDS, WARM))
    print(table.text())
    for kind in (Holdfast, PassThrough):
        say("%s on a secure broker: %s of its records/s, %s times its CPU, %s times the broker's" % (kind.title, *(
            "%.2f" % (table.median(scenario, "%s, %s" % (kind.title, SECURE), figure) / table.median(scenario, "%s, %s" % (kind.title, PLAIN), figure))
            for figure in ("records/s", "CPU us", "broker CPU us"))))


if __name__ == "__main__":
    main()
