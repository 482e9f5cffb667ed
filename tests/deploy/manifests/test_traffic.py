"""Traffic between pods: services, policies, budgets and autoscaling fit the pods and each other."""

import re
from typing import Any

import pytest

from deploy.manifests.objects import (
    CLUSTER,
    DEPLOY,
    ENVOY,
    SERVER,
    matches,
    named,
    of_kind,
    pods,
    ports_of,
    read,
    server_pod,
)

each_cluster = pytest.mark.parametrize("name", CLUSTER)


def selected(name: str, selector: dict[str, Any]) -> list[str]:
    """The names of the pods that a selector finds."""
    labels = selector.get("matchLabels", {})
    return [pod.name for pod in pods(name) if matches(labels, pod.labels)]


@each_cluster
def test_every_pod_has_a_budget(name: str) -> None:
    """Of the server and of Envoy one pod at a time may be evicted."""
    budgets = of_kind(name, "PodDisruptionBudget")
    found = [selected(name, budget["spec"]["selector"]) for budget in budgets]
    assert sorted(found) == [["gradwire"], ["gradwire-envoy"]]
    assert all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets)


@each_cluster
def test_pods_are_spread(name: str) -> None:
    """Replicas go to different machines where they can."""
    for pod in pods(name):
        for constraint in pod.spec["topologySpreadConstraints"]:
            assert selected(name, constraint["labelSelector"]) == [pod.name]
        keys = [c["topologyKey"] for c in pod.spec["topologySpreadConstraints"]]
        assert "kubernetes.io/hostname" in keys


@each_cluster
def test_services_reach_open_ports(name: str) -> None:
    """A service finds one kind of pod, and sends only to ports that it opens."""
    for service in of_kind(name, "Service"):
        (pod,) = (pod for pod in pods(name) if matches(service["spec"]["selector"], pod.labels))
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports_of(pod)
        assert all(port["port"] == port["targetPort"] for port in service["spec"]["ports"])


@each_cluster
def test_nothing_is_let_in_by_default(name: str) -> None:
    """One policy finds every pod and allows nothing, in neither direction."""
    policies = of_kind(name, "NetworkPolicy")
    (deny,) = (p for p in policies if p["metadata"]["name"] == "gradwire-default-deny")
    assert selected(name, deny["spec"]["podSelector"]) == [pod.name for pod in pods(name)]
    assert set(deny["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    assert not deny["spec"].keys() & {"ingress", "egress"}


@each_cluster
def test_only_the_listed_may_talk(name: str) -> None:
    """Envoy calls servers, labelled namespaces call Envoy, monitoring reads; nothing else."""
    allowed = {}
    for pod, own_name in ((SERVER, "gradwire"), (ENVOY, "gradwire-envoy")):
        policy = named(name, "NetworkPolicy", own_name)["spec"]
        assert policy["podSelector"]["matchLabels"] == pod
        for rule in policy["ingress"]:
            (source,) = rule["from"]
            (kind,) = source
            (port,) = rule["ports"]
            allowed[own_name, port["port"]] = (kind, source[kind]["matchLabels"])
    assert allowed == {
        ("gradwire", 8701): ("podSelector", ENVOY),
        ("gradwire", 8702): ("namespaceSelector", {"gradwire-monitoring": "true"}),
        ("gradwire-envoy", 8700): ("namespaceSelector", {"gradwire-client": "true"}),
        ("gradwire-envoy", 9902): ("namespaceSelector", {"gradwire-monitoring": "true"}),
    }
    opened = {(pod.name, port) for pod in pods(name) for port in ports_of(pod)}
    assert allowed.keys() == opened


@each_cluster
def test_the_servers_call_nobody(name: str) -> None:
    """Envoy may ask for names and call servers; the servers may open no connection."""
    assert "egress" not in named(name, "NetworkPolicy", "gradwire")["spec"]
    calls, names = named(name, "NetworkPolicy", "gradwire-envoy")["spec"]["egress"]
    assert calls["to"] == [{"podSelector": {"matchLabels": SERVER}}]
    assert [port["port"] for port in calls["ports"]] == [8701]
    assert {port["port"] for port in names["ports"]} == {53}


@each_cluster
@pytest.mark.parametrize("file", ["envoy.yaml", "envoy-tls.yaml"])
def test_envoy_names_every_replica(name: str, file: str) -> None:
    """Envoy's servers are the pods that the StatefulSet makes, as many as autoscaling may want."""
    config = read(DEPLOY / "envoy" / file)
    (cluster,) = (c for c in config["static_resources"]["clusters"] if c["name"] == "gradwire")
    (group,) = cluster["load_assignment"]["endpoints"]
    found = [entry["endpoint"]["address"]["socket_address"] for entry in group["lb_endpoints"]]
    owner = server_pod(name).owner
    service = named(name, "Service", owner["spec"]["serviceName"])
    assert service["spec"]["clusterIP"] == "None"
    most = of_kind(name, "HorizontalPodAutoscaler")[0]["spec"]["maxReplicas"]
    assert found == [
        {"address": f"gradwire-{index}.{service['metadata']['name']}", "port_value": 8701}
        for index in range(most)
    ]


@each_cluster
def test_envoy_starts_with_what_is_mounted(name: str) -> None:
    """What Envoy's container names is in its ConfigMap, which holds the files of deploy/envoy."""
    (pod,) = (pod for pod in pods(name) if matches(ENVOY, pod.labels))
    (volume,) = (volume for volume in pod.spec["volumes"] if volume["name"] == "config")
    files = named(name, "ConfigMap", volume["configMap"]["name"])["data"]
    command = [*pod.container["args"], *pod.container["lifecycle"]["preStop"]["exec"]["command"]]
    named_in = " ".join([*command, files["envoy-tls.yaml"]])
    used = set(re.findall(r"/etc/envoy/([\w.-]+)", named_in))
    assert used == {"envoy-tls.yaml", "tls-certificate.yaml", "tls-authority.yaml", "drain.sh"}
    for file in used:
        assert files[file] == (DEPLOY / "envoy" / file).read_text()


@each_cluster
@pytest.mark.parametrize("file", ["tls-certificate.yaml", "tls-authority.yaml"])
def test_envoy_watches_where_its_certificates_are_mounted(name: str, file: str) -> None:
    """Kubernetes renews the files of a secret by a link at the top of its volume."""
    (pod,) = (pod for pod in pods(name) if matches(ENVOY, pod.labels))
    (mount,) = (m for m in pod.container["volumeMounts"] if m["name"] == "tls")
    text = (DEPLOY / "envoy" / file).read_text()
    (watched,) = re.findall(r"watched_directory: {path: (.*)}", text)
    assert watched == mount["mountPath"]
    paths = re.findall(r"filename: (.*)}", text)
    assert paths
    assert {path.rpartition("/")[0] for path in paths} == {watched}


@each_cluster
def test_the_autoscaler_scales_the_servers(name: str) -> None:
    """It sets the number of servers, so the manifest must not reset it."""
    (scaler,) = of_kind(name, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    assert "replicas" not in named(name, target["kind"], target["name"])["spec"]
    assert scaler["spec"]["minReplicas"] >= 2
