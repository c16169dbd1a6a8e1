"""Money that moved while the answer was lost, and charges that wait by the thousand: a provider of its own, which dies at the worst moments."""
import json
import signal
import socketserver
import threading
import time

import pytest
from conftest import FILTERS, tell, wait_until


class Provider:
    """Idempotent by key, over kept connections, with books that outlive it. It can die with a request in its hands: the money has moved, no
    byte of an answer goes out, and nobody listens any more."""

    def __init__(self):
        self.books = {}  # path -> how often it was asked for
        self.lock = threading.Lock()
        self.fate = None  # at the next request, once its money has moved: "dies", or "is restarted and busy"
        self.status = 200  # what it answers; nothing is done with another one
        self.port = 0
        self.start()

    def start(self):
        provider = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    while self.turn():
                        pass
                except (OSError, ValueError):
                    pass

            def turn(self):
                line = self.rfile.readline().split()
                if len(line) != 3:
                    return False
                size = 0
                while header := self.rfile.readline().strip().lower():
                    if header.startswith(b"content-length:"):
                        size = int(header.split(b":")[1])
                self.rfile.read(size)
                answer = provider.take(line[1].decode(), self.server)
                if answer is None:
                    return False
                body = json.dumps({"status": "approved"}).encode()
                self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (answer, len(body), body))
                return True

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

            def get_request(self):
                connection, peer = super().get_request()
                self.connections.append(connection)
                return connection, peer

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.connections = []
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, path, server):
        with self.lock:
            if server is not self.server:
                return None
            if self.status != 200:
                return self.status
            self.books[path] = self.books.get(path, 0) + 1
            fate, self.fate = self.fate, None
            if fate:
                self.die()
            if fate == "is restarted and busy":
                self.status = 503
                self.start()
            return None if fate else 200

    def die(self):
        """As kill -9 would: the port first, so that no resend finds it."""
        server, self.server = self.server, None
        server.socket.shutdown(2)  # a close alone would take what comes until the poll on it has ended
        server.socket.close()
        threading.Thread(target=server.shutdown, daemon=True).start()
        for connection in server.connections:
            try:
                connection.shutdown(2)
            except OSError:
                pass

    def dead(self):
        return self.server is None


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    with provider.lock:
        if provider.server:
            provider.die()


@pytest.fixture
def shop(pipeline, provider):
    pipeline.apply()
    pipeline.start_receiver()
    pipeline.provider_url = "http://127.0.0.1:%d" % provider.port
    pipeline.start(*FILTERS)
    return pipeline


def show(item_id, **more):
    return {"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "MUSICAL", "capacity": 100, "price": 5, "payment": "AT_ONCE", **more}


def reserve(reservation_id, item_id):
    return {"type": "Reserve", "reservation_id": reservation_id, "customer_id": "kim", "item_id": item_id, "quantity": 1}


def charge_states(pipeline, reservation_id):
    """The states that the row of its charge went through."""
    rows = [line["value"] for line in pipeline.read("charge-changelog") if line["value"] and line["value"]["type"] == "Charge"]
    return [row["state"] for row in rows if row["reservation_id"] == reservation_id]


def keep_a_connection(shop):
    shop.send(show("long", hold_seconds=600), show("brief", hold_seconds=3), reserve("first", "long"))
    shop.wait_status("first", "APPROVED")


def test_money_that_moved_before_the_provider_died_is_delivered_though_its_resend_was_refused(shop, provider):
    keep_a_connection(shop)
    provider.fate = "dies"
    shop.send(reserve("second", "brief"))
    wait_until(provider.dead, "the provider to die with the money")
    wait_until(lambda: "UNKNOWN" in charge_states(shop, "second"), "the charge to be unknown")
    wait_until(lambda: any(line["value"]["type"] == "DeadlinePassed" and line["value"]["reservation_id"] == "second"
                           for line in shop.read("payment-requests")), "the hold to end")
    provider.start()
    shop.wait_status("second", "APPROVED")
    assert "DEFERRED" not in charge_states(shop, "second")
    assert len(provider.books) == 2 and sorted(provider.books.values())[0] == 1  # asked again by the same key
    wait_until(shop.settled, "everything to settle")
    shop.prove()


def test_money_that_moved_before_the_provider_died_is_given_back_though_its_owner_cancelled_meanwhile(shop, provider):
    keep_a_connection(shop)
    provider.fate = "dies"
    shop.send(reserve("second", "long"))
    wait_until(provider.dead, "the provider to die with the money")
    shop.send({"type": "Cancel", "reservation_id": "second", "customer_id": "kim"})
    wait_until(lambda: "UNKNOWN" in charge_states(shop, "second"), "the charge to be unknown")
    wait_until(lambda: any(line["value"]["type"] == "Cancel" for line in shop.read("payment-requests")), "the cancel to be there")
    provider.start()
    shop.wait_status("second", "CANCELLED")
    assert shop.statuses("second") == ["REQUESTED", "HELD", "APPROVED", "REFUNDING", "CANCELLED"]
    assert sum("/refunds/" in path for path in provider.books) == 1
    wait_until(shop.settled, "everything to settle")
    shop.prove()


def test_money_that_moved_is_delivered_though_the_provider_that_came_back_answered_the_resend_503(shop, provider):
    keep_a_connection(shop)
    provider.fate = "is restarted and busy"
    shop.send(reserve("second", "brief"))
    wait_until(lambda: "UNKNOWN" in charge_states(shop, "second"), "the charge to be unknown")
    wait_until(lambda: any(line["value"]["type"] == "DeadlinePassed" and line["value"]["reservation_id"] == "second"
                           for line in shop.read("payment-requests")), "the hold to end")
    provider.status = 200
    shop.wait_status("second", "APPROVED")
    assert "DEFERRED" not in charge_states(shop, "second")
    wait_until(shop.settled, "everything to settle")
    shop.prove()


WAITING = 2000


def test_charges_that_wait_by_the_thousand_are_all_paid_once_the_provider_is_back(shop, provider):
    """scripts/bench waiting is the same with 100,000. Few calls at a time make the same of it here: more waits than they take in two seconds."""
    shop.restart("charge", signal.SIGTERM, flags=["--provider-calls", "4"])
    shop.send(show("hall", capacity=WAITING, hold_seconds=600))
    shop.wait_item("hall", available=WAITING)
    with provider.lock:
        provider.die()
    shop.send(*[reserve("w-%d" % i, "hall") for i in range(WAITING)])
    shop.wait_item("hall", held=WAITING)

    def breakers():
        lines = shop.filters["charge", 0].get("/metrics")[1].splitlines()
        return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("holdfast_breaker_state{")]

    wait_until(lambda: min(breakers()) > 0, "every breaker to be open")
    openings = len(shop.read("breaker-events"))
    wait_until(lambda: len(shop.read("breaker-events")) >= openings + 8, "the breakers to try in vain")
    provider.start()
    began = time.monotonic()
    wait_until(lambda: max(breakers()) == 0, "every breaker to be closed", 70)  # it waits for 60 s at most
    closed = time.monotonic()
    shop.wait_item("hall", sold=WAITING)
    tell("%d charges waited: breakers closed %.1f s after the provider was back, all paid %.1f s later" % (
        WAITING, closed - began, time.monotonic() - closed))
    assert len(provider.books) == WAITING and set(provider.books.values()) == {1}
