"""The manifests as a cluster gets them, and access to their parts."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
OVERLAYS = DEPLOY / "kubernetes" / "overlays"
NAMES = ("cpu", "gpu", "ci")
CLUSTER = ("cpu", "gpu")
"""The overlays for a cluster; ci is for podman on one machine."""
SERVER = {"app.kubernetes.io/name": "gradwire", "app.kubernetes.io/component": "server"}
ENVOY = {"app.kubernetes.io/name": "gradwire", "app.kubernetes.io/component": "envoy"}


@functools.cache
def overlay(name: str) -> tuple[dict[str, Any], ...]:
    """The objects that an overlay makes."""
    return render(OVERLAYS / name)


def render(folder: Path) -> tuple[dict[str, Any], ...]:
    """The objects that the kustomization in a folder makes."""
    command = [ROOT / "scripts" / "render-kustomization", folder]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)
    return tuple(yaml.safe_load_all(made.stdout))


def read(path: Path) -> Any:
    """A YAML file of deploy/."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def project_version() -> str:
    """The version of this tree."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def of_kind(name: str, *kinds: str) -> list[dict[str, Any]]:
    """The objects of an overlay of these kinds."""
    return [entry for entry in overlay(name) if entry["kind"] in kinds]


def named(name: str, kind: str, own_name: str) -> dict[str, Any]:
    """The one object of this kind and name."""
    (found,) = (e for e in of_kind(name, kind) if e["metadata"]["name"] == own_name)
    return found


@dataclasses.dataclass(frozen=True)
class Pod:
    """The pods that one object makes."""

    overlay: str
    name: str
    owner: Mapping[str, Any]
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def container(self) -> Mapping[str, Any]:
        """Its only container."""
        (container,) = self.spec["containers"]
        return container


def pods(name: str) -> Iterator[Pod]:
    """What runs in an overlay."""
    for owner in of_kind(name, "StatefulSet", "Deployment"):
        template = owner["spec"]["template"]
        labels = template["metadata"]["labels"]
        yield Pod(name, owner["metadata"]["name"], owner, labels, template["spec"])


def pod_named(name: str, own_name: str) -> Pod:
    """The pods that the object of this name makes."""
    (pod,) = (pod for pod in pods(name) if pod.name == own_name)
    return pod


def server_pod(name: str) -> Pod:
    """The server's pods."""
    return pod_named(name, "gradwire")


def server_environment(name: str) -> dict[str, str]:
    """The environment of the server's container."""
    container = server_pod(name).container
    values = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    for source in container["envFrom"]:
        values |= named(name, "ConfigMap", source["configMapRef"]["name"])["data"]
    return values


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a selector of labels finds these labels."""
    return bool(selector) and selector.items() <= labels.items()


def ports_of(pod: Pod) -> set[int]:
    """What its container says that it listens on."""
    return {port["containerPort"] for port in pod.container.get("ports", [])}
