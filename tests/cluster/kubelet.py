#!/usr/bin/env python3
"""A kubelet for tests: one node, whose pods are processes of this machine. It has no containers, so it needs neither a registry nor root.

Usage: kubelet.py --kubeconfig FILE --bin FOLDER --dir FOLDER [--node NAME] [--network 127.N] [--crash-pause SECONDS]

  --bin FOLDER           the binaries: what the image has in /usr/bin and /usr/libexec/holdfast
  --dir FOLDER           volumes and logs: pods/NAMESPACE/NAME/CONTAINER.log, volumes/UID
  --network 127.N        the first half of the pods' addresses [by its process id]
  --crash-pause SECONDS  between the first two restarts of what crashes; then twice as much, and so on, up to 30 times it [10, as Kubernetes']

What it does as Kubernetes' own: init containers; environment (values, fieldRef, configMapKeyRef, secretKeyRef, envFrom); volumes of ConfigMaps and Secrets,
emptyDir, and claims, which it provisions; startup, readiness and liveness probes over HTTP; restartPolicy with CrashLoopBackOff; grace periods; statuses,
events, the node's lease. What a container isolates, a process does not have: see Sandbox. It does not enforce limits, securityContext and network policies, has no
hooks, no logs for `kubectl logs`, and does not change mounted files.
"""
import argparse
import base64
import datetime
import http.client
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from api import MERGE, STRATEGIC, Api, Refused, Watch

TICK, LOOK_AGAIN = 0.1, 0.5  # seconds: at processes; for what a pod still lacks
HEARTBEAT, LEASE_SECONDS = 10, 40
LONGEST_PAUSE, PAUSE_FORGOTTEN = 30, 600  # times the first pause; seconds
LAST_WORDS = 2048  # bytes of a log in a termination message
CLASS = "folders"
IMAGE_FOLDERS = ("/usr/libexec/holdfast", "/usr/bin")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sandbox:
    """Where a process differs from a container: it has the machine's files and network. So a path in the image or below a mount becomes the folder that it
    stands for, and "every address" the pod's own, wherever a command or the environment names them. Names of services are not resolved."""

    def __init__(self, binaries, ip, mounts):
        self.ip = ip
        self.folders = {path.rstrip("/"): folder for path, folder in mounts.items()} | {path: binaries for path in IMAGE_FOLDERS}

    def translate(self, text):
        if text.startswith("0.0.0.0:"):
            return self.ip + text.removeprefix("0.0.0.0")
        for path, folder in self.folders.items():
            if text == path or text.startswith(path + "/"):
                return str(folder) + text.removeprefix(path)
        return text


class Prober(threading.Thread):
    """One probe of one life of a container. `passed` is None until it has passed or failed as often as its thresholds say."""

    def __init__(self, probe, address, after):
        super().__init__(daemon=True)
        self.probe, self.address, self.after = probe, address, after
        self.passed, self.last, self.ended = None, "", threading.Event()

    def ask(self):
        get = self.probe["httpGet"]
        connection = http.client.HTTPConnection(self.address, get["port"], timeout=self.probe.get("timeoutSeconds", 1))
        try:
            connection.request("GET", get.get("path", "/"))
            answer = connection.getresponse()
            self.last = "HTTP probe failed with statuscode: %d" % answer.status
            return 200 <= answer.status < 400
        except (OSError, http.client.HTTPException) as error:
            self.last = "Get http://%s:%d%s: %s" % (self.address, get["port"], get.get("path", "/"), error)
            return False
        finally:
            connection.close()

    def run(self):
        while self.after and not self.after.passed:
            if self.ended.wait(TICK):
                return
        in_a_row, before = 0, None
        pause = self.probe.get("initialDelaySeconds", 0)
        while not self.ended.wait(pause):
            asked, good = time.monotonic(), self.ask()
            in_a_row, before = in_a_row + 1 if good == before else 1, good
            if in_a_row >= self.probe.get("successThreshold" if good else "failureThreshold", 1 if good else 3):
                self.passed = good
            pause = max(0, asked + self.probe.get("periodSeconds", 10) - time.monotonic())


