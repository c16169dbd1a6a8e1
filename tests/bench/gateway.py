"""The gateway beside the least that an HTTP bridge on the JVM does: who accepts how many records by POST, in turns, on one broker. See docs/bench.md.

Usage: scripts/bench gateway [--quick] [--turns N] [SCENARIO]...     scenarios: accepted waits siege

accepted: both put the same record into the log for each POST, acknowledged by the broker (acks=all) before they answer. The same client asks both, on
connections that stay open: as fast as it can, and 1,000 times a second.
waits: what comes of a reservation, by Prefer: wait, with the pipeline beside it: how long after its commit the caller has it.
siege: 60 seconds each with 100 and with 250 clients, a connection for each request, with the pipeline beside it."""
import argparse
import base64
import collections
import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import fastavro
import jwt
from confluent_kafka import Consumer, TopicPartition
from contenders import PIPELINE, Contender
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from results import RESULTS, Table, say
from rig import BIN, HERE, ROOT, broker, broker_pid, cpu_seconds, encode_value, port_of, reader, released

from callers import Callers, post

REQUESTS, CUSTOMERS, ITEMS, CALLERS = 10000, 100, 100, 128
CONNECTIONS = (16, 64, 256)
BRIDGE = ROOT / "build/http-bridge"


def body(number):
    return {"item_id": "item-%05d" % (number % ITEMS), "quantity": 1}


class Gateway(Contender):
    title, accepted, warm_s = "Holdfast", 202, 5
    flags = ("--auth", "none")

    def begin(self):
        log = HERE / (self.environment["HOLDFAST_PREFIX"] + "gateway.log")
        urls = [text for name in self.question_ports for text in ("--%s-url" % name, "http://127.0.0.1:%d" % self.question_ports[name])]
        command = [BIN / "gateway", "--http", "127.0.0.1:0", "--health", "127.0.0.1:0", "--caller-rate", "0", "--drain-seconds", "0", *self.flags, *urls]
        self.processes["gateway"] = subprocess.Popen(command, stderr=open(log, "w"), env=self.environment)
        self.port = port_of(log, self.processes["gateway"], "requests")

    def caller(self, number):
        return {"Holdfast_Subject": "c%04d" % (number % CUSTOMERS)}

    def request(self, number, **headers):
        return post("/reservations", json.dumps(body(number)), Idempotency_Key="key-%08d" % number, **self.caller(number), **headers)


class GatewayTokens(Gateway):
    """Each caller with a token of its own, signed with ES256."""
    title = "Holdfast, with tokens"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        key = ec.generate_private_key(ec.SECP256R1())
        jwk = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "alg": "ES256", "kid": "bench"}
        (HERE / "keys.json").write_text(json.dumps({"keys": [jwk]}))
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.tokens = [jwt.encode({"sub": "c%04d" % i, "exp": int(time.time()) + 86400, "roles": ["customer"]}, pem, "ES256", {"kid": "bench"}) for i in range(CUSTOMERS)]
        self.flags = ("--jwks", HERE / "keys.json")

    def caller(self, number):
        return {"Authorization": "Bearer " + self.tokens[number % CUSTOMERS]}


class GatewayWithPipeline(Gateway):
    def begin(self):
        path = HERE / "items.jsonl"
        path.write_text("".join(json.dumps({"type": "RegisterItem", "item_id": "item-%05d" % i, "title": "t", "kind": "BOOK", "capacity": 10000000, "payment": "NONE"}) + "\n"
                                for i in range(ITEMS)))
        for name in PIPELINE:
            self.start(name)
        self.holdfast("send", str(path))
        self.wait("catalog", ITEMS)
        super().begin()


