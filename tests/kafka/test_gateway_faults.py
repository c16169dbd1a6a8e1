"""Exactly once through faults: clients that repeat every request with its key, against three instances of the gateway, while instances, filters and the
broker are killed. Judged by the clients' own record and by the audit. GATEWAY_REQUESTS=20000 is the long form; SEED=n repeats the choices."""
import collections
import contextlib
import http.client
import json
import os
import random
import signal
import time

from conftest import FILTERS, Background, one_outcome_each, tell, wait_until
from test_chaos import seed, supervise, wait_settled  # noqa: F401

REQUESTS = int(os.environ.get("GATEWAY_REQUESTS", "400"))
INSTANCES, PATIENCE = 3, 180
CLIENTS = 16 if REQUESTS < 5000 else 100
LOOKS_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Client(Background):
    """Sends its requests one after another, each until it is answered for good, through whichever instance answers."""

    def __init__(self, pipeline, number, count, seed):
        super().__init__()
        self.pipeline, self.number, self.count, self.random = pipeline, number, count, random.Random(seed * 100 + number)
        self.answers, self.tries, self.failed = {}, collections.Counter(), None

    def ask(self, key):
        """The answer, or None: nobody knows."""
        gateway = self.pipeline.filters["gateway", self.random.randrange(INSTANCES)]
        headers = {"Content-Type": "application/json", "Holdfast-Subject": "c%d" % self.number, "Idempotency-Key": key}
        if self.random.random() < 0.3:
            headers["Prefer"] = "wait=2"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", gateway.port("requests"), timeout=self.random.choice([0.05, 8]))
            connection.request("POST", "/reservations", json.dumps({"item_id": "book", "quantity": 1}), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            return answer.status, body
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.tries[type(error).__name__] += 1
            return None

    def one(self, key):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = self.ask(key)
            if answer and answer[0] not in LOOKS_AGAIN:
                return answer
            self.tries[answer[0] if answer else "none"] += 1
            time.sleep(self.random.uniform(0.02, 0.3))
        raise AssertionError("%s of client %d was not answered in %d s" % (key, self.number, PATIENCE))

    def run(self):
        try:
            for i in range(self.count):
                if self.stopping.is_set():
                    return
                key = "order-%d" % i
                self.answers[key] = self.one(key)
                if self.random.random() < 0.1:  # a user who clicks again, much later
                    again = self.one(key)
                    assert again[1]["reservation_id"] == self.answers[key][1]["reservation_id"], (key, again, self.answers[key])
        except Exception as error:  # the test says it
            self.failed = error


def start_gateway(pipeline, slot):
    """Outcomes come from the log: views that are dead, or elsewhere by now, do not matter."""
    pipeline.start("gateway", slot=slot, flags=("--auth", "none", "--caller-rate", "0", "--drain-seconds", "0"), wait=False)


def supervise_all(pipeline):
    supervise(pipeline)
    for slot in range(INSTANCES):
        if pipeline.filters["gateway", slot].process.poll() is not None:  # it began while the broker was away
            start_gateway(pipeline, slot)


def one_answers(pipeline):
    supervise_all(pipeline)
    gateways = [one for (name, _), one in pipeline.filters.items() if name == "gateway"]
    return any(one.process.poll() is None and one.get("/readyz")[0] == 200 for one in gateways)


def harm(pipeline, broker, chance, done):
    """Kills one after another until the clients are through, each time once somebody is there to answer them again: where a start takes seconds nobody would
    be. Returns how often what was killed."""
    killed = collections.Counter()
    while not done():
        supervise_all(pipeline)
        what = chance.choices(["gateway", "filter", "broker"], [6, 5, 1])[0]
        if what == "broker" and killed["broker"] > killed["filter"] // 4:
            continue
        if what == "gateway":
            slot = chance.randrange(INSTANCES)
            pipeline.filters["gateway", slot].end(signal.SIGKILL)
            start_gateway(pipeline, slot)
        elif what == "filter":
            name = chance.choice(FILTERS)
            if pipeline.filters[name, 0].process.poll() is None:
                pipeline.filters[name, 0].end(signal.SIGKILL)
        else:
            broker.kill()
            time.sleep(chance.uniform(0.1, 2))
            broker.run("start", "--port", broker.address.rsplit(":", 1)[1])
        killed[what] += 1
        time.sleep(chance.uniform(0.2, 1.5))
        wait_until(lambda: done() or one_answers(pipeline), "a gateway to be ready")
    return killed


def all_run(pipeline):
    supervise_all(pipeline)
    return all(one.process.poll() is None and one.get("/readyz")[0] == 200 for (name, _), one in pipeline.filters.items())


def test_each_request_is_one_reservation_while_gateways_filters_and_the_broker_are_killed(pipeline, broker, seed):
    pipeline.apply()
    pipeline.start_provider()
    pipeline.start_receiver()
    pipeline.start(*FILTERS)
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": REQUESTS // 2, "payment": "NONE"})
    pipeline.wait_item("book")
    for slot in range(INSTANCES):
        start_gateway(pipeline, slot)
    clients = [Client(pipeline, number, REQUESTS // CLIENTS, seed) for number in range(CLIENTS)]
    began = time.monotonic()
    with contextlib.ExitStack() as running:
        for client in clients:
            running.enter_context(client)
        killed = harm(pipeline, broker, random.Random(seed), lambda: not any(client.thread.is_alive() for client in clients))
    took = time.monotonic() - began
    failed = [client.failed for client in clients if client.failed]
    assert not failed, failed
    wait_until(lambda: all_run(pipeline), "everything to run again")
    wait_settled(pipeline, REQUESTS)
    answers = [answer for client in clients for answer in client.answers.values()]
    assert len(answers) == CLIENTS * (REQUESTS // CLIENTS)
    wrong = [answer for answer in answers if answer[0] not in (200, 202)]
    assert not wrong, wrong[:3]
    ids = {answer[1]["reservation_id"] for answer in answers}
    assert len(ids) == len(answers)  # each key another reservation
    outcomes = one_outcome_each(record["value"] for record in pipeline.read("reservation-outcomes"))
    assert set(outcomes) == ids  # none lost, none that nobody asked for
    approved = sum(statuses == ["APPROVED"] for statuses in outcomes.values())
    assert approved == REQUESTS // 2
    for status, body in answers:
        if status == 200 and body["status"] in ("APPROVED", "FAILED"):
            assert outcomes[body["reservation_id"]] == [body["status"]], (body, outcomes[body["reservation_id"]])
    pipeline.prove()
    tries = sum((client.tries for client in clients), collections.Counter())
    tell("%d requests of %d clients in %.0f s, %s; repeated for %s; %d approved, none lost, none doubled"
         % (len(answers), CLIENTS, took, ", ".join("%s killed %d times" % pair for pair in sorted(killed.items())),
            ", ".join("%s %d" % (name, count) for name, count in sorted(tries.items(), key=str)), approved))
