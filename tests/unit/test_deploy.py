#!/usr/bin/env python3
"""What is deployed agrees with the binaries: manifests are as render.py makes them, every HOLDFAST_ variable is an option, every metric of alerts and
dashboard exists, and the runbook has a paragraph for each alert, exit code and refusal."""
import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/bin"
KUBERNETES = ROOT / "deploy/kubernetes"
sys.path[:0] = [str(ROOT / "tests/lib"), str(KUBERNETES)]
import render  # noqa: E402
from described import described  # noqa: E402

GATEWAY_METRIC = re.compile(r"# TYPE (holdfast_\w+)")
BUILT_IN = re.compile(r"^[a-z.]*(v1|apps/v1|policy/v1|batch/v1|networking.k8s.io/v1)$")


def manifests():
    for path in sorted(KUBERNETES.glob("*/**/*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.relative_to(KUBERNETES), document


def pods():
    """(name, pod template) of everything that runs."""
    for _, one in manifests():
        if "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def help_of(binary):
    return subprocess.run([BIN / binary, "--help"], capture_output=True, text=True, check=True).stdout


def test_the_manifests_are_as_they_are_made():
    made = {name: render.text_of(*value) for name, value in render.files(described(BIN)).items()}
    found = {str(path.relative_to(KUBERNETES)): path.read_text() for path in KUBERNETES.glob("*/**/*.yaml")}
    assert set(made) == set(found), set(made) ^ set(found)
    stale = [name for name in made if made[name] != found[name]]
    assert not stale, "run make manifests: %s" % stale


def test_every_pod_is_probed_bounded_and_may_do_little():
    names = dict(pods())
    assert len(names) == len(described(BIN)) + 2  # gateway, topics
    for name, pod in names.items():
        assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"], name
        for container in pod["containers"]:
            assert name == "holdfast-topics" or all(container[probe] for probe in ("startupProbe", "readinessProbe", "livenessProbe")), name
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name
            assert container["resources"]["limits"]["memory"] and set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"] and security["capabilities"] == {"drop": ["ALL"]}, name


def test_whatever_serves_has_a_disruption_budget_and_a_network_policy():
    selected = {one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] for _, one in manifests() if one["kind"] == "PodDisruptionBudget"}
    assert selected == {*described(BIN), "gateway"}
    assert [one for _, one in manifests() if one["kind"] == "NetworkPolicy" and one["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "holdfast"}}]


def test_every_filter_that_keeps_rows_has_a_volume_of_its_own_that_outlives_its_pod():
    sets = {one["metadata"]["name"]: one["spec"] for _, one in manifests() if one["kind"] == "StatefulSet"}
    for name, filter_ in described(BIN).items():
        spec = sets["holdfast-" + name]
        if filter_["rows"]:
            container, = spec["template"]["spec"]["containers"]
            store = next(one["value"] for one in container["env"] if one["name"] == "HOLDFAST_STATE_DIR")
            mounted = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == store]
            assert mounted == [claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]], name
            assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}, name


def test_every_variable_is_an_option_of_its_binary():
    shared = [literal for path, one in manifests() if one["kind"] == "Kustomization" for config in one.get("configMapGenerator", ())
              for literal in [(config["name"], text.split("=")[0]) for text in config["literals"]]]
    for name, pod in pods():
        binary = name.removeprefix("holdfast-")
        text = help_of("holdfast" if binary == "topics" else binary) if binary != "topics" else subprocess.run([BIN / "holdfast", "topics", "--help"], capture_output=True, text=True, check=True).stdout
        variables = [one["name"] for one in pod["containers"][0].get("env", ())] + [variable for config, variable in shared if config in ("holdfast", name)]
        for variable in variables:
            option = "--" + variable.removeprefix("HOLDFAST_").lower().replace("_", "-")
            assert variable == "HOLDFAST_WEBHOOK_SECRET" or re.search(r"%s\b" % option, text), (name, variable)
        assert variables, name


