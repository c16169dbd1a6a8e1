"""In place of Prometheus and of KEDA's metrics server: the API external.metrics.k8s.io, whose values come from the pods' own /metrics by the queries of a
ScaledObject. It knows the two forms of query that deploy/kubernetes/monitoring/scale.yaml has, and no more."""
import collections
import http.server
import json
import re
import ssl
import threading
import time
import urllib.request

GROUP = "external.metrics.k8s.io"
PATH = "/apis/%s/v1beta1" % GROUP
QUERY = re.compile(r'(?:max\(avg_over_time|sum\(rate)\((\w+)\{filter="([\w-]+)"\}\[(\d+)([sm])\]\)\)$')


class Query:
    """`shorter` divides its window, where a test's minutes are short."""

    def __init__(self, text, shorter):
        found = QUERY.match(text)
        assert found, "a query that this stand-in for Prometheus does not know: " + text
        self.name, self.filter, self.rate = found[1], found[2], text.startswith("sum(rate")
        self.window = int(found[3]) * (60 if found[4] == "m" else 1) / shorter
        self.series = collections.defaultdict(collections.deque)  # by pod: (when, value)

    def take(self, pod, when, page):
        for line in page.splitlines():
            if line.startswith(self.name + "{"):
                self.series[pod].append((when, float(line.rsplit(" ", 1)[1])))

    def value(self, now):
        found = []
        for samples in self.series.values():
            while samples and samples[0][0] < now - self.window:
                samples.popleft()
            values = [value for _, value in samples]
            if self.rate and len(values) > 1:
                found.append((values[-1] - values[0]) / (samples[-1][0] - samples[0][0]))
            elif values and not self.rate:
                found.append(sum(values) / len(values))
        return (sum(found) if self.rate else max(found)) if found else None


class Metrics:
    """`pods` gives (uid, address) of those to be read; certificate and key are the server's."""

    def __init__(self, queries, pods, folder, every=0.3):
        self.queries, self.pods, self.every = queries, pods, every
        self.stopping, self.lock, self.seen = threading.Event(), threading.Lock(), []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.server.serve_forever, self.scrape)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stopping.set()
        self.server.shutdown()

    def scrape(self):
        while not self.stopping.wait(self.every):
            for pod, address in self.pods():
                try:
                    page = urllib.request.urlopen("http://%s:8090/metrics" % address, timeout=2).read().decode()
                except OSError:
                    continue
                with self.lock:
                    for query in self.queries.values():
                        query.take(pod, time.monotonic(), page)
            with self.lock:
                self.seen.append({name: query.value(time.monotonic()) for name, query in self.queries.items()})

    def answer(self, path):
        """None: no such thing."""
        if path == PATH:
            resources = [{"name": name, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]} for name in self.queries]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP + "/v1beta1", "resources": resources}
        query = self.queries.get(path.split("?")[0].rsplit("/", 1)[-1])
        with self.lock:
            value = query and query.value(time.monotonic())
        if value is None:
            return None
        item = {"metricName": path.split("?")[0].rsplit("/", 1)[-1], "metricLabels": {}, "value": "%dm" % round(value * 1000),
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUP + "/v1beta1", "metadata": {}, "items": [item]}

    def handler(self):
        metrics = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                found = metrics.answer(self.path)
                body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": "nothing at " + self.path}).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass
        return Handler
