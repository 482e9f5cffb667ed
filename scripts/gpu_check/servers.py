"""Servers as users start them, and what can be seen of their processes from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 90.0
END_SECONDS = 20.0
_LAST_CHARS = 600


class NotStartedError(Exception):
    """A server doesn't take calls; the message has the end of its log."""


class Server:
    """``gradwire-server`` on a Unix socket, with a supervisor; a context manager.

    Attributes:
        target: Where it listens.
        start_seconds: How long it took until it accepted calls.
    """

    def __init__(self, folder: Path, *flags: str, **environment: str) -> None:
        """Says how it is to be started.

        Args:
            folder: Its own, for the socket, the cache and the log.
            flags: Further flags.
            environment: Further variables of its environment.
        """
        folder.mkdir(mode=0o700)
        self.target = f"unix:{folder}/s"
        self.start_seconds = 0.0
        self._log = folder / "log"
        self._flags = ["--listen", self.target, "--cache-dir", str(folder / "cache")]
        self._flags += ["--metrics", "127.0.0.1:0", "--grace", "2", *flags]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GRADWIRE_")}
        self._environment = {**inherited, **environment}
        self._metrics = ""

    @property
    def pid(self) -> int:
        """The id of the server; 0 while there is none. Its parent is the supervisor."""
        return next(iter(children(self._process.pid)), 0)

    def __enter__(self) -> Self:
        start = time.monotonic()
        command = [sys.executable, "-P", "-m", "gradwire_server", *self._flags]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, stderr=log
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        self.start_seconds = time.monotonic() - start
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def metric(self, name: str) -> float:
        """Returns a metric that has no labels."""
        with urllib.request.urlopen(f"{self._metrics}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return float(next(line.split()[1] for line in lines if line.split()[0] == name))

    def is_ready(self) -> bool:
        """Says whether it takes calls, as a balancer would ask."""
        try:
            with urllib.request.urlopen(f"{self._metrics}/readyz", timeout=2) as page:
                return bool(page.status == 200)
        except OSError:  # no server, or one that answers 503
            return False

    def compiler_pids(self) -> list[int]:
        """Returns the ids of its compilers."""
        return children(self.pid)

    def last_words(self) -> str:
        """Returns the end of its log, in one line."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return " ".join(text.split())[-_LAST_CHARS:]

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            late = "" if self._process.poll() is not None else f" within {START_SECONDS:g} s"
            raise NotStartedError(f"the server did not start{late}: {self.last_words()}")
        self._metrics = json.loads(line)["metrics"].rstrip("/")

    def _end(self) -> None:
        """Ends it in good order, or else kills it; the supervisor's end ends the server."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.communicate()


def children(parent: int) -> list[int]:
    """Returns the ids of the processes that a process has started, the oldest first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append((int(fields[19]), int(entry.name)))
    return [pid for _, pid in sorted(found)]


def variable_of(pid: int, name: str) -> str | None:
    """Returns a variable of the environment that a process was started with; None if unset."""
    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        key, _, value = entry.decode(errors="replace").partition("=")
        if key == name:
            return value
    return None


def resident_bytes(pid: int) -> int:
    """Returns the memory of the machine that a process takes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def device_bytes_by_pid() -> dict[int, int]:
    """Returns what each process takes of the GPU's memory, as nvidia-smi says.

    Empty where there is none, or where it doesn't say: in containers it may see no
    processes, or those of the host, by other ids.
    """
    rows = _nvidia_smi("--query-compute-apps=pid,used_memory")
    taken: Counter[int] = Counter()  # of a process on several GPUs there are several rows
    for pid, used in rows:
        if pid.isdigit() and used.isdigit():
            taken[int(pid)] += int(used) << 20
    return dict(taken)


def device_bytes_used() -> tuple[int, int] | None:
    """Returns what is used of the first GPU's memory and what there is; None if unknown."""
    rows = _nvidia_smi("--query-gpu=memory.used,memory.total")
    if not rows or not all(cell.isdigit() for cell in rows[0]):
        return None
    used, total = rows[0]
    return int(used) << 20, int(total) << 20


def _nvidia_smi(query: str) -> list[list[str]]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == 2]
