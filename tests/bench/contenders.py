"""Who is compared: Holdfast, a pass-through (the limit of librdkafka and the broker), and Kafka Streams in several settings."""
import pathlib
import shutil
import subprocess

from confluent_kafka.admin import AdminClient
from rig import BIN, FILTERS, HERE, ROOT, Run, connection, cpu_seconds, peak_mib, written_bytes

# The Streams application does not do what these do.
PIPELINE = [name for name in FILTERS if name not in ("charge", "notify", "tally")]
STREAMS = ROOT / "build/kafka-streams"


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
        admin = AdminClient({**connection(self.environment["HOLDFAST_BROKERS"]), "log_level": 0})
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


class HoldfastNewest(Holdfast):
    title = "Holdfast, newest librdkafka"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.environment["LD_LIBRARY_PATH"] = str(ROOT / "build/librdkafka-newest")


class HoldfastSmall(Holdfast):
    options = ("--write-buffer-kib", "128")


class PassThrough(Contender):
    title = "pass-through"

    def begin(self, work, slot=0):
        prefix = self.environment["HOLDFAST_PREFIX"]
        self.processes["pass-through"] = subprocess.Popen(
            [BIN / "pass-through", self.environment["HOLDFAST_BROKERS"], prefix + "pass", prefix + "stock-requests", "10000", "20",
             prefix + "payment-requests", prefix + "stock-check-changelog"], env=self.environment)

    def group(self, name=None):
        return self.environment["HOLDFAST_PREFIX"] + "pass" + ("-" + name if name else "")


class Hops(PassThrough):
    """As many transactions one after the other as the least that a reservation needs; each takes what waits, at once."""
    title = "four pass-through hops"
    topics = ["reservation-commands", "stock-requests", "payment-requests", "payment-results", "reservation-outcomes"]

    def begin(self, work, slot=0):
        prefix = self.environment["HOLDFAST_PREFIX"]
        for source, target in zip(self.topics, self.topics[1:]):
            self.processes[source] = subprocess.Popen(
                [BIN / "pass-through", self.environment["HOLDFAST_BROKERS"], self.group(source), prefix + source, "10000", "0", prefix + target])


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


def streams_committing(ms):
    """One thread, with another commit interval than 100 ms."""
    return type("StreamsCommitting", (Streams,), {"title": "Kafka Streams, every %d ms" % ms, "settings": ["commit.interval.ms=%d" % ms]})


class StreamsParallel(Streams):
    title, collector = "Kafka Streams, 1 thread, Parallel GC", "Parallel"


class StreamsTwo(Streams):
    title, threads = "Kafka Streams, 2 threads", 2


class StreamsSmall(Streams):
    title, settings = "Kafka Streams", ["rocksdb.config.setter=holdfast.streams.App$SmallMemtables"]
