"""Keeps one server running: starts it, starts it anew when it dies, and ends it when told to.

Standard library only, and no thread beside that of the log: what kills or blocks the
server is in another process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Protocol

from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.exits import FAILED, describe_exit

CHECK_SECONDS = 0.5
"""How often the server is looked at between signals."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0
"""A server that has lived so long is started anew at once when it dies."""
_MAX_FAILED_STARTS = 5
_CHUNK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a server says of its addresses, in one line of JSON on stdout."""

    listening: str
    metrics: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server: words, environment, and descriptors that it inherits."""

    words: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()


class Servers(Protocol):
    """What a supervisor has to know of its servers."""

    def command(self, addresses: Addresses | None, restarts: int) -> Command:
        """Returns the command of the next; ``addresses`` are those of the first one."""

    def overstay(self) -> str:
        """Returns why the server must be killed now; empty if it must not."""

    def note_death(self, code: int) -> bool:
        """Notes the exit code of a server that ended without being told to.

        Returns:
            Whether the cause is known and won't come back: the next start need not wait.
        """


@dataclass(slots=True)
class Pause:
    """How long to wait before the next start: longer after each server that died soon."""

    seconds: float = 0.0

    def after(self, lifetime: float) -> float:
        """Returns the pause after a server that has lived for so many seconds."""
        if lifetime >= _STABLE_SECONDS:
            self.seconds = 0.0
            return 0.0
        pause = self.seconds
        self.seconds = min(max(2 * pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        return pause


@dataclass(slots=True)
class _Server:
    """A server process, and what it has said of its addresses."""

    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    addresses: Addresses | None = None
    line: bytes = b""

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


class Supervisor:
    """Runs one server after the other until it is told to end."""

    def __init__(self, servers: Servers, stop_seconds: float, log: BackgroundLog) -> None:
        """Makes a supervisor; nothing is started yet.

        Args:
            servers: How to start them, and what to do at their deaths.
            stop_seconds: After how long a server that was told to end is killed.
            log: Where deaths and restarts are noted.
        """
        self._servers = servers
        self._stop_seconds = stop_seconds
        self._log = log
        self._signals: list[int] = []
        self._told_at = 0.0
        self._addresses: Addresses | None = None
        self._wake = self._woken = -1

    def run(self) -> int:
        """Returns the exit status: the server's, where it was told to end or never served."""
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        handlers = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._note),
            signal.SIGINT: signal.signal(signal.SIGINT, self._note),
            signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda *_: None),
        }
        previous = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        try:
            return self._supervise()
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._wake)
            os.close(self._woken)

    def _note(self, number: int, _: object) -> None:
        self._told_at = self._told_at or time.monotonic()
        self._signals.append(number)

    def _supervise(self) -> int:
        pause, restarts, failures = Pause(), 0, 0
        while True:
            server = self._start(restarts)
            code = self._wait(server)
            if self._signals or self._addresses is None:
                return self._status(server, code)
            failures = 0 if server.addresses else failures + 1
            restarts += 1
            how = describe_exit(code)
            self._log.write(logging.ERROR, "the server has ended: %s. Restart %d", how, restarts)
            if failures >= _MAX_FAILED_STARTS:
                self._log.write(logging.CRITICAL, "the server can't be started any more")
                return FAILED
            if self._servers.note_death(code):
                pause = Pause()
            if self._sleep(pause.after(time.monotonic() - server.started)):
                return 128 + self._signals[0]

    def _status(self, server: _Server, code: int) -> int:
        """Returns the exit status after the last server, as a shell has it."""
        if len(self._signals) > 1 and code == -signal.SIGKILL:
            return 128 + self._signals[1]
        if self._signals and code == -self._signals[0] and server.addresses is None:
            return 0  # it was told to end before it could end in good order
        return code if code >= 0 else 128 - code

    def _start(self, restarts: int) -> _Server:
        command = self._servers.command(self._addresses, restarts)
        process = subprocess.Popen(
            command.words,
            env=command.environment,
            pass_fds=command.descriptors,
            stdin=subprocess.PIPE,  # its end tells the server that the supervisor has gone
            stdout=subprocess.PIPE,
            bufsize=0,
            # A Ctrl-C in a terminal is for the supervisor, which passes it on once.
            start_new_session=True,
        )
        return _Server(process)

    def _wait(self, server: _Server) -> int:
        """Waits for the end of a server; returns its exit code.

        The first signal is passed on. At a second one the server is killed: it obeys no
        second signal itself, for a service manager may send the first to all processes.
        """
        pid, passed, killed = server.process.pid, 0, False
        output = [server.stdout.fileno()]
        while (code := _reap(pid)) is None:
            for number in self._signals[passed:]:
                os.kill(pid, signal.SIGKILL if passed else number)
                passed += 1
            ready, _, _ = select.select([self._wake, *output], [], [], CHECK_SECONDS)
            if self._wake in ready:
                os.read(self._wake, _CHUNK_BYTES)
            if output and output[0] in ready and not self._read(server):
                output = []
            killed = killed or self._kill_if_due(server)
        server.process.returncode = code  # it was reaped here
        self._read(server)  # what it wrote before it died
        for stream in (server.process.stdin, server.stdout):
            if stream is not None:
                stream.close()
        return code

    def _kill_if_due(self, server: _Server) -> bool:
        if self._told_at:
            late = time.monotonic() - self._told_at > self._stop_seconds
            reason = f"it was told to end {self._stop_seconds:g} s ago" if late else ""
        else:
            reason = self._servers.overstay() if server.addresses else ""
        if reason:
            self._log.write(logging.CRITICAL, "the server is killed: %s", reason)
            os.kill(server.process.pid, signal.SIGKILL)
        return bool(reason)

    def _read(self, server: _Server) -> bool:
        """Reads what a server writes; returns whether there may be more."""
        if not select.select([server.stdout], [], [], 0)[0]:
            return True
        data = os.read(server.stdout.fileno(), _CHUNK_BYTES)
        if server.addresses is None:
            *lines, server.line = (server.line + data).split(b"\n")
            server.addresses = next(filter(None, map(_read_addresses, lines)), None)
            if server.addresses and self._addresses is None:
                self._addresses = server.addresses
                _announce(server.addresses)
        return bool(data)

    def _sleep(self, seconds: float) -> bool:
        """Waits before a start; returns whether the supervisor was told to end meanwhile."""
        end = time.monotonic() + seconds
        while not self._signals and (left := end - time.monotonic()) > 0:
            if select.select([self._wake], [], [], left)[0]:
                os.read(self._wake, _CHUNK_BYTES)
        return bool(self._signals)


def _read_addresses(line: bytes) -> Addresses | None:
    """Reads a server's first line; returns None for what a library has written there."""
    try:
        return Addresses(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _announce(addresses: Addresses) -> None:
    """Writes the addresses to stdout as the server did; it may be closed."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), json.dumps(asdict(addresses)).encode() + b"\n")


def _reap(pid: int) -> int | None:
    """Reaps all processes that have ended; returns the exit code of one, if it has.

    As process 1 of a container a supervisor is the parent of every orphan.
    """
    found = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == pid:
            found = os.waitstatus_to_exitcode(status)
