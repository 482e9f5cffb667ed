"""`scripts/gpu-check`: its report on a machine without a GPU, and what it needs to begin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu-check"


def run_script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs it on the processor, whatever this machine has."""
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )


@pytest.mark.long
@pytest.mark.timeout(500)
def test_a_processor_passes_what_it_can_show(tmp_path: Path) -> None:
    """The quick part passes, the report has every check, and says why one was not seen."""
    done = run_script("--quick", "--platform", "cpu", "--json", tmp_path / "report.json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    checks = {check["name"]: check for check in report["checks"]}
    assert {name: c["why"] for name, c in checks.items() if c["status"] != "passed"} == {
        "tf32 on request": "a processor has no TF32"
    }
    assert report["platform"] == "cpu"
    assert report["quick"]
    assert {"linalg: expm", "self test", "over the bound"} <= checks.keys()
    assert checks["service after a kill"]["figures"]["restarts"] == 1
    assert all(check["promise"] and name in done.stdout for name, check in checks.items())


def test_another_device_than_asked_for_is_a_failure(tmp_path: Path) -> None:
    """Then nothing else is checked."""
    done = run_script("--platform", "gpu", "--json", tmp_path / "report.json")
    assert done.returncode == 1, done.stderr
    (check,) = json.loads((tmp_path / "report.json").read_text())["checks"]
    assert (check["status"], check["why"]) == ("failed", "JAX finds cpu, not gpu")


def test_a_folder_without_the_wheel_is_refused(tmp_path: Path) -> None:
    """It can't begin, which isn't a check that has failed."""
    done = run_script("--wheels", tmp_path)
    assert done.returncode == 2
    assert f"must name a folder with gradwire's wheel; got {tmp_path}" in done.stderr


def test_what_is_missing_is_named() -> None:
    """Where nothing is installed the packages are, and how to bring them."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "gpu-check: googleapis-common-protos, gradwire, grpcio, " in done.stderr
    assert "--wheels FOLDER" in done.stderr
