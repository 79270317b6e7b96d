"""The files of deploy/kubernetes, as a cluster would get them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices

from shared.config.settings import Settings
from tests.support.stage import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"


def resources() -> dict[str, dict[str, Any]]:
    """Every resource of every file but the kustomizations, by file, kind and name."""
    found = {}
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        if path.name != "kustomization.yaml":
            for resource in yaml.safe_load_all(path.read_text()):
                name = resource["metadata"].get("name") or resource["metadata"]["generateName"]
                found[f"{path.relative_to(KUBERNETES)}:{resource['kind']}:{name}"] = resource
    return found


def kustomizations() -> dict[Path, dict[str, Any]]:
    """Every kustomization, by its folder."""
    return {path.parent: yaml.safe_load(path.read_text()) for path in KUBERNETES.rglob("kustomization.yaml")}


def pods() -> dict[str, dict[str, Any]]:
    """The specification of every pod, by the name of its label."""
    templates = [found["spec"]["template"] for found in resources().values() if "template" in found.get("spec", {})]
    return {template["metadata"]["labels"]["app.kubernetes.io/name"]: template["spec"] for template in templates}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    """The only container of a pod."""
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


def variable_of(setting: str) -> str:
    """The environment variable of a setting, as the documents name it."""
    alias = Settings.model_fields[setting].validation_alias
    first = alias.choices[0] if isinstance(alias, AliasChoices) else alias
    return str(first or f"FACEQUEUE_{setting.upper()}")


def settings_file() -> dict[str, str]:
    """The variables in settings.env."""
    lines = (KUBERNETES / "base" / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def references(node: Any) -> Iterator[tuple[str, str]]:
    """The kind and name of each ConfigMap, Secret and claim that a part of a resource needs."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("configMapRef", "configMap") and not value.get("optional"):
                yield "ConfigMap", value["name"]
            elif key in ("secretRef", "secretKeyRef") and not value.get("optional"):
                yield "Secret", value["name"]
            elif key == "persistentVolumeClaim":
                yield "PersistentVolumeClaim", value["claimName"]
            yield from references(value)
