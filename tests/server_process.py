"""Servers and clients as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TESTS = Path(__file__).parent
COMMAND = [sys.executable, "-P", "-W", "error", "-m", "gradwire_server"]


class ServerProcess:
    """A server on a Unix socket or another address; it ends with the tests, however they end.

    More flags and variables of its environment can be changed between two starts.
    """

    def __init__(self, folder: Path, listen: str | None = None, *flags: str) -> None:
        self.target = listen or f"unix:{folder}/socket"
        self.flags = list(flags)
        self.environment: dict[str, str] = {}
        self._cache = folder / "cache"
        self._process: subprocess.Popen[str] | None = None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(signal.SIGKILL)

    def start(self) -> None:
        """Starts it, and waits until it takes calls."""
        command = [sys.executable, "-P", "-m", "gradwire_server", "--embedded"]
        command += ["--listen", self.target, "--cache-dir", str(self._cache), "--grace", "30"]
        self._process = subprocess.Popen(
            [*command, *self.flags],
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline())["listening"] == self.target

    def send(self, number: int) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: int) -> int | None:
        """Sends it a signal, waits until it has ended, and returns its exit code."""
        if self._process is None:
            return None
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Waits until it has ended, and returns its exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        process.communicate()
        return process.returncode


@contextmanager
def started(
    *flags: str, umask: int = -1, stderr: int = subprocess.PIPE, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """The server's command; it is killed at the end if it still runs.

    Args:
        flags: Its flags.
        umask: What files it makes lack; -1 for what is usual.
        stderr: Where its log goes.
        more: Variables of its environment, which has none of ours.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GRADWIRE_")} | more
    process = subprocess.Popen(
        [*COMMAND, *flags],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        umask=umask,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Waits until it takes calls; returns what it then says of its addresses."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    answer: dict[str, Any] = json.loads(line)
    return answer


def start_script(
    script: str, *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.Popen[str]:
    """Starts a Python program in a process group of its own; it may import what tests share."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GRADWIRE_TARGET", "GRADWIRE_SERVER_", "GRPC_", "PYTEST_"))
    }
    # Python 3.12 and later warn of every fork of a process with threads.
    warnings = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    return subprocess.Popen(
        [sys.executable, *warnings, "-c", script, *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(TESTS), **environment},
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_script(
    script: str, *arguments: str, folder: Path | None = None, **environment: str
) -> list[str]:
    """Runs a Python program to its end, and returns the lines that it has printed."""
    process = start_script(script, *arguments, folder=folder, **environment)
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    return output.splitlines()


def processes_of(target: str) -> list[int]:
    """The ids of the servers that were told to listen there."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if entry.name.isdigit() and target.encode() in words:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """The ids of the processes that a process has started, and that are no zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == pid and state != "Z":
                    found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
