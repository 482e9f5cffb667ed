"""Threads that make executables, with a bounded queue. A job outlives the call that asks for it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from gradwire.errors import OverloadedError
from gradwire_server.compiler.process import STACK_BYTES

_log = logging.getLogger(__name__)

_SWITCH_SECONDS = 5e-5
"""While a thread compiles, others get the interpreter after this time. Measured:
the 99th percentile of small calls falls from 15 to 1.5 ms. Otherwise Python's own
interval holds, for this one costs each small call a tenth of its time."""


@dataclass(frozen=True, slots=True)
class _Job:
    caller: str
    run: Callable[[], object]


class CompilePool:
    """A fixed number of threads that take jobs in turn. A job must not raise.

    Each caller has the same right to a thread: of the jobs that wait, the first one of
    a caller with the fewest at work is next.
    """

    def __init__(
        self, count: int, max_waiting: int, *, reserved: int = 0, traces: bool = True
    ) -> None:
        """Starts the threads.

        Args:
            count: How many there are for all callers.
            max_waiting: How many jobs may wait for one.
            reserved: How many more there are for callers none of whose jobs is at work,
                so that one with long jobs delays no other.
            traces: Whether jobs compile in these threads, rather than wait for a process.
        """
        self._changed = threading.Condition()
        self._queue: list[_Job] = []
        self._at_work: Counter[str] = Counter()
        self._max_waiting = max_waiting
        self._shared = count
        self._traces = traces
        self._calm_seconds = sys.getswitchinterval()
        self._stopped = False
        before = threading.stack_size(STACK_BYTES)
        try:
            self._threads = [
                threading.Thread(target=self._work, name=f"compile-{number}", daemon=True)
                for number in range(count + reserved)
            ]
            for thread in self._threads:
                thread.start()
        finally:
            threading.stack_size(before)

    @property
    def waiting(self) -> int:
        """The number of jobs that wait for a thread."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """The number of jobs that are being done."""
        return self._at_work.total()

    def submit(self, job: Callable[[], object], caller: str = "") -> None:
        """Has the job done as soon as a thread is free.

        Args:
            job: What to do.
            caller: The name of the caller that asked first; others may wait for the result.

        Raises:
            OverloadedError: too many wait already.
        """
        with self._changed:
            most = self._max_waiting + self._idle_for(caller)
            if self._stopped or len(self._queue) >= most:
                raise OverloadedError(
                    f"`max_waiting_compiles` is {self._max_waiting} on this server, "
                    "and as many programs wait to be compiled",
                    metadata={
                        "limit": "max_waiting_compiles",
                        "allowed": str(self._max_waiting),
                    },
                )
            self._queue.append(_Job(caller, job))
            self._changed.notify()

    def stop(self, seconds: float) -> bool:
        """Takes no new jobs, and waits until those being done are; drops the rest.

        Returns:
            Whether all have ended. A compile in this process can't be interrupted.
        """
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._changed.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def _idle_for(self, caller: str) -> int:
        """Counts the threads without a job that may take one of the caller's."""
        is_first = not self._at_work[caller] and all(job.caller != caller for job in self._queue)
        threads = len(self._threads) if is_first else self._shared
        return max(threads - self.busy, 0)

    def _next(self) -> _Job | None:
        """Removes the job that is next from the queue, if there is a thread for it."""
        job = min(self._queue, key=lambda job: self._at_work[job.caller], default=None)
        if job is None or (self._at_work[job.caller] and self.busy >= self._shared):
            return None
        self._queue.remove(job)
        return job

    def _take(self) -> _Job | None:
        """Waits for a job and counts it as one at work; returns None at the end."""
        with self._changed:
            job = None
            while not self._stopped and (job := self._next()) is None:
                self._changed.wait()
            if job is not None:
                self._count(job.caller, 1)
            return job

    def _work(self) -> None:
        while (job := self._take()) is not None:
            try:
                job.run()
            except Exception:  # noqa: BLE001 - the thread must live on
                _log.exception("a compile job failed, and no call is told")
            finally:
                with self._changed:
                    self._count(job.caller, -1)
                    self._changed.notify_all()

    def _count(self, caller: str, change: int) -> None:
        self._at_work[caller] += change
        if not self._at_work[caller]:
            del self._at_work[caller]
        if self._traces:
            sys.setswitchinterval(_SWITCH_SECONDS if self._at_work else self._calm_seconds)