class Container:
    def __init__(self, pod, spec):
        self.pod, self.spec, self.name = pod, spec, spec["name"]
        self.log_path = pod.folder / (self.name + ".log")
        self.process, self.starts, self.crashes, self.next_start = None, 0, 0, 0.0
        self.last, self.done, self.waiting = None, None, {"reason": "ContainerCreating"}  # last: how the life before ended; done: how it ended for good
        self.probers, self.kill_at = {}, None

    # ---- its life ----

    def start(self):
        sandbox = Sandbox(self.pod.kubelet.options.bin, self.pod.ip, self.pod.mounts(self.spec))
        environment = {name: sandbox.translate(value) for name, value in self.pod.environment(self.spec).items()}
        command = [sandbox.translate(word) for word in self.spec.get("command", []) + self.spec.get("args", [])]
        with open(self.log_path, "ab") as log:
            self.log_begin, self.started_at, self.began = log.tell(), now(), time.monotonic()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.pod.folder, start_new_session=True,
                                            env={"PATH": "/usr/bin:/bin", "HOSTNAME": self.pod.name, **environment})
        self.starts, self.waiting, self.kill_at = self.starts + 1, None, None
        self.probe()

    def probe(self):
        startup = None
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in self.spec:
                probe = {**self.spec[kind], "httpGet": {**self.spec[kind]["httpGet"]}}
                named = {port.get("name"): port["containerPort"] for port in self.spec.get("ports", [])}
                probe["httpGet"]["port"] = named.get(probe["httpGet"]["port"], probe["httpGet"]["port"])
                self.probers[kind] = Prober(probe, self.pod.ip, startup)
                startup = startup or (self.probers[kind] if kind == "startupProbe" else None)
                self.probers[kind].start()

    def passed(self, kind):
        """None: not decided yet. Without a probe it is as if it had passed."""
        return self.probers[kind].passed if kind in self.spec else True

    def started(self):
        return self.process is not None and self.passed("startupProbe") is True

    def ready(self):
        return self.started() and self.passed("readinessProbe") is True

    def end(self, grace):
        """SIGTERM now, and SIGKILL when the grace is over; the shortest counts."""
        if self.process:
            if self.kill_at is None:
                self.signal(signal.SIGTERM)
            self.kill_at = min(self.kill_at or float("inf"), time.monotonic() + grace)

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def look(self, restarts):
        """Takes notice of what has ended, and starts what is due."""
        if self.process and self.kill_at is not None and time.monotonic() >= self.kill_at:
            self.signal(signal.SIGKILL)
        if self.process and self.process.poll() is not None:
            self.take_end(restarts)
        elif self.process and self.kill_at is None:
            self.heed_probes()
        elif not self.process and not self.done and time.monotonic() >= self.next_start:
            try:
                self.start()
            except (OSError, LookupError) as error:
                self.next_start, self.waiting = time.monotonic() + 1, {"reason": "CreateContainerConfigError", "message": str(error)}

    def heed_probes(self):
        for kind in ("startupProbe", "livenessProbe"):
            if self.passed(kind) is False:
                self.pod.event("Unhealthy", "%s of %s failed: %s" % (kind, self.name, self.probers[kind].last))
                self.pod.event("Killing", "Container %s failed its %s and is restarted" % (self.name, kind))
                self.end(self.spec[kind].get("terminationGracePeriodSeconds", self.pod.grace()))

    def take_end(self, restarts):
        code = self.process.returncode if self.process.returncode >= 0 else 128 - self.process.returncode
        for prober in self.probers.values():
            prober.ended.set()
        ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": self.started_at, "finishedAt": now(), **self.message(code)}}
        self.process, self.probers = None, {}
        if not restarts or (restarts == "OnFailure" and code == 0):
            self.done = ended
            return
        self.last, first = ended, self.pod.kubelet.options.crash_pause
        self.crashes = 1 if time.monotonic() - self.began > PAUSE_FORGOTTEN else self.crashes + 1
        pause = 0 if self.crashes == 1 else min(first * 2 ** (self.crashes - 2), first * LONGEST_PAUSE)
        self.next_start = time.monotonic() + pause
        if pause:
            self.waiting = {"reason": "CrashLoopBackOff", "message": "back-off %gs restarting failed container=%s pod=%s" % (pause, self.name, self.pod.name)}
            self.pod.event("BackOff", "Back-off restarting failed container %s, which ended with %d" % (self.name, code))

    def message(self, code):
        if not code or self.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return {}
        text = self.log_path.read_bytes()[self.log_begin:]
        return {"message": text[-LAST_WORDS:].decode(errors="replace")}

    def status(self):
        running = {"running": {"startedAt": self.started_at}} if self.process else None
        return {"name": self.name, "image": self.spec["image"], "imageID": "", "containerID": "process://%d" % self.process.pid if self.process else "",
                "restartCount": max(0, self.starts - 1), "started": self.started(), "ready": self.ready() or (self.done is not None and not self.done["terminated"]["exitCode"]),
                "state": self.done or running or (self.last if self.waiting is None else {"waiting": self.waiting}), "lastState": self.last or {}}


