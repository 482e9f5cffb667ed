"""Servers from the image, under podman and confined as the manifests confine them.

Where the kernel runs no containers they run in a chroot.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import gradwire as gw
from deploy.gateway import free_port
from server_process import eventually

IMAGE = os.environ.get("GRADWIRE_TEST_IMAGE", "")
CONFINED = os.environ.get("GRADWIRE_TEST_ENGINE") == "podman"
USER = 10001
MEMORY = 4 * 2**30

_LIMITS = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:size=256m,mode=1777",
    f"--memory={MEMORY}",
]


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 or not check, (command, done.stdout, done.stderr)
    return done


def volume(folder: Path) -> Path:
    """A directory as Kubernetes mounts a volume with fsGroup: root's, and writable by a group."""
    folder.mkdir()
    os.chown(folder, 0, USER)
    folder.chmod(0o2775)
    return folder


def is_healthy(name: str) -> bool:
    """Whether a container's own health check passes, sooner or later; each has little time."""
    command = ("podman", "healthcheck", "run", name)
    return eventually(lambda: run(*command, check=False).returncode == 0, 60)


class Container:
    """One server from the image on this machine's loopback.

    Attributes:
        name: Its name, which is also that of the replica.
        target: Where it takes calls.
        code: The exit code, once it has ended.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        volumes: dict[Path, str],
        *flags: str,
        port: int | None = None,
    ) -> None:
        """Makes a container that isn't started yet.

        Args:
            folder: Where its output goes.
            name: A name that no other container of this test has.
            volumes: Directories of this machine, and where the server sees them.
            flags: More flags for the server.
            port: Where to take calls; None for a free one.
        """
        self.name = f"{name}-{os.getpid()}"
        self.port, self._metrics = port or free_port(), free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.code: int | None = None
        self._flags = ["--replica-id", self.name, *flags]
        self._options = [f"--volume={path}:{inside}" for path, inside in volumes.items()]
        self._options += [
            f"--env=GRADWIRE_SERVER_LISTEN={self.target}",
            f"--env=GRADWIRE_SERVER_METRICS=127.0.0.1:{self._metrics}",
        ]
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.begin()
        self.wait_until_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None and self.code is None:
            self.end("KILL")
        if error is not None and self._process is not None:
            print(self.log)

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text()

    def begin(self) -> None:
        """Starts it, and doesn't wait for it."""
        if CONFINED:
            command = ["podman", "run", "--rm", f"--name={self.name}", "--network=host"]
            command += [f"--user={USER}:{USER}", *_LIMITS, *self._options, IMAGE]
        else:
            run("buildah", "from", "--quiet", f"--name={self.name}", IMAGE)
            command = ["buildah", "run", "--isolation=chroot", f"--user={USER}:{USER}"]
            command += [*self._options, self.name, "setpriv", "--no-new-privs", "gradwire-server"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *self._flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_until_ready(self) -> None:
        """Waits until it takes calls."""
        assert self._process is not None
        ended = self._process.poll
        assert eventually(lambda: '"listening"' in self.log or ended() is not None, 120), self.log
        assert ended() is None, self.log

    def signal(self, name: str) -> None:
        """Sends the server a signal."""
        if CONFINED:
            run("podman", "kill", f"--signal={name}", self.name, check=False)
        else:
            for pid in _servers_named(self.name):
                os.kill(pid, getattr(signal, f"SIG{name}"))

    def stop(self) -> int:
        """Stops it as Kubernetes does, and returns the exit code; 137 if it didn't in time."""
        if CONFINED:
            run("podman", "stop", "--time=90", self.name)
        else:
            self.signal("TERM")
        return self._wait()

    def end(self, name: str) -> int:
        """Sends a signal again and again until the server has ended; returns the exit code."""
        assert self._process is not None

        def ended() -> bool:
            self.signal(name)
            return self._process is not None and self._process.poll() is not None

        assert eventually(ended, 60), self.log
        return self._wait()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a program beside the server."""
        if CONFINED:
            return run("podman", "exec", self.name, *command, check=check)
        return run(
            "buildah", "run", "--isolation=chroot", *self._options, self.name, *command,
            check=check,
        )  # fmt: skip

    def connect(self, **options: Any) -> gw.Connection:
        """A connection to it."""
        return gw.connect(self.target, timeout=120.0, **options)

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        page = f"http://127.0.0.1:{self._metrics}/metrics"
        with urllib.request.urlopen(page, timeout=10) as answer:
            (value,) = re.findall(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(value)

    def _wait(self) -> int:
        assert self._process is not None
        self.code = self._process.wait(120)
        if not CONFINED:
            run("buildah", "rm", self.name)
        return self.code


def configuration() -> dict[str, Any]:
    """The image's configuration, as docker inspect shows it."""
    shown = json.loads(run("buildah", "inspect", "--type=image", IMAGE).stdout)
    config: dict[str, Any] = shown["Docker"]["config"]
    return config


def run_in_image(*command: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Runs a program of the image instead of the server."""
    if CONFINED:
        arguments = ["--rm", "--network=host", *_LIMITS, *options, "--entrypoint=", IMAGE, *command]
        return run("podman", "run", *arguments, check=False)
    name = run("buildah", "from", "--quiet", IMAGE).stdout.strip()
    try:
        return run("buildah", "run", "--isolation=chroot", name, *command, check=False)
    finally:
        run("buildah", "rm", name)


def _servers_named(name: str) -> list[int]:
    """The servers with this word among their arguments; buildah's processes have it, too."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if name.encode() in words and words[1].endswith(b"/gradwire-server"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
