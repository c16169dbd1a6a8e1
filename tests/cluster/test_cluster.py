"""The manifests of deploy/kubernetes under Kubernetes' own control plane, with real filters and a real broker; tests/cluster/kubelet.py stands in for the
kubelet, services.py for kube-proxy and DNS, external_metrics.py for Prometheus and KEDA's metrics server.

Usage: scripts/cluster build && build/venv/bin/python -m pytest tests/cluster

  CLUSTER_SCALING_SECONDS=300   so long is the load high [45]
  CLUSTER_MINUTE=60             an autoscaler's minute, in seconds [4]
  ROLLING_RATE=100              requests a second [25]

One deployment serves all tests, in their order; each leaves it ready."""
import base64
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

os.environ.setdefault("HOLDFAST_BIN", "build/bin")
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/kafka"), str(ROOT / "tests/cluster")]
pytest_plugins = ["conftest"]

import pytest
import yaml
from api import Api, Refused
from conftest import BIN, FILTERS, SECRET, VIEWS, Background, Broker, Pipeline, one_outcome_each, tell, wait_until
from external_metrics import GROUP, Metrics, Query
from services import is_ready
from test_chaos import wait_settled
from test_rolling import RATE, Load, Outcomes
from test_scaling import send_for

HERE, CLUSTER, NAMESPACE = ROOT / "tests/cluster", ROOT / "build/cluster", "holdfast"
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAY = "movie"  # two of those that a reservation passes through
UNREADY_SECONDS = 12  # two looks of a probe that wait for five seconds
MINUTE = float(os.environ.get("CLUSTER_MINUTE", "4"))  # seconds, of the autoscaler: a second of the manifest is so much shorter
SCALING_SECONDS = float(os.environ.get("CLUSTER_SCALING_SECONDS", "45"))
LOW, HIGH, BATCH, LINGER_MS = 10, 100, 4, 100  # reservations a second; an instance works off some tens a second
WORKLOADS = ["statefulset/holdfast-" + name for name in FILTERS] + ["deployment/holdfast-gateway"]


def free_port():
    return int(subprocess.run([ROOT / "scripts/free-port"], capture_output=True, text=True, check=True).stdout)


