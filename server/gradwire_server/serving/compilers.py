"""Compilers in processes of their own: what one of them is asked for can kill or block it alone.

Each bound on a compile is kept by killing the process. One more than compile at a time
is kept ready, so that the next program finds a compiler whatever became of the last.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gradwire.errors import (
    GradwireError,
    LimitExceededError,
    QuarantinedError,
    UnavailableError,
)
from gradwire_server.compiler.protocol import (
    COMPILE,
    COMPILED,
    READY,
    CompileRequest,
    read_error,
    receive_frame,
    send_frame,
    write_request,
)
from gradwire_server.config.settings import Settings
from gradwire_server.planner.choices import Choice

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0
"""A compiler imports JAX and finds its devices before it takes requests."""
_LOOK_SECONDS = 0.05
"""How often time and memory of a compile are looked at."""
RESERVED = 1
"""Threads of the pool for callers none of whose programs is being compiled."""
_TRIES = 2
"""A program whose compiler died gets another: it may have been killed for something else."""
_MAX_REFUSED = 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Counts:
    """What became of compilers so far; for the metrics."""

    started: int = 0
    died: int = 0
    killed: int = 0


Compile = Callable[[bytes, str, int, Sequence[Choice]], bytes]
"""Program, precision, bucket and choices to an executable's bytes."""


class Compilers(Protocol):
    """Where programs are compiled.

    Attributes:
        counts: What became of the processes so far.
    """

    counts: Counts

    def compile_program(
        self, program: bytes, precision: str, bucket: int, choices: Sequence[Choice]
    ) -> bytes:
        """Compiles as ``compiler.compile.compile_program`` does. Thread-safe."""

    def stop(self) -> None:
        """Ends what it has started."""


def open_compilers(settings: Settings) -> Compilers:
    """Returns what compiles, as the settings say."""
    if not settings.compiles_apart:
        return CompilerInProcess()
    # One for each thread of the pool that asks, and one that is ready for the next.
    count = settings.compile_workers + RESERVED + 1
    return CompilerProcesses(
        count,
        settings.max_compile_seconds,
        settings.max_compile_bytes,
        settings.quarantine_seconds,
    )


class CompilerInProcess:
    """Compiles in this process. A compile can't be interrupted, and may end the process.

    Attributes:
        counts: All 0.
    """

    def __init__(self) -> None:
        """There is nothing to start."""
        self.counts = Counts()

    @staticmethod
    def compile_program(
        program: bytes, precision: str, bucket: int, choices: Sequence[Choice]
    ) -> bytes:
        """Compiles in the caller's thread. See ``compiler.compile.compile_program``."""
        # Only here, since a server that compiles elsewhere has no use for the lowering.
        from gradwire_server.compiler.compile import compile_program

        return compile_program(program, precision, bucket, choices)

    def stop(self) -> None:
        """Does nothing: what compiles goes on."""


class CompilerProcesses:
    """A number of compilers, started before they are needed.

    Attributes:
        counts: What became of them so far.
    """

    def __init__(
        self, count: int, max_seconds: float, max_bytes: int, quarantine_seconds: float
    ) -> None:
        """Starts the first of them.

        Args:
            count: How many there are at most: one more than compile at the same time.
            max_seconds: How long one program may take.
            max_bytes: The memory that a compiler may take, JAX included.
            quarantine_seconds: For how long a program is refused that has brought
                compilers down, or passed a bound.
        """
        self.counts = Counts()
        self._max_count = count
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._refusals = _Refusals(quarantine_seconds)
        self._changed = threading.Condition()
        self._all: set[_Compiler] = set()
        self._idle: list[_Compiler] = []
        self._stopped = False
        with self._changed:
            self._start_one()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        with self._changed:
            return [compiler.pid for compiler in self._all]

    def compile_program(
        self, program: bytes, precision: str, bucket: int, choices: Sequence[Choice]
    ) -> bytes:
        """Compiles in another process. See ``compiler.compile.compile_program``.

        Raises:
            LimitExceededError: it took too long, or too much memory.
            QuarantinedError: it has brought two compilers down, now or lately.
            Exception: what the compiler says.
        """
        data = write_request(CompileRequest(program, precision, bucket, tuple(choices)))
        name = hashlib.sha256(data).digest()
        self._refusals.check(name)
        for _ in range(_TRIES):
            try:
                return self._ask(data)
            except LimitExceededError as error:
                if error.metadata.get("limit", "").startswith("max_compile_"):
                    self._refusals.add(name, error)
                raise
            except _DiedError as death:
                _log.warning("a compiler has died while it compiled a program: %s", death)
                cause = str(death)
        refusal = QuarantinedError(
            f"compiling the program brought {_TRIES} compilers down ({cause}); it is refused for "
            f"{self._refusals.seconds:g} s",
            metadata={"cause": cause},
        )
        self._refusals.add(name, refusal)
        raise refusal

    def stop(self) -> None:
        """Kills all of them; what they are asked for fails."""
        with self._changed:
            self._stopped = True
            compilers = list(self._all)
            self._changed.notify_all()
        for compiler in compilers:
            compiler.kill()

    def _ask(self, data: bytes) -> bytes:
        compiler = self._take()
        try:
            answer = compiler.ask(data, self._max_seconds, self._max_bytes)
        except BaseException as error:
            self._discard(compiler, killed=isinstance(error, GradwireError))
            raise
        if compiler.resident_bytes() > self._max_bytes / 2:
            self._discard(compiler)  # else what it has kept would count as the next program's
        else:
            self._give_back(compiler)
        kind, payload = answer
        if kind == COMPILED:
            return payload
        raise read_error(payload)

    def _take(self) -> _Compiler:
        """Returns a compiler that is idle, or the next to become so; starts another."""
        with self._changed:
            if not self._idle and len(self._all) < self._max_count:
                self._start_one()
            self._changed.wait_for(lambda: self._idle or self._stopped)
            if self._stopped:
                raise UnavailableError("the server ends")
            compiler = self._idle.pop()
            if not self._idle and len(self._all) < self._max_count:
                self._start_one()
            return compiler

    def _start_one(self) -> None:
        compiler = _Compiler()
        self.counts.started += 1
        self._all.add(compiler)
        self._idle.append(compiler)
        self._changed.notify()

    def _give_back(self, compiler: _Compiler) -> None:
        with self._changed:
            self._idle.append(compiler)
            self._changed.notify()

    def _discard(self, compiler: _Compiler, *, killed: bool = False) -> None:
        compiler.kill()
        with self._changed:
            self._all.discard(compiler)
            self.counts.killed += killed
            self.counts.died += compiler.has_died
            if not self._stopped and not self._idle:
                self._start_one()


