"""Threads that compile, with a bounded queue. What they do outlives who asked for it."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable

from gradwire.errors import OverloadedError

_log = logging.getLogger(__name__)

_STACK_BYTES = 256 * 2**20
"""Tracing and XLA's passes recurse with the nesting of a program. Only what is
touched of a stack takes memory."""

_SWITCH_SECONDS = 5e-5
"""While a thread compiles, others get the interpreter after this time. Measured:
the 99th percentile of small calls falls from 15 to 1.5 ms. Otherwise Python's own
interval holds, for this one costs each small call a tenth of its time."""

Job = Callable[[], object]


class CompilePool:
    """A fixed number of threads that take jobs in turn. A job must not raise."""

    def __init__(self, count: int, max_waiting: int) -> None:
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._waiting = 0
        self._busy = 0
        self._calm_seconds = sys.getswitchinterval()
        self._stopped = False
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._threads = [
                threading.Thread(target=self._work, name=f"compile-{number}", daemon=True)
                for number in range(count)
            ]
            for thread in self._threads:
                thread.start()
        finally:
            threading.stack_size(before)

    @property
    def waiting(self) -> int:
        """The number of jobs that wait for a thread."""
        return self._waiting

    @property
    def busy(self) -> int:
        """The number of jobs that are being done."""
        return self._busy

    def submit(self, job: Job) -> None:
        """Has the job done as soon as a thread is free.

        Raises:
            OverloadedError: too many wait already.
        """
        with self._lock:
            if self._stopped or self._waiting >= self._max_waiting + self._idle():
                raise OverloadedError(
                    f"`max_waiting_compiles` is {self._max_waiting} on this server, "
                    "and as many programs wait to be compiled",
                    metadata={
                        "limit": "max_waiting_compiles",
                        "allowed": str(self._max_waiting),
                    },
                )
            self._waiting += 1
            self._queue.put(job)

    def stop(self, seconds: float) -> bool:
        """Takes no new jobs, and waits until those being done are; drops the rest.

        A compile can't be interrupted: returns False if one goes on.
        """
        with self._lock:
            self._stopped = True
        for _ in self._threads:
            self._queue.put(None)
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def _idle(self) -> int:
        return len(self._threads) - self._busy

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                self._waiting -= 1
                if self._stopped:
                    continue
                self._count(1)
            try:
                job()
            except Exception:  # noqa: BLE001 - the thread must live on
                _log.exception("a compile job failed in a way that nobody hears of")
            finally:
                with self._lock:
                    self._count(-1)

    def _count(self, change: int) -> None:
        self._busy += change
        sys.setswitchinterval(_SWITCH_SECONDS if self._busy else self._calm_seconds)