class Cluster:
    """The control plane, and a node."""

    def __init__(self, folder):
        self.folder, self.processes = folder, {}

    def script(self, command, *arguments):
        result = subprocess.run([ROOT / "scripts/cluster", command, "--dir", self.folder / "plane", *arguments], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result

    def run(self, name, *arguments, word):
        """One of ours, until it has said that it is ready."""
        with open(self.folder / (name + ".log"), "w") as log:
            self.processes[name] = subprocess.Popen([HERE / (name + ".py"), "--kubeconfig", self.folder / "plane/kubeconfig", *arguments], stdout=log, stderr=log)
        wait_until(lambda: word in self.log(name), "%s to be ready" % name, 30)

    def log(self, name):
        return (self.folder / (name + ".log")).read_text()

    def start(self):
        self.script("start", "--", "--horizontal-pod-autoscaler-sync-period=1s")
        self.api = Api(self.folder / "plane/kubeconfig")
        self.run("kubelet", "--bin", BIN, "--dir", self.folder / "node", "--crash-pause", "1", word="is ready")

    def stop(self):
        codes = {}
        for name, process in reversed(self.processes.items()):
            codes[name] = process.poll()
            process.terminate()
        for process in self.processes.values():
            process.wait(60)
        self.script("stop")
        assert set(codes.values()) <= {None}, {name: self.log(name)[-2000:] for name, code in codes.items() if code is not None}

    def kubectl(self, *words, check=True, stdin=None):
        result = subprocess.run([CLUSTER / "bin/kubectl", "--kubeconfig", self.folder / "plane/kubeconfig", "--cache-dir", self.folder / "kubectl", "-n", NAMESPACE, *words],
                                input=stdin, capture_output=True, text=True, timeout=400)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def find(self, path):
        return self.api.get(path % NAMESPACE)

    def pod(self, name):
        return self.api.find("/api/v1/namespaces/%s/pods/%s" % (NAMESPACE, name))

    def container(self, name):
        """Its status; empty while there is none."""
        pod = self.pod(name)
        return (pod and pod["status"].get("containerStatuses") or [{}])[0]

    def process(self, name):
        return int(self.container(name)["containerID"].removeprefix("process://"))

    def pods_of(self, component):
        return self.find("/api/v1/namespaces/%%s/pods?labelSelector=app.kubernetes.io/component=%s" % component)["items"]

    def ready(self, name, former=None):
        """And another pod than that uid's."""
        pod = self.pod(name)
        return pod and pod["metadata"]["uid"] != former and is_ready(pod)

    def metric(self, name, metric):
        page = urllib.request.urlopen("http://%s:8090/metrics" % self.pod(name)["status"]["podIP"], timeout=20).read().decode()
        return next(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith("holdfast_%s{" % metric))

    def wait_ready(self, *workloads):
        for one in workloads or WORKLOADS:
            self.kubectl("rollout", "status", one, "--timeout=180s")

    def volume(self, claim):
        found = self.find("/api/v1/namespaces/%%s/persistentvolumeclaims/%s" % claim)
        return pathlib.Path(self.api.get("/api/v1/persistentvolumes/" + found["spec"]["volumeName"])["spec"]["hostPath"]["path"])


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if not (CLUSTER / ".complete").exists():
        pytest.exit("the control plane is not built: run scripts/cluster build", 1)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


# ---- what is deployed ----

class Deployed(Pipeline):
    """The pipeline's processes are pods; its provider and its receiver of notices are the test's."""

    def __init__(self, broker, folder, cluster):
        super().__init__(broker, folder)
        self.cluster, self.sent, self.places = cluster, 0, {name: "127.0.0.1:%d" % free_port() for name in (*VIEWS, "gateway")}
        self.ports = [int(self.places["gateway"].rsplit(":", 1)[1])]  # as test_rolling's balancer has them

    def overlay(self):
        """What a user would write, and the addresses that DNS would give."""
        folder = self.folder / "overlay"
        folder.mkdir()
        base = os.path.relpath(KUBERNETES / "overlays" / OVERLAY, folder.resolve())
        config = lambda name, behavior, **values: {"name": name, "behavior": behavior, "literals": ["HOLDFAST_%s=%s" % one for one in values.items()]}
        urls = [{"name": "HOLDFAST_%s_URL" % name.upper(), "value": "http://" + self.places[name]} for name in VIEWS]
        patch = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "holdfast-gateway"},
                 "spec": {"template": {"spec": {"containers": [{"name": "gateway", "env": urls}]}}}}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": NAMESPACE, "resources": [base], "patches": [{"patch": yaml.safe_dump(patch)}],
            "secretGenerator": [{"name": "holdfast", "literals": ["webhook-secret=" + SECRET], "options": {"disableNameSuffixHash": True}}],
            "configMapGenerator": [config("holdfast", "merge", BROKERS=self.broker.address, PREFIX=self.prefix),
                                   config("holdfast-gateway", "replace", AUTH="none", CALLER_RATE=0),
                                   config("holdfast-charge", "replace", PROVIDER_URL=self.provider_url), config("holdfast-notify", "replace", WEBHOOK_URL=self.receiver_url)]}))
        return folder

    def deploy(self):
        self.start_provider()
        self.start_receiver()
        self.cluster.kubectl("create", "namespace", NAMESPACE)
        self.cluster.kubectl("apply", "--server-side", "-k", self.overlay())
        self.cluster.run("services", "--namespace", NAMESPACE, *("holdfast-%s:%d=%s" % (name, 8080 if name == "gateway" else 8081, place)
                                                                 for name, place in self.places.items()), word="serving")

    def ask(self, path, body=None, **headers):
        """(status, JSON) of the gateway."""
        request = urllib.request.Request("http://%s%s" % (self.places["gateway"], path), json.dumps(body).encode() if body else None,
                                         {"Content-Type": "application/json", "Holdfast-Subject": "kim", **headers})
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.load(answer)

    def item(self, item_id):
        with urllib.request.urlopen("http://%s/items/%s" % (self.places["catalog"], item_id), timeout=20) as answer:
            return json.load(answer)

    def list_item(self, item_id):
        self.send({"type": "RegisterItem", "item_id": item_id, "title": item_id, "kind": "BOOK", "capacity": 10000000, "payment": "NONE"})
        self.wait_item(item_id)

    @contextlib.contextmanager
    def under_requests(self, what):
        """In the end no request has failed, and each is one reservation with one outcome."""
        name = what.replace(" ", "-")
        try:
            with Load(self, name) as load, Outcomes(self) as seen:
                wait_until(lambda: len(load.ids) > RATE, "requests to be answered")
                yield
        finally:
            self.sent += len(load.ids)
        assert not load.failed, "%d of %d failed: %s" % (len(load.failed), len(load.ids), load.failed[:5])
        wait_settled(self, self.sent)
        outcomes = one_outcome_each(record["value"] for record in self.read("reservation-outcomes") if record["value"]["reservation_id"].startswith(name + "-"))
        assert set(outcomes) == set(load.ids) and all(statuses == ["APPROVED"] for statuses in outcomes.values())
        self.prove()
        seconds = sorted(load.seconds)
        tell("%s: %d requests at %d/s, 0 failed, p50 %.0f ms, p99.9 %.0f ms, longest %.0f ms; longest time without an outcome %.1f s" % (
            what, len(load.ids), RATE, seconds[len(seconds) // 2] * 1e3, seconds[int(len(seconds) * 0.999)] * 1e3, seconds[-1] * 1e3, seen.longest))

    def prove(self):
        """The stores are the claims' folders."""
        state = self.stores
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        for claim in self.cluster.find("/api/v1/namespaces/%s/persistentvolumeclaims")["items"]:
            for store in self.cluster.volume(claim["metadata"]["name"]).iterdir():
                (state / store.name).symlink_to(store)
        return super().prove()


@pytest.fixture(scope="session")
def deployed(cluster, broker, tmp_path_factory):
    deployed = Deployed(broker, tmp_path_factory.mktemp("deployed"), cluster)
    try:
        deployed.deploy()
        cluster.wait_ready()
        deployed.list_item("book")
        yield deployed
    finally:
        deployed.close()


# ---- the tests ----

def test_the_server_accepts_every_manifest_and_the_operators_custom_resources(cluster):
    """Strictly: an unknown field is refused. Only the server itself validates as it will."""
    cluster.kubectl("apply", "--server-side", "-f", CLUSTER / "crds")
    for path in ("keda.sh/v1alpha1/scaledobjects", "monitoring.coreos.com/v1/podmonitors"):
        wait_until(lambda: cluster.kubectl("get", "--raw", "/apis/" + path, check=False).returncode == 0, path + " to be served")
    strictly = ["apply", "--server-side", "--dry-run=server", "--validate=strict"]
    monitoring = cluster.kubectl("-n", "default", *strictly, "-k", KUBERNETES / "monitoring").stdout
    assert monitoring.count("scaledobject") == len(FILTERS) and monitoring.count("podmonitor") == 1
    for folder in sorted(KUBERNETES.glob("overlays/*")):
        cluster.kubectl("-n", "default", *strictly, "-k", folder)
    for path, right, wrong in (("monitoring", "pollingInterval", "pollingIntervall"), ("monitoring", "podMetricsEndpoints", "podMetricEndpoints"),
                               ("overlays/book", "livenessProbe", "livelinessProbe")):
        text = cluster.kubectl("kustomize", KUBERNETES / path).stdout
        refused = cluster.kubectl("-n", "default", *strictly, "-f", "-", stdin=text.replace(right, wrong), check=False)
        assert refused.returncode != 0 and wrong in refused.stderr, (wrong, refused.stderr)


def test_what_is_applied_becomes_ready_and_a_reservation_through_the_gateway_is_approved(deployed, cluster):
    cluster.kubectl("wait", "--for=condition=complete", "job/holdfast-topics", "--timeout=60s")
    for kind, path in (("StatefulSet", "statefulsets"), ("Deployment", "deployments")):
        for one in cluster.find("/apis/apps/v1/namespaces/%s/" + path)["items"]:
            assert one["status"]["readyReplicas"] == one["spec"]["replicas"], (kind, one["metadata"]["name"])
    status, answer = deployed.ask("/reservations", {"item_id": "book", "quantity": 1, "reservation_id": "first"}, Prefer="wait=20")
    assert (status, answer["status"]) == (200, "APPROVED"), answer
    deployed.sent += 1
    wait_until(lambda: deployed.ask("/reservations/first")[1]["status"] == "APPROVED", "history to have it")


def test_every_workload_is_rolled_out_again_and_no_request_fails(deployed, cluster):
    uids = lambda: {pod["metadata"]["uid"] for pod in cluster.find("/api/v1/namespaces/%s/pods?labelSelector=holdfast/kind!%%3Djob")["items"]}
    before = uids()
    with deployed.under_requests("rollout restart"):
        cluster.kubectl("rollout", "restart", *WORKLOADS)
        cluster.wait_ready()
    wait_until(lambda: len(uids()) == len(before), "the former instances to have ended")
    assert not before & uids()


def evict(cluster, name):
    """Whether it was granted."""
    try:
        cluster.api.call("POST", "/api/v1/namespaces/%s/pods/%s/eviction" % (NAMESPACE, name), {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}})
        return True
    except Refused as refused:
        assert refused.code == 429 and "disruption budget" in str(refused), refused
        return False


def test_an_eviction_within_the_budget_is_granted_and_one_beyond_it_refused(deployed, cluster):
    names = ["holdfast-stock-check-0", "holdfast-stock-check-1"]
    first, second = (cluster.pod(name)["metadata"]["uid"] for name in names)
    with deployed.under_requests("eviction"):
        wait_until(lambda: evict(cluster, names[0]), "the budget to allow one", 30)
        assert not evict(cluster, names[1])
        wait_until(lambda: cluster.ready(names[0], first), "the first to be back")
        assert cluster.pod(names[1])["metadata"]["uid"] == second
        wait_until(lambda: evict(cluster, names[1]), "the budget to allow the other", 30)
        wait_until(lambda: cluster.ready(names[1], second), "the second to be back")


@pytest.mark.parametrize("code, setting, words", [(64, "HOLDFAST_BATCH_RECORDS=many", "--batch-records must be a whole number"),
                                                  (78, "HOLDFAST_PREFIX=nobody-", "the topic 'nobody-stock-requests' does not exist")])
def test_a_wrong_configuration_says_so_takes_no_good_instance_away_and_is_rolled_back(deployed, cluster, code, setting, words):
    """The trap of kubernetes#67250 is that a broken instance stays until somebody deletes it."""
    workload, good, bad = "statefulset/holdfast-stock-check", "holdfast-stock-check-0", "holdfast-stock-check-1"
    uid = cluster.pod(good)["metadata"]["uid"]
    with deployed.under_requests("crash loop %d" % code):
        cluster.kubectl("set", "env", workload, setting)
        try:
            looping = lambda: cluster.container(bad).get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff" and cluster.container(bad)
            ended = wait_until(looping, "the crash loop")["lastState"]["terminated"]
            assert ended["exitCode"] == code and words in ended["message"], ended
            assert words in cluster.kubectl("describe", "pod", bad).stdout
            wait_until(lambda: cluster.metric(good, "partitions_ready") == 4, "the good one to have the broken one's partitions")
            os.kill(cluster.process(good), signal.SIGSTOP)  # as one that restores, it is not ready for a while: it is not to be replaced by a broken one
            time.sleep(UNREADY_SECONDS)
            os.kill(cluster.process(good), signal.SIGCONT)
            wait_until(lambda: cluster.metric(good, "partitions_ready") == 4, "the good one to go on")
            assert cluster.pod(good)["metadata"]["uid"] == uid and cluster.ready(good)
        finally:
            cluster.kubectl("rollout", "undo", workload)
        cluster.wait_ready(workload)
        assert cluster.pod(good)["metadata"]["uid"] == uid


def test_P4_a_filter_that_hangs_is_found_by_its_liveness_and_replaced(deployed, cluster):
    name = "holdfast-stock-check-0"
    before = cluster.container(name)
    with deployed.under_requests("a filter that hangs"):
        os.kill(cluster.process(name), signal.SIGSTOP)
        began = time.monotonic()
        after = wait_until(lambda: cluster.container(name)["restartCount"] > before["restartCount"] and cluster.ready(name) and cluster.container(name), "another process")
        took = time.monotonic() - began
    assert after["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    assert "failed its livenessProbe" in cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=" + name).stdout
    tell("a filter that hangs: another is ready after %.0f s" % took)


# ---- scaling ----

def autoscaler(name):
    """(HPA, query by metric): what KEDA would make of the ScaledObject, with shorter minutes."""
    documents = yaml.safe_load_all((KUBERNETES / "monitoring/scale.yaml").read_text())
    spec = next(one for one in documents if one["metadata"]["name"] == "holdfast-" + name)["spec"]
    shorter = lambda seconds: max(1, round(seconds * MINUTE / 60))
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for rules in behavior.values():
        rules["stabilizationWindowSeconds"] = shorter(rules["stabilizationWindowSeconds"])
        rules["policies"] = [{**one, "periodSeconds": shorter(one["periodSeconds"])} for one in rules["policies"]]
    triggers = {"s%d-prometheus" % number: one for number, one in enumerate(spec["triggers"])}
    target = lambda one: {"type": one["metricType"], one["metricType"][0].lower() + one["metricType"][1:]: one["metadata"]["threshold"]}
    metrics = [{"type": "External", "external": {"metric": {"name": metric, "selector": {"matchLabels": {"scaledobject.keda.sh/name": "holdfast-" + name}}}, "target": target(one)}}
               for metric, one in triggers.items()]
    hpa = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-holdfast-" + name, "namespace": NAMESPACE},
           "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", **spec["scaleTargetRef"]}, "minReplicas": spec["minReplicaCount"], "maxReplicas": spec["maxReplicaCount"],
                    "behavior": behavior, "metrics": metrics}}
    return hpa, {metric: Query(one["metadata"]["query"], 60 / MINUTE) for metric, one in triggers.items()}


