"""A load that rises tenfold and falls, and instances that come and go by what deploy/kubernetes/monitoring/scale.yaml says: a stand-in for KEDA and the
horizontal pod autoscaler, which follows their rules, with a minute as two seconds. SCALING_SECONDS=60 runs it (with HOLDFAST_BIN=build/bin): so long is the load high."""
import collections
import math
import os
import signal
import time

import pytest
import yaml
from conftest import FILTERS, ROOT, Background, one_outcome_each, tell, wait_until
from test_chaos import wait_settled

SECONDS = float(os.environ.get("SCALING_SECONDS", "0"))
MINUTE = 2.0  # seconds here: a second of the manifest is so much shorter
NAME, LOW, HIGH = "stock-check", 10, 100  # reservations a second
BATCH, LINGER_MS = 4, 100  # so that an instance works off some tens a second, on a machine with few cores
pytestmark = pytest.mark.skipif(not SECONDS, reason="SCALING_SECONDS=60: minutes of its own")


def scaled_object():
    documents = yaml.safe_load_all((ROOT / "deploy/kubernetes/monitoring/scale.yaml").read_text())
    return next(one for one in documents if one["metadata"]["name"] == "holdfast-" + NAME)["spec"]


class Autoscaler(Background):
    """desired = ceil(current x value / threshold) of each trigger, the largest counts; recommendations are held for the window, and changes limited."""

    def __init__(self, pipeline):
        super().__init__()
        spec = scaled_object()
        self.least, self.most, self.triggers = spec["minReplicaCount"], spec["maxReplicaCount"], spec["triggers"]
        self.behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        self.pipeline, self.count, self.history, self.changed = pipeline, 1, collections.deque(), 0.0
        self.counts, self.late, self.samples = [(time.monotonic(), 1)], [], collections.deque()

    def instances(self):
        return [self.pipeline.filters[NAME, slot] for slot in range(self.count)]

    def lateness(self):
        return max(one.metric("lag_seconds") for one in self.instances())

    def busy(self):
        """Seconds of work a second, of all, over the last minute."""
        now = time.monotonic()
        self.samples.append((now, {one.process.pid: one.metric("commit_seconds_total") for one in self.instances()}))
        while self.samples[0][0] < now - MINUTE:
            self.samples.popleft()
        (began, first), (_, last) = self.samples[0], self.samples[-1]
        return sum(value - first.get(pid, value) for pid, value in last.items()) / max(now - began, MINUTE / 2)

    def desired(self, late, busy):
        by_lateness = math.ceil(self.count * late / float(self.triggers[0]["metadata"]["threshold"])) if late > 2.2 or late < 1.8 else self.count
        by_work = math.ceil(busy / float(self.triggers[1]["metadata"]["threshold"]))
        return min(max(by_lateness, by_work, self.least), self.most)

    def stabilized(self, desired, now):
        up, down = (self.behavior[way]["stabilizationWindowSeconds"] * MINUTE / 60 for way in ("scaleUp", "scaleDown"))
        self.history.append((now, desired))
        while self.history[0][0] < now - max(up, down):
            self.history.popleft()
        lowest = min(value for at, value in self.history if at >= now - up)
        highest = max(value for at, value in self.history if at >= now - down)
        return lowest if lowest > self.count else highest if highest < self.count and now - self.counts[-1][0] >= down else self.count

    def run(self):
        while not self.stopping.is_set():
            try:
                late, now = self.lateness(), time.monotonic()
                self.late.append(late)
                target = self.stabilized(self.desired(late, self.busy()), now)
                way = "scaleUp" if target > self.count else "scaleDown"
                if target != self.count and now - self.changed >= self.behavior[way]["policies"][0]["periodSeconds"] * MINUTE / 60:
                    self.change(1 if target > self.count else -1)
                    self.changed = time.monotonic()
            except OSError:
                pass  # one has not begun to listen yet
            self.stopping.wait(0.3)

    def change(self, by):
        """An ordinal more, or the last one less, whose place is given up at once."""
        if by > 0:
            start(self.pipeline, self.count)
        else:
            assert self.pipeline.filters[NAME, self.count - 1].end(signal.SIGTERM) == 0
            self.pipeline.holdfast("release", NAME, "--slot", str(self.count - 1))
        self.count += by
        self.counts.append((time.monotonic(), self.count))


def start(pipeline, slot):
    pipeline.start(NAME, slot=slot, flags=("--batch-records", str(BATCH), "--linger-ms", str(LINGER_MS)))


def send_for(pipeline, seconds, rate, first, prefix="s"):
    began, number = time.monotonic(), first
    while time.monotonic() < began + seconds:
        pipeline.send(*[{"type": "Reserve", "reservation_id": "%s-%d" % (prefix, number + i), "customer_id": "c%d" % (i % 97), "item_id": "book", "quantity": 1} for i in range(rate)])
        number += rate
        time.sleep(max(0, began + (number - first) / rate - time.monotonic()))
    return number


def test_instances_follow_the_load_without_flapping_and_nothing_is_lost_or_doubled(pipeline):
    pipeline.apply()
    pipeline.start_provider()
    pipeline.start_receiver()
    pipeline.start(*[name for name in FILTERS if name != NAME])
    start(pipeline, 0)
    pipeline.send({"type": "RegisterItem", "item_id": "book", "title": "book", "kind": "BOOK", "capacity": 10000000, "payment": "NONE"})
    pipeline.wait_item("book")
    with Autoscaler(pipeline) as autoscaler:
        sent = send_for(pipeline, 10, LOW, 0)
        assert autoscaler.count == 1, autoscaler.counts
        sent = send_for(pipeline, SECONDS, HIGH, sent)
        at_high = autoscaler.count
        sent = send_for(pipeline, 10, LOW, sent)
        wait_until(lambda: autoscaler.count == 1, "one instance again", 180)
    counts = [count for _, count in autoscaler.counts]
    top = max(counts)
    assert at_high == top >= 2 and counts == [*range(1, top), *range(top, 0, -1)], "up, and then down: %s" % counts
    wait_settled(pipeline, sent)
    outcomes = one_outcome_each(record["value"] for record in pipeline.read("reservation-outcomes"))
    assert len(outcomes) == sent
    pipeline.prove()
    tell("scaling by lateness: %d to %d reservations/s and back, instances %s, latest %.1f s" % (LOW, HIGH, " ".join(map(str, counts)), max(autoscaler.late)))