class Pod(threading.Thread):
    """From the pod's binding to this node until its object is gone."""

    def __init__(self, kubelet, seen):
        super().__init__(daemon=True)
        self.kubelet, self.seen, self.gone, self.told = kubelet, seen, False, None
        self.namespace, self.name, self.uid = (seen["metadata"][key] for key in ("namespace", "name", "uid"))
        self.spec, self.path = seen["spec"], "/api/v1/namespaces/%s/pods/%s" % (self.namespace, self.name)
        self.ip, self.folder = kubelet.next_address(), kubelet.options.dir / "pods" / self.namespace / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.inits, self.containers = ([Container(self, one) for one in self.spec.get(key, [])] for key in ("initContainers", "containers"))
        self.volumes, self.since = {}, {}

    def find(self, kind, name):
        return self.kubelet.api.find("/api/v1/namespaces/%s/%s/%s" % (self.namespace, kind, name))

    def event(self, reason, text):
        self.kubelet.api.create("/api/v1/namespaces/%s/events" % self.namespace, {
            "metadata": {"generateName": self.name + "."}, "reason": reason, "message": text, "type": "Warning", "firstTimestamp": now(), "lastTimestamp": now(), "count": 1,
            "source": {"component": "kubelet"}, "involvedObject": {"kind": "Pod", "apiVersion": "v1", "namespace": self.namespace, "name": self.name, "uid": self.uid}})

    # ---- what a container gets ----

    def values(self, kind, reference):
        """A ConfigMap's or Secret's; empty if it may be absent."""
        found = self.find(kind, reference.get("name") or reference["secretName"])
        if found is None and not reference.get("optional"):
            raise LookupError("%s %s not found" % (kind[:-1], reference.get("name") or reference["secretName"]))
        data = (found or {}).get("data") or {}
        return {name: base64.b64decode(value).decode() for name, value in data.items()} if kind == "secrets" else data

    def field(self, path):
        metadata = self.seen["metadata"]
        if path.startswith(("metadata.labels['", "metadata.annotations['")):
            return metadata.get(path.split(".")[1].split("[")[0], {}).get(path.split("'")[1], "")
        return {"metadata.name": self.name, "metadata.namespace": self.namespace, "metadata.uid": self.uid, "status.podIP": self.ip, "spec.nodeName": self.kubelet.options.node}[path]

    def environment(self, spec):
        found = {}
        for source in spec.get("envFrom", []):
            for kind, key in (("configmaps", "configMapRef"), ("secrets", "secretRef")):
                if key in source:
                    found |= {source.get("prefix", "") + name: value for name, value in self.values(kind, source[key]).items()}
        for one in spec.get("env", []):
            source = one.get("valueFrom", {})
            if "fieldRef" in source:
                found[one["name"]] = self.field(source["fieldRef"]["fieldPath"])
            for kind, key in (("configmaps", "configMapKeyRef"), ("secrets", "secretKeyRef")):
                if key in source:
                    values = self.values(kind, source[key])
                    if source[key]["key"] in values:
                        found[one["name"]] = values[source[key]["key"]]
                    elif not source[key].get("optional"):
                        raise LookupError("%s %s has no key %s" % (kind[:-1], source[key]["name"], source[key]["key"]))
            if not source:
                found[one["name"]] = one.get("value", "")
        return found

    def mounts(self, spec):
        return {one["mountPath"]: self.volumes[one["name"]] for one in spec.get("volumeMounts", [])}

    def prepare_volume(self, volume):
        if "persistentVolumeClaim" in volume:
            claim = self.find("persistentvolumeclaims", volume["persistentVolumeClaim"]["claimName"])
            if not claim or claim["status"].get("phase") != "Bound":
                raise LookupError("claim %s is not bound" % volume["persistentVolumeClaim"]["claimName"])
            return pathlib.Path(self.kubelet.api.get("/api/v1/persistentvolumes/" + claim["spec"]["volumeName"])["spec"]["hostPath"]["path"])
        folder = self.folder / "volumes" / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        for kind, key in (("configmaps", "configMap"), ("secrets", "secret")):
            if key in volume:
                for name, text in self.values(kind, volume[key]).items():
                    (folder / name).write_text(text)
        return folder

    # ---- its life ----

    def grace(self):
        return self.spec.get("terminationGracePeriodSeconds", 30)

    def deleted(self):
        return "deletionTimestamp" in self.seen["metadata"]

    def prepared(self):
        try:
            self.volumes = {volume["name"]: self.prepare_volume(volume) for volume in self.spec.get("volumes", [])}
            return True
        except LookupError as error:
            for one in self.inits + self.containers:
                one.waiting = {"reason": "ContainerCreating", "message": str(error)}
            self.report()
            return False

    def run(self):
        try:
            while not self.prepared() and not self.deleted() and not self.gone:
                time.sleep(LOOK_AGAIN)
            while not self.deleted() and not self.gone:
                self.turn()
                time.sleep(TICK)
            self.end()
        except Exception:  # a fault of ours must not look like one of a filter
            traceback.print_exc()
            self.kubelet.failed = True
            self.kubelet.stopping.set()

    def turn(self):
        policy = self.spec.get("restartPolicy", "Always")
        waits = next((one for one in self.inits if not one.done), None)
        for one in [waits] if waits else self.containers:
            one.look("OnFailure" if waits and policy == "Always" else None if policy == "Never" else policy)
        self.report()

    def end(self):
        while running := [one for one in self.inits + self.containers if one.process]:
            for one in running:
                one.end(0 if self.gone else self.seen["metadata"].get("deletionGracePeriodSeconds", self.grace()))
                one.look(None)
            self.report()
            time.sleep(TICK)
        self.report()
        if not self.gone:
            self.kubelet.safely("DELETE", self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}})

    # ---- what others see ----

    def phase(self):
        if self.inits and not all(one.done for one in self.inits) or not any(one.starts for one in self.containers):
            return "Pending"
        if not all(one.done for one in self.containers):
            return "Running"
        return "Failed" if any(one.done["terminated"]["exitCode"] for one in self.containers) else "Succeeded"

    def conditions(self):
        phase, ready = self.phase(), all(one.ready() for one in self.containers)
        so = {"PodReadyToStartContainers": bool(self.volumes) or phase != "Pending", "Initialized": all(one.done for one in self.inits), "ContainersReady": ready, "Ready": ready}
        for kind, value in so.items():
            if self.since.get(kind, (None,))[0] != value:
                self.since[kind] = (value, now())
        reason = {"reason": "PodCompleted"} if phase == "Succeeded" else {"reason": "ContainersNotReady"}
        return [{"type": kind, "status": str(value), "lastTransitionTime": self.since[kind][1], **({} if value else reason)} for kind, value in so.items()]

    def report(self):
        status = {"phase": self.phase(), "conditions": self.conditions(), "hostIP": "127.0.0.1", "hostIPs": [{"ip": "127.0.0.1"}], "podIP": self.ip, "podIPs": [{"ip": self.ip}],
                  "initContainerStatuses": [one.status() for one in self.inits], "containerStatuses": [one.status() for one in self.containers]}
        if status != self.told and not self.gone:
            began = {} if self.told else {"startTime": now()}
            self.kubelet.safely("PATCH", self.path + "/status", {"metadata": {"uid": self.uid}, "status": {**status, **began}}, STRATEGIC)
            self.told = status