def served(metrics, cluster):
    """The aggregated API, at a port of this machine; its certificate is of *.default.svc."""
    authority = (cluster.folder / "plane/ca.pem").read_bytes()
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics", "namespace": "default"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    api = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1." + GROUP},
           "spec": {"group": GROUP, "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": base64.b64encode(authority).decode(),
                    "service": {"name": "metrics", "namespace": "default", "port": metrics.server.server_address[1]}}}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, api]})


class Replicas(Background):
    """How many were wanted, one after the other. What leaves is released, as somebody has to do after a scale-in."""

    def __init__(self, pipeline, name):
        super().__init__()
        self.pipeline, self.cluster, self.name, self.counts = pipeline, pipeline.cluster, name, [1]

    def run(self):
        while not self.stopping.wait(0.2):
            count = self.cluster.find("/apis/apps/v1/namespaces/%s/statefulsets/holdfast-" + self.name)["spec"]["replicas"]
            for slot in range(count, self.counts[-1]):
                wait_until(lambda: not self.cluster.pod("holdfast-%s-%d" % (self.name, slot)), "slot %d to end" % slot)
                self.pipeline.holdfast("release", self.name, "--slot", str(slot))
            if count != self.counts[-1]:
                self.counts.append(count)


def test_instances_follow_the_load_by_the_lag_metric_and_do_not_flap(deployed, cluster):
    name, first = "stock-check", "holdfast-stock-check-0"
    cluster.kubectl("set", "env", "statefulset/holdfast-" + name, "HOLDFAST_BATCH_RECORDS=%d" % BATCH, "HOLDFAST_LINGER_MS=%d" % LINGER_MS)
    cluster.kubectl("scale", "statefulset/holdfast-" + name, "--replicas=1")
    wait_until(lambda: len(cluster.pods_of(name)) == 1, "one instance")
    deployed.holdfast("release", name, "--slot", "1")
    cluster.wait_ready("statefulset/holdfast-" + name)
    wait_until(lambda: cluster.metric(first, "partitions_ready") == 4, "it to have all partitions")
    hpa, queries = autoscaler(name)
    pods = lambda: [(pod["metadata"]["uid"], pod["status"]["podIP"]) for pod in cluster.pods_of(name) if "podIP" in pod["status"]]
    with Metrics(queries, pods, cluster.folder / "plane") as metrics, Replicas(deployed, name) as replicas:
        cluster.kubectl("-n", "default", "apply", "--server-side", "-f", "-", stdin=served(metrics, cluster))
        cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1." + GROUP, "--timeout=60s")
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(hpa))
        sent = 0
        try:
            sent = send_for(deployed, 10, LOW, sent, "scale")
            at_low = replicas.counts[:]
            sent = send_for(deployed, SCALING_SECONDS, HIGH, sent, "scale")
            at_high = replicas.counts[-1]
            sent = send_for(deployed, 10, LOW, sent, "scale")
            wait_until(lambda: replicas.counts[-1] == 1, "one instance again", 60 * MINUTE)
        finally:
            cluster.kubectl("delete", "hpa", hpa["metadata"]["name"])
            deployed.sent += sent
            counts, late = replicas.counts, max(one["s0-prometheus"] or 0 for one in metrics.seen)
            tell("scaling by the HPA: %d to %d reservations/s and back, instances %s, latest %.1f s" % (LOW, HIGH, " ".join(map(str, counts)), late))
    top = max(counts)
    assert at_low == [1] and at_high == top >= 3 and counts == [*range(1, top), *range(top, 0, -1)], "up, and then down: %s" % counts
    assert late < SCALING_SECONDS / 2, "the lag is bounded"
    wait_settled(deployed, deployed.sent)
    outcomes = one_outcome_each(record["value"] for record in deployed.read("reservation-outcomes") if record["value"]["reservation_id"].startswith("scale-"))
    assert len(outcomes) == sent
    deployed.prove()


