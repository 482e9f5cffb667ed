"""Keeps one server running: starts it, starts it anew when it dies, and ends it when told to.

Standard library only, and one thread: what kills or blocks the server can't reach it.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""How often the server is looked at between signals."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0
"""A server that has served so long is started anew at once when it dies."""
_MAX_FAILED_STARTS = 5

_FAILED = 1


@dataclass(slots=True)
class Pause:
    """How long to wait before the next start: longer after each death that follows soon."""

    seconds: float = 0.0

    def after(self, served_seconds: float) -> float:
        """Returns the pause after a server that has served for so long."""
        if served_seconds >= _STABLE_SECONDS:
            self.seconds = 0.0
            return 0.0
        pause, self.seconds = self.seconds, max(2 * self.seconds, _FIRST_PAUSE_SECONDS)
        self.seconds = min(self.seconds, _LONGEST_PAUSE_SECONDS)
        return pause


@dataclass(slots=True)
class _Child:
    """The server process.

    Attributes:
        process: The process.
        started: When, on the monotonic clock.
        listening: What it has said of its addresses, once it takes calls.
        line: What it has written of that so far.
    """

    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    listening: dict[str, str | None] | None = None
    line: bytes = b""

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


class Supervisor:
    """Runs one server after another until it is told to end."""

    def __init__(
        self,
        command: Callable[[dict[str, str | None] | None, int], Sequence[str]],
        announce: Callable[[bytes], None],
        overstays: Callable[[], str] = lambda: "",
    ) -> None:
        """Makes a supervisor; nothing is started yet.

        Args:
            command: The command of a server; called with what the last one said of its
                addresses, which the next is to have too, and the number of restarts.
            announce: Called with the line in which the first server says where it listens.
            overstays: Says why the server must be killed now; empty if it need not.
        """
        self._command = command
        self._announce = announce
        self._overstays = overstays
        self._signals: list[int] = []
        self._restarts = 0
        self._addresses: dict[str, str | None] | None = None

    def run(self) -> int:
        """Returns the exit status: the server's, where it was told to end or never served."""
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        handlers = {
            number: signal.signal(number, lambda number, _: self._signals.append(number))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        previous = signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        try:
            return self._supervise(wake)
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(wake)
            os.close(woken)

    def _supervise(self, wake: int) -> int:
        pause, failures = Pause(), 0
        while True:
            child = self._start()
            code = self._wait(child, wake)
            served = child.listening is not None
            if self._signals or (not served and self._addresses is None):
                return code if code >= 0 else 128 - code
            failures = 0 if served else failures + 1
            _log.error(
                "the server has ended (%s); it is started anew (%d times so far)",
                _describe(code), self._restarts,
            )  # fmt: skip
            if failures >= _MAX_FAILED_STARTS:
                _log.critical("the server can't be started any more")
                return _FAILED
            self._restarts += 1
            if self._sleep(pause.after(time.monotonic() - child.started), wake):
                return 128 + self._signals[0]

    def _start(self) -> _Child:
        process = subprocess.Popen(
            self._command(self._addresses, self._restarts),
            # Its end tells the server that the supervisor has gone.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # A Ctrl-C in a terminal is for the supervisor, which passes it on once.
            start_new_session=True,
        )
        return _Child(process)

    def _wait(self, child: _Child, wake: int) -> int:
        """Waits for the end of a server, passing signals on; returns its exit code."""
        passed = 0
        with child.process, child.stdout:
            sources = [wake, child.stdout.fileno()]
            while (code := _reap(child.process.pid)) is None:
                for number in self._signals[passed:]:
                    passed += 1
                    os.kill(
                        child.process.pid, signal.SIGTERM if number != signal.SIGINT else number
                    )
                ready, _, _ = select.select(sources, [], [], LOOK_SECONDS)
                if wake in ready:
                    os.read(wake, 4096)
                if child.stdout.fileno() in ready and not self._read(child):
                    sources = [wake]
                reason = self._overstays() if child.listening else ""
                if reason:
                    _log.critical("the server is killed and started anew: %s", reason)
                    os.kill(child.process.pid, signal.SIGKILL)
            child.process.returncode = code
        return code

    def _read(self, child: _Child) -> bool:
        """Reads what a server says of itself; returns whether there may be more."""
        data = os.read(child.stdout.fileno(), 4096)
        if not data:
            return False
        if child.listening is None:
            child.line += data
            line, newline, _ = child.line.partition(b"\n")
            if newline:
                child.listening = json.loads(line)
                if self._addresses is None:
                    self._announce(line + newline)
                self._addresses = child.listening
        return True

    def _sleep(self, seconds: float, wake: int) -> bool:
        """Waits before a start; returns whether the supervisor was told to end meanwhile."""
        end = time.monotonic() + seconds
        while not self._signals and (left := end - time.monotonic()) > 0:
            if select.select([wake], [], [], left)[0]:
                os.read(wake, 4096)
                _reap(None)
        return bool(self._signals)


def _reap(pid: int | None) -> int | None:
    """Reaps all processes that have ended; returns the exit code of one of them.

    As process 1 of a container it is the parent of every orphan.
    """
    found = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not ended:
            return found
        if ended == pid:
            found = os.waitstatus_to_exitcode(status)


def _describe(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"
