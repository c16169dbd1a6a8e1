"""Holdfast beside Kafka Streams on the same records, the same broker, in turns. See scripts/bench and docs/bench.md.

Usage: scripts/bench [--quick] [--turns N] [--ids KIND] [SCENARIO]...     scenarios: stage pipeline latency rates recovery right views growth

Every figure is the median over the turns; each turn takes the contenders one after another, in an order that changes. The broker is warmed up first
with runs that do not count: it gets faster for a dozen of them. Written to build/bench-results: report.txt, results.csv, throughput.png, latency.png."""
import argparse
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import fastavro
from contenders import Holdfast, HoldfastNewest, HoldfastSmall, Hops, PassThrough, Streams, StreamsParallel, StreamsSmall, StreamsTwo, streams_committing
from load import Outcomes, Paced, commands, everything, wrk
from recovery import IDS, Trickle, fill
from results import RESULTS, Table, say
from rig import BIN, HERE, ROOT, Progress, broker, broker_pid, cpu_seconds, released


class Bench:
    def __init__(self, address, table, quick, turns, ids="counted"):
        self.address, self.table, self.quick, self.turns, self.ids, self.number, self.random = address, table, quick, turns, ids, 0, random.Random(1)

    def run(self, kind, partitions=None):
        self.number += 1
        run = kind(self.address, "b%d-%d-" % (os.getpid(), self.number))
        run.holdfast("topics", "apply", "--topics", self.topics(partitions))
        return run

    def topics(self, partitions):
        """The project's topics, with another number of partitions where one is asked for."""
        if not partitions:
            return ROOT / "topics"
        folder = HERE / ("topics-%d" % partitions)
        folder.mkdir(exist_ok=True)
        for path in (ROOT / "topics").glob("*.topic"):
            (folder / path.name).write_text(path.read_text().replace("partitions = 4", "partitions = %d" % partitions))
        return folder

    def in_turns(self, contenders):
        for turn in range(self.turns):
            yield from contenders if turn % 2 == 0 else reversed(contenders)

    # -- stock-check alone --

    def stage_once(self, kind, records, warm, items=1000, partitions=None, instances=1, ids=None, rows=0):
        with self.run(kind, partitions) as run:
            topic = run.environment["HOLDFAST_PREFIX"] + "stock-requests"
            if rows:
                self.age(run, topic, items, ids, rows)
            fill(self.address, topic, warm + records, items, ids or self.ids, rows)
            progress = Progress(self.address, run.group(), topic, partitions or 4)
            progress.committed()  # finds the group's coordinator, which can take longer than the work
            for slot in range(instances):
                run.begin("stage", slot)
            began, before = progress.reach(items + warm, alive=run.alive)
            cpu, broker_cpu, wrote = run.cpu(), cpu_seconds(broker_pid(self.address)), run.written()
            ended, after = progress.reach(items + warm + records, alive=run.alive)
            cpu, broker_cpu, done = run.cpu() - cpu, cpu_seconds(broker_pid(self.address)) - broker_cpu, max(after - before, 1)
            progress.close()
            return {"records/s": done / (ended - began), "CPU us": cpu / done * 1e6, "broker CPU us": broker_cpu / done * 1e6, "peak MiB": run.peak(),
                    "written B": (run.written() - wrote) / done, "disk B": run.disk() / (rows + warm + records)}

    def age(self, run, topic, items, ids, rows):
        """So many holds in the store before, written straight to it: ten millions would take an hour through the broker."""
        fill(self.address, topic, 0, items)
        run.begin("stage")
        progress = Progress(self.address, run.group(), topic)
        progress.reach(items, alive=run.alive)
        progress.close()
        run.kill()
        subprocess.run([BIN / "store-work", run.environment["HOLDFAST_STATE_DIR"] + "/stock-check-0", ids, str(rows)], check=True)

    def stage(self):
        records, warm = 200000 if self.quick else 500000, 300000
        for _ in range(2 if self.quick else 4):
            self.stage_once(PassThrough, records, warm)
        contenders = [PassThrough, Holdfast, Streams] if self.quick else [PassThrough, Holdfast, Streams, StreamsParallel, StreamsTwo]
        for kind in self.in_turns(contenders):
            self.table.add("stock-check alone, warm, a record", kind.title, **self.stage_once(kind, records, warm))

    def report(self):
        """For scripts/test: is the stage still near the limit? A ratio of one run, on a broker that is not warm."""
        for kind in (PassThrough, Holdfast, PassThrough, Holdfast):
            self.table.add("stock-check alone, a record", kind.title, **self.stage_once(kind, 200000, 50000))
        ratios = []
        for figure in ("records/s", "CPU us"):
            ours, limit = (self.table.median("stock-check alone, a record", title, figure) for title in ("Holdfast", "pass-through"))
            ratios.append("%.2f" % (ours / limit) if limit else "unknown")
        say("stock-check against a pass-through with as many outputs: %s of its records/s, %s times its CPU a record" % tuple(ratios))

    # -- the whole pipeline --

    def wait_done(self, run, inputs, limit=120):
        """Until the consumers of these topics have come to their ends; markers of transactions at an end are not committed past."""
        progresses = [Progress(self.address, run.group(name), run.environment["HOLDFAST_PREFIX"] + topic) for topic, name in inputs.items()]
        until = time.time() + limit
        while sum(progress.lag() for progress in progresses) > 100 and time.time() < until:
            time.sleep(0.2)
        for progress in progresses:
            progress.close()

    def register(self, run, items, capacity):
        path = HERE / "items.jsonl"
        path.write_text("".join(json.dumps({"type": "RegisterItem", "item_id": "item-%05d" % i, "title": "t", "kind": "BOOK", "capacity": capacity, "payment": "NONE"}) + "\n"
                                for i in range(items)))
        run.holdfast("send", str(path))

    def pipeline_once(self, kind, count, warm, items=100):
        with self.run(kind) as run:
            self.register(run, items, count + warm)
            run.begin("pipeline")
            counter = Outcomes(self.address, run.environment["HOLDFAST_PREFIX"])
            commands(self.address, run, 0, warm)
            counter.reach(warm, run.alive)
            cpu, broker_cpu, wrote, began = run.cpu(), cpu_seconds(broker_pid(self.address)), run.written(), time.time()
            commands(self.address, run, warm, count)
            ended = counter.reach(warm + count, run.alive)
            inputs = {"reservation-events": "history", "stock-requests": "stock-check", "deadlines": "deadline", "payment-results": "approved-failed"}
            self.wait_done(run, inputs)
            result = {"reservations/s": count / (ended - began), "all in views/s": count / (time.time() - began), "CPU us": (run.cpu() - cpu) / count * 1e6,
                      "broker CPU us": (cpu_seconds(broker_pid(self.address)) - broker_cpu) / count * 1e6, "peak MiB": run.peak(), "written B": (run.written() - wrote) / count}
            counter.close()
            return result

    def pipeline(self):
        count = 50000 if self.quick else 100000
        for kind in self.in_turns([Holdfast, Streams] if self.quick else [Holdfast, Streams, StreamsTwo]):
            self.table.add("whole pipeline, reserve to approved, a reservation", kind.title, **self.pipeline_once(kind, count, count // 2))

    # -- latency --

    def latency_once(self, kind, work, rate, seconds):
        with self.run(kind) as run:
            prefix = run.environment["HOLDFAST_PREFIX"]
            if work == "stage":
                fill(self.address, prefix + "stock-requests", 100000, 100)
                run.begin("stage")
                progress = Progress(self.address, run.group(), prefix + "stock-requests")
                progress.reach(100000, alive=run.alive)
                progress.close()
            else:
                self.register(run, 100, 1000000)
                run.begin("pipeline")
                counter = Outcomes(self.address, prefix)
                commands(self.address, run, 0, 20000)
                counter.reach(20000, run.alive)
                counter.close()
            return Paced(self.address, prefix, work, rate).run(8, seconds)

    def latency(self):
        seconds = 8 if self.quick else 10
        for work in ("stage", "pipeline"):
            for kind in self.in_turns([Holdfast, Streams]):
                title = "latency at 1,000/s, %s, ms" % ("stock-check alone" if work == "stage" else "command to outcome")
                self.table.add(title, kind.title, **self.latency_once(kind, work, 1000, seconds))
        for work, scenario, figure in (("stage", "stock-check alone, warm, a record", "records/s"),
                                       ("pipeline", "whole pipeline, reserve to approved, a reservation", "reservations/s")):
            if self.quick or not self.table.median(scenario, "Holdfast", figure):
                continue
            for kind in self.in_turns([Holdfast, Streams]):
                rate = int(self.table.median(scenario, kind.title, figure) / 2)
                self.table.add("latency at half of its own highest rate, %s, ms" % work, kind.title, rate=rate, **self.latency_once(kind, work, rate, seconds))

    # -- latency and CPU by rate --

    def busy(self, run):
        return {"cores": run.cpu, "cores of the broker": lambda: cpu_seconds(broker_pid(self.address))}

    def full_rate(self, run, first, count):
        """Reservations sent at once: how many a second come through, and cores busy meanwhile."""
        counter = Outcomes(self.address, run.environment["HOLDFAST_PREFIX"])
        counter.reach_silence()
        known, before, began = counter.count, {name: value() for name, value in self.busy(run).items()}, time.time()
        commands(self.address, run, first, count)
        took = counter.reach(known + count, run.alive) - began
        counter.close()
        return {"reservations/s": count / took, **{name: (value() - before[name]) / took for name, value in self.busy(run).items()}}

    def rates_once(self, kind, rates, partitions):
        """One run at each rate in turn: milliseconds from command to outcome, and cores busy meanwhile."""
        with self.run(kind, partitions) as run:
            prefix = run.environment["HOLDFAST_PREFIX"]
            self.register(run, 100, 1000000)
            run.begin("pipeline")
            first = 0

            def paced(rate):
                nonlocal first
                seconds = 30 if rate < 10 else 10 if self.quick else 15
                figures = Paced(self.address, prefix, "pipeline", rate, first).run(3, seconds, cores=self.busy(run))
                first += rate * 100
                return figures

            paced(500)  # for the JVMs
            for rate in rates:
                yield "%d/s" % rate, paced(rate)
            self.full_rate(run, 0, 10000)
            full = self.full_rate(run, 10000, 20000 if self.quick else 50000)
            yield "as fast as it can", full
            yield "half of its own highest rate", {"rate": full["reservations/s"] / 2, **paced(int(full["reservations/s"] / 2))}

    def rates(self):
        rates = (1, 100, 1000) if self.quick else (1, 10, 100, 1000)
        intervals = (20, 50) if self.quick else (10, 20, 50, 100)
        for kind in self.in_turns([Hops, Holdfast, HoldfastNewest, *map(streams_committing, intervals)]):
            self.add_rates(kind, rates, 4)
        for partitions in () if self.quick else (1, 16):
            for kind in self.in_turns([Hops, Holdfast, streams_committing(20)]):
                self.add_rates(kind, rates, partitions)

    def add_rates(self, kind, rates, partitions):
        for rate, figures in self.rates_once(kind, rates, partitions):
            self.table.add("command to outcome, %s, %d partitions, ms" % (rate, partitions), kind.title, **figures)

    # -- start, kill -9, an empty disk, a second instance --

    def first_commit(self, run, topic, begin):
        progress = Progress(self.address, run.group(), topic)
        before, began = progress.committed(), time.time()
        begin()
        while progress.committed() <= before:
            if time.time() > began + 300:
                raise SystemExit("bench: no commit")
            time.sleep(0.005)
        progress.close()
        return time.time() - began

    def recovery_once(self, kind, rows):
        with self.run(kind) as run:
            topic = run.environment["HOLDFAST_PREFIX"] + "stock-requests"
            fill(self.address, topic, 1000)
            started = self.first_commit(run, topic, lambda: run.begin("stage"))
            fill(self.address, topic, rows)
            progress = Progress(self.address, run.group(), topic)
            progress.reach(rows + 1000, alive=run.alive)
            repeats = threading.Thread(target=fill, args=(self.address, topic, rows // 2))  # so that it is killed with a transaction open
            repeats.start()
            progress.reach(rows + rows // 10, alive=run.alive)
            run.kill()
            repeats.join()
            killed = self.first_commit(run, topic, lambda: run.begin("stage"))
            progress.reach(rows + rows // 2 + 1000, alive=run.alive)
            progress.close()
            disk = run.disk() / rows
            run.kill()
            shutil.rmtree(run.environment["HOLDFAST_STATE_DIR"])
            fill(self.address, topic, 20000)
            empty = self.first_commit(run, topic, lambda: run.begin("stage"))
            return {"start s": started, "kill -9 s": killed, "empty disk s": empty, "disk B/row": disk}

    def recovery(self):
        rows = 100000 if self.quick else 1000000
        for kind in self.in_turns([Holdfast, Streams]):
            self.table.add("to the first commit, %d rows" % rows, kind.title, **self.recovery_once(kind, rows))
        if not self.quick:
            for kind in (Holdfast, Streams):
                self.table.add("a second instance joins, %d rows: longest pause, s" % rows, kind.title, **self.scale_out_once(kind, rows))

    def scale_out_once(self, kind, rows):
        with self.run(kind) as run:
            prefix = run.environment["HOLDFAST_PREFIX"]
            fill(self.address, prefix + "stock-requests", rows)
            run.begin("stage")
            progress = Progress(self.address, run.group(), prefix + "stock-requests")
            progress.reach(rows, alive=run.alive)
            progress.close()
            with Trickle(self.address, prefix, rows, kind.changelog) as trickle:
                time.sleep(5)
                since = time.time()
                run.begin("stage", 1)
                time.sleep(25)
                pauses = sorted(trickle.pauses(since, time.time()))
            return {"stay": pauses[1], "move": pauses[-1]}

    # -- right, side by side --

    def right_once(self, kind, records):
        """Killed with -9 in the middle of a commit interval, started again, and left to end: what was answered, and what the items say is held."""
        items = 100
        with self.run(kind) as run:
            prefix = run.environment["HOLDFAST_PREFIX"]
            topic = prefix + "stock-requests"
            fill(self.address, topic, records, items)
            progress = Progress(self.address, run.group(), topic)
            run.begin("stage")
            progress.reach(items + records // 2, alive=run.alive)
            time.sleep(self.random.random() / 10)
            run.kill()
            killed_at = progress.committed()
            run.begin("stage")
            progress.reach(items + records, alive=run.alive)
            progress.close()
            answers, held = {}, {}
            for _, value in everything(self.address, prefix + "payment-requests"):
                place = value.find(b"r-")
                answers[value[place:place + 10]] = answers.get(value[place:place + 10], 0) + 1
            schema, _ = released("StockLevel")
            for key, value in everything(self.address, prefix + kind.levels):
                held[key] = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema)["held"] if value else 0
            return {"killed at": killed_at, "answers missing": records - len(answers), "answers twice": sum(n > 1 for n in answers.values()),
                    "held, not answered for": sum(held.values()) - len(answers)}

    def right(self):
        """Small memtables in both, so that RocksDB writes files in the middle of transactions."""
        for turn in range(2 if self.quick else 5):
            for kind in (HoldfastSmall, StreamsSmall):
                self.table.add("kill -9 in a commit interval, turn %d" % (turn + 1), kind.title, **self.right_once(kind, 60000 if self.quick else 250000))

    # -- views --

    def views(self):
        if not shutil.which("wrk"):
            raise SystemExit("bench: 'views' needs wrk (apt-get install wrk)")
        for _ in range(self.turns):
            with self.run(Holdfast) as run:
                self.register(run, 100, 1000000)
                run.begin("pipeline")
                counter = Outcomes(self.address, run.environment["HOLDFAST_PREFIX"])
                commands(self.address, run, 0, 20000)
                counter.reach(20000, run.alive)
                paced = Paced(self.address, run.environment["HOLDFAST_PREFIX"], "pipeline", 1000)
                load = threading.Thread(target=paced.run, args=(0, 34))
                load.start()
                for name, path, title in (("history", "/customers/c%04d/reservations?limit=20", "a customer's page, 20 reservations"),
                                          ("history", "/customers/c%04d/reservations?limit=2", "a customer's page, 2 reservations"),
                                          ("catalog", "/items/item-%05d", "an item")):
                    self.table.add("views beside 1,000 reservations/s", title, **wrk(run.question_ports[name], run.processes[name].pid, path))
                load.join()
                counter.close()

    # -- growth --

    def growth(self):
        records = 50000 if self.quick else 300000
        for items in (1, 100000):
            self.table.add("items", "%d" % items, **self.stage_once(Holdfast, records, records // 3, items))
        for partitions in (1, 4, 16, 64):
            self.table.add("partitions", "%d" % partitions, **self.stage_once(Holdfast, records, records // 3, partitions=partitions))
        for instances in (1, 2, 4):
            self.table.add("instances", "%d" % instances, **self.stage_once(Holdfast, records, records // 3, instances=instances))
        self.rows(records)

    def rows(self, records=300000):
        """Ids that are random, or ordered by time. A large store is measured for longer, as large files are merged seldom."""
        for rows in (10000, 100000) if self.quick else (10000, 1000000, 10000000):
            for ids in ("ordered", "random"):
                self.table.add("rows in the store before", "%d, ids %s" % (rows, ids), **self.stage_once(Holdfast, max(records, rows // 10), records // 3, ids=ids, rows=rows))


def main():
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    scenarios = ["stage", "pipeline", "latency", "rates", "recovery", "right", "views", "growth"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--ids", choices=IDS, default="counted")
    parser.add_argument("scenario", nargs="*")
    arguments = parser.parse_args()
    wanted = arguments.scenario or (["stage", "pipeline"] if arguments.quick else scenarios)
    if set(wanted) - set(scenarios) - {"report", "rows"}:
        parser.error("scenarios are: " + " ".join(scenarios))
    table, began = Table(), time.time()
    with broker() as address:
        bench = Bench(address, table, arguments.quick, arguments.turns or (1 if arguments.quick else 3), arguments.ids)
        for scenario in wanted:
            say("== %s" % scenario)
            try:
                getattr(bench, scenario)()
            finally:
                table.write()
    print(table.text())
    print("\n%.0f minutes; report.txt, results.csv and the pictures are in %s" % ((time.time() - began) / 60, RESULTS.relative_to(ROOT)))


if __name__ == "__main__":
    main()
