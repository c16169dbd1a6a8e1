"""A client of Kubernetes' API, as small as these tests need: the standard library's HTTP, JSON, and watches."""
import json
import pathlib
import ssl
import threading
import time
import urllib.error
import urllib.request

MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
WATCH_SECONDS = 300
TRIES, PAUSE = 60, 0.5  # seconds: of a server that does not answer


class Refused(Exception):
    """The server's answer that is no success."""

    def __init__(self, error):
        self.code, body = error.code, error.read().decode(errors="replace")
        try:
            body = json.loads(body)["message"]
        except (ValueError, KeyError):
            pass
        super().__init__("%d: %s" % (self.code, body))


class Api:
    def __init__(self, kubeconfig):
        config = json.loads(pathlib.Path(kubeconfig).read_text())
        cluster = config["clusters"][0]["cluster"]
        self.server, self.tls = cluster["server"], ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.token = pathlib.Path(config["users"][0]["user"]["tokenFile"]).read_text()

    def open(self, method, path, body=None, kind="application/json", timeout=30):
        request = urllib.request.Request(self.server + path, json.dumps(body).encode() if body is not None else None, method=method,
                                         headers={"Authorization": "Bearer " + self.token, "Content-Type": kind})
        try:
            return urllib.request.urlopen(request, timeout=timeout, context=self.tls)
        except urllib.error.HTTPError as error:
            raise Refused(error) from None

    def call(self, method, path, body=None, kind="application/json"):
        for left in reversed(range(TRIES)):
            try:
                with self.open(method, path, body, kind) as answer:
                    return json.load(answer)
            except OSError:
                if not left:
                    raise
                time.sleep(PAUSE)

    def get(self, path):
        return self.call("GET", path)

    def find(self, path):
        """None: it does not exist."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.code != 404:
                raise
            return None

    def create(self, path, body):
        """What exists already stays as it is."""
        try:
            return self.call("POST", path, body)
        except Refused as refused:
            if refused.code != 409:
                raise
            return None


class Watch(threading.Thread):
    """Keeps the objects of a path, by uid; changed(object, True if it is gone) is called for each change, and for each that was there before."""

    def __init__(self, api, path, changed):
        super().__init__(daemon=True)
        self.api, self.path, self.changed, self.objects = api, path, changed, {}

    def run(self):
        while True:
            try:
                self.follow(self.list())
            except (OSError, Refused, ValueError):
                time.sleep(0.2)  # the apiserver restarts, or has forgotten the version: from the beginning

    def list(self):
        found = self.api.get(self.path)
        now = {one["metadata"]["uid"]: one for one in found["items"]}
        for uid in set(self.objects) - set(now):
            self.take(self.objects[uid], gone=True)
        for one in now.values():
            self.take(one, gone=False)
        return found["metadata"]["resourceVersion"]

    def take(self, one, gone):
        if gone:
            self.objects.pop(one["metadata"]["uid"], None)
        else:
            self.objects[one["metadata"]["uid"]] = one
        self.changed(one, gone)

    def follow(self, version):
        joint = "&" if "?" in self.path else "?"
        path = "%s%swatch=1&resourceVersion=%s&timeoutSeconds=%d" % (self.path, joint, version, WATCH_SECONDS)
        with self.api.open("GET", path, timeout=WATCH_SECONDS + 30) as lines:
            for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self.take(event["object"], event["type"] == "DELETED")
