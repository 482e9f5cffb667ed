"""The pod of the Kubernetes manifests, run by podman. `make image-test` runs this."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import gradwire as gw
from deploy.containers import CONFINED, MEMORY, is_healthy, run
from deploy.gateway import free_port
from server_process import eventually

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(not CONFINED, reason="this kernel runs no containers"),
]

ROOT = Path(__file__).parents[2]
SERVER = "gradwire-pod-0-server"


@dataclass
class Pod:
    """A pod: where it takes calls, and where it says that it is ready."""

    target: str
    ready_url: str
    manifest: Path


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """What the overlay ci renders to, at ports that are free."""
    text = run(str(ROOT / "scripts/render-kustomization"), "deploy/kubernetes/overlays/ci").stdout
    ports = [free_port(), free_port()]
    for usual, port in zip((8701, 8702), ports, strict=True):
        assert f"127.0.0.1:{usual}" in text
        text = text.replace(f"127.0.0.1:{usual}", f"127.0.0.1:{port}")
    manifest = tmp_path_factory.mktemp("pod") / "ci.yaml"
    manifest.write_text(text)
    run("podman", "play", "kube", "--network=host", str(manifest))
    made = Pod(f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}/readyz", manifest)
    try:
        assert eventually(lambda: _is_ready(made.ready_url), 120), run("podman", "logs", SERVER)
        yield made
    finally:
        run("podman", "play", "kube", "--down", str(manifest), check=False)


def test_the_pod_computes(pod: Pod) -> None:
    """It gets ready, and a client's gradient is right."""
    with gw.connect(pod.target, timeout=120.0):
        gradient = gw.grad(lambda x: np.sum(np.sin(x)))(np.arange(3.0))
    np.testing.assert_allclose(gradient, np.cos(np.arange(3.0)))
    assert is_healthy(SERVER)


def test_the_pod_is_confined(pod: Pod) -> None:
    """By what the manifest says: another user, no capabilities, read-only, bounded memory."""
    status = run("podman", "exec", SERVER, "cat", "/proc/1/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == fields["Gid"].split() == ["10001"] * 4
    assert (fields["NoNewPrivs"], int(fields["CapBnd"], 16)) == ("1", 0)
    assert int(fields["Seccomp"]) > 0
    assert "Read-only" in run("podman", "exec", SERVER, "touch", "/x", check=False).stderr
    shown = run("podman", "inspect", "--format={{.HostConfig.Memory}}", SERVER).stdout
    assert int(shown) == MEMORY


def test_the_pod_ends_in_good_order(pod: Pod) -> None:
    """Told to stop, the server ends with 0, well before it would be killed."""
    run("podman", "stop", "--time=90", SERVER)
    assert run("podman", "inspect", "--format={{.State.ExitCode}}", SERVER).stdout == "0\n"