class Kubelet:
    def __init__(self, options):
        self.options, self.api, self.pods, self.numbers = options, Api(options.kubeconfig), {}, itertools.count(1)
        self.stopping, self.failed = threading.Event(), False

    def next_address(self):
        number = next(self.numbers)
        return "%s.%d.%d" % (self.options.network, number // 250, number % 250 + 1)

    def safely(self, method, path, body, kind="application/json"):
        """What is gone, or another by now, needs no word of ours."""
        try:
            return self.api.call(method, path, body, kind)
        except Refused as refused:
            if refused.code not in (404, 409):
                raise

    # ---- the node ----

    def register(self):
        size = {"cpu": "64", "memory": "256Gi", "pods": "500", "ephemeral-storage": "1Ti"}
        labels = {"kubernetes.io/hostname": self.options.node, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        self.api.create("/api/v1/nodes", {"metadata": {"name": self.options.node, "labels": labels}})
        self.node_status = {"capacity": size, "allocatable": size, "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": self.options.node}]}
        self.api.create("/apis/storage.k8s.io/v1/storageclasses", {
            "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "holdfast.test/" + CLASS, "reclaimPolicy": "Retain"})

    def beat(self):
        lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        self.api.create(lease, {"metadata": {"name": self.options.node}, "spec": {}})
        self.api.call("PATCH", lease + "/" + self.options.node, {"spec": {"holderIdentity": self.options.node, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": micro_now()}}, MERGE)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "processes can be started", "lastHeartbeatTime": now(), "lastTransitionTime": self.since}
        self.api.call("PATCH", "/api/v1/nodes/%s/status" % self.options.node, {"status": {**self.node_status, "conditions": [ready]}}, STRATEGIC)

    # ---- pods and claims ----

    def take_pod(self, seen, gone):
        uid = seen["metadata"]["uid"]
        if uid not in self.pods and not gone and seen["status"].get("phase") not in ("Succeeded", "Failed"):
            self.pods[uid] = Pod(self, seen)
            self.pods[uid].start()
        if uid in self.pods:
            self.pods[uid].seen, self.pods[uid].gone = seen, gone
        if gone:
            self.pods.pop(uid, None)

    def take_claim(self, claim, gone):
        """A folder for whoever asks; the controller binds the two."""
        if gone or claim["spec"].get("storageClassName") != CLASS or claim["spec"].get("volumeName"):
            return
        metadata, uid = claim["metadata"], claim["metadata"]["uid"]
        folder = self.options.dir / "volumes" / uid
        folder.mkdir(parents=True, exist_ok=True)
        self.api.create("/api/v1/persistentvolumes", {
            "metadata": {"name": "pvc-" + uid},
            "spec": {"capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]}, "accessModes": claim["spec"]["accessModes"], "storageClassName": CLASS,
                     "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": str(folder)},
                     "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": metadata["namespace"], "name": metadata["name"], "uid": uid}}})

    def run(self):
        """An exit code."""
        self.since = now()
        self.register()
        self.beat()
        Watch(self.api, "/api/v1/pods?fieldSelector=spec.nodeName%3D" + self.options.node, self.take_pod).start()
        Watch(self.api, "/api/v1/persistentvolumeclaims", self.take_claim).start()
        print("the node %s is ready" % self.options.node, flush=True)
        while not self.stopping.wait(HEARTBEAT):
            try:
                self.beat()
            except (OSError, Refused) as error:
                print("no heartbeat: %s" % error, file=sys.stderr)
        for pod in list(self.pods.values()):  # whose objects stay: another kubelet may come
            pod.gone = True
        for pod in list(self.pods.values()):
            pod.join(30)
        return 70 if self.failed else 0


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    parser.add_argument("--kubeconfig", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path)
    parser.add_argument("--dir", type=pathlib.Path)
    parser.add_argument("--node", default="machine")
    parser.add_argument("--network", default="127.%d" % (1 + os.getpid() % 250))
    parser.add_argument("--crash-pause", type=float, default=10)
    parser.add_argument("-h", "--help", action="store_true")
    options = parser.parse_args()
    if options.help or not (options.kubeconfig and options.bin and options.dir):
        print(__doc__)
        return 0 if options.help else 64
    options.bin, options.dir = options.bin.resolve(), options.dir.resolve()
    kubelet = Kubelet(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: kubelet.stopping.set())
    return kubelet.run()


if __name__ == "__main__":
    sys.exit(main())
