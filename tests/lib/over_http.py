#!/usr/bin/python3
"""Plays a script of tests/scenarios through the gateway alone: each command is a request of its customer or manager with a token of theirs, each wait
asks until the answer is so. See tests/scenarios/README.md for the scripts.

Usage: over_http.py URL SCRIPT --secret FILE        the gateway's --jwt-secret-file

It prints a line for each request. It ends with 1 at the first wait that does not come true, and says what was shown instead.
"""
import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

AGAIN = (429, 503, 504)  # the same request is safe to send again, as each names its id
PATIENCE = 90  # seconds
SHOWN = 110  # characters of a body
STAFF = ("manager",)
NAMED = {"reservation_id", "item_id", "customer_id", "receipt_id", "manager_id", "reservation", "item", "customer", "tally"}


def quote(text):
    return urllib.parse.quote(text, safe="")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(secret, subject, *roles, **claims):
    """HS256, for ten minutes."""
    body = {"sub": subject, "exp": int(time.time()) + 600, "roles": roles, **claims}
    head = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps(body).encode())
    return "%s.%s" % (head, b64(hmac.new(secret, head.encode(), hashlib.sha256).digest()))


def is_like(found, wanted):
    """As holdfast send has it: an object may have more, an array must have an element like each."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(is_like(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(is_like(one, value) for one in found) for value in wanted)
    return type(found) is type(wanted) and found == wanted


def request_of(command):
    """(caller, roles, method, path, body)"""
    body = {name: value for name, value in command.items() if name != "type"}
    customer, manager = body.pop("customer_id", None), body.pop("manager_id", "manager")
    path_of = {"Pay": "/reservations/%s/payment", "Cancel": "/reservations/%s/cancellation"}
    kind = command["type"]
    if kind == "Reserve":
        return customer, ("customer",), "POST", "/reservations", body
    if kind in path_of:
        return customer, ("customer",), "POST", path_of[kind] % quote(body.pop("reservation_id")), body or None
    if kind == "RegisterCustomer":
        return customer, ("customer",), "PUT", "/customers/me", body
    item = "/items/" + quote(body.pop("item_id"))
    if kind == "RegisterItem":
        return manager, STAFF, "PUT", item, body
    return manager, STAFF, "POST", item + {"ReceiveStock": "/receipts", "CloseItem": "/closing"}[kind], body


class Player:
    def __init__(self, url, secret, say=print, suffix=""):
        """suffix: behind every id, so that a script can be played beside another playing of it."""
        self.url, self.secret, self.say, self.suffix = url, secret, say, suffix
        self.customers = {}  # of reservations
        self.refused = {}  # caller -> what the gateway itself refused: it says so at once, and the log has nothing of it

    def renamed(self, value):
        if isinstance(value, dict):
            return {name: one + self.suffix if name in NAMED and isinstance(one, str) else self.renamed(one) for name, one in value.items()}
        return [self.renamed(one) for one in value] if isinstance(value, list) else value

    def ask(self, caller, roles, method, path, body=None, prefer=None):
        """(status, JSON); asks again while the gateway says that it is safe."""
        headers = {"Authorization": "Bearer " + token(self.secret, caller, *roles), "Content-Type": "application/json", **({"Prefer": prefer} if prefer else {})}
        until = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in AGAIN or time.monotonic() > until:
                    return error.code, json.load(error)
                time.sleep(min(1, int(error.headers.get("Retry-After", "1"))))

    def command(self, command, awaited):
        caller, roles, method, path, body = request_of(command)
        if "customer_id" in command and "reservation_id" in command:
            self.customers.setdefault(command["reservation_id"], caller)
        status, answer = self.ask(caller, roles, method, path, body, "wait=30" if awaited else None)
        shown = " ".join(str(answer[name]) for name in ("status", "reason", "amount") if answer.get(name) not in (None, "NONE", 0, status))
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")) if body else ""
        self.say("  %-14s %s %s %s -> %d %s" % (caller, method, path, text if len(text) <= SHOWN else text[:SHOWN] + "...", status, shown))
        if status == 422:
            self.refused.setdefault(caller, []).append({**command, "command": command["type"], "refusal": "INVALID", "detail": answer["detail"]})
        elif status not in (200, 202):
            raise AssertionError("%s %s of %s was answered %d: %s" % (method, path, caller, status, answer))

    def look(self, wait):
        """What the gateway shows of what a wait names, and what it shall show."""
        wanted = {name: value for name, value in wait.items() if name != "seconds"}
        if "reservation" in wanted:
            name = wanted.pop("reservation")
            return self.ask(self.customers.get(name, "nobody"), ("customer",), "GET", "/reservations/" + quote(name)), wanted
        if "customer" in wanted:
            name = wanted.pop("customer")
            status, answer = self.ask(name, ("customer",), "GET", "/customers/me/reservations")
            refused = self.refused.get(name, []) + answer.get("refused", [])
            return (200 if refused else status, {**answer.get("customer", {}), **answer, "refused": refused}), wanted
        thing = "item" if "item" in wanted else "tally"
        return self.ask("manager", STAFF, "GET", {"item": "/items/", "tally": "/tallies/"}[thing] + quote(wanted.pop(thing)) + "?limit=500"), wanted

    def wait(self, wait):
        until = time.monotonic() + PATIENCE
        while True:
            (status, answer), wanted = self.look(wait)
            if status == 200 and is_like(answer, wanted):
                return
            if time.monotonic() > until:
                raise AssertionError("waited %d s for %s; last: %d %s" % (PATIENCE, json.dumps(wait, ensure_ascii=False), status, answer))
            time.sleep(0.05)

    def play(self, script):
        lines = [self.renamed(json.loads(line)) for line in pathlib.Path(script).read_text().splitlines() if line and not line.startswith("#")]
        for line, following in zip(lines, [*lines[1:], {}]):
            if "wait" in line:
                self.wait(line["wait"])
            else:
                self.command(line, "reservation_id" in line and following.get("wait", {}).get("reservation") == line["reservation_id"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("script")
    parser.add_argument("--secret", type=pathlib.Path, required=True)
    options = parser.parse_args()
    try:
        Player(options.url, options.secret.read_bytes().strip()).play(options.script)
    except (AssertionError, OSError) as error:
        sys.exit("over_http: %s" % error)


if __name__ == "__main__":
    main()
