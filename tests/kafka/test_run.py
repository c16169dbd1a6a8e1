"""scripts/run: what it keeps up, what it gives up, and what it says."""
import json
import os
import runpy
import signal
import subprocess
import time

import pytest
from conftest import BIN, ROOT, wait_until


@pytest.fixture
def run(pipeline, tmp_path):
    pipeline.apply()

    def call(*arguments, check=True):
        result = subprocess.run([ROOT / "scripts/run", arguments[0], "--dir", tmp_path / "run", *arguments[1:]], capture_output=True, text=True,
                                timeout=120, env={**os.environ, "HOLDFAST_BIN": str(BIN)})
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result
    yield call
    call("stop")


def states(run):
    return {one["filter"] + "/%d" % one["slot"]: one for one in json.loads(run("status", "-o", "json", check=False).stdout)["filters"]}


def test_each_filter_has_its_own_properties_file_or_nothing_starts(run, pipeline, tmp_path):
    (tmp_path / "history.properties").write_text("prefix = %s\n" % pipeline.prefix)
    refused = run("up", "--properties", tmp_path, "--filters", "history,catalog", check=False)
    assert refused.returncode != 0 and "catalog.properties cannot be read" in refused.stderr
    run("up", "--detach", "--properties", tmp_path, "--filters", "history", "--", "-b", pipeline.broker.address)
    process = wait_until(lambda: states(run).get("history/0", {}).get("pid"), "history to run")
    assert "history.properties" in open("/proc/%d/cmdline" % process).read()


def test_what_dies_is_started_again_and_what_needs_a_person_is_not(run, pipeline, tmp_path):
    run("up", "--detach", "--filters", "history,catalog,deadline", "--instances", "catalog=2", "--flags", "deadline=-X nonsense.property=1",
        "--", "-b", pipeline.broker.address, "--prefix", pipeline.prefix, "-X", "session.timeout.ms=6000")
    wait_until(lambda: len([one for one in states(run).values() if one["pid"]]) == 3, "three processes to run")
    assert set(states(run)) == {"history/0", "catalog/0", "catalog/1", "deadline/0"}
    wait_until(lambda: states(run)["deadline/0"]["state"].startswith("gave up"), "deadline to be given up")
    first = states(run)["history/0"]["pid"]
    time.sleep(max(0, states(run)["history/0"]["since"] + 5 - time.time()))
    os.kill(first, signal.SIGKILL)
    again = wait_until(lambda: states(run)["history/0"]["pid"] not in (None, first) and states(run)["history/0"], "history to be started again")
    assert again["restarts"] == 1 and again["last_exit"] == "signal 9"
    assert "history/0 ended: signal 9; again at once" in (tmp_path / "run/run.log").read_text()
    text = run("status", check=False)
    assert text.returncode == 1 and "gave up" in text.stdout and "last end: signal 9" in text.stdout
    assert run("up", "--", check=False).returncode != 0  # one at a time
    run("stop")
    assert "nothing runs" in run("status", check=False).stdout


def test_P4_what_hangs_is_killed_and_started_again_and_says_what_it_waits_for(run, pipeline, tmp_path):
    run("up", "--detach", "--filters", "history", "--watchdog", "5", "--", "-b", pipeline.broker.address, "--prefix", pipeline.prefix)
    wait_until(lambda: states(run)["history/0"]["state"] == "running", "history to be ready")
    hangs = states(run)["history/0"]["pid"]
    os.kill(hangs, signal.SIGSTOP)
    wait_until(lambda: states(run)["history/0"]["pid"] not in (None, hangs), "another process in its place")
    assert "history/0 hangs: no word for 5 s; killed" in (tmp_path / "run/run.log").read_text()
    wait_until(lambda: states(run)["history/0"]["state"] == "running", "it to be ready")
    assert states(run)["history/0"]["restarts"] == 1


def test_only_what_ends_early_is_waited_with():
    next_pause = runpy.run_path(str(ROOT / "scripts/run"))["next_pause"]
    pauses = [0]
    for lived in (60, 5, 0.1, 4.9, 1, 1, 1, 1, 1, 1, 5, 1):
        pauses.append(next_pause(lived, pauses[-1]))
    assert pauses[1:] == [0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30, 0, 0.5]


def test_its_own_command_line_is_checked(run):
    for arguments, text in ((("--filters", "nothing"), "no filter 'nothing'"), (("--instances", "history=many"), "needs a number"),
                            (("--instances", "history"), "needs FILTER=")):
        result = run("up", *arguments, check=False)
        assert result.returncode == 1 and text in result.stderr
