#!/usr/bin/env python3
"""A receiver of notices for tests and the demo: checks the signature, knows a repeat by its idempotency key, and keeps what it took.

Usage: receiver.py [--port N] [--secret TEXT] [--print]

It prints its port. GET /notices: all that was taken, in order, with how often each came. PUT /settings {"status": 503}: answers so from
now on (a status of 4xx refuses for ever, one of 5xx means later); {"customer": "kim", "status": 503}: for that customer only;
{"delay": 0.5}: each answer takes so many seconds."""
import argparse
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

taken, settings, lock = {}, {"status": 200, "customer": None, "delay": 0, "refused_signatures": 0}, threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):  # a caller may be killed in its call
        try:
            super().handle()
        except ConnectionError:
            pass

    def log_message(self, *arguments):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        with lock:
            self.answer(200, {"notices": list(taken.values()), "refused_signatures": settings["refused_signatures"]})

    def do_PUT(self):
        settings.update({"customer": None, **json.loads(self.body())})
        self.answer(200, settings)

    def do_POST(self):
        body, key = self.body(), self.headers.get("Idempotency-Key")
        if options.secret:
            wanted = "sha256=" + hmac.new(options.secret.encode(), body, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(wanted, self.headers.get("X-Holdfast-Signature", "")):
                settings["refused_signatures"] += 1
                return self.answer(401, {"error": "the signature does not fit the body"})
        notice = json.loads(body)
        time.sleep(settings["delay"])
        if settings["status"] >= 300 and settings["customer"] in (None, notice["customer_id"]):
            return self.answer(settings["status"], {"error": "as the settings say"})
        if options.forget:
            return self.answer(200, {"taken": True})
        with lock:
            known = taken.setdefault(key, {**notice, "times": 0})
            known["times"] += 1
        if options.print and known["times"] == 1:
            print("%s: %s" % (notice["contact"] or notice["customer_id"], notice["text"]), flush=True)
        self.answer(200, {"taken": True})


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--secret", default="")
parser.add_argument("--print", action="store_true", help="print each notice as it is taken")
parser.add_argument("--forget", action="store_true", help="take notices and keep nothing")
options = parser.parse_args()
ThreadingHTTPServer.daemon_threads = True
server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
server.socket.listen(128)
print(server.server_address[1], flush=True)
server.serve_forever()