class _DiedError(Exception):
    """A compiler ended; the message says how."""


class _Compiler:
    """One process. It is used by one thread at a time.

    Attributes:
        pid: Its id.
        has_died: Whether it ended by itself, or was ended by others than this server.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection = ours
        self._jobs = itertools.count(1)
        self._started = time.monotonic()
        self._is_ready = False
        self.has_died = False
        command = [sys.executable, "-P", "-m", "gradwire_server.compiler.process"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # It compiles, and computes nothing: it must leave a GPU's memory to the server.
                env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            )
        self.pid = self._process.pid

    def ask(self, data: bytes, max_seconds: float, max_bytes: int) -> tuple[int, bytes]:
        """Sends a request; returns the kind and the payload of the answer.

        Raises:
            LimitExceededError: a bound was passed. The process must be killed.
            _DiedError: the process has ended.
        """
        if not self._is_ready:
            left = self._started + _START_SECONDS - time.monotonic()
            kind, _, _ = self._receive(left, max_bytes, "starting")
            assert kind == READY
            self._is_ready = True
        job = next(self._jobs)
        try:
            send_frame(self._connection, COMPILE, job, data)
        except OSError:
            raise self._death() from None
        kind, answered, payload = self._receive(max_seconds, max_bytes, "compiling")
        assert answered == job
        return kind, payload

    def resident_bytes(self) -> int:
        """Returns the memory that it takes; 0 where that can't be known."""
        try:
            statm = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii")
        except OSError:
            return 0
        return int(statm.split()[1]) * _PAGE_BYTES

    def kill(self) -> None:
        """Ends it, if it hasn't ended."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _receive(self, seconds: float, max_bytes: int, doing: str) -> tuple[int, int, bytes]:
        end = time.monotonic() + seconds
        while not select.select([self._connection], [], [], _LOOK_SECONDS)[0]:
            if time.monotonic() >= end:
                raise _passed("max_compile_seconds", f"{seconds:g}", f"{doing} took longer")
            if self.resident_bytes() > max_bytes:
                raise _passed("max_compile_bytes", str(max_bytes), f"{doing} took more memory")
        frame = receive_frame(self._connection)
        if frame is None:
            raise self._death()
        return frame

    def _death(self) -> _DiedError:
        self.has_died = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        if code is None:
            return _DiedError("it closed its socket")
        return _DiedError(signal.Signals(-code).name if code < 0 else f"exit status {code}")


def _passed(limit: str, allowed: str, what: str) -> LimitExceededError:
    return LimitExceededError(
        f"`{limit}` is {allowed} on this server; {what}",
        metadata={"limit": limit, "allowed": allowed, "got": "more"},
    )


class _Refusals:
    """Programs that are refused for a time, and the error that each is refused with."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._errors: OrderedDict[bytes, tuple[float, GradwireError]] = OrderedDict()

    def add(self, name: bytes, error: GradwireError) -> None:
        with self._lock:
            self._errors[name] = time.monotonic() + self.seconds, error
            while len(self._errors) > _MAX_REFUSED:
                self._errors.popitem(last=False)

    def check(self, name: bytes) -> None:
        with self._lock:
            until, error = self._errors.get(name, (0.0, None))
            if error is None:
                return
            if time.monotonic() >= until:
                del self._errors[name]
                return
        raise type(error)(error.message, reason=error.reason, metadata=error.metadata)
