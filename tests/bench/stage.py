"""stock-check alone: Holdfast, Kafka Streams and a pass-through with as many outputs, on the same requests."""
import os
import subprocess
import sys

from recovery import fill
from rig import BIN, ROOT, Progress, Run, broker, broker_pid, cpu_seconds, metrics, peak_mib, written_bytes


class Holdfast(Run):
    def launch(self):
        self.start("stock-check", options=os.environ.get("OPTS", "").split())
        return self.processes["stock-check"]

    def group(self):
        return self.environment["HOLDFAST_PREFIX"] + "stock-check"


class PassThrough(Run):
    def launch(self):
        prefix = self.environment["HOLDFAST_PREFIX"]
        self.processes["pass-through"] = subprocess.Popen(
            [BIN / "pass-through", self.environment["HOLDFAST_BROKERS"], prefix + "pass", prefix + "stock-requests", "10000",
             prefix + "payment-requests", prefix + "stock-check-changelog"])
        return self.processes["pass-through"]

    def group(self):
        return self.environment["HOLDFAST_PREFIX"] + "pass"


def measure(kind, address, prefix, records, warm, items=1000):
    with kind(address, prefix) as run:
        run.holdfast("topics", "apply", "--topics", ROOT / "topics")
        fill(address, prefix + "stock-requests", warm + records, items)
        progress = Progress(address, run.group(), prefix + "stock-requests")
        process = run.launch()
        alive = lambda: process.poll() is None
        began = progress.reach(items + warm, alive=alive)
        cpu, broker_cpu, wrote = cpu_seconds(process.pid), cpu_seconds(broker_pid()), written_bytes(process.pid)
        ended = progress.reach(items + warm + records, alive=alive)
        cpu, broker_cpu = cpu_seconds(process.pid) - cpu, cpu_seconds(broker_pid()) - broker_cpu
        result = {"records/s": records / (ended - began), "CPU us": cpu / records * 1e6, "broker CPU us": broker_cpu / records * 1e6,
                  "peak MiB": peak_mib(process.pid), "written B": (written_bytes(process.pid) - wrote) / records}
        progress.close()
        if kind is Holdfast:
            m = metrics(run.ports["stock-check"])
            result["per transaction"] = m["records_total"] / m["transactions_total"]
            result["changes per record"] = m["changes_total"] / m["records_total"]
    return result


def main():
    records = int(sys.argv[1])
    with broker() as address:
        for turn in range(int(sys.argv[2])):
            for kind in (PassThrough, Holdfast):
                result = measure(kind, address, "%s-%d-%s-" % (os.getpid(), turn, kind.__name__.lower()), records, records * 3 // 10)
                print("%-14s" % kind.__name__, "  ".join("%s %.1f" % item for item in result.items()), flush=True)


if __name__ == "__main__":
    main()
