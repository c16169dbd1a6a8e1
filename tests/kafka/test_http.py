"""What the outside can do to a filter's ports, and what a filter does when it is told to stop: the probes are answered, and so is who asks well."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
from conftest import BIN, Filter, wait_until
from test_stories import item

EXCHANGE_S = 10  # a request and its answer (listener.c)
CONNECTIONS = 64


def connect(port, source="127.0.0.1", text=b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "):
    one = socket.socket()
    one.bind((source, 0))
    one.settimeout(20)
    one.connect(("127.0.0.1", port))
    one.sendall(text)
    return one


def ask(port, text, source="127.0.0.1"):
    """The status of the answer to what is sent; None: the connection was closed without one."""
    with contextlib.closing(connect(port, source, text)) as one:
        try:
            line = one.recv(65536)
        except ConnectionError:
            return None
        return int(line.split(b" ")[1]) if line else None


def get(path):
    return b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()


@contextlib.contextmanager
def slow_clients(port, count, source="127.0.0.1"):
    """So many connections that send a byte now and then; each that is closed comes again."""
    stop = threading.Event()
    clients = [connect(port, source) for _ in range(count)]

    def drip():
        while not stop.wait(0.5):
            for i, one in enumerate(clients):
                try:
                    one.sendall(b"x")
                except OSError:
                    one.close()
                    clients[i] = connect(port, source)
    thread = threading.Thread(target=drip)
    thread.start()
    yield clients
    stop.set()
    thread.join()
    for one in clients:
        one.close()


def quickly(port, text, times=20, source="127.0.0.1"):
    """Asks one after the other; each must be answered within two seconds with 200."""
    for _ in range(times):
        began = time.monotonic()
        assert ask(port, text, source) == 200
        assert time.monotonic() - began < 2
        time.sleep(0.05)


@pytest.fixture
def catalog(pipeline):
    pipeline.apply()
    return pipeline.start("catalog")


def test_slow_clients_of_a_view_leave_its_probes_and_its_questions(catalog):
    """Behind a proxy all come from one address, so a limit for each would not do: who asks is let in for who has waited longest."""
    with slow_clients(catalog.port("questions"), 2 * CONNECTIONS):
        for path in ("/livez", "/readyz", "/metrics"):
            quickly(catalog.port("probes"), get(path))
        quickly(catalog.port("questions"), get("/items"))


def test_slow_clients_of_the_probes_leave_room_for_others_and_for_their_own_address(catalog):
    with slow_clients(catalog.port("probes"), 2 * CONNECTIONS, "127.0.0.2"):
        quickly(catalog.port("probes"), get("/livez"), source="127.0.0.3")
        quickly(catalog.port("probes"), get("/livez"), source="127.0.0.2")


def test_an_address_with_many_connections_does_not_close_those_of_another(catalog):
    port = catalog.port("questions")
    with contextlib.closing(connect(port, "127.0.0.2", get("/items"))) as kept:
        assert b" 200 " in kept.recv(65536)
        with slow_clients(port, 2 * CONNECTIONS, "127.0.0.3"):
            kept.sendall(get("/items"))
            assert b" 200 " in kept.recv(65536)


@pytest.mark.parametrize("drip", [b"x", b"\r\nX-More: y"])
def test_a_request_that_does_not_come_whole_in_its_time_is_closed_however_it_drips(catalog, drip):
    began = time.monotonic()
    with contextlib.closing(connect(catalog.port("questions"))) as one:
        one.settimeout(0.2)
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 3 * EXCHANGE_S:
                one.sendall(drip)
                try:
                    if not one.recv(4096):
                        raise ConnectionError
                except TimeoutError:
                    pass
    assert EXCHANGE_S - 1 <= time.monotonic() - began < EXCHANGE_S + 3


def test_an_answer_that_is_not_taken_is_closed_in_its_time(catalog):
    """Requests in a row whose answers nobody reads, until the socket's buffers are full."""
    with contextlib.closing(connect(catalog.port("probes"), text=b"")) as one:
        one.settimeout(0.2)
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 4 * EXCHANGE_S:
                try:
                    one.sendall(get("/metrics") * 100)
                except TimeoutError:
                    pass
    quickly(catalog.port("probes"), get("/livez"))


