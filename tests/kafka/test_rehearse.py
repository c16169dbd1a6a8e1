"""holdfast rehearse, on the tests' broker: what it says, and that it leaves nothing behind."""
import json
import pathlib
import signal
import subprocess

from confluent_kafka.admin import AdminClient
from conftest import BIN, wait_until

PREFIX = "try-"


def rehearse(broker, *flags):
    return subprocess.Popen([BIN / "holdfast", "rehearse", "-b", broker.address, "--prefix", PREFIX, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left(broker):
    """Topics and groups that begin with the prefix."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    groups = admin.list_consumer_groups().result().valid
    return [name for name in [*admin.list_topics(timeout=30).topics, *(group.group_id for group in groups)] if name.startswith(PREFIX)]


def folders():
    return set(pathlib.Path("/tmp").glob("holdfast-rehearsal-*"))


def test_a_rehearsal_says_what_it_found_and_leaves_nothing(broker):
    before = folders()
    process = rehearse(broker, "-o", "json", "--reservations", "600")
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, out + error
    found = json.loads(out)
    texts = [one["text"] for one in found["findings"]]
    assert found["fine"] and found["failed"] == 0
    assert "the audit is clean: 200 of 200 units were sold, none twice" in texts
    assert any("killed by -9 in their midst" in text for text in texts) and texts[-1] == "its topics and groups are gone again"
    assert any(text.startswith("default.replication.factor is 1 and should be at least 3") for text in texts), "one broker is warned of"
    assert "transaction.state.log.segment.bytes is 1048576" in texts
    wait_until(lambda: not left(broker), "nothing to be left")
    assert folders() == before


def test_a_rehearsal_that_is_interrupted_leaves_nothing_either(broker):
    process = rehearse(broker, "--reservations", "100000")
    wait_until(lambda: any(name.endswith("reservation-commands") for name in left(broker)), "its topics")
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 1 and out.rstrip().endswith("interrupted"), out + error
    wait_until(lambda: not left(broker), "nothing to be left")


def test_a_cluster_that_does_not_answer_is_said_to_be_so():
    result = subprocess.run([BIN / "holdfast", "rehearse", "-b", "127.0.0.1:9"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and "no broker answers at 127.0.0.1:9" in result.stderr
