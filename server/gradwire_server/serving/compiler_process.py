"""One compiler in a process of its own, as the server sees it. It must not import JAX."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from gradwire.errors import LimitExceededError
from gradwire_server.compiler.protocol import (
    READY,
    STARTED,
    Frame,
    receive_frame,
    send_frame,
)
from gradwire_server.process.exits import describe_exit

_COMMAND = [sys.executable, "-P", "-m", "gradwire_server.compiler.process"]
_START_SECONDS = 60.0
"""A compiler imports JAX and finds its devices before it takes requests."""
_LOOK_SECONDS = 0.05
"""How often time and memory of a compile are looked at."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class DiedError(Exception):
    """A compiler ended while it compiled; the message says how."""


class GoneError(Exception):
    """A compiler that had been ready ended before it began to compile; the message says how."""


class NotStartedError(Exception):
    """A compiler ended, or took too long, before it took requests; the message says which."""


class CompilerProcess:
    """One process. It is used by one thread at a time.

    Attributes:
        pid: Its id.
    """

    def __init__(self) -> None:
        """Starts it."""
        ours, theirs = socket.socketpair()
        self._connection = ours
        self._jobs = itertools.count(1)
        self._started = time.monotonic()
        self._is_ready = False
        with theirs:
            self._process = subprocess.Popen(
                [*_COMMAND, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # It compiles, and computes nothing: it must leave a GPU's memory to the server.
                env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            )
        self.pid = self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def ask(self, kind: int, data: bytes, max_seconds: float, max_bytes: int) -> tuple[int, bytes]:
        """Sends a request of a kind; returns the kind and the payload of the answer.

        Raises:
            LimitExceededError: a bound was passed. The process must be killed.
            NotStartedError: it doesn't take requests. It must be killed as well.
            GoneError: the process had ended before.
            DiedError: the process has ended.
        """
        if not self._is_ready:
            self._wait_until_ready(max_bytes)
        job, end = next(self._jobs), time.monotonic() + max_seconds
        try:
            self._begin(kind, job, data, end, max_bytes)
            answer, answered, payload = self._receive(end, max_bytes)
        except TimeoutError:
            raise _passed("max_compile_seconds", f"{max_seconds:g}", "took longer") from None
        assert answered == job
        return answer, payload

    def resident_bytes(self) -> int:
        """Returns the memory that it takes; 0 where that can't be known."""
        try:
            statm = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii")
        except OSError:
            return 0
        return int(statm.split()[1]) * _PAGE_BYTES

    def kill(self) -> None:
        """Ends it, if it hasn't ended. A thread that waits for its answer gets an error."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Closes the connection, once no thread waits for an answer."""
        self._connection.close()

    def _begin(self, kind: int, job: int, data: bytes, end: float, max_bytes: int) -> None:
        try:
            send_frame(self._connection, kind, job, data)
            started = self._receive(end, max_bytes)
        except TimeoutError:  # it is an OSError, too
            raise
        except (OSError, DiedError):
            raise GoneError(self._death()) from None
        assert started == (STARTED, job, b"")

    def _wait_until_ready(self, max_bytes: int) -> None:
        try:
            kind, _, _ = self._receive(self._started + _START_SECONDS, max_bytes)
        except TimeoutError:
            raise NotStartedError(f"it did not start within {_START_SECONDS:g} s") from None
        except DiedError as death:
            raise NotStartedError(str(death)) from None
        assert kind == READY
        self._is_ready = True

    def _receive(self, end: float, max_bytes: int) -> Frame:
        while not select.select([self._connection], [], [], _LOOK_SECONDS)[0]:
            if time.monotonic() >= end:
                raise TimeoutError
            if self.resident_bytes() > max_bytes:
                raise _passed("max_compile_bytes", str(max_bytes), "took more memory")
        frame = receive_frame(self._connection)
        if frame is None:
            raise DiedError(self._death())
        return frame

    def _death(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        return "it closed its socket" if code is None else describe_exit(code)


def _passed(limit: str, allowed: str, what: str) -> LimitExceededError:
    return LimitExceededError(
        f"`{limit}` is {allowed} on this server; compiling {what}",
        metadata={"limit": limit, "allowed": allowed, "got": "more"},
    )
