"""Stands for ``threading`` and ``time`` in modules whose threads a ``Schedule`` runs."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from schedule import Logical, Schedule

_CLASSES = compile(
    "from __future__ import annotations\n"
    + "".join(inspect.getsource(kind) for kind in (threading.Condition, threading.Event)),
    "<the classes of threading>",
    "exec",
)
"""Python's own classes: all of ``threading`` but the locks and threads is written in Python."""


class Lock:
    """A lock of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._is_taken = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            seconds = math.inf if timeout < 0 else timeout
            self._schedule.pause(lambda: not self._is_taken, seconds)
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    def release(self) -> None:
        if not self._is_taken:
            raise RuntimeError("release unlocked lock")
        self._is_taken = False
        self._schedule.pause()

    def locked(self) -> bool:
        return self._is_taken

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class OpenLock(Lock):
    """A lock that keeps nobody out, though it knows whether somebody is in: for mutations."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(schedule)
        self._inside = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._schedule.pause()
        self._inside += 1
        return True

    def release(self) -> None:
        self._inside -= 1
        self._schedule.pause()

    def locked(self) -> bool:
        return self._inside > 0

    def _is_owned(self) -> bool:
        return True


class Thread:
    """A thread of a schedule."""

    def __init__(
        self, schedule: Schedule, *, target: Callable[[], object], name: str, daemon: bool
    ) -> None:
        self._schedule = schedule
        self._target = target
        self._name = name
        self._logical: Logical | None = None

    def start(self) -> None:
        self._logical = self._schedule.spawn(self._target, self._name)

    def join(self, timeout: float | None = None) -> None:
        self._schedule.pause(lambda: not self.is_alive(), math.inf if timeout is None else timeout)

    def is_alive(self) -> bool:
        return self._logical is not None and not self._logical.has_ended


def install(
    patch: pytest.MonkeyPatch, schedule: Schedule, modules: Iterable[ModuleType]
) -> dict[str, Any]:
    """Gives modules the threads, locks and clock of a schedule; returns its ``threading``."""

    def lock() -> Lock:
        return Lock(schedule)

    def thread(**options: Any) -> Thread:
        return Thread(schedule, **options)

    def clock() -> float:
        return schedule.now

    # No code here enters a lock twice, so one lock stands for both kinds; if some did, it
    # would wait for itself, which is found.
    own = {"Lock": lock, "RLock": lock, "_allocate_lock": lock, "_time": clock}
    names: dict[str, Any] = {**vars(threading), **own}
    exec(_CLASSES, names)
    names.update(Thread=thread, stack_size=lambda *_: 0)
    time = SimpleNamespace(monotonic=clock, perf_counter=clock, time=clock)
    for module in modules:
        for name, value in (("threading", SimpleNamespace(**names)), ("time", time)):
            if hasattr(module, name):
                patch.setattr(module, name, value)
    return names


def future_of(condition: Callable[[], Any]) -> Callable[[], Future[Any]]:
    """Returns what makes futures that are waited for with such conditions."""

    def make() -> Future[Any]:
        future: Future[Any] = Future()
        future._condition = condition()
        return future

    return make
