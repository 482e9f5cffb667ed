"""Where an operator differentiates: a function of its leaves alone, and their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from gradwire.opset.differentiation import Layout, divide
from gradwire_server.compiler.lowering.core import JaxFunction

Arrays = tuple[jax.Array, ...]
LeafFunction = Callable[..., tuple[Arrays, Arrays]]


@dataclass(frozen=True)
class Point:
    """A function at a point.

    Attributes:
        function: Maps the leaves to ``(values, aux)``; every other operand is
            closed over.
        leaves: Where to differentiate.
        extras: The operands after those of the function.
        layout: The types of all this.
    """

    function: LeafFunction
    leaves: Arrays
    extras: Arrays
    layout: Layout


def at_point(f: JaxFunction, operands: Sequence[jax.Array], attrs: Mapping[str, Any]) -> Point:
    """Divides the operands of a derivative operator."""
    layout = divide(f.signature, attrs)
    split = len(layout.params)

    def function(*leaves: jax.Array) -> tuple[Arrays, Arrays]:
        params = list(operands[:split])
        for position, leaf in zip(layout.positions, leaves, strict=True):
            params[position] = leaf
        results = f(*params)
        num_values = len(layout.values)
        return tuple(results[:num_values]), tuple(results[num_values:])

    leaves = tuple(operands[position] for position in layout.positions)
    return Point(function, leaves, tuple(operands[split:]), layout)
