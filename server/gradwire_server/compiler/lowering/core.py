"""What a lowering is, and what several of them use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import lax

from gradwire.opset.core import Signature

Lowering = Callable[..., Any]
"""Called as ``lowering(*functions, *operands, **attrs)``; returns one array, or
a tuple or list of arrays for an op with several outputs."""


@dataclass(frozen=True, eq=False)
class JaxFunction:
    """A lowered function: called with one JAX array for each parameter.

    Attributes:
        signature: Its types, by which an operator divides its operands.
        run: Computes the results.
    """

    signature: Signature
    run: Callable[..., list[jax.Array]]

    def __call__(self, *arguments: jax.Array) -> list[jax.Array]:
        """Computes the results."""
        return self.run(*arguments)


def unfolded(x: jax.Array) -> jax.Array:
    """Returns x such that the compiler computes nothing from it while it compiles.

    The compiler interprets constants: sorting 16,384 numbers takes it 6 seconds.
    """
    kept: jax.Array = lax.optimization_barrier(x)
    return kept


def of_unfolded(lowering: Lowering) -> Lowering:
    """Returns the lowering of an op of one operand that the compiler is slow to interpret."""

    def run(x: jax.Array, **attrs: Any) -> Any:
        return lowering(unfolded(x), **attrs)

    return run