def test_a_volume_of_another_cluster_is_refused_in_clear_words(deployed, cluster, tmp_path):
    """As after a disaster: the claim is there, and its store belongs to a Kafka cluster that is not this one."""
    name, pod = "tally", "holdfast-tally-0"
    other = Pipeline(Broker(tmp_path / "kafka"), tmp_path)
    other.prefix = deployed.prefix
    other.broker.start()
    try:
        other.apply()
        other.start(name).end()
    finally:
        other.close()
        other.broker.stop()
    cluster.kubectl("scale", "statefulset/holdfast-" + name, "--replicas=0")
    wait_until(lambda: not cluster.pod(pod), "the instance to end")
    store = cluster.volume("state-" + pod) / (name + "-0")
    store.rename(tmp_path / "own")
    shutil.copytree(tmp_path / "state" / store.name, store)
    cluster.kubectl("scale", "statefulset/holdfast-" + name, "--replicas=1")
    ended = wait_until(lambda: cluster.container(pod).get("lastState", {}).get("terminated"), "it to end")
    assert ended["exitCode"] == 78 and "of cluster" in ended["message"], ended
    shutil.rmtree(store)
    (tmp_path / "own").rename(store)
    cluster.wait_ready("statefulset/holdfast-" + name)
    deployed.prove()
