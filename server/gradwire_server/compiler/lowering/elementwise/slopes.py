"""Functions of one array with derivatives of our own: families closed under differentiation.

JAX drops such a rule where a reverse sweep through a scan is differentiated
again, and differentiates the value's formula instead. That formula must have
the right derivatives, therefore, everywhere; they may have fewer digits far
from 1, and on a branch cut be those of its other side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

Unary = Callable[[jax.Array], jax.Array]


def with_slope(value: Unary, slope: Unary) -> Unary:
    """Returns ``value`` with the derivative ``slope``, which is differentiated in turn."""

    @jax.custom_jvp
    def smooth(x: jax.Array) -> jax.Array:
        return value(x)

    @smooth.defjvp
    def _rule(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        (x,), (t_x,) = primals, tangents
        return smooth(x), slope(x) * t_x

    return smooth


def differentiated_as(value: Unary, plain: Unary) -> Unary:
    """Returns the complex ``value``, in a formula that differentiates as ``plain`` does."""

    def part(v: jax.Array, w: jax.Array) -> jax.Array:
        # Subtracts 0, not adds it: that would take the sign of a zero.
        finite = jnp.isfinite(w)
        w = jnp.where(finite, w, 0)
        return lax.stop_gradient(v) - (lax.stop_gradient(w) - w)

    def formula(z: jax.Array) -> jax.Array:
        v, w = value(z), plain(z)
        return lax.complex(part(jnp.real(v), jnp.real(w)), part(jnp.imag(v), jnp.imag(w)))

    return formula


def epsilon_of(x: jax.Array) -> float:
    """Returns the distance from 1 to the next number of x's dtype."""
    # NumPy's finfo does not know bfloat16, and JAX's has no annotations.
    return float(jnp.finfo(x.dtype).eps)  # type: ignore[no-untyped-call]


def by_kind(real: Unary, complex_: Unary) -> Unary:
    """Returns the function that is ``complex_`` of complex numbers and ``real`` of others."""
    return lambda x: complex_(x) if jnp.iscomplexobj(x) else real(x)


def tangent_of(value: jax.Array, *terms: tuple[jax.Array, Any]) -> jax.Array:
    """Returns the sum of coefficient * tangent, in a rule that has ``symbolic_zeros``.

    What isn't differentiated is left out, for its coefficient may be infinite,
    or NaN. A coefficient must not be multiplied into the tangent in parts of
    its own formula: JAX transposes that, and differentiates the result by its
    own rules.
    """
    products = [factor * t for factor, t in terms if not isinstance(t, SymbolicZero)]
    return sum(products[1:], products[0]) if products else jnp.zeros_like(value)
