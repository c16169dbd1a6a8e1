"""Holdfast beside Kafka Streams on the same records, the same broker, in turns. See scripts/bench and docs/bench.md.

Usage: scripts/bench [--quick] [--turns N] [SCENARIO]...     scenarios: stage pipeline latency recovery right views growth

Every figure is the median over the turns; each turn takes the contenders one after another, in an order that changes. The broker is warmed up first
with runs that do not count: it gets faster for a dozen of them. Written to build/bench-results: report.txt, results.csv, throughput.png."""
import argparse
import csv
import io
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import fastavro
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient
from recovery import Trickle, fill, make_holds
from rig import BIN, HERE, ROOT, Progress, Run, broker, broker_pid, bulk_producer, cpu_seconds, encode_value, peak_mib, reader, released, written_bytes

PIPELINE = ["reserve-requested", "stock-check", "payment", "deadline", "approved-failed", "history", "catalog"]
STREAMS = ROOT / "build/kafka-streams"
RESULTS = ROOT / "build/bench-results"


def say(text):
    print(time.strftime("%H:%M:%S "), text, flush=True)


# ---- contenders ----

class Contender(Run):
    """Starts its processes for a kind of work: "stage" (stock-check alone) or "pipeline"."""
    title = ""

    def pids(self):
        return [process.pid for process in self.processes.values() if process.poll() is None]

    def alive(self):
        return all(process.poll() is None for process in self.processes.values())

    def cpu(self):
        return sum(cpu_seconds(pid) for pid in self.pids())

    def peak(self):
        return sum(peak_mib(pid) for pid in self.pids())

    def written(self):
        return sum(written_bytes(pid) for pid in self.pids())

    def disk(self):
        return sum(path.stat().st_size for path in pathlib.Path(self.environment["HOLDFAST_STATE_DIR"]).rglob("*") if path.is_file())

    def stop(self):
        """And its topics go: a broker with thousands of partitions is another broker."""
        super().stop()
        prefix = self.environment["HOLDFAST_PREFIX"]
        admin = AdminClient({"bootstrap.servers": self.environment["HOLDFAST_BROKERS"], "log_level": 0})
        names = [name for name in admin.list_topics(timeout=20).topics if name.startswith(prefix)]
        for name, deleted in admin.delete_topics(names).items() if names else ():
            deleted.result()
        shutil.rmtree(self.environment["HOLDFAST_STATE_DIR"], ignore_errors=True)

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()


class Holdfast(Contender):
    title = "Holdfast"

    def begin(self, work, slot=0):
        for name in ["stock-check"] if work == "stage" else PIPELINE:
            self.start(name, slot, self.options)

    def group(self, name="stock-check"):
        return self.environment["HOLDFAST_PREFIX"] + name

    options, changelog, levels = (), "stock-check-changelog", "stock-levels"


class HoldfastSmall(Holdfast):
    options = ("--write-buffer-kib", "128")


class PassThrough(Contender):
    title = "pass-through"

    def begin(self, work, slot=0):
        prefix = self.environment["HOLDFAST_PREFIX"]
        self.processes["pass-through"] = subprocess.Popen(
            [BIN / "pass-through", self.environment["HOLDFAST_BROKERS"], prefix + "pass", prefix + "stock-requests", "10000",
             prefix + "payment-requests", prefix + "stock-check-changelog"])

    def group(self, name=None):
        return self.environment["HOLDFAST_PREFIX"] + "pass"


