"""One small story by the clients that people have: reserve with a key and wait for the outcome, read it, cancel it, and hear of each step by events, of which
the stream breaks after the first and goes on by Last-Event-ID."""
import contextlib
import json
import os
import subprocess
import uuid

import httpx
import pytest
from conftest import ROOT, wait_until
from test_gateway import Gateway, token

STEPS = ["REQUESTED", "HELD", "APPROVED", "CANCELLED"]


@pytest.fixture(scope="module")
def gateway(shared):
    shared.send({"type": "RegisterItem", "item_id": "free", "title": "free", "kind": "BOOK", "capacity": 1000, "payment": "NONE"})
    shared.wait_item("free")
    return Gateway(shared, auth="jwt")


def url_of(gateway):
    return "http://127.0.0.1:%d" % gateway.port()


def right(told):
    assert (told["approved"], told["cancelled"]) == ("APPROVED", "CANCELLED") and told["seen"] in STEPS, told  # a view may be a moment behind
    ids, steps = zip(*told["events"])
    assert list(steps) == STEPS and len(set(ids)) == len(STEPS), told


# Each of these has the same three requests, and hears events from a place on until a step has come.

class Curl:
    def __init__(self, gateway, bearer):
        self.base, self.headers = url_of(gateway), ["-H", "Authorization: Bearer " + bearer]

    def ask(self, method, path, headers=(), body=None):
        more = [part for header in headers for part in ("-H", header)] + (["--json", json.dumps(body)] if body else [])
        done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "-X", method, self.base + path, *self.headers, *more], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done
        text, status = done.stdout.rsplit("\n", 1)
        return int(status), text

    @contextlib.contextmanager
    def lines(self, last):
        more = ["-H", "Last-Event-ID: " + last] if last else []
        with subprocess.Popen(["curl", "-sSN", self.base + "/events", *self.headers, *more], stdout=subprocess.PIPE, text=True) as curl:
            yield (line.rstrip("\n") for line in curl.stdout)
            curl.terminate()


class Httpx:
    def __init__(self, gateway, bearer):
        self.client = httpx.Client(base_url=url_of(gateway), headers={"Authorization": "Bearer " + bearer}, timeout=120)

    def ask(self, method, path, headers=(), body=None):
        answer = self.client.request(method, path, headers=dict(header.split(": ", 1) for header in headers), json=body)
        return answer.status_code, answer.text

    @contextlib.contextmanager
    def lines(self, last):
        with self.client.stream("GET", "/events", headers={"Last-Event-ID": last} if last else {}) as answer:
            yield answer.iter_lines()


def until(lines, step):
    """[id, status] of each event up to that step; None: the first."""
    found, parts = [], {}
    for line in lines:
        name, _, value = line.partition(": ")
        parts[name] = value
        if not line and "data" in parts:
            found.append([parts["id"], json.loads(parts["data"])["status"]])
            parts = {}
            if step in (None, found[-1][1]):
                return found
    raise AssertionError("the stream ended after %s" % found)


def answered(client, *request):
    status, text = wait_until(lambda: (lambda found: found if found[0] != 202 else None)(client.ask(*request)), "a view, which may be a moment behind")
    assert status == 200, text
    return json.loads(text)


@pytest.mark.parametrize("make", [Curl, Httpx])
def test_a_client_reserves_reads_cancels_and_hears_of_it(gateway, make):
    client = make(gateway, token(make.__name__, "customer"))
    with client.lines(None) as lines:
        approved = answered(client, "POST", "/reservations", ["Idempotency-Key: story", "Prefer: wait=30"], {"item_id": "free", "quantity": 1})
        begun = until(lines, None)
    place = "/reservations/" + approved["reservation_id"]
    told = {"approved": approved["status"], "seen": answered(client, "GET", place)["status"], "cancelled": answered(client, "DELETE", place, ["Prefer: wait=30"])["status"]}
    with client.lines(begun[0][0]) as lines:
        right({**told, "events": begun + until(lines, "CANCELLED")})


@pytest.mark.parametrize("way", ["fetch", "EventSource"])
def test_node_reserves_reads_cancels_and_hears_of_it(gateway, way):
    """EventSource reconnects by itself."""
    customer = "node-" + way
    done = subprocess.run(["node", ROOT / "tests/lib/gateway-client.js", way, url_of(gateway), token(customer, "customer"), "free", str(uuid.uuid4())],
                          capture_output=True, text=True, timeout=180, env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
    assert done.returncode == 0, done.stderr
    right(json.loads(done.stdout))