class Bridge(Contender):
    """The record's bytes are made beforehand: it knows nothing of Avro, nor of what a valid command is."""
    title, accepted, warm_s = "Vert.x and Kafka's Java client", 200, 20
    producer = ("acks=all", "enable.idempotence=true", "compression.type=lz4", "linger.ms=2")

    def begin(self):
        prefix = self.environment["HOLDFAST_PREFIX"]
        self.port = int(subprocess.run([ROOT / "scripts/free-port"], check=True, capture_output=True, text=True).stdout)
        log = HERE / (prefix + "bridge.log")
        self.processes["bridge"] = subprocess.Popen(
            ["java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", "%s/classes:%s/*" % (BRIDGE, BRIDGE), "HttpBridge",
             self.environment["HOLDFAST_BROKERS"], prefix + "reservation-commands", str(self.port), *self.producer], stdout=open(log, "w"), stderr=subprocess.STDOUT)
        until = time.time() + 60
        while time.time() < until and self.alive():
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.1)
        raise SystemExit("bench: the bridge does not answer: " + log.read_text()[-2000:])

    def request(self, number):
        """As long an id as the gateway makes of a key."""
        name = "k-" + hashlib.md5(b"%d" % number).hexdigest()
        value = encode_value({"type": "Reserve", "reservation_id": name, "customer_id": "c%04d" % (number % CUSTOMERS), **body(number)})
        return post("/", json.dumps({"records": [{"key": base64.b64encode(name.encode()).decode(), "value": base64.b64encode(value).decode()}]}))


def records(run):
    """In the topic of commands."""
    consumer = Consumer({"bootstrap.servers": run.environment["HOLDFAST_BROKERS"], "group.id": "bench", "log_level": 0})
    topic = run.environment["HOLDFAST_PREFIX"] + "reservation-commands"
    count = sum(consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    consumer.close()
    return count


class Load:
    """One client for all."""

    def __init__(self, run):
        self.run, self.file = run, HERE / "requests"
        texts = [run.request(number) for number in range(REQUESTS)]
        self.file.write_bytes(b"".join(struct.pack("=I", len(text)) + text for text in texts))

    def send(self, connections, seconds, rate=0):
        run = self.run
        before, cpu, broker_cpu = records(run), run.cpu(), cpu_seconds(broker_pid())
        out = subprocess.run([BIN / "http-load", str(run.port), str(connections), str(seconds), str(rate), self.file], check=True, stdout=subprocess.PIPE, text=True).stdout
        cpu, broker_cpu = run.cpu() - cpu, cpu_seconds(broker_pid()) - broker_cpu
        said = json.loads(out)
        count = said["answers"]
        if said["statuses"] != {str(run.accepted): count} or records(run) - before != count:
            raise SystemExit("bench: %d records for %s" % (records(run) - before, out))
        return {"requests/s": count / said["seconds"], "p50 ms": said["us"]["0.5"] / 1e3, "p99 ms": said["us"]["0.99"] / 1e3, "p99.9 ms": said["us"]["0.999"] / 1e3,
                "CPU us": cpu / count * 1e6, "broker CPU us": broker_cpu / count * 1e6, "peak MiB": run.peak()}


class Bench:
    def __init__(self, address, table, quick, turns):
        self.address, self.table, self.quick, self.turns, self.number = address, table, quick, turns, 0

    def start(self, kind):
        self.number += 1
        run = kind(self.address, "g%d-%d-" % (os.getpid(), self.number))
        run.holdfast("topics", "apply", "--topics", ROOT / "topics")
        return run

    def accepted_once(self, kind, seconds):
        with self.start(kind) as run:
            run.begin()
            load = Load(run)
            load.send(64, kind.warm_s)
            for connections in CONNECTIONS:
                self.table.add("accepted as fast as it can, %d connections" % connections, kind.title, **load.send(connections, seconds))
            self.table.add("accepted, 1,000 a second, 64 connections", kind.title, **load.send(64, 2 * seconds, 1000))

    def accepted(self):
        kinds = [Gateway, GatewayTokens, Bridge]
        for turn in range(self.turns):
            for kind in kinds if turn % 2 == 0 else reversed(kinds):
                self.accepted_once(kind, 4 if self.quick else 10)

    def waits(self):
        for _ in range(self.turns):
            for rate in (20, 100):
                with self.start(GatewayWithPipeline) as run:
                    run.begin()
                    self.table.add("outcome by Prefer: wait, ms", "%d a second" % rate, **Waits(run).measure(rate, 10 if self.quick else 20))

    def siege(self):
        for clients in (100, 250):
            with self.start(GatewayWithPipeline) as run:
                run.begin()
                command = ["siege", "-c%d" % clients, "-t%dS" % (10 if self.quick else 60), "-r10", "--content-type", "application/json",
                           "http://127.0.0.1:%d/reservations POST %s" % (run.port, json.dumps(body(0)))]
                environment = {**os.environ, "HOME": str(HERE)}
                text = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment).stdout
                said = json.loads(text[text.rindex("{"):])
                self.table.add("siege, a connection for each request", "-c%d" % clients,
                               **{"availability %": said["availability"], "failed": said["failed_transactions"], "requests": said["transactions"],
                                  "requests/s": said["transaction_rate"], "longest s": said["longest_transaction"], "in the log": records(run) - ITEMS})


