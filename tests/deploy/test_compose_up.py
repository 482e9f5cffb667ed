"""deploy/compose/compose.yaml, run by podman-compose. `make image-test` runs this.

At the ports that it publishes, 8700 and 9090, which must be free.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import gradwire as gw
from deploy.containers import CONFINED, is_healthy, run
from server_process import eventually

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(not CONFINED, reason="this kernel runs no containers"),
]

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "compose" / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
ENVOY = "127.0.0.1:8700"


def _compose(*words: str) -> None:
    program = Path(sys.executable).with_name("podman-compose")
    run(str(program), f"--file={FILE}", *words)


def _is_there(service: str) -> bool:
    """Whether the image is; the server's is built here."""
    image = SERVICES[service]["image"]
    return not run("podman", "image", "exists", image, check=False).returncode


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]
    except OSError:
        return {}


@pytest.fixture(scope="module", autouse=True)
def services() -> Iterator[list[str]]:
    """The services whose images can be had, running."""
    names = [name for name in SERVICES if _is_there(name)]
    try:
        _compose("up", "--detach", "--no-build", *names)
        yield names
    finally:
        _compose("down", "--volumes")


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_runs(service: str, services: list[str]) -> None:
    """Confined as the file says: it starts, and goes on."""
    if service not in services:
        pytest.skip(f"{SERVICES[service]['image']} can't be had here: NOT VERIFIED")
    shown = run("podman", "inspect", f"gradwire_{service}_1").stdout
    (state,) = json.loads(shown)
    assert state["State"]["Status"] == "running", run("podman", "logs", f"gradwire_{service}_1")
    assert state["HostConfig"]["ReadonlyRootfs"]
    assert state["EffectiveCaps"] in (None, [])


def test_envoy_carries_calls(services: list[str]) -> None:
    """It finds the server by its name in the inner network, and it is healthy."""

    def answers() -> bool:
        try:
            with gw.connect(ENVOY, timeout=60.0):
                gradient = gw.grad(lambda x: np.sum(np.sin(x)))(np.arange(3.0))
        except gw.UnavailableError:
            return False
        np.testing.assert_allclose(gradient, np.cos(np.arange(3.0)))
        return True

    assert eventually(answers, 60)
    assert is_healthy("gradwire_server_1")
    assert is_healthy("gradwire_envoy_1")


def test_the_demo_works(services: list[str], tmp_path: Path) -> None:
    """`GRADWIRE_TARGET=127.0.0.1:8700 make demo`, with all that it checks."""
    subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        env={**os.environ, "GRADWIRE_TARGET": ENVOY},
        cwd=tmp_path,
        check=True,
        timeout=300,
    )


def test_prometheus_sees_the_server(services: list[str]) -> None:
    """And has read the rules."""
    if "prometheus" not in services:
        pytest.skip("no Prometheus can be had here: NOT VERIFIED")
    api = "http://127.0.0.1:9090/api/v1"

    def sees() -> bool:
        query = f"{api}/query?query=gradwire_plans_held"
        return bool(_get(query).get("result")) and bool(_get(f"{api}/rules").get("groups"))

    assert eventually(sees, 120), _get(f"{api}/targets")
