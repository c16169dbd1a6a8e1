"""Many callers of a gateway at once: who waits, who is idle, and who goes on beside them. GATEWAY_CALLERS=10000 is the long form: 10,000 that wait take
200 MiB at most. Memory is that of the plain build, as sanitizers have their own."""
import contextlib
import http.client
import os
import pathlib
import re
import socket
import subprocess
import time

import pytest
from callers import Callers, post
from conftest import BIN, DEADLINE, PLAIN, Pipeline, tell, wait_until
from test_gateway import WITHOUT_LIMIT, Gateway, stands_still
from test_http import connect

CALLERS = int(os.environ.get("GATEWAY_CALLERS", "500"))
MOST_MIB = 60 + CALLERS * 14 / 1024
WAIT_S = 60


@pytest.fixture(scope="module")
def shop(broker, tmp_path_factory):
    """The way from a Reserve to its outcome, and an item for everybody."""
    pipeline = Pipeline(broker, tmp_path_factory.mktemp("load"))
    pipeline.apply()
    pipeline.start("reserve-requested", "stock-check", "payment", "approved-failed", "catalog", "history")
    pipeline.send({"type": "RegisterItem", "item_id": "crowd", "title": "crowd", "kind": "BOOK", "capacity": 10 * CALLERS, "payment": "NONE"})
    pipeline.wait_item("crowd")
    yield pipeline
    pipeline.close()


def memory_mib(gateway, what="VmRSS"):
    text = pathlib.Path("/proc/%d/status" % gateway.filter.process.pid).read_text()
    return int(re.search(what + r":\s+(\d+)", text)[1]) / 1024


def open_files(gateway):
    return len(os.listdir("/proc/%d/fd" % gateway.filter.process.pid))


def waiting(gateway):
    return int(re.search(r"(?m)^holdfast_gateway_waiting (\d+)", gateway.filter.get("/metrics")[1])[1])


def reserve(key, **headers):
    return post("/reservations", '{"item_id":"crowd","quantity":1}', Holdfast_Subject="c-%s" % key, Idempotency_Key=key, **headers)


def good_callers_go_on(gateway, name, times=20):
    """From an address of their own."""
    for turn in range(times):
        began = time.monotonic()
        with Callers(gateway.port(), 1, "127.0.0.3") as caller:
            answer = caller.ask([reserve("%s-%d" % (name, turn))])[0]
        assert answer and answer.status == 202 and time.monotonic() - began < 8, (turn, answer)


def test_many_who_wait_take_little_memory_and_hear_their_outcomes(shop):
    """On connections that were used before, so that their buffers are all there."""
    gateway = Gateway(shop, 0, folder=PLAIN)
    alone = memory_mib(gateway)
    with Callers(gateway.port(), CALLERS) as callers:
        accepted = callers.ask([reserve("first-%d" % number) for number in range(CALLERS)])
        assert {answer.status for answer in accepted.values()} == {202}
        idle = memory_mib(gateway)
        shop.filters["payment", 0].end()
        for number in range(CALLERS):
            callers.send(number, reserve("second-%d" % number, Prefer="wait=%d" % WAIT_S))
        wait_until(lambda: waiting(gateway) == CALLERS, "all to wait")
        good_callers_go_on(gateway, "beside")
        shop.start("payment")
        answers = callers.answers(range(CALLERS))
    assert all(answer.status == 200 and b'"APPROVED"' in answer.body for answer in answers.values()), list(answers.values())[:5]
    peak = memory_mib(gateway, "VmHWM")
    tell("%d who waited: %.0f MiB at most, %.0f before they waited, %.0f before they came" % (CALLERS, peak, idle, alone))
    assert peak < MOST_MIB
    gateway.filter.end()


@pytest.mark.parametrize("most", [12000, CALLERS // 2])
def test_idle_connections_are_bounded_and_closed_in_their_time_and_good_callers_go_on(shop, most):
    gateway = Gateway(shop, 1, flags=(*WITHOUT_LIMIT, "--connections", str(most)), folder=PLAIN)
    others = open_files(gateway)
    with Callers(gateway.port(), CALLERS, "127.0.0.2"):
        good_callers_go_on(gateway, "idle-%d" % most)
        assert open_files(gateway) <= most + others + 64
        wait_until(lambda: open_files(gateway) < others + 10, "those that say nothing to be closed")
    peak = memory_mib(gateway, "VmHWM")
    tell("%d idle connections, %d of which may be open: %.0f MiB at most" % (CALLERS, most, peak))
    assert peak < MOST_MIB
    gateway.filter.end()


def test_more_connections_than_open_files_are_refused_at_the_start(shop):
    """A soft limit is raised; one that may not be raised is told, before a connection to Kafka has no file left."""
    command = [BIN / "gateway", "-b", shop.broker.address, "--prefix", shop.prefix, "--auth", "none", "--http", "127.0.0.1:0",
               "--drain-seconds", "0", "--connections", "1500"]
    refused = subprocess.run(["prlimit", "--nofile=1000:1000", *command], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 78 and "1500 connections need 2012 open files, and this process may have 1000" in refused.stderr, refused.stderr
    started = subprocess.Popen(["prlimit", "--nofile=1000:3000", *command], stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(started.stderr.readline, "")
        assert any("listening for requests" in line for line in lines)
    finally:
        started.terminate()
        started.communicate(timeout=60)
    assert started.returncode == 0


def connections_from(gateway, address):
    """The gateway's ends of them that are open, as the kernel has them."""
    text = "%02X%02X%02X%02X" % tuple(reversed([int(part) for part in address.split(".")]))
    rows = [line.split()[1:4] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(local.endswith(":%04X" % gateway.port()) and remote.startswith(text) and state == "01" for local, remote, state in rows)


def test_a_listener_that_takes_no_events_is_closed_in_its_time(shop):
    """Who took what came so far, and hears nothing new, is left alone."""
    gateway = Gateway(shop, 2)
    listen = b"GET /events HTTP/1.1\r\nHost: x\r\nHoldfast-Roles: administrator\r\n\r\n"
    with contextlib.closing(socket.socket()) as deaf, contextlib.closing(connect(gateway.port(), "127.0.0.5", listen)) as good:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.4", 0))
        deaf.connect(("127.0.0.1", gateway.port()))
        deaf.sendall(listen)
        good.settimeout(DEADLINE)
        assert b" 200 " in good.recv(65536) and wait_until(lambda: connections_from(gateway, "127.0.0.4") == 1, "both to listen")
        good_callers_go_on(gateway, "heard", 40)
        heard = b""
        while heard.count(b'"APPROVED"') < 40:
            heard += good.recv(65536)
        wait_until(lambda: connections_from(gateway, "127.0.0.4") == 0, "who takes nothing to be closed")
        assert connections_from(gateway, "127.0.0.5") == 1
    gateway.filter.end()


def answer_of(connection):
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


@pytest.mark.parametrize("count", [127, 128, 256])
def test_requests_that_come_all_at_once_are_all_answered(shop, count):
    """128 events at once on one thread: libmicrohttpd by itself would wait for another before it looks at them."""
    gateway = Gateway(shop, 3, flags=(*WITHOUT_LIMIT, "--threads", "1"))
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(contextlib.closing(connect(gateway.port(), "127.0.0.1", ask))) for _ in range(count)]
        for connection in connections:
            connection.settimeout(DEADLINE)
            assert answer_of(connection) == 200
        with stands_still(gateway.filter.process.pid):
            for connection in connections:
                connection.sendall(ask)
        assert [answer_of(connection) for connection in connections] == [200] * count
    gateway.filter.end()
