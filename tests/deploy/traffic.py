"""Callers that go on until they are stopped, and count their calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import gradwire as gw
from deploy.fleet import X, check_sines, sines


class Traffic:
    """Threads with a connection each that call small programs and check their values.

    Attributes:
        replies: The server that answered each call so far.
        slowest: Seconds that the slowest call took.
    """

    def __init__(
        self, connect: Callable[[], gw.Connection], counts: Sequence[int], threads: int = 4
    ) -> None:
        self.replies: list[str] = []
        self.slowest = 0.0
        self._connect = connect
        self._counts = counts
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads
        self._work: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._work = [self._pool.submit(self._call, first) for first in range(self._threads)]
        self.go_on(20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        if error is None:
            self.check()

    def check(self) -> None:
        """Raises the error of any caller."""
        for work in self._work:
            if work.done():
                work.result()

    def go_on(self, calls: int) -> list[str]:
        """Waits for so many more calls, and returns the servers that answered them."""
        before = len(self.replies)
        end = time.monotonic() + 60
        while len(self.replies) < before + calls:
            self.check()
            assert time.monotonic() < end, "calls hang"
            time.sleep(0.01)
        return self.replies[before:]

    def _call(self, position: int) -> None:
        with self._connect() as connection:
            while not self._stop.is_set():
                position += 1
                count = self._counts[position % len(self._counts)]
                start = time.monotonic()
                reply = connection.compute(sines(count), [X])
                self.slowest = max(self.slowest, time.monotonic() - start)
                check_sines(reply.outputs[0], count)
                self.replies.append(reply.replica_id)