class Streams(Contender):
    title, threads, collector, settings = "Kafka Streams, 1 thread", 1, "G1", []

    def begin(self, work, slot=0):
        prefix, state = self.environment["HOLDFAST_PREFIX"], self.environment["HOLDFAST_STATE_DIR"]
        name = "streams-%d" % slot
        log = open(HERE / (prefix + name + ".log"), "a")
        self.processes[name] = subprocess.Popen(
            ["java", "-Xmx2g", "-XX:+Use%sGC" % self.collector, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", "%s/classes:%s/lib/*" % (STREAMS, STREAMS),
             "holdfast.streams.App", "stock-check" if work == "stage" else "pipeline", self.environment["HOLDFAST_BROKERS"], prefix,
             "%s/streams-%d" % (state, slot), str(self.threads), "consumer.group.instance.id=member-%d" % slot, *self.settings], stdout=log, stderr=log)

    def group(self, name=None):
        return self.environment["HOLDFAST_PREFIX"] + "streams"

    changelog, levels = "streams-holds-changelog", "streams-items-changelog"


class StreamsParallel(Streams):
    title, collector = "Kafka Streams, 1 thread, Parallel GC", "Parallel"


class StreamsTwo(Streams):
    title, threads = "Kafka Streams, 2 threads", 2


class StreamsSmall(Streams):
    title, settings = "Kafka Streams", ["rocksdb.config.setter=holdfast.streams.App$SmallMemtables"]


# ---- results ----

class Table:
    """(scenario, contender, figure) -> values, one of each turn."""

    def __init__(self):
        self.rows = {}

    def add(self, scenario, contender, **figures):
        for figure, value in figures.items():
            self.rows.setdefault((scenario, contender), {}).setdefault(figure, []).append(value)
        say("  %-38s %s" % (contender, "  ".join("%s %s" % (f, short(v)) for f, v in figures.items())))

    def median(self, scenario, contender, figure):
        values = self.rows.get((scenario, contender), {}).get(figure)
        return statistics.median(values) if values else None

    def text(self):
        lines, last = [], None
        for (scenario, contender), figures in self.rows.items():
            if scenario != last:
                lines += ["", scenario, "  %-38s %s" % ("", " ".join("%16s" % f for f in figures))]
                last = scenario
            lines.append("  %-38s %s" % (contender, " ".join("%16s" % short(statistics.median(v)) for v in figures.values())))
        return "\n".join(lines)

    def write(self):
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "report.txt").write_text(self.text() + "\n")
        with open(RESULTS / "results.csv", "w") as file:
            out = csv.writer(file)
            out.writerow(["scenario", "contender", "figure", "median", "least", "most", "turns"])
            for (scenario, contender), figures in self.rows.items():
                for figure, values in figures.items():
                    out.writerow([scenario, contender, figure, statistics.median(values), min(values), max(values), len(values)])
        self.draw()

    def draw(self):
        if not shutil.which("gnuplot"):
            return
        scenarios = {"records/s": "stock-check alone, records/s", "reservations/s": "whole pipeline, reservations/s"}
        data, plots = RESULTS / "throughput.dat", []
        with open(data, "w") as file:
            for figure, title in scenarios.items():
                rows = [(c, statistics.median(f[figure])) for (s, c), f in self.rows.items() if figure in f and s.startswith(("stock-check alone", "whole pipeline"))]
                if not rows:
                    continue
                file.write("\n".join('"%s" %f' % (name.replace(", ", "\\n"), value) for name, value in rows) + "\n\n\n")
                plots.append(title)
        script = ["set terminal pngcairo size 1100,%d" % (420 * max(len(plots), 1)), "set output '%s'" % (RESULTS / "throughput.png"), "set style fill solid 0.8",
                  "set boxwidth 0.6", "set yrange [0:*]", "set offsets 0, 0, graph 0.1, 0", "set grid y", "set bmargin 4", "unset key", "set multiplot layout %d,1" % max(len(plots), 1)]
        for i, title in enumerate(plots):
            boxes = "'%s' index %d using 0:2:xtic(1) with boxes lc rgb '#3b6ea5'" % (data, i)
            values = "'' index %d using 0:2:(sprintf('%%.0f', $2)) with labels offset 0,0.7" % i
            script += ["set title '%s'" % title, "plot %s, %s" % (boxes, values)]
        subprocess.run(["gnuplot", "-e", "; ".join([*script, "unset multiplot"])], check=False)


def short(value):
    return "%.0f" % value if abs(value) >= 1000 else "%.1f" % value if abs(value) >= 10 else "%.2f" % value


# ---- scenarios ----

class Bench:
    def __init__(self, address, table, quick, turns):
        self.address, self.table, self.quick, self.turns, self.number, self.random = address, table, quick, turns, 0, random.Random(1)

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

    def stage_once(self, kind, records, warm, items=1000, partitions=None, instances=1):
        with self.run(kind, partitions) as run:
            topic = run.environment["HOLDFAST_PREFIX"] + "stock-requests"
            fill(self.address, topic, warm + records, items)
            progress = Progress(self.address, run.group(), topic, partitions or 4)
            progress.committed()  # finds the group's coordinator, which can take longer than the work
            for slot in range(instances):
                run.begin("stage", slot)
            began, before = progress.reach(items + warm, alive=run.alive)
            cpu, broker_cpu, wrote = run.cpu(), cpu_seconds(broker_pid()), run.written()
            ended, after = progress.reach(items + warm + records, alive=run.alive)
            cpu, broker_cpu, done = run.cpu() - cpu, cpu_seconds(broker_pid()) - broker_cpu, max(after - before, 1)
            progress.close()
            return {"records/s": done / (ended - began), "CPU us": cpu / done * 1e6, "broker CPU us": broker_cpu / done * 1e6, "peak MiB": run.peak(),
                    "written B": (run.written() - wrote) / done, "disk B": run.disk() / (records + warm)}

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
            cpu, broker_cpu, wrote, began = run.cpu(), cpu_seconds(broker_pid()), run.written(), time.time()
            commands(self.address, run, warm, count)
            ended = counter.reach(warm + count, run.alive)
            inputs = {"reservation-events": "history", "stock-requests": "stock-check", "deadlines": "deadline", "payment-results": "approved-failed"}
            self.wait_done(run, inputs)
            result = {"reservations/s": count / (ended - began), "all in views/s": count / (time.time() - began), "CPU us": (run.cpu() - cpu) / count * 1e6,
                      "broker CPU us": (cpu_seconds(broker_pid()) - broker_cpu) / count * 1e6, "peak MiB": run.peak(), "written B": (run.written() - wrote) / count}
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
        for rows in (10000, 100000) if self.quick else (10000, 1000000, 10000000):
            self.table.add("rows in the store before", "%d" % rows, **self.stage_once(Holdfast, records, rows))


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

    def close(self):
        self.consumer.close()


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


class Paced:
    """Produces at a steady rate and reads what comes of it; the time between is the latency. Ids carry the time they were made."""

    def __init__(self, address, prefix, work, rate):
        self.address, self.prefix, self.rate = address, prefix, rate
        self.input, self.output = ("stock-requests", "payment-requests") if work == "stage" else ("reservation-commands", "reservation-outcomes")
        if work == "stage":
            self.values = make_holds(1000000, 100)[1]
        else:
            self.values = [(None, encode_value({"type": "Reserve", "reservation_id": "r-00000000", "customer_id": "c%04d" % c, "item_id": "item-%05d" % (c % 100),
                                                "quantity": 1})) for c in range(1000)]
        self.sent, self.times, self.from_number = {}, [], 0
        self.stopping = threading.Event()

    def produce(self, seconds):
        producer = Producer({"bootstrap.servers": self.address, "partitioner": "murmur2_random", "linger.ms": 2 if self.rate <= 2000 else 5, "log_level": 0,
                             "queue.buffering.max.messages": 1000000})
        began, number = time.time(), 0
        while time.time() < began + seconds:
            due = int((time.time() - began) * self.rate)
            while number < due:
                name = b"p-%08d" % number
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

    def run(self, warm, seconds):
        reader = threading.Thread(target=self.consume)
        reader.start()
        time.sleep(1)
        began = time.time()
        self.produce(warm + seconds)
        time.sleep(2)
        self.stopping.set()
        reader.join()
        times = sorted(took for sent, took in self.times if sent > began + warm)
        if len(times) < 100:
            raise SystemExit("bench: too few came through")
        return {name: times[min(len(times) - 1, int(len(times) * part))] * 1e3 for name, part in (("p50", .5), ("p99", .99), ("p99.9", .999))}


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


def main():
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    scenarios = ["stage", "pipeline", "latency", "recovery", "right", "views", "growth"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int)
    parser.add_argument("scenario", nargs="*")
    arguments = parser.parse_args()
    wanted = arguments.scenario or (["stage", "pipeline"] if arguments.quick else scenarios)
    if set(wanted) - set(scenarios) - {"report"}:
        parser.error("scenarios are: " + " ".join(scenarios))
    table, began = Table(), time.time()
    with broker() as address:
        bench = Bench(address, table, arguments.quick, arguments.turns or (1 if arguments.quick else 3))
        for scenario in wanted:
            say("== %s" % scenario)
            try:
                getattr(bench, scenario)()
            finally:
                table.write()
    print(table.text())
    print("\n%.0f minutes; report.txt, results.csv and throughput.png are in %s" % ((time.time() - began) / 60, RESULTS.relative_to(ROOT)))


if __name__ == "__main__":
    main()
