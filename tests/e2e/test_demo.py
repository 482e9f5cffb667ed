"""The demo, shortened, in a process of its own against this session's server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gradwire as gw

pytestmark = pytest.mark.example

EXAMPLES = Path(__file__).parents[2] / "examples"
FUNCTIONS = {name for name in gw.__all__ if name[0].islower() and callable(getattr(gw, name))}
CONTROL = {
    f"gradwire.transforms.{name}"
    for name in ("branches", "custom_rules", "implicit", "loops", "scans")
}
OPERATORS = {name for name in FUNCTIONS if getattr(gw, name).__module__ not in CONTROL}
OPERATORS -= {"connect", "current_connection", "local"}
SABOTAGE = """
import runpy, sys
import numpy as np
import gradwire as gw

hessian, laplacian = gw.hessian, gw.laplacian
gw.hessian = lambda f: lambda x: hessian(f)(x) * (1 + 1e-5)
gw.laplacian = lambda f: lambda x: laplacian(f)(x) * np.nan
sys.path.insert(0, sys.argv[1])
sys.argv[:2] = ["demo.py"]
runpy.run_path(sys.path[0] + "/demo.py", run_name="__main__")
"""


def run_demo(arguments, server, picture):
    command = [sys.executable, *arguments, "--steps", "20", "--output", str(picture)]
    environment = {**os.environ, "GRADWIRE_TARGET": server.address}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_trains_checks_every_operator_and_draws(server, tmp_path):
    """It ends with status 0, a table of all operators within their bounds, and a picture."""
    picture = tmp_path / "picture.png"
    done = run_demo([str(EXAMPLES / "demo.py")], server, picture)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\w+) .* ms .* ms ", done.stdout, re.MULTILINE)
    assert set(rows) == OPERATORS
    first, last = re.search(r"loss: (\S+) in .*?, (\S+) in", done.stdout).groups()
    assert float(last) < float(first)
    assert "training" in done.stderr  # the progress bar
    assert str(picture) in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_an_error_out_of_bounds_fails_it(server, tmp_path):
    """A Hessian that is wrong in the fifth digit, or NaN, is named, and the status is 1."""
    arguments = ["-c", SABOTAGE, str(EXAMPLES)]
    done = run_demo(arguments, server, tmp_path / "picture.png")
    assert done.returncode == 1, done.stderr
    assert "out of bounds: hessian, laplacian" in done.stdout
