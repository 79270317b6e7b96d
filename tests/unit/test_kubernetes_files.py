"""The manifests in deploy/kubernetes: valid for the API, hardened, and of one mind with the compose file."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from producer.monitoring.host_names import answered_names, why_unanswered
from shared.config.settings import Settings, load_settings
from tests.support.manifests import (
    KUBERNETES,
    container,
    kustomizations,
    pods,
    references,
    resources,
    settings_file,
    variable_of,
)
from tests.support.stage import ROOT

RESOURCES = resources()
PODS = pods()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICE_OF = {"enqueue": "producer"}
"""The compose file's service of a pod, where it has another name."""
OWN = [name for name in PODS if name != "redis"]
NAMES = set(map(variable_of, Settings.model_fields))


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("name", [name for name in RESOURCES if ":ScaledObject:" not in name])
def test_the_api_knows_every_field(name: str, version: str) -> None:
    """Every resource fits the strict JSON schema of its kind. Kubernetes has none for KEDA's."""
    kubernetes_validate.validate(RESOURCES[name], version, strict=True)


def test_the_schemas_would_find_a_mistake() -> None:
    """A misspelt field is refused."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"selectors": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_kustomizations_list_every_file() -> None:
    """A file is in the kustomization of its folder; secrets and examples are in none."""
    folders = kustomizations()
    assert set(folders) == {KUBERNETES / name for name in ("", "base", "components/server", "components/keda")}
    listed: set[Path] = set()
    for folder, content in folders.items():
        names = content.get("resources", []) + content.get("components", [])
        for generator in content.get("configMapGenerator", []):
            names += generator.get("envs", []) + generator.get("files", [])
        paths = {folder / name for name in names}
        assert all(path.exists() for path in paths), folder
        listed |= {path for path in paths if path.is_file()}
    files = {path for path in KUBERNETES.rglob("*") if path.is_file() and path.name != "kustomization.yaml"}
    apart = {KUBERNETES / "secrets.example.yaml", *(KUBERNETES / "examples").iterdir()}
    assert files - apart == listed


@pytest.mark.parametrize("name", PODS)
def test_pods_are_hardened(name: str) -> None:
    """No root, a read-only root file system, no capabilities, no token of the API, and limits."""
    pod, of_pod, only = PODS[name], PODS[name]["securityContext"], container(PODS[name])
    assert of_pod["runAsNonRoot"] and of_pod["runAsUser"] >= 999 and of_pod["runAsGroup"] >= 1000
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "a service's name must not become a setting"
    for kind in ("requests", "limits"):
        assert set(only["resources"][kind]) == {"cpu", "memory"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in only["volumeMounts"]}
    claimed = {"redis-data"} if name == "redis" else set()  # of its StatefulSet's template
    assert {mount["name"] for mount in mounts.values()} == set(volumes) | claimed
    assert "emptyDir" in volumes[mounts["/tmp"]["name"]]
    images = [mount for mount in mounts.values() if mount["name"] == "images"]
    assert all(mount["readOnly"] for mount in images)
    assert all(volumes["images"]["persistentVolumeClaim"]["readOnly"] for _ in images)


@pytest.mark.parametrize("name", PODS)
def test_pods_are_the_services_of_the_compose_file(name: str) -> None:
    """The same image and the same command."""
    service, only = COMPOSE[SERVICE_OF.get(name, name)], container(PODS[name])
    default = "facequeue" if service.get("build", {}).get("target") == "base" else None
    image = service.get("image", default).removeprefix("${FACEQUEUE_SERVER_IMAGE:-").removesuffix("}")
    assert only["image"] == image
    if name in ("aggregator", "flower", "metrics", "page"):
        assert only["command"] == service["command"]
    if name == "worker":
        assert "command" not in only and "command" not in service


@pytest.mark.parametrize("name", [name for name in PODS if name != "enqueue"])
def test_services_have_probes(name: str) -> None:
    """All three kinds. A worker's liveness asks no server; web servers are asked under a name that they answer to."""
    only = container(PODS[name])
    probes = {kind: only[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    if name in ("worker", "aggregator"):
        commands = {kind: probe["exec"]["command"][3] for kind, probe in probes.items()}
        assert commands == {"startup": "alive", "liveness": "alive", "readiness": "ready"}
        assert COMPOSE[name]["healthcheck"]["test"][1:] == probes["liveness"]["exec"]["command"]
        assert settings_file()["FACEQUEUE_HEARTBEAT_FILE"].startswith("/tmp/")
    elif name in ("flower", "metrics", "page"):
        (port,) = only["ports"]
        assert str(port["containerPort"]) == settings_file()[f"FACEQUEUE_{name.upper()}_PORT"]
        for probe in probes.values():
            asked = probe["httpGet"]
            assert asked["port"] == port["name"]
            assert f"{port['containerPort']}{asked['path']}" in COMPOSE[name]["healthcheck"]["test"][-1]
            assert asked["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


@pytest.mark.parametrize("name", OWN)
def test_a_pod_has_longer_to_stop_than_a_batch(name: str) -> None:
    """A worker that is told to stop has returned its long batches before it is killed."""
    grace_s = PODS[name]["terminationGracePeriodSeconds"]
    assert f"{grace_s}s" == COMPOSE[SERVICE_OF.get(name, name)]["stop_grace_period"]
    assert grace_s >= 2 * float(settings_file()["FACEQUEUE_STOP_AFTER_S"])
    assert Settings.model_fields["stop_after_s"].default == float(settings_file()["FACEQUEUE_STOP_AFTER_S"])


@pytest.mark.parametrize("name", OWN)
def test_settings_exist_and_are_the_compose_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting with a valid value. The metrics are answered at the address of their pod."""
    given = {entry["name"]: entry.get("value", "10.1.2.3") for entry in container(PODS[name]).get("env", [])}
    own = {key: value.replace("$(POD_IP)", "10.1.2.3") for key, value in given.items() if key != "POD_IP"}
    variables = settings_file() | own
    assert set(variables) <= NAMES
    shared: dict[str, Any] = COMPOSE["flower"]["environment"]
    for key in set(settings_file()) & set(shared):
        assert variables[key] == shared[key], key
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    if name == "metrics":
        hosts = answered_names(settings.metrics_host_names, "0.0.0.0")
        for host in ("10.1.2.3:9808", "metrics:9808", "metrics.facequeue.svc:9808"):
            assert why_unanswered(host, hosts, "FACEQUEUE_METRICS_HOSTS") is None


def test_everything_that_is_referred_to_exists() -> None:
    """ConfigMaps and claims are made, and the Secrets are in the example, whose passwords are empty."""
    made = {(resource["kind"], resource["metadata"].get("name")) for resource in RESOURCES.values()}
    for content in kustomizations().values():
        made |= {("ConfigMap", generator["name"]) for generator in content.get("configMapGenerator", [])}
    needed = set(references(list(RESOURCES.values())))
    assert {("Secret", "facequeue-server"), ("Secret", "facequeue-flower")} <= needed
    assert needed <= made
    for resource in RESOURCES.values():
        if resource["kind"] == "Secret":
            assert {key: value for key, value in resource["stringData"].items() if "PASSWORD" in key and value} == {}


def test_credentials_of_object_storage_reach_workers_alone() -> None:
    """As in the compose file."""
    having = [name for name, pod in PODS.items() if "facequeue-credentials" in str(pod)]
    assert having == ["worker"]


def test_services_and_policies_select_pods() -> None:
    """Each selector is a label of a pod; each port has its container's name."""
    for name, resource in RESOURCES.items():
        if resource["kind"] == "Service":
            only = container(PODS[resource["spec"]["selector"]["app.kubernetes.io/name"]])
            assert {port["targetPort"] for port in resource["spec"]["ports"]} == {
                port["name"] for port in only["ports"]
            }
        if resource["kind"] == "NetworkPolicy" and resource["spec"]["podSelector"]:
            chosen = resource["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
            ports = {port["port"] for rule in resource["spec"]["ingress"] for port in rule["ports"]}
            assert ports == {port["name"] for port in container(PODS[chosen])["ports"]}, name


def test_the_server_has_the_compose_files_rights() -> None:
    """The list of allowed commands is the same to the letter."""
    script = (KUBERNETES / "components" / "server" / "start.sh").read_text()
    of_compose = COMPOSE["redis"]["command"][2].replace("$$", "$")
    (rights,) = [line for line in script.splitlines() if line.startswith("rights=")]
    assert rights in of_compose.splitlines()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_renders_with_and_without_a_server(tmp_path: Path) -> None:
    """KEDA's component leaves the number of workers to KEDA; the base has no server."""
    kinds = {}
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{os.path.relpath(KUBERNETES, tmp_path)}]\n"
        f"components: [{os.path.relpath(KUBERNETES / 'components' / 'keda', tmp_path)}]\n"
    )
    for folder in (KUBERNETES, KUBERNETES / "base", tmp_path):
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        rendered = list(yaml.safe_load_all(done.stdout))
        # Without the digest of what redis-start contains.
        kinds[folder] = {(r["kind"], re.sub("^(redis-start)-.*", r"\1", r["metadata"]["name"])) for r in rendered}
        (worker,) = [r for r in rendered if (r["kind"], r["metadata"]["name"]) == ("Deployment", "worker")]
        assert ("replicas" in worker["spec"]) == (folder != tmp_path)
        assert worker["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] == "facequeue"
        assert {r["metadata"].get("namespace", "facequeue") for r in rendered} == {"facequeue"}
        for resource in rendered:
            if resource["kind"] != "ScaledObject":
                kubernetes_validate.validate(resource, "1.37", strict=True)
    server = {
        ("StatefulSet", "redis"),
        ("Service", "redis"),
        ("ConfigMap", "redis-start"),
        ("NetworkPolicy", "reach-redis"),
    }
    assert kinds[KUBERNETES] - kinds[KUBERNETES / "base"] == server
    assert kinds[tmp_path] - kinds[KUBERNETES] == {("ScaledObject", "worker")}