def test_what_is_scaled_is_scaled_to_its_partitions_at_most():
    for _, one in manifests():
        if one["kind"] == "ScaledObject":
            name = one["metadata"]["name"].removeprefix("holdfast-")
            assert one["spec"]["maxReplicaCount"] == render.partitions(described(BIN)[name]["input"])


def test_the_gate_of_kubernetes_own_schemas():
    """Strict: a field that Kubernetes does not know is refused, as the apiserver may silently drop it."""
    from kubernetes_validate import validate
    checked = 0
    for path, one in manifests():
        if BUILT_IN.match(one["apiVersion"]):
            validate(one, "1.31", strict=True)
            checked += 1
    assert checked > 30
    broken = json.loads(json.dumps(next(one for _, one in manifests() if one["kind"] == "StatefulSet")))
    broken["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 5
    with pytest.raises(Exception, match="terminationGracePeriodSecond"):
        validate(broken, "1.31", strict=True)


def fits(model, one):
    """Strict: a field that the definition does not know is missing in what comes back."""
    return model.model_validate(one).model_dump(by_alias=True, exclude_unset=True, mode="json") == one


def test_the_gate_of_the_schemas_of_keda_and_the_prometheus_operator():
    """By models generated from their custom resource definitions; tests/cluster asks an apiserver with the definitions themselves."""
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor
    models = {"ScaledObject": ScaledObject, "PodMonitor": PodMonitor}
    custom = [one for _, one in manifests() if not BUILT_IN.match(one["apiVersion"]) and one["kind"] != "Kustomization"]
    assert {one["kind"] for one in custom} == set(models)
    for one in custom:
        assert fits(models[one["kind"]], one), one["metadata"]["name"]
    broken = json.loads(json.dumps(next(one for one in custom if one["kind"] == "ScaledObject")))
    broken["spec"]["maxReplicas"] = 3
    assert not fits(ScaledObject, broken), "a misspelt field passed"
    del broken["spec"]["scaleTargetRef"]["name"]
    with pytest.raises(ValueError, match=re.escape("scaleTargetRef.name")):
        ScaledObject.model_validate(broken)


def metrics_of_the_code():
    source = "".join(path.read_text() for path in (ROOT / "processors").glob("**/*.c"))
    named = set(re.findall(r'put\((?:&?page), "(\w+)"', source)) | set(re.findall(r'\{\.name = "(\w+)",\s+\.help', source))
    return {"holdfast_" + name for name in named} | set(GATEWAY_METRIC.findall(source))


def test_alerts_and_dashboard_speak_of_metrics_that_exist():
    rules = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((ROOT / "deploy/monitoring/dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]
    expressions += [trigger["metadata"]["query"] for _, one in manifests() if one["kind"] == "ScaledObject" for trigger in one["spec"]["triggers"]]
    used, known = {name for text in expressions for name in re.findall(r"holdfast_\w+", text)}, metrics_of_the_code()
    assert len(used) > 15 and not used - known, used - known


def test_the_runbook_has_each_alert_exit_code_and_refusal():
    runbook = (ROOT / "docs/operations.md").read_text()
    rules = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == re.findall(r"^### (\w+)$", runbook, re.M)
    codes = re.search(r"## Exit codes\n(.*?)(?:\n## |\Z)", (ROOT / "processors/runtime/README.md").read_text(), re.S)[1]
    wanted = {code for cell in re.findall(r"^\| ([0-9, ]+) \|", codes, re.M) for code in cell.split(", ")}
    assert wanted and wanted == set(re.findall(r"^\| (\d+) \|", runbook, re.M)), wanted
    refusals = re.search(r'"name": "Refusal".*?"symbols": \[(.*?)\]', (ROOT / "avro/CommandRefused.avsc").read_text(), re.S)[1]
    reasons = re.search(r'"name": "Reason".*?"symbols": \[(.*?)\]', (ROOT / "avro/StatusChanged.avsc").read_text(), re.S)[1]
    for name in set(re.findall(r'"(\w+)"', refusals + reasons)) - {"NONE"}:
        assert re.search(r"\b%s\b" % name, runbook), name


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        test()
        print("ok", name)


if __name__ == "__main__":
    main()
