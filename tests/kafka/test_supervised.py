"""A supervisor that speaks systemd's protocol hears how a filter is: while it starts, serves, hangs and ends."""
import collections
import os
import signal
import socket

import pytest
from conftest import wait_until

WATCHDOG_SECONDS = 1.5


class Supervisor:
    """The socket of a service of Type=notify."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.heard = []
        self.environment = {"NOTIFY_SOCKET": address.replace("\0", "@", 1), "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}

    def listen(self):
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def count(self, word):
        return collections.Counter(self.listen())[word]


@pytest.fixture(params=["a path", "an abstract name"])
def supervisor(request, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify") if request.param == "a path" else "\0holdfast-%d" % os.getpid())
    yield supervisor
    supervisor.socket.close()


def test_a_filter_tells_its_supervisor_that_it_starts_is_ready_turns_hangs_and_ends(pipeline, supervisor):
    pipeline.apply()
    filter_ = pipeline.start("stock-check", environment=supervisor.environment, wait=False)
    wait_until(lambda: supervisor.count("READY=1"), "READY=1")
    before_ready = supervisor.heard[:supervisor.heard.index("READY=1")]
    assert "EXTEND_TIMEOUT_USEC=60000000" in before_ready and "WATCHDOG=1" not in before_ready
    assert any(word.startswith("STATUS=") and word != "STATUS=ready" for word in before_ready), "it says what it waits for"
    assert filter_.ready()
    wait_until(lambda: supervisor.count("WATCHDOG=1") >= 5, "the watchdog to be fed")
    os.kill(filter_.process.pid, signal.SIGSTOP)
    def is_quiet():  # no word for longer than the watchdog allows: systemd would end it
        before = len(supervisor.listen())
        return not _hears_within(supervisor, before, WATCHDOG_SECONDS)
    wait_until(is_quiet, "silence of a filter that hangs")
    os.kill(filter_.process.pid, signal.SIGCONT)
    fed = supervisor.count("WATCHDOG=1")
    wait_until(lambda: supervisor.count("WATCHDOG=1") > fed, "the watchdog to be fed again")
    assert filter_.end() == 0
    assert supervisor.count("STOPPING=1") == 1 and supervisor.count("READY=1") == 1


def _hears_within(supervisor, before, seconds):
    try:
        wait_until(lambda: len(supervisor.listen()) > before, "a word", seconds)
        return True
    except AssertionError:
        return False


def test_a_supervisor_that_is_not_there_is_warned_of_and_holds_nothing_up(pipeline, tmp_path):
    pipeline.apply()
    filter_ = pipeline.start("stock-check", environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert "cannot tell NOTIFY_SOCKET '%s' how it is: No such file or directory" % (tmp_path / "nobody") in filter_.text()
    assert filter_.end() == 0
