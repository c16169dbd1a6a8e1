#!/usr/bin/env python3
"""Makes the manifests of this folder from what the filters say of themselves (--describe), so that they cannot drift from the binaries.

Usage: render.py [--bin build/bin] [--out deploy/kubernetes]      needs PyYAML: build/venv/bin/python has it

base/ has one of everything; overlays/ has the sizes of the five systems; monitoring/ needs the custom resources of the Prometheus operator and of KEDA.
"""
import argparse
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from described import described

MADE = "# Made by deploy/kubernetes/render.py: change that, and run `make manifests`.\n"
VERSION = re.match(r"\S+ \(([^)]+)\)", (ROOT / "deploy/debian/changelog").read_text())[1]
IMAGE, USER = "holdfast:" + VERSION, 65532
QUESTIONS, PEERS, PROBES, REQUESTS = 8081, 8071, 8090, 8080
PROVIDERS = {"charge": "payment provider", "notify": "receiver of notices"}  # who calls the world outside
SECRETS = {"notify": [("HOLDFAST_WEBHOOK_SECRET", "webhook-secret")]}

# Measured: docs/bench.md. Peak memory of a filter at full load is 128 to 139 MiB with its cache of 8; a view answers beside its work.
MEMORY = {"request": "192Mi", "limit": "512Mi"}
CPU = "100m"  # at rest; without a limit, as a throttled filter misses its heartbeats
DISK = "10Gi"  # 60 bytes a row, twice while files become one: 80 million rows
# Who is asked must be ready. A filter that nobody asks may take a minute to restore the partitions of another: while a broken release is on its way, a
# StatefulSet that starts all at once would replace it by that.
UNREADY, UNREADY_AND_ASKED = 30, 2  # looks, of two seconds
HUNG = 5  # seconds: what hangs ends nothing, so it is not given the 90 that ending well may take
RESTORING = {"periodSeconds": 2, "failureThreshold": 900}  # half an hour: 100 million rows

# Instances by system: the busiest minute that is expected, and who must take it. Two of each that a reservation passes through outlive a node.
SYSTEMS = {
    "book": ("a library: some reservations a second, one of each filter is enough", {}, 1),
    "movie": ("a cinema: hundreds a second in the evening", {"stock-check": 2, "payment": 2, "approved-failed": 2, "reserve-requested": 2}, 2),
    "musical": ("one house, sold out in minutes: thousands a second", {"stock-check": 2, "payment": 2, "approved-failed": 2, "reserve-requested": 2, "charge": 2, "catalog": 2, "history": 2}, 3),
    "concert": ("a tour that goes on sale at noon: as many as the brokers take", {"stock-check": 4, "payment": 4, "approved-failed": 4, "reserve-requested": 4, "charge": 4, "catalog": 3, "history": 4, "notify": 2, "deadline": 2}, 4),
    "sports": ("bets until the whistle: thousands a second, and a tally that all watch", {"stock-check": 2, "payment": 4, "approved-failed": 2, "reserve-requested": 2, "charge": 4, "tally": 2, "history": 2}, 3),
}


def labels(name, component):
    return {"app.kubernetes.io/name": "holdfast", "app.kubernetes.io/component": name, "holdfast/kind": component}


def selector(name):
    return {"app.kubernetes.io/name": "holdfast", "app.kubernetes.io/component": name}


def probe(path, **more):
    return {"httpGet": {"path": path, "port": "probes"}, "timeoutSeconds": 5, **more}


def probes(asked):
    """Restoring; ready; the loop turns."""
    return {"startupProbe": probe("/readyz", **RESTORING), "readinessProbe": probe("/readyz", periodSeconds=2, failureThreshold=UNREADY_AND_ASKED if asked else UNREADY),
            "livenessProbe": probe("/livez", periodSeconds=10, failureThreshold=3, terminationGracePeriodSeconds=HUNG)}


CONTAINER_SECURITY = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
LAST_WORDS = {"terminationMessagePolicy": "FallbackToLogsOnError"}  # the last line says what to do: `kubectl describe pod` shows it
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}}


def secret(name, key, optional=True):
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": "holdfast", "key": key, "optional": optional}}}


def container(name, ports, environment, mounts=()):
    return {
        "name": name, "image": IMAGE, "command": ["/usr/libexec/holdfast/" + name],
        "envFrom": [{"configMapRef": {"name": "holdfast"}}, {"configMapRef": {"name": "holdfast-" + name, "optional": True}}],
        "env": environment, "ports": [{"name": port, "containerPort": number} for port, number in ports.items()],
        "resources": {"requests": {"cpu": CPU, "memory": MEMORY["request"]}, "limits": {"memory": MEMORY["limit"]}},
        "volumeMounts": [{"name": "kafka", "mountPath": "/etc/holdfast", "readOnly": True}, *mounts],
        "securityContext": CONTAINER_SECURITY, **LAST_WORDS, **probes(asked=set(ports) != {"probes"})}


