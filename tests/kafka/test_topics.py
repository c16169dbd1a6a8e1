"""`holdfast topics apply` where the groups it asks about are not at rest: it waits for what passes by itself, and says what to do about the rest."""
import subprocess
import threading

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from conftest import BIN, DEADLINE, ROOT, wait_until


def applying(pipeline):
    return subprocess.Popen([BIN / "holdfast", "topics", "apply", "-b", pipeline.broker.address, "--prefix", pipeline.prefix, "--topics", ROOT / "topics"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Member:
    """Somebody in the group of a filter, who commits nothing."""

    def __init__(self, pipeline, group, topic):
        self.consumer = Consumer({"bootstrap.servers": pipeline.broker.address, "group.id": pipeline.prefix + group, "enable.auto.commit": False,
                                  "session.timeout.ms": 6000})
        self.consumer.subscribe([pipeline.prefix + topic])
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()
        wait_until(self.consumer.assignment, "the member to be given its partitions")

    def poll(self):
        while not self.over.is_set():
            self.consumer.poll(0.1)

    def leave(self):
        self.over.set()
        self.thread.join()
        self.consumer.close()


def with_topics_alone(pipeline):
    """All topics, and groups that have committed nothing."""
    admin = AdminClient({"bootstrap.servers": pipeline.broker.address})
    topics = []
    for path in (ROOT / "topics").glob("*.topic"):
        lines = dict(line.split(" = ", 1) for line in path.read_text().splitlines() if " = " in line and not line.startswith("#"))
        settings = {name: value for name, value in lines.items() if "." in name}
        topics.append(NewTopic(pipeline.prefix + path.stem, int(lines["partitions"]), config=settings))
    for future in admin.create_topics(topics).values():
        future.result()
    wait_until(lambda: all(topic.topic in admin.list_topics(timeout=20).topics for topic in topics), "the topics to be there")


def test_the_first_commit_waits_for_members_to_leave(pipeline):
    with_topics_alone(pipeline)
    member = Member(pipeline, "stock-check", "stock-requests")
    apply = applying(pipeline)
    try:
        wait_until(lambda: "trying again" in apply.stderr.readline(), "it to say what it waits for")
        assert apply.poll() is None
    finally:
        member.leave()
    out, error = apply.communicate(timeout=DEADLINE)
    assert apply.returncode == 0, out + error
    assert "nothing to do" in pipeline.holdfast("topics", "apply", "--topics", ROOT / "topics").stdout


def test_members_that_stay_are_told_of_with_the_way_out(pipeline):
    with_topics_alone(pipeline)
    member = Member(pipeline, "stock-check", "stock-requests")
    try:
        out, error = (apply := applying(pipeline)).communicate(timeout=DEADLINE)
    finally:
        member.leave()
    assert apply.returncode == 75, out + error
    assert "the group 'stock-check': it has members still. Stop the filter" in error


def test_a_broker_that_has_just_started_is_waited_for(pipeline, broker):
    pipeline.apply()
    broker.kill()
    broker.start()
    out, error = (apply := applying(pipeline)).communicate(timeout=DEADLINE)
    assert apply.returncode == 0, out + error
    assert "nothing to do" in out
