"""Finds out what is missing here, and installs it from a folder of wheels. No network."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

NEEDED = {
    "gradwire": "gradwire",
    "gradwire_server": "gradwire",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_status": "grpcio-status",
    "jax": "jax",
    "jaxlib": "jaxlib",
    "ml_dtypes": "ml-dtypes",
    "numpy": "numpy",
    "prometheus_client": "prometheus-client",
}
"""What is imported, and the package that has it."""


class CannotBeginError(Exception):
    """The checks can't begin; the message says why."""


def missing_packages() -> list[str]:
    """Returns the names of the packages that can't be imported here."""
    return sorted({package for module, package in NEEDED.items() if not _is_there(module)})


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in is missing
        return False


def with_wheels(folder: Path, script: str, arguments: Sequence[str]) -> int:
    """Runs the script in an environment to which wheels were added; returns its exit status.

    The environment has all that this interpreter has, and ends with the script.

    Raises:
        CannotBeginError: the wheels can't be installed.
    """
    wheels = sorted(folder.glob("gradwire-*.whl"))
    if not wheels:
        raise CannotBeginError(f"`--wheels` must name a folder with gradwire's wheel; got {folder}")
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as place:
        python = make_environment(Path(place))
        # Even if this interpreter has that version already: it may be of other sources.
        install(python, folder, "--no-deps", "--ignore-installed", str(wheels[-1]))
        install(python, folder, "gradwire[server]")
        with subprocess.Popen([str(python), script, *_without_wheels(arguments)]) as process:
            signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            return process.wait()


def make_environment(place: Path) -> Path:
    """Makes an environment that has what this interpreter has; returns its Python.

    ``--system-site-packages`` would leave out the packages of an environment that this
    interpreter is itself in.
    """
    venv.create(place, system_site_packages=True, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    own = _output([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    paths = sysconfig.get_paths()
    lines = dict.fromkeys([paths["purelib"], paths["platlib"]])
    (Path(own.strip()) / "beside.pth").write_text("".join(f"{line}\n" for line in lines))
    return python


def install(python: Path, folder: Path, *what: str) -> None:
    """Installs from the folder alone, with the pip of this interpreter.

    Raises:
        CannotBeginError: something is missing there.
    """
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--disable-pip-version-check", "--no-index", "--find-links", str(folder), *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode:
        raise CannotBeginError(f"pip can't install {what[-1]} from {folder}:\n{done.stderr}")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def _without_wheels(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments without ``--wheels`` and its folder."""
    kept = []
    words = iter(arguments)
    for word in words:
        if word == "--wheels":
            next(words)
        elif not word.startswith("--wheels="):
            kept.append(word)
    return kept
