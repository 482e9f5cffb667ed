"""Every object has the form that its reader takes, and no field that would be ignored."""

import json
from typing import Any

import kubernetes_validate
import pydantic
import pytest
from cloudcoil.models.prometheus_operator import v1 as operator
from compose_spec import PyCompose

from deploy.manifests.objects import DEPLOY, NAMES, named, of_kind, overlay, read

# The oldest that still gets fixes, two years of them, and the newest that there are schemas of.
VERSIONS = ("1.31", "1.34", "1.37")
COMPOSE = DEPLOY / "compose"


def check(document: dict[str, Any], version: str) -> None:
    """Raises unless Kubernetes of this version, or the Prometheus operator, knows every field."""
    if document["apiVersion"].startswith("monitoring.coreos.com/"):
        getattr(operator, document["kind"]).model_validate(document, extra="forbid")
    else:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_kubernetes_knows_every_field(name: str, version: str) -> None:
    """Each object of each overlay is valid, and has no field that is misspelled."""
    for document in overlay(name):
        check(document, version)


def test_a_misspelled_field_is_found() -> None:
    """The check above can fail, deep inside an object and for operator kinds, too."""
    server = named("cpu", "StatefulSet", "gradwire")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    spec = server["spec"] | {"template": {"spec": {"containers": [container | {"imagee": "x"}]}}}
    with pytest.raises(kubernetes_validate.ValidationError, match="imagee"):
        check(server | {"spec": spec}, VERSIONS[0])
    monitor = of_kind("cpu", "ServiceMonitor")[0]
    with pytest.raises(pydantic.ValidationError, match="selektor"):
        check(monitor | {"spec": monitor["spec"] | {"selektor": {}}}, VERSIONS[0])


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_the_compose_specification_knows_every_field(name: str) -> None:
    """The compose files follow the specification, which refuses fields that it doesn't name."""
    document = read(COMPOSE / name)
    PyCompose.from_json(json.dumps(document))
    document["services"]["server"]["reed_only"] = True
    with pytest.raises(ValueError, match="reed_only"):
        PyCompose.from_json(json.dumps(document))


def test_the_gpu_file_only_changes_services_that_are_there() -> None:
    """compose.gpu.yaml goes on top of compose.yaml."""
    base, gpu = read(COMPOSE / "compose.yaml"), read(COMPOSE / "compose.gpu.yaml")
    assert gpu["services"].keys() <= base["services"].keys()