def test_headers_and_bodies_are_bounded_and_a_question_that_cannot_be_passed_on_is_refused(catalog):
    port = catalog.port("questions")
    assert ask(port, b"GET /items HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100000 + b"\r\n\r\n") == 431
    assert ask(port, get("/items/" + "x" * 100000)) in (414, 431)
    assert ask(port, b"POST /items HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello") == 405
    assert ask(port, b"GET /items HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello") == 200
    with pytest.raises(ConnectionError), contextlib.closing(connect(port, text=b"")) as one:
        one.sendall(b"GET /items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):
            one.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    quickly(port, get("/items"), 3)


def timed(port, path):
    began = time.monotonic()
    return ask(port, get(path)), time.monotonic() - began


@pytest.fixture
def beside_one_that_hangs(pipeline):
    """An instance of catalog with items, and another one that is stopped: its kernel takes connections, and nobody answers."""
    pipeline.apply()
    pipeline.start("reserve-requested", "stock-check")
    for slot in (0, 1):
        pipeline.start("catalog", slot=slot, flags=["-X", "session.timeout.ms=45000"], wait=False)
    first, second = (pipeline.filters["catalog", slot] for slot in (0, 1))
    for one in (first, second):
        wait_until(lambda: one.metric("partitions_ready") == 2, "catalog/%d to have two partitions" % one.slot)
    first.names = ["hang-%02d" % i for i in range(20)]
    pipeline.holdfast("send", stdin="".join(json.dumps(item(i, "BOOK", capacity=10)) + "\n" for i in first.names))
    wait_until(lambda: len(first.get("/items")[1]["items"]) == 20 and "restoring" not in first.get("/items")[1], "all to be listed")
    second.process.send_signal(signal.SIGSTOP)
    yield first
    second.process.send_signal(signal.SIGCONT)
    wait_until(lambda: all(first.get("/items/" + name)[0] == 200 for name in first.names), "it to be asked again")


def test_an_instance_that_hangs_is_waited_for_once(beside_one_that_hangs):
    """What this instance has is answered at once, and what only the other has gets 503: after its time-out once, then at once."""
    answers = {name: timed(beside_one_that_hangs.port("questions"), "/items/" + name) for name in beside_one_that_hangs.names}
    own = [name for name, (status, _) in answers.items() if status == 200]
    away = [name for name, (status, _) in answers.items() if status == 503]
    assert own and away and len(own) + len(away) == 20, answers
    assert all(answers[name][1] < 1 for name in own), answers
    assert sum(answers[name][1] > 1 for name in away) == 1, answers


def test_a_connection_does_not_wait_for_the_question_of_another(beside_one_that_hangs):
    """Connections share the threads, so no thread may wait for an instance that hangs."""
    port = beside_one_that_hangs.port("questions")
    kept = [connect(port, text=b"") for _ in range(8)]
    waiting = [connect(port, text=get("/items")) for _ in range(40)]
    for name in beside_one_that_hangs.names[:8]:
        for one in kept:
            one.sendall(get("/items/" + name))
        began = time.monotonic()
        answers = [one.recv(65536) for one in kept]
        if b" 200 " in answers[0]:  # its own
            assert all(b" 200 " in answer for answer in answers) and time.monotonic() - began < 1
            break
    else:
        raise AssertionError("none of the items is its own")
    for one in waiting:
        answer = one.recv(65536)
        assert b" 200 " in answer and b"restoring" in answer
    for one in kept + waiting:
        one.close()


def test_0_0_0_0_is_not_where_other_instances_are_sent(pipeline):
    """They are sent to the address that reaches the broker."""
    pipeline.apply()
    for slot in (0, 1):
        pipeline.start("catalog", slot=slot, flags=["--http", "0.0.0.0:0"], wait=False)
    for slot in (0, 1):
        wait_until(lambda: pipeline.filters["catalog", slot].metric("partitions_ready") == 2, "catalog/%d to have two partitions" % slot)
    urls = wait_until(lambda: (lambda said: len(said) == 2 and said)({line["value"]["url"] for line in pipeline.read("view-owners")}), "both to say where they are")
    assert all(url.startswith("http://127.0.0.1:") for url in urls), urls
    for slot in (0, 1):
        wait_until(lambda: "restoring" not in pipeline.filters["catalog", slot].get("/items")[1], "the other to answer")
    elsewhere = pipeline.start("catalog", slot=2, flags=["--http", "0.0.0.0:0", "--peers", "127.0.0.9:0"], wait=False)
    wait_until(lambda: "other instances reach this one at http://127.0.0.9:" in elsewhere.text(), "--peers to be told")


def test_http_is_refused_where_there_are_no_questions(pipeline):
    refused = Filter(pipeline, "stock-check", flags=["--http", "127.0.0.1:0"])
    assert refused.process.wait(timeout=60) == 64
    assert "takes no --http; probes and metrics are at --health" in refused.text()


@pytest.mark.parametrize("name,flag,address,code,text", [
    ("stock-check", "--health", "taken", 75, "another process listens there"), ("catalog", "--http", "taken", 75, "another process listens there"),
    ("catalog", "--peers", "taken", 75, "another process listens there"), ("catalog", "--health", "192.0.2.1:0", 69, "is it an address of this machine?"),
    ("catalog", "--http", "here", 64, "--http needs ADDRESS:PORT"), ("catalog", "--peers", "127.0.0.1:x", 64, "--peers needs ADDRESS:PORT")])
def test_a_port_in_use_is_worth_a_restart_and_a_bad_address_is_not(pipeline, name, flag, address, code, text):
    pipeline.apply()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        refused = Filter(pipeline, name, flags=[flag, taken if address == "taken" else address])
        assert refused.process.wait(timeout=60) == code, refused.text()
        assert text in refused.text()


def catches(pid):
    """True once the process has come as far as to catch SIGTERM."""
    for line in open("/proc/%d/status" % pid):
        if line.startswith("SigCgt"):
            return int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.parametrize("name", ["stock-check", "catalog"])
@pytest.mark.parametrize("broker_there", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whenever_it_is_told_to_stop_it_ends_with_0_and_soon(pipeline, name, broker_there, number):
    if broker_there:
        pipeline.apply()
    for turn in range(20):
        flags = [] if broker_there else ["-b", "127.0.0.1:9"]
        one = Filter(pipeline, name, flags=flags)
        wait_until(lambda: one.process.poll() is None and catches(one.process.pid), "the first instructions of main")
        time.sleep(turn / 20)  # the moment is what is tried here
        began = time.monotonic()
        code = one.end(number)
        assert code == 0, (turn, one.text())
        assert time.monotonic() - began < 10, (turn, one.text())
        assert "Sanitizer" not in one.text()


def test_a_pipe_that_is_told_to_stop_has_not_worked(pipeline):
    """What reads from it must not take what came for the whole."""
    process = subprocess.Popen([BIN / "stock-check", "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is None and os.stat("/proc/%d/exe" % process.pid) and not catches(process.pid), "the pipe to be open")
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM
