"""The package's units under systemd as process 1: started by readiness, watched, started again, replaced and ended, and nothing is lost.
scripts/try-package --boot makes the root (SYSTEMD_ROOT), and the package that comes after (SYSTEMD_NEXT, a path in the root)."""
import os
import pathlib
import signal
import time

import pytest
from conftest import FILTERS, tell, wait_until
from secure import book, reserve
from systemd import Machine, UnitPipeline
from test_rolling import under_requests

pytestmark = pytest.mark.skipif("SYSTEMD_ROOT" not in os.environ, reason="scripts/try-package --boot makes a root with systemd")


@pytest.fixture(scope="module")
def machine():
    machine = Machine(pathlib.Path(os.environ["SYSTEMD_ROOT"]))
    try:
        machine.boot()
        yield machine
    finally:
        machine.halt()


@pytest.fixture
def pipeline(machine, broker, tmp_path):
    pipeline = UnitPipeline(broker, tmp_path, machine)
    yield pipeline
    pipeline.close()


def open_shop(pipeline):
    pipeline.start_all()
    pipeline.send(book("book", 100000))
    pipeline.wait_item("book")


def sell(pipeline, name):
    pipeline.send(reserve(name, "book"))
    pipeline.wait_status(name, "APPROVED")


def wait_settled(pipeline, count):
    wait_until(lambda: (pipeline.settled() or {}).get("reservations") == count, "%d reservations to be settled" % count)


def test_a_unit_is_started_once_its_filter_is_ready_and_may_do_little(pipeline):
    open_shop(pipeline)
    sell(pipeline, "r-1")
    one = pipeline.restart("payment", signal.SIGTERM)
    assert one.show("ActiveState") == "active" and one.get("/readyz")[0] == 200 and one.show("StatusText") == "ready"
    sell(pipeline, "r-2")
    gateway = pipeline.start("gateway", flags=("--auth", "none", "--drain-seconds", "0"))
    before = gateway.show("MainPID")
    pipeline.machine.systemctl("reload", gateway.unit)
    assert gateway.show("MainPID") == before and gateway.get("/readyz")[0] == 200
    for filter_ in pipeline.filters.values():
        assert filter_.status("Uid")[0] != "0" and filter_.status("CapBnd") == ["0" * 16] and filter_.status("NoNewPrivs") == ["1"] and filter_.status("Seccomp") == ["2"]
        write = pipeline.machine.run("nsenter", "--target", filter_.show("MainPID"), "--mount", "touch", "/etc/written", check=False)
        assert "Read-only file system" in write.stderr, filter_.unit


def test_a_filter_that_is_killed_is_started_again_and_nothing_is_lost(pipeline):
    open_shop(pipeline)
    for number, name in enumerate(FILTERS):
        filter_ = pipeline.filters[name, 0]
        pipeline.send(reserve("before-%d" % number, "book"))
        before, began = filter_.show("MainPID"), time.monotonic()
        filter_.kill(signal.SIGKILL)
        pipeline.send(reserve("after-%d" % number, "book"))
        wait_until(lambda: filter_.show("MainPID") not in (before, "0") and filter_.show("SubState") == "running", "%s to be started again" % name)
        tell("kill -9 of %s: started again and ready after %.1f s" % (filter_.unit, time.monotonic() - began))
        assert filter_.count("NRestarts") == 1 and filter_.get("/readyz")[0] == 200
    wait_settled(pipeline, 2 * len(FILTERS))
    pipeline.prove()


def test_P4_a_filter_that_hangs_is_found_by_the_watchdog_killed_and_started_again(pipeline):
    """All of them, at once: each waits for its own watchdog."""
    open_shop(pipeline)
    sell(pipeline, "before")
    began, before = time.monotonic(), {}
    for filter_ in pipeline.filters.values():
        before[filter_.unit] = filter_.show("MainPID")
        filter_.kill(signal.SIGSTOP)
    pipeline.send(reserve("meanwhile", "book"))
    for filter_ in pipeline.filters.values():
        wait_until(lambda: filter_.count("NRestarts") == 1 and filter_.show("SubState") == "running", "the watchdog to have %s started again" % filter_.unit, 180)
        assert "Watchdog timeout" in filter_.text() and filter_.show("MainPID") != before[filter_.unit]
    tell("SIGSTOP of every filter: found by the watchdog, and ready again, after %.0f s" % (time.monotonic() - began))
    pipeline.wait_status("meanwhile", "APPROVED")
    wait_settled(pipeline, 2)
    pipeline.prove()


def test_what_needs_a_person_is_not_tried_again_and_what_does_not_is(pipeline):
    """78: its topics are missing. 69: no broker answers, until one does."""
    properties = pipeline.machine.file("/etc/holdfast/holdfast.properties")
    right = properties.read_text()
    filter_ = pipeline.start("stock-check", wait=False)
    wait_until(lambda: filter_.show("ActiveState") == "failed", "stock-check to end")
    assert filter_.count("ExecMainStatus") == 78 and filter_.count("NRestarts") == 0 and "does not exist: run 'holdfast topics apply'" in filter_.text()
    pipeline.apply()
    properties.write_text(right.replace(pipeline.broker.address, "127.0.0.1:9"))
    pipeline.start("stock-check", wait=False)
    wait_until(lambda: filter_.count("NRestarts") >= 2, "stock-check to be tried again")
    assert "Main process exited, code=exited, status=69" in filter_.text()
    properties.write_text(right)
    wait_until(lambda: filter_.show("ActiveState") == "active", "stock-check to be ready")


def test_the_target_stops_all_gracefully_and_a_boot_starts_what_is_enabled(pipeline, machine):
    open_shop(pipeline)
    machine.systemctl("enable", *pipeline.units())
    pipeline.send(*[reserve("r-%d" % number, "book") for number in range(500)])
    began = time.monotonic()
    machine.systemctl("stop", "holdfast.target")  # which waits for no unit
    for filter_ in pipeline.filters.values():
        wait_until(lambda: filter_.show("ActiveState") == "inactive", "%s to have stopped" % filter_.unit)
        assert filter_.show("Result") == "success" and filter_.count("ExecMainStatus") == 0, filter_.text()[-2000:]
    tell("systemctl stop holdfast.target: %d units ended after %.1f s" % (len(FILTERS), time.monotonic() - began))
    machine.halt()
    machine.boot()
    for filter_ in pipeline.filters.values():
        wait_until(lambda: filter_.show("ActiveState") == "active", "%s to be started by the boot" % filter_.unit)
    wait_settled(pipeline, 500)
    pipeline.prove()
    machine.systemctl("disable", *pipeline.units())


def test_an_upgrade_restarts_nothing_and_units_restarted_in_turn_fail_no_request(pipeline, machine):
    with under_requests(pipeline, "package upgraded, systemctl restart in turn"):
        before = {filter_.unit: filter_.show("MainPID") for filter_ in pipeline.filters.values()}
        assert not any(filter_.show("Description").endswith("next") for filter_ in pipeline.filters.values())
        machine.run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", os.environ["SYSTEMD_NEXT"])
        for filter_ in pipeline.filters.values():
            assert filter_.show("MainPID") == before[filter_.unit] and filter_.show("NeedDaemonReload") == "no"
            machine.systemctl("restart", filter_.unit)
            assert filter_.show("MainPID") != before[filter_.unit] and filter_.show("Description").endswith("next")
    assert all(filter_.count("NRestarts") == 0 for filter_ in pipeline.filters.values())
    pipeline.prove()


def test_removing_the_package_stops_everything_and_installing_it_again_goes_on(pipeline, machine):
    open_shop(pipeline)
    sell(pipeline, "before")
    machine.run("apt-get", "remove", "--quiet", "--yes", "holdfast")
    for filter_ in pipeline.filters.values():
        assert filter_.show("ActiveState") == "inactive" and "Deactivated successfully" in filter_.text(), filter_.unit
    machine.run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", os.environ["SYSTEMD_NEXT"])
    machine.systemctl("start", *pipeline.units())
    sell(pipeline, "after")
    wait_settled(pipeline, 2)
    pipeline.prove()
