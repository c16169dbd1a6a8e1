"""Many callers of an HTTP server from one thread: each has a connection of its own, and a request on it at a time."""
import contextlib
import re
import select
import socket
import time


class Answer:
    def __init__(self, status, body):
        self.status, self.body, self.at = status, body, time.time()

    def __repr__(self):
        return "%d %s" % (self.status, self.body[:200])


class Callers(contextlib.AbstractContextManager):
    """source: an address of 127.0.0.0/8, whose crowd they are."""

    def __init__(self, port, count, source="127.0.0.1"):
        self.sockets, self.epoll, self.received = [], select.epoll(), {}
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(source, 0))
            self.epoll.register(one, select.EPOLLIN)
            self.sockets.append(one)
        self.numbers = {one.fileno(): number for number, one in enumerate(self.sockets)}

    def __exit__(self, *failure):
        self.epoll.close()
        for one in self.sockets:
            one.close()

    def send(self, number, text):
        self.received[number] = b""
        self.sockets[number].sendall(text)

    def poll(self, timeout):
        """(number, answer) of those that came; None: the connection was closed."""
        answers = []
        for file, _ in self.epoll.poll(timeout):
            number = self.numbers[file]
            try:
                text = self.sockets[number].recv(65536)
            except ConnectionError:
                text = b""
            self.received[number] = self.received.get(number, b"") + text
            if not text:
                self.epoll.unregister(file)
            answer = whole(self.received[number]) if text else None
            if answer or not text:
                answers.append((number, answer))
        return answers

    def answers(self, numbers, deadline=90):
        """By number, once all of them have one."""
        awaited, found, until = set(numbers), {}, time.monotonic() + deadline
        while awaited:
            assert time.monotonic() < until, "%d of %d were not answered in %d s" % (len(awaited), len(found) + len(awaited), deadline)
            for number, answer in self.poll(1):
                found[number] = answer
                awaited.discard(number)
        return found

    def ask(self, texts, deadline=90):
        """texts: of each caller, in order."""
        for number, text in enumerate(texts):
            self.send(number, text)
        return self.answers(range(len(texts)), deadline)


def whole(text):
    """The answer, once all of it is there."""
    head, gap, body = text.partition(b"\r\n\r\n")
    size = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not gap or (size and len(body) < int(size[1])):
        return None
    return Answer(int(head.split(b" ", 2)[1]), body)


def post(path, body, **headers):
    """The text of a request. Names of headers with _ for -."""
    lines = ["POST %s HTTP/1.1" % path, "Host: x", "Content-Type: application/json", "Content-Length: %d" % len(body)]
    lines += ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()
