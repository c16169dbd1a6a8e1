"""Siege through a balancer of a kind that people have: haproxy sends each connection to a gateway that is ready."""
import json
import os
import subprocess

from conftest import Background, free_port, wait_until

LINES = (["-c100", "-t60S", "-r10"], ["-c250", "-t60S", "-r10"])  # of the five systems' own load tests
HANGS_S = 180  # siege's threads may wait for each other for ever once its time is over (4.0.7): the run says nothing then
CONFIGURATION = """
global
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  option httpclose
  option redispatch
frontend requests
  bind 127.0.0.1:%d
  default_backend gateways
backend gateways
  http-request set-header Holdfast-Subject s%%[rand(9973)]
  option httpchk GET /readyz
"""


class Siege(Background):
    """One line after the other, each to its end. places: for each gateway the ports of its requests and of its probes."""

    def __init__(self, folder, places, body):
        super().__init__()
        self.port, self.body, self.folder, self.failure = free_port(), body, folder, None
        self.said, self.without_answer = [], 0
        path = folder / "haproxy.cfg"
        path.write_text(CONFIGURATION % self.port + "".join("  server gateway%d 127.0.0.1:%d check port %d inter 100ms fall 1 rise 1\n" % (number, *place)
                                                            for number, place in enumerate(places)))
        self.balancer = subprocess.Popen(["haproxy", "-db", "-f", path], stderr=open(folder / "haproxy.log", "w"))

    def __enter__(self):
        wait_until(self.is_up, "haproxy to know a gateway that is ready")
        return super().__enter__()

    def is_up(self):
        assert self.balancer.poll() is None, (self.folder / "haproxy.log").read_text()
        return self.siege(["-c1", "-r1"])["availability"] == 100

    def siege(self, line):
        self.without_answer += int(line[0][2:])  # at most: those that a line's end cuts off
        command = ["siege", *line, "--content-type", "application/json", "http://127.0.0.1:%d/reservations POST %s" % (self.port, json.dumps(self.body))]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(self.folder)}, timeout=HANGS_S)
        return json.loads(result.stdout[result.stdout.rindex("{"):])

    def run(self):
        try:
            while not self.stopping.is_set():
                line = LINES[len(self.said) % len(LINES)]
                self.said.append((" ".join(line), self.siege(line)))
        except Exception as failure:
            self.failure = failure

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.balancer.terminate()
        self.balancer.wait(timeout=30)
        assert not self.failure and self.said, self.failure

    def answered(self):
        return sum(said["transactions"] for _, said in self.said)

    def failed(self):
        """With what haproxy said of the gateways."""
        lines = [(line, said) for line, said in self.said if said["failed_transactions"] or said["availability"] != 100]
        return lines and (lines, (self.folder / "haproxy.log").read_text())

    def lines(self):
        for line, said in self.said:
            yield "siege %s: %d requests, %.0f/s, availability %.2f %%, longest %.2f s" % (line, said["transactions"], said["transaction_rate"], said["availability"],
                                                                                    said["longest_transaction"])
