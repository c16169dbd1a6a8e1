"""A secure broker for the tests, and pipelines on it, where each process is a user of its own."""
import json
import os

import pytest
from access import grant, read_properties
from confluent_kafka.admin import AdminClient
from conftest import ROOT, Broker, Pipeline, wait_until

COMMANDS = {**dict.fromkeys(("topics", "skip", "reset", "clock", "release"), "operator"), **dict.fromkeys(("read", "audit", "explain", "replay"), "auditor"),
            "send": "gateway", "acls": "admin"}


FLOW = ["reserve-requested", "stock-check", "payment", "approved-failed", "history", "catalog"]


class SecureBroker(Broker):
    def start(self):
        return super().start("--secure")

    def file(self, name):
        return self.folder / "secure" / name

    def admin(self):
        return AdminClient({**read_properties(self.file("admin.properties")), "bootstrap.servers": self.address, "log_level": 0})


class SecurePipeline(Pipeline):
    """properties: where a user has another file than the broker's own."""

    def __init__(self, broker, folder):
        super().__init__(broker, folder)
        self.properties = {}

    def user_of(self, name):
        return COMMANDS.get(name, name)

    def identity(self, name):
        user = self.user_of(name)
        return ["-F", self.properties.get(user, self.broker.file(user + ".properties"))]

    def environment(self):
        by_password = isinstance(self.broker, ByPassword)
        return {**os.environ, **({"LD_LIBRARY_PATH": str(self.broker.library)} if by_password else {})}

    def rights(self, *names):
        """Of these processes, or of all, as `holdfast acls list` prints them."""
        return json.loads(self.holdfast("acls", "list", "-o", "json", "--principal", "User:{}", *names).stdout)

    def start_flow(self):
        """What a reservation without a payment needs, one after the other: each handshake takes its time."""
        self.apply()
        for name in FLOW:
            self.start(name)

    def apply(self):
        grant(self.broker.admin(), self.rights())
        super().apply()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = SecureBroker(tmp_path_factory.mktemp("secure"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def pipeline(broker, tmp_path):
    pipeline = SecurePipeline(broker, tmp_path)
    yield pipeline
    pipeline.close()


class ByPassword:
    """The same broker at its other address. librdkafka before 2.6.1 cannot use SCRAM with a broker of today: the Python client's own library does."""

    def __init__(self, broker, folder):
        self.broker, self.address = broker, (broker.folder / "scram").read_text().strip()
        self.library = newest_library(folder)

    def __getattr__(self, name):
        return getattr(self.broker, name)

    def file(self, name):
        return self.broker.file(name.replace(".properties", "-scram.properties"))


def newest_library(folder):
    """A folder with the Python client's own librdkafka."""
    library = next((ROOT / "build/venv").glob("lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so.1"))
    path = folder / "newest"
    path.mkdir()
    (path / "librdkafka.so.1").symlink_to(library)
    return path


def book(item_id, capacity=5, **settings):
    return {"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "BOOK", "capacity": capacity, "payment": "NONE", **settings}


def reserve(reservation_id, item_id):
    return {"type": "Reserve", "reservation_id": reservation_id, "customer_id": "kim", "item_id": item_id, "quantity": 1}


def settle(pipeline):
    return wait_until(pipeline.settled, "everything to be settled")
