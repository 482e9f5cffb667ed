"""What can go wrong around the command, from a seed: its processes and its connections."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from supervised_command import SupervisedCommand
from tcp_proxy import TcpProxy

_CALLS = 20
"""Between two deaths of servers: what is to be tested is not how long one takes to start."""
_COMPILER_SECONDS = 10.0
"""Between two deaths of compilers. A program both of whose tries end so is quarantined, since
the server can't know that it was not the cause."""


class Chaos:
    """Does one thing after the other, until the time is over.

    Attributes:
        done: How often it did what.
    """

    def __init__(
        self,
        command: SupervisedCommand,
        proxy: TcpProxy,
        seed: int,
        calls: Callable[[], int],
        *,
        kills_supervisors: bool,
    ) -> None:
        """Nothing is done yet.

        Args:
            command: Whose processes are killed and stopped.
            proxy: Whose connections are cut and slowed down.
            seed: What is done when follows from it.
            calls: How many calls have ended. A server is killed only after some of its own.
            kills_supervisors: Whether these are killed, too.
        """
        self.done: Counter[str] = Counter()
        self._command = command
        self._proxy = proxy
        self._random = Random(seed)
        self._calls = calls
        self._calls_at_death = 0
        self._kills_supervisors = kills_supervisors
        self._compiler_died_at = 0.0

    def go_on_for(self, seconds: float) -> None:
        """Does what the seed says, until a server has been killed at the least."""
        end = time.monotonic() + seconds
        actions: list[tuple[Callable[[], bool], int]] = [
            (self.kill_server, 2),
            (self.kill_compiler, 4),
            (self.stop_server, 3),
            (self.stop_compiler, 3),
            (self.cut, 4),
            (self.slow_down, 3),
            (self.hold, 2),
        ]
        if self._kills_supervisors:
            actions.append((self.kill_supervisor, 1))
        functions, weights = zip(*actions, strict=True)
        while time.monotonic() < end or not self.done[self.kill_server.__name__]:
            (action,) = self._random.choices(functions, weights)
            self.done[action.__name__] += action()
            time.sleep(self._random.uniform(0.2, 2.0))

    def kill_server(self) -> bool:
        """Kills the server, if it has answered some calls."""
        pid = self._command.server()
        return pid is not None and self._may_die() and _send(pid, signal.SIGKILL)

    def kill_supervisor(self) -> bool:
        """Kills the supervisor, and starts another when the server has ended."""
        if not self._may_die():
            return False
        self._command.kill_supervisor()
        return True

    def _may_die(self) -> bool:
        calls = self._calls()
        if calls < self._calls_at_death + _CALLS:
            return False
        self._calls_at_death = calls
        return True

    def kill_compiler(self) -> bool:
        """Kills one of the compilers."""
        now = time.monotonic()
        pids = self._command.compilers()
        if not pids or now < self._compiler_died_at + _COMPILER_SECONDS:
            return False
        self._compiler_died_at = now
        return _send(self._random.choice(pids), signal.SIGKILL)

    def stop_server(self) -> bool:
        """Stops the server for a while."""
        pid = self._command.server()
        return pid is not None and self._stop(pid)

    def stop_compiler(self) -> bool:
        """Stops a compiler for a while."""
        pids = self._command.compilers()
        return bool(pids) and self._stop(self._random.choice(pids))

    def _stop(self, pid: int) -> bool:
        stopped = _send(pid, signal.SIGSTOP)
        time.sleep(self._random.uniform(0.1, 2.0))
        return _send(pid, signal.SIGCONT) and stopped

    def cut(self) -> bool:
        """Cuts all connections."""
        self._proxy.cut()
        return True

    def slow_down(self) -> bool:
        """Makes all connections slow for a while."""
        self._proxy.slow_down(self._random.uniform(0.001, 0.02))
        time.sleep(self._random.uniform(0.2, 2.0))
        self._proxy.slow_down(0.0)
        return True

    def hold(self) -> bool:
        """Holds all connections for a while, and cuts them at its end at times."""
        self._proxy.hold()
        time.sleep(self._random.uniform(0.2, 2.0))
        if self._random.random() < 0.5:
            self._proxy.cut()
        self._proxy.go_on()
        return True


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
