"""The Node.js example, installed from its lock file, against a server of its own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gradwire_server.app import build
from serving import settings_in

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "node"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example in a copy of its own, with its two dependencies."""
    if missing := [name for name in ("node", "npm") if shutil.which(name) is None]:
        text = f"{' and '.join(missing)} must be on the PATH for the Node.js example to be run"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    copy = tmp_path_factory.mktemp("node")
    shutil.copytree(ROOT / "proto", copy / "proto")
    folder = copy / "examples" / "node"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(folder, *arguments, **environment):
    command = [shutil.which("node"), "batched_jacobian.js", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_agrees_with_the_closed_form(installed, tmp_path):
    """The address comes from the command line or the environment; both runs print and end well."""
    with build(settings_in(tmp_path, listen="127.0.0.1:0")) as app:
        for arguments, environment in (
            ([app.address], {}),
            ([], {"GRADWIRE_TARGET": app.address}),
        ):
            done = run(installed, *arguments, **environment)
            assert done.returncode == 0, done.stderr
            assert "DTYPE_FLOAT64 (5,4), DTYPE_FLOAT64 (5,4,3)" in done.stdout
            assert "functions[1].nodes[0]: mode = forward" in done.stdout
            assert "largest error against the closed form: " in done.stdout


def test_a_wrong_closed_form_fails_it(installed, tmp_path):
    """Its exit status says whether the numbers agree."""
    source = (installed / "batched_jacobian.js").read_text()
    wrong = source.replace("(1 - Math.tanh(sum) ** 2)", "(1 - Math.tanh(sum) ** 2 + 1e-9)")
    assert wrong != source
    folder = tmp_path / "examples" / "node"
    shutil.copytree(installed.parents[1] / "proto", tmp_path / "proto")
    shutil.copytree(installed, folder)
    (folder / "batched_jacobian.js").write_text(wrong)
    with build(settings_in(tmp_path, listen="127.0.0.1:0")) as app:
        done = run(folder, app.address)
    assert done.returncode == 1
    assert "largest error" in done.stdout


def test_without_a_server_it_fails(installed):
    """No server at the address is an error that names the address."""
    done = run(installed, "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("127.0.0.1:1: ")


def test_the_lock_file_names_no_registry():
    """Every package is pinned by version and hash, and comes from whatever registry is set."""
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert entry["integrity"].startswith("sha512-"), name
    pins = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]
    for name, version in pins.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert set(pins) == {"@grpc/grpc-js", "@grpc/proto-loader"}
