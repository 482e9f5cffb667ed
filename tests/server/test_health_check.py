from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gradwire_server.process import health_check as probe
from serving import serving


def test_a_server_that_is_ready_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the address in the environment or the one that is named; one that drains isn't ready."""
    with serving(tmp_path, metrics="127.0.0.1:0") as (app, _):
        assert app.metrics_url is not None
        port = app.metrics_url.rpartition(":")[2]
        monkeypatch.setenv("GRADWIRE_SERVER_METRICS", f"0.0.0.0:{port}")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert probe.main([]) == 0
        assert probe.main([f"{app.metrics_url}/readyz"]) == 0
        app.lifecycle.drain()
        assert probe.main([]) == 1
    assert probe.main([]) == 1
    assert capsys.readouterr().out.split("\n")[:3] == ["serving", "serving", "draining"]


def test_the_probe_is_quick() -> None:
    """It runs every few seconds: it imports the standard library and nothing else."""
    code = (
        "import sys, gradwire_server.process.health_check; "
        "assert not {'grpc', 'jax', 'numpy', 'google'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)
