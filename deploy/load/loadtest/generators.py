"""The worker processes together: one rate is offered by all of them at once."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from loadtest.points import Calls, Point, summarise
from loadtest.worker import Order, Setup, work

_AHEAD_SECONDS = 0.2
"""Seconds between an order and its run, so that all workers have it in time."""


class Generators:
    """Processes that offer load. A context manager; they end with it, or with this process."""

    def __init__(self, setups: list[Setup], count_served: Callable[[], float | None]) -> None:
        """Starts them.

        Args:
            setups: One for each process.
            count_served: Reads how many calls the server has finished well so far.
        """
        context = multiprocessing.get_context("spawn")  # a fork would break gRPC
        self._deadline = setups[0].deadline
        self._count_served = count_served
        self._number = 0
        self._pipes = []
        self._processes = []
        for setup in setups:
            ours, theirs = context.Pipe()
            process = context.Process(target=work, args=(setup, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        for pipe in self._pipes:
            pipe.recv()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(5.0)
            if process.is_alive():
                process.kill()

    def offer(self, rate: float, seconds: float, settle: float, client: str) -> Point:
        """Offers one rate.

        Args:
            rate: Calls per second, of all workers together.
            seconds: For how long.
            settle: Seconds more at the start, which don't count.
            client: ``bare`` or ``gradwire``. See ``Point``.
        """
        self._number += 1
        before = self._count_served()
        start = time.monotonic() + _AHEAD_SECONDS
        share = rate / len(self._pipes)
        for pipe in self._pipes:
            pipe.send(Order(self._number, share, start, settle + seconds, client == "gradwire"))
        parts: list[Any] = [pipe.recv() for pipe in self._pipes]
        after = self._count_served()
        served = -1.0 if before is None or after is None else (after - before) / (settle + seconds)
        return summarise(
            Calls.join(parts),
            client=client,
            start=start,
            end=start + settle + seconds,
            settle=settle,
            deadline=self._deadline,
            served=served,
        )
