"""The examples, each in a process of its own against this session's server, with its checks on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.example

EXAMPLES = Path(__file__).parents[2] / "examples"
ARTICLES = sorted(p for p in EXAMPLES.glob("*.py") if not p.name.startswith("demo"))
SABOTAGE = """
import functools, runpy, sys
import gradwire as gw

path, name = sys.argv[1:3]
operator = getattr(gw, name)

def scale(answer):
    if isinstance(answer, tuple):
        return tuple(map(scale, answer))
    if isinstance(answer, dict):
        return {name: scale(value) for name, value in answer.items()}
    return answer * (1 + 1e-5)

def wrong(*args, **kwargs):
    answer = operator(*args, **kwargs)
    return (lambda *args: scale(answer(*args))) if callable(answer) else scale(answer)

setattr(gw, name, wrong)
sys.argv[:3] = [path]
runpy.run_path(path, run_name="__main__")
"""
SABOTAGED = {
    "batched_derivatives": "batched_jacobian",
    "frechet": "jvp",
    "kalman": "hessian",
    "natural_gradient": "jvp",
    "nested_losses": "jacobian",
    "score_matching": "laplacian",
}


def run_example(arguments, server, folder):
    command = [sys.executable, "-W", "error", *arguments, "--out", str(folder)]
    environment = {**os.environ, "GRADWIRE_TARGET": server.address}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize("path", ARTICLES, ids=lambda path: path.stem)
def test_it_keeps_what_it_claims(path, server, tmp_path):
    """It ends with status 0, without a warning, and writes what it names."""
    done = run_example([str(path)], server, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    named = re.findall(r"^picture: (.*)$", done.stdout, re.MULTILINE)
    assert {Path(picture) for picture in named} == set(tmp_path.iterdir())
    for picture in named:
        assert Path(picture).read_bytes().startswith(b"\x89PNG")


# The two slowest wait for the long tests.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in ("frechet", "kalman") else [])
        for name in SABOTAGED
    ],
)
def test_a_wrong_derivative_fails_it(name, server, tmp_path):
    """An operator that errs in the fifth digit is noticed: the claim is named, the status is 1."""
    arguments = ["-c", SABOTAGE, str(EXAMPLES / f"{name}.py"), SABOTAGED[name]]
    done = run_example(arguments, server, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("out of bound: ")
    assert not list(tmp_path.iterdir())
