"""Differentiates functions of numbers, one direction at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance import dual_numbers as d
from conformance.dual_numbers import Dual, Number, linear, plain

Attrs = Mapping[str, Any]
Run = Callable[..., list[Number]]
"""Called with numbers, returns numbers."""


@dataclass(frozen=True)
class Callee:
    """A function that a node uses."""

    num_params: int
    run: Run

    def __call__(self, *inputs: Number) -> list[Number]:
        return self.run(*inputs)


class Differentiator:
    """Takes derivatives, of derivatives too, and keeps what none of them sees.

    Args:
        frozen: The constants of an earlier run, see below, to be used again.

    Attributes:
        constants: What ``stop_gradient`` and the like made, in order. A finite
            difference must not move them.
    """

    def __init__(self, frozen: Sequence[Any] | None = None) -> None:
        self.constants: list[Any] = []
        self._frozen = frozen
        self._level = 0

    def freeze(self, value: Any) -> Any:
        """Returns a value that no derivative sees: that of the earlier run, if there was one."""
        self.constants.append(value)
        return value if self._frozen is None else self._frozen[len(self.constants) - 1]

    def along(
        self, f: Run, leaves: Sequence[Number], tangents: Sequence[Number]
    ) -> tuple[list[Number], list[Number]]:
        """Returns values and their derivatives along one direction."""
        self._level += 1
        level = self._level
        outputs = f(*(Dual(level, x, t) for x, t in zip(leaves, tangents, strict=True)))
        return (
            [d.primal_of(level, x) for x in outputs],
            [d.tangent_of(level, x) for x in outputs],
        )

    def jacobians(self, f: Run, leaves: Sequence[Number]) -> list[list[Number]]:
        """Returns ``(*out, *in)`` for each value and each leaf."""
        by_leaf = []
        for place, leaf in enumerate(leaves):
            columns = []
            for index in np.ndindex(plain(leaf).shape):
                tangents = [np.zeros_like(plain(x)) for x in leaves]
                tangents[place][index] = 1
                columns.append(self.along(f, leaves, tangents)[1])
            by_leaf.append([columns_of(c, plain(leaf).shape) for c in zip(*columns, strict=True)])
        return [list(row) for row in zip(*by_leaf, strict=True)]


def columns_of(columns: Sequence[Number], shape: tuple[int, ...]) -> Number:
    return linear(lambda *c: np.stack(c, -1).reshape(np.shape(c[0]) + shape), *columns)