def pod(name, kind, main, grace):
    return {"metadata": {"labels": labels(name, kind)},
            "spec": {"automountServiceAccountToken": False, "enableServiceLinks": False, "securityContext": POD_SECURITY, "terminationGracePeriodSeconds": grace,
                     "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                                                    "labelSelector": {"matchLabels": selector(name)}}],
                     "containers": [main], "volumes": [{"name": "kafka", "secret": {"secretName": "holdfast-kafka", "optional": True}}]}}


def environment_of(name, routes):
    values = [{"name": "HOLDFAST_SLOT", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}}},
              {"name": "HOLDFAST_HEALTH", "value": "0.0.0.0:%d" % PROBES}, {"name": "HOLDFAST_STATE_DIR", "value": "/var/lib/holdfast"},
              {"name": "HOLDFAST_CACHE_MIB", "value": "auto"}]
    if routes:
        values += [{"name": "HOLDFAST_HTTP", "value": "0.0.0.0:%d" % QUESTIONS}, {"name": "HOLDFAST_PEERS", "value": "0.0.0.0:%d" % PEERS}]
    return values + [secret(variable, key, optional=False) for variable, key in SECRETS.get(name, ())]


def stateful_set(name, filter_):
    """A slot for each ordinal. All start and end at once (Parallel): none waits for another, and a bad roll-out can be rolled back."""
    ports = {"probes": PROBES, **({"questions": QUESTIONS, "peers": PEERS} if filter_["routes"] else {})}
    main = container(name, ports, environment_of(name, filter_["routes"]), [{"name": "state", "mountPath": "/var/lib/holdfast"}])
    claim = {"metadata": {"name": "state"}, "spec": {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": DISK}}}}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "holdfast-" + name, "labels": labels(name, "filter")},
            "spec": {"replicas": 1, "serviceName": "holdfast-" + name, "podManagementPolicy": "Parallel", "updateStrategy": {"type": "RollingUpdate"},
                     "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                     "selector": {"matchLabels": selector(name)}, "template": pod(name, "filter", main, 90), "volumeClaimTemplates": [claim]}}


def service(name, ports, headless):
    """Headless: of a StatefulSet; the gateway asks any instance of a view, and those know each other."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "holdfast-" + name, "labels": labels(name, "filter" if headless else "gateway")},
            "spec": {**({"clusterIP": "None"} if headless else {}), "selector": selector(name),
                     "ports": [{"name": port, "port": number, "targetPort": port} for port, number in ports.items()]}}


def budget(name, kind):
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "holdfast-" + name, "labels": labels(name, kind)},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(name)}}}


def filter_manifests(name, filter_):
    ports = {"probes": PROBES, **({"questions": QUESTIONS} if filter_["routes"] else {})}
    return [stateful_set(name, filter_), service(name, ports, headless=True), budget(name, "filter")]


def gateway_manifests(views):
    urls = [{"name": "HOLDFAST_%s_URL" % name.upper(), "value": "http://holdfast-%s:%d" % (name, QUESTIONS)} for name in views]
    environment = [{"name": "HOLDFAST_HTTP", "value": "0.0.0.0:%d" % REQUESTS}, {"name": "HOLDFAST_HEALTH", "value": "0.0.0.0:%d" % PROBES}, *urls]
    main = container("gateway", {"requests": REQUESTS, "probes": PROBES}, environment)
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "holdfast-gateway", "labels": labels("gateway", "gateway")},
                  "spec": {"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                           "selector": {"matchLabels": selector("gateway")}, "template": pod("gateway", "gateway", main, 90)}}
    return [deployment, service("gateway", {"requests": REQUESTS}, headless=False), budget("gateway", "gateway")]


def topics_job():
    """Topics and first commits; safe to run again with each release."""
    main = {"name": "topics", "image": IMAGE, "command": ["/usr/bin/holdfast", "topics", "apply"], "envFrom": [{"configMapRef": {"name": "holdfast"}}],
            "resources": {"requests": {"cpu": CPU, "memory": "64Mi"}, "limits": {"memory": "128Mi"}}, "securityContext": CONTAINER_SECURITY, **LAST_WORDS,
            "volumeMounts": [{"name": "kafka", "mountPath": "/etc/holdfast", "readOnly": True}]}
    template = pod("topics", "job", main, 30)
    template["spec"]["restartPolicy"] = "OnFailure"
    del template["spec"]["topologySpreadConstraints"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "holdfast-topics", "labels": labels("topics", "job")},
            "spec": {"backoffLimit": 20, "ttlSecondsAfterFinished": 3600, "template": template}}


def policy(name, pods, ingress, egress):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "holdfast-" + name},
            "spec": {"podSelector": {"matchLabels": pods}, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}}


def network_policies(views):
    """Who may be reached by whom; brokers, providers and DNS may be anywhere, so their ports alone are named."""
    tcp = lambda *ports: [{"protocol": "TCP", "port": port} for port in ports]
    everybody, of = {"app.kubernetes.io/name": "holdfast"}, lambda names: {"matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": sorted(names)}]}
    name_service = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    kafka = {"ports": tcp(9092, 9093)}
    measured = {"ports": tcp(PROBES)}
    all_ = policy("all", everybody, [measured], [name_service, kafka])
    calls = policy("calls", {}, [], [{"ports": tcp(80, 443)}])
    calls["spec"]["podSelector"] = of([*PROVIDERS, "gateway"])  # the gateway: the keys of tokens
    asked = policy("views", {}, [{"from": [{"podSelector": of([*views, "gateway"])}], "ports": tcp(QUESTIONS, PEERS)}],
                   [{"to": [{"podSelector": of(views)}], "ports": tcp(QUESTIONS, PEERS)}])
    asked["spec"]["podSelector"] = of(views)
    entrance = policy("gateway", selector("gateway"), [{"ports": tcp(REQUESTS)}], [{"to": [{"podSelector": of(views)}], "ports": tcp(QUESTIONS)}])
    return [all_, calls, asked, entrance]


def partitions(topic):
    return int(re.search(r"^partitions = (\d+)$", (ROOT / "topics" / (topic + ".topic")).read_text(), re.M)[1])


def trigger(kind, threshold, query):
    return {"type": "prometheus", "metricType": kind, "metadata": {"serverAddress": "http://prometheus-operated:9090", "threshold": threshold, "query": query}}


def scaled(name, filter_):
    """More instances by lateness in seconds (Kafka's own lag never falls to zero, as the markers of transactions count in it), and as many are kept as
    the work of all fills to six tenths: else one would go as soon as the others have caught up, and come back. Who calls the world outside waits more
    than it works, so there an instance goes only after half an hour without lateness."""
    quiet = 1800 if name in PROVIDERS else 300
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}]},
                "scaleDown": {"stabilizationWindowSeconds": quiet, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 120}]}}
    late = trigger("Value", "2", 'max(avg_over_time(holdfast_lag_seconds{filter="%s"}[30s]))' % name)
    busy = trigger("AverageValue", "0.6", 'sum(rate(holdfast_commit_seconds_total{filter="%s"}[1m]))' % name)
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "holdfast-" + name, "labels": labels(name, "filter")},
            "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "holdfast-" + name}, "minReplicaCount": 1, "maxReplicaCount": partitions(filter_["input"]),
                     "pollingInterval": 10, "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}, "triggers": [late, busy]}}


def monitor():
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "holdfast"},
            "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "holdfast"}}, "podMetricsEndpoints": [{"port": "probes", "path": "/metrics", "interval": "10s"}]}}


def kustomization(resources=(), **more):
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources), **more}


def overlay(text, replicas, gateways, filters):
    counts = {name: replicas.get(name, 1) for name in filters} | {"gateway": gateways}
    return text, kustomization(["../../base"], replicas=[{"name": "holdfast-" + name, "count": count} for name, count in sorted(counts.items())])


def files(filters):
    """Path -> (comment, documents)"""
    views = [name for name, filter_ in filters.items() if filter_["routes"]]
    base = {"%s.yaml" % name: filter_manifests(name, filter_) for name, filter_ in filters.items()}
    base |= {"gateway.yaml": gateway_manifests(views), "topics.yaml": [topics_job()], "network.yaml": network_policies(views)}
    config = {"name": "holdfast", "literals": ["HOLDFAST_BROKERS=kafka-bootstrap:9092"]}
    made = {"base/" + name: ("", documents) for name, documents in base.items()}
    made["base/kustomization.yaml"] = ("", [kustomization(sorted(base), configMapGenerator=[config, {"name": "holdfast-gateway", "literals": [
        "HOLDFAST_JWKS=https://id.example.com/jwks.json", "HOLDFAST_JWT_ISSUER=https://id.example.com", "HOLDFAST_JWT_AUDIENCE=holdfast"]},
        {"name": "holdfast-charge", "literals": ["HOLDFAST_PROVIDER_URL=http://payment-provider"]},
        {"name": "holdfast-notify", "literals": ["HOLDFAST_WEBHOOK_URL=http://notices"]}])])
    for name, (text, replicas, gateways) in SYSTEMS.items():
        comment, document = overlay(text, replicas, gateways, filters)
        made["overlays/%s/kustomization.yaml" % name] = ("# %s\n" % comment.capitalize(), [document])
    made["monitoring/monitor.yaml"] = ("", [monitor()])
    made["monitoring/scale.yaml"] = ("", [scaled(name, filter_) for name, filter_ in filters.items()])
    made["monitoring/kustomization.yaml"] = ("", [kustomization(["monitor.yaml", "scale.yaml"])])
    return made


class Dumper(yaml.SafeDumper):
    """Without anchors: each object says all of itself."""
    def ignore_aliases(self, data):
        return True


def text_of(comment, documents):
    return MADE + comment + "---\n".join(yaml.dump(document, Dumper=Dumper, sort_keys=False, width=160, allow_unicode=True) for document in documents)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/bin")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "deploy/kubernetes")
    options = parser.parse_args()
    for name, (comment, documents) in files(described(options.bin)).items():
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(comment, documents))
    print("made %s" % options.out)


if __name__ == "__main__":
    main()
