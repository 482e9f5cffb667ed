"""The component that lets servers send traces, in an overlay that has taken it up."""

import re
import shutil
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest

from deploy.manifests.objects import CLUSTER, DEPLOY, SERVER, overlay, render

Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module", params=CLUSTER)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The objects of an overlay, as it is shipped and with the component."""
    tree = tmp_path_factory.mktemp("traced") / "deploy"
    shutil.copytree(DEPLOY, tree)
    folder = tree / "kubernetes" / "overlays" / request.param
    file = folder / "kustomization.yaml"
    components = "components:\n"
    text = file.read_text()
    assert components in text
    file.write_text(text.replace(components, f"{components}  - ../../components/tracing\n"))
    return _by_name(overlay(request.param)), _by_name(render(folder))


def _by_name(objects: tuple[dict[str, Any], ...]) -> Objects:
    """By kind and name, without the hash that a ConfigMap's name ends in."""
    found = {}
    for entry in objects:
        name = entry["metadata"]["name"]
        if entry["kind"] == "ConfigMap":
            name = re.sub(r"-[a-z0-9]{10}$", "", name)
        found[entry["kind"], name] = entry
    return found


def test_it_only_adds_a_way_out(both: tuple[Objects, Objects]) -> None:
    """For the servers, to collectors and for their names; Kubernetes knows every field."""
    shipped, traced = both
    ((kind, name),) = traced.keys() - shipped.keys()
    assert kind == "NetworkPolicy"
    policy = traced[kind, name]
    kubernetes_validate.validate(policy, "1.31", strict=True)
    spec = policy["spec"]
    assert spec["podSelector"]["matchLabels"] == SERVER
    assert spec["policyTypes"] == ["Egress"]
    collector, names = spec["egress"]
    assert collector["to"] == [
        {"namespaceSelector": {"matchLabels": {"gradwire-collector": "true"}}}
    ]
    assert "to" not in names
    assert {port["port"] for port in names["ports"]} == {53}


def test_traces_go_where_the_way_out_is(both: tuple[Objects, Objects]) -> None:
    """The variable names a port that the policy opens, and nothing else of the settings changes."""
    shipped, traced = both
    was, settings = (objects["ConfigMap", "gradwire-server"]["data"] for objects in both)
    assert settings.keys() - was.keys() == {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert was.items() <= settings.items()
    port = urlsplit(settings["OTEL_EXPORTER_OTLP_ENDPOINT"]).port
    collector, _ = traced["NetworkPolicy", "gradwire-tracing"]["spec"]["egress"]
    assert [entry["port"] for entry in collector["ports"]] == [port]
    rolled = [objects["ConfigMap", "gradwire-server"]["metadata"]["name"] for objects in both]
    assert len(set(rolled)) == 2
    assert rolled[1] in str(traced["StatefulSet", "gradwire"])
    assert rolled[1] not in str(shipped["StatefulSet", "gradwire"])