class Waits:
    """Callers that wait, and another reader of committed events, which sees each as soon as it may."""

    def __init__(self, run):
        self.run, self.seen, self.sent, self.took, self.ended = run, {}, {}, [], False

    def watch(self):
        schema, head = released("StatusChanged")
        consumer = reader(self.run.environment["HOLDFAST_BROKERS"], self.run.environment["HOLDFAST_PREFIX"] + "reservation-events", at_end=True, fetch_wait_max_ms=10)
        while not self.ended:
            for message in consumer.consume(100, 0.01):
                at = time.time()
                if message.error() or not message.value().startswith(head):
                    continue
                step = fastavro.schemaless_reader(io.BytesIO(message.value()[len(head):]), schema)
                if step["status"] == "APPROVED":
                    self.seen[step["reservation_id"]] = at, message.timestamp()[1] / 1e3
        consumer.close()

    def send(self, callers, rate, seconds):
        """Each waits on a connection of its own; the idlest is taken next."""
        began, number, free = time.time(), 0, collections.deque(range(CALLERS))
        while number < rate * seconds or len(free) < CALLERS:
            if time.time() > began + seconds + 60:
                raise SystemExit("bench: %d of %d waited in vain" % (CALLERS - len(free), number))
            if free and number < rate * seconds and time.time() >= began + number / rate:
                self.sent[free[0]] = time.time()
                callers.send(free.popleft(), self.run.request(number, Prefer="wait=30"))
                number += 1
            due = began + number / rate - time.time() if number < rate * seconds else 1
            for caller, answer in callers.poll(max(due, 0)):
                if not answer or answer.status != 200:
                    raise SystemExit("bench: %r" % answer)
                self.took.append((json.loads(answer.body)["reservation_id"], self.sent[caller], answer.at))
                free.append(caller)

    def measure(self, rate, seconds):
        watching = threading.Thread(target=self.watch)
        watching.start()
        try:
            time.sleep(2)
            with Callers(self.run.port, CALLERS) as callers:
                self.send(callers, rate, seconds)
            time.sleep(1)
        finally:
            self.ended = True
            watching.join()
        rows = [(at - sent, at - self.seen[name][0], at - self.seen[name][1]) for name, sent, at in self.took[len(self.took) // 5:]]  # the first ones warm
        figures = {}
        for column, title in enumerate(("of all", "after another reader", "after the append")):
            times = sorted(row[column] * 1e3 for row in rows)
            figures.update({"p50 " + title: times[len(times) // 2], "p99 " + title: times[int(len(times) * .99)]})
        return figures


def main():
    signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--turns", type=int)
    parser.add_argument("scenario", nargs="*")
    arguments = parser.parse_args()
    scenarios = ["accepted", "waits", "siege"]
    if set(arguments.scenario) - set(scenarios):
        parser.error("scenarios are: " + " ".join(scenarios))
    table = Table()
    with broker() as address:
        bench = Bench(address, table, arguments.quick, arguments.turns or (1 if arguments.quick else 3))
        for scenario in arguments.scenario or scenarios:
            say("== %s" % scenario)
            try:
                getattr(bench, scenario)()
            finally:
                table.write()
    print(table.text())
    print("\nreport.txt and results.csv are in %s" % RESULTS.relative_to(ROOT))


if __name__ == "__main__":
    main()
