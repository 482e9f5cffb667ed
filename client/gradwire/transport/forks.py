"""Makes calls work in a process that was forked from one that has called before.

gRPC works in a forked process only if that was enabled before it started, and
only if no thread is inside it at the fork; otherwise the new process would wait
for ever. `transport.environment` enables it. This module lets calls in flight end
before a fork, and lets objects drop what belongs to the old process. It must not
import gRPC.
"""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType
from typing import Protocol

from gradwire.transport.environment import CAN_FORK

MAX_WAIT = 5.0
"""Seconds for which a fork waits until the calls in flight have ended."""


class Forkable(Protocol):
    """Something that holds locks, threads or connections."""

    def after_fork(self) -> None:
        """Drops what belongs to the parent. Called in the new process, before all else."""


class CallGate:
    """Entered around every call. A fork waits until no call is inside."""

    def __init__(self) -> None:
        # Of its default kind, which a signal handler that forks may take once more.
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = False
        self._entered = False
        self._broken = False

    @property
    def broken(self) -> bool:
        """Whether gRPC can't work in this process, forked during a call or without support."""
        return self._broken

    def __enter__(self) -> None:
        with self._changed:
            while self._forking:
                self._changed.wait()
            self._inside += 1
            self._entered = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._inside -= 1
            if self._forking:
                self._changed.notify_all()

    def before_fork(self) -> None:
        """Waits for the calls in flight, and blocks new ones."""
        self._changed.acquire()
        self._forking = True
        self._changed.wait_for(lambda: not self._inside, MAX_WAIT)

    def after_fork_in_parent(self) -> None:
        """Lets calls through again."""
        self._forking = False
        self._changed.notify_all()
        self._changed.release()

    def after_fork(self) -> None:
        """Resets itself. Where no call was made yet, gRPC has not started and still works."""
        broken = self._broken or (self._entered and (self._inside > 0 or not CAN_FORK))
        self.__init__()  # type: ignore[misc]  # its lock belongs to the parent's threads
        self._broken = broken


GATE = CallGate()
_FORKABLE: weakref.WeakSet[Forkable] = weakref.WeakSet()


def register(thing: Forkable) -> None:
    """Has ``thing.after_fork()`` called in every process forked from this one."""
    _FORKABLE.add(thing)


def _after_fork_in_child() -> None:
    GATE.after_fork()
    for thing in list(_FORKABLE):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=GATE.before_fork,
        after_in_parent=GATE.after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
