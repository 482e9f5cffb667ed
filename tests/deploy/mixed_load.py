"""Load of every kind on one server: what works, what fails, what is refused, what is NaN."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np

import gradwire as gw
from gradwire.ir import encode_program
from programs import chain, program, vector

SIN, LOG = (encode_program(program(chain(op, 1, vector(3)))) for op in ("sin", "log"))


class MixedLoad:
    """Threads that call a server until the end of the block, and their errors."""

    def __init__(self, target: str) -> None:
        self._connection = gw.connect(target)
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self.done: dict[str, int] = {}
        self.failed: list[BaseException] = []
        works = [self._differentiate, self._err, self._diverge, self._renew]
        works += [self._crowd] * 6
        self._threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._connection.close()

    def _repeat(self, work: Callable[[], None]) -> None:
        try:
            with self._connection:
                while not self._stop.wait(0.05):
                    work()
                    self.done[work.__name__] = self.done.get(work.__name__, 0) + 1
        except Exception as error:  # noqa: BLE001 - for the test's own thread
            self.failed.append(error)

    def _differentiate(self) -> None:
        x = np.random.default_rng(0).standard_normal((1 + next(self._numbers) % 7, 3))
        gw.grad(lambda x: np.sum(x**3))(x[0])
        gw.vmap(gw.jacobian(np.sin))(x)
        gw.hessian_diagonal(lambda x: np.sum(x**4))(x[0])

    def _err(self) -> None:
        try:
            self._connection.compute(SIN, [np.ones(2)])
        except gw.InvalidInputError:
            return
        raise AssertionError("a wrong input was taken")

    def _diverge(self) -> None:
        # Without `gw.remote`, which would warn: the filter of warnings is the process's.
        self._connection.compute(LOG, [-np.ones(3)])

    def _renew(self) -> None:
        """A program that the server has never seen."""
        length = 1 + next(self._numbers)
        gw.remote(lambda x: np.cos(x) * x)(np.ones(length))

    def _crowd(self) -> None:
        """A run that takes long enough for others to be refused."""
        a = np.eye(500) * 0.5

        def powers(a: Any) -> Any:
            for _ in range(20):
                a = a @ a
            return np.sum(a)

        try:
            gw.remote(powers)(a)
        except gw.OverloadedError:
            return
