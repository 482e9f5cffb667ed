"""Prometheus finds the pods, and the cluster's rules are those of deploy/prometheus."""

import pytest

from deploy.manifests.objects import CLUSTER, DEPLOY, matches, of_kind, read, server_pod
from gradwire_server.config.settings import Settings

RULES = DEPLOY / "prometheus" / "alerts.yml"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
ADAPTER = DEPLOY / "kubernetes" / "components" / "autoscaling" / "adapter-rules.yaml"


@pytest.mark.parametrize("name", CLUSTER)
def test_the_rules_are_those_of_prometheus(name: str) -> None:
    """The operator gets the same rules as the Prometheus of compose and of the tests."""
    (rule,) = of_kind(name, "PrometheusRule")
    assert rule["spec"] == read(RULES)
    assert rule["spec"]["groups"]


@pytest.mark.parametrize("name", CLUSTER)
def test_a_start_without_end_is_heard_of(name: str) -> None:
    """The alert waits for programs to be warmed up, but not until Kubernetes restarts it."""
    rules = [rule for group in read(RULES)["groups"] for rule in group["rules"]]
    (waits,) = (rule["for"] for rule in rules if rule.get("alert") == "GradwireNotReady")
    probe = server_pod(name).container["startupProbe"]
    seconds = 60 * int(waits.removesuffix("m"))
    assert Settings().max_warm_seconds + 60 <= seconds
    assert seconds + 60 <= probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("name", CLUSTER)
def test_monitors_find_services(name: str) -> None:
    """A ServiceMonitor finds one service and a port of it, as a job that compose has, too."""
    jobs = {job["job_name"]: job for job in read(PROMETHEUS)["scrape_configs"]}
    for monitor in of_kind(name, "ServiceMonitor"):
        selector = monitor["spec"]["selector"]["matchLabels"]
        services = of_kind(name, "Service")
        (service,) = (s for s in services if matches(selector, s["metadata"]["labels"]))
        (endpoint,) = monitor["spec"]["endpoints"]
        (port,) = (p for p in service["spec"]["ports"] if p["name"] == endpoint["port"])
        job = jobs[service["metadata"]["name"]]
        assert [port["port"]] == [source["port"] for source in job["dns_sd_configs"]]
        assert endpoint["path"] == job.get("metrics_path", "/metrics")


@pytest.mark.parametrize("name", CLUSTER)
def test_autoscaling_has_its_metrics(name: str) -> None:
    """What the autoscaler asks for the adapter offers, from rules that Prometheus records."""
    (scaler,) = of_kind(name, "HorizontalPodAutoscaler")
    wanted = {entry["pods"]["metric"]["name"] for entry in scaler["spec"]["metrics"]}
    offered = {rule["name"]["as"]: rule for rule in read(ADAPTER)["rules"]}
    assert wanted == offered.keys()
    recorded = {
        rule["record"]
        for group in read(RULES)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    for rule in offered.values():
        series = rule["seriesQuery"].partition("{")[0]
        assert series in recorded
        assert f"({series}{{<<.LabelMatchers>>}})" in rule["metricsQuery"]
