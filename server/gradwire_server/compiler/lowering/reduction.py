"""The reduction family in JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering, of_unfolded, unfolded
from gradwire_server.compiler.lowering.elementwise.norms import deviation, variance


def _in_own_dtype(function: Lowering) -> Lowering:
    """JAX, as NumPy, would widen small integers."""

    def reduce(x: jax.Array, **attrs: Any) -> jax.Array:
        result: jax.Array = function(x, dtype=x.dtype, **attrs)
        return result

    return reduce


def _counting(function: Lowering) -> Lowering:
    def reduce(x: jax.Array, **attrs: Any) -> jax.Array:
        result: jax.Array = function(unfolded(x), **attrs).astype(jnp.int64)
        return result

    return reduce


def _running(function: Lowering) -> Lowering:
    def accumulate(x: jax.Array, *, axis: int) -> jax.Array:
        result: jax.Array = function(unfolded(x), axis % x.ndim)  # lax takes no negative axis
        return result

    return accumulate


def _extremum(function: Lowering) -> Lowering:
    """The largest or smallest element; ties share its derivative equally.

    JAX divides by the number of ties, which is 0 where the result is NaN: the outcome
    differs between forward and reverse mode. Here the derivative is NaN as well.
    """

    @partial(jax.custom_jvp, nondiff_argnums=(1, 2))
    def inexact(x: jax.Array, axis: tuple[int, ...], keepdims: bool) -> jax.Array:
        result: jax.Array = function(x, axis=axis, keepdims=keepdims)
        return result

    @inexact.defjvp
    def inexact_jvp(
        axis: tuple[int, ...],
        keepdims: bool,
        primals: tuple[jax.Array],
        tangents: tuple[jax.Array],
    ) -> tuple[jax.Array, jax.Array]:
        (x,), (t_x,) = primals, tangents
        value = inexact(x, axis, True)
        chosen = x == value
        wide = x.dtype if x.dtype.itemsize >= 4 else jnp.float32  # half counts to 2,048
        count = chosen.sum(axis, keepdims=True, dtype=wide)
        share = jnp.where(chosen, 1 / count, 0).astype(x.dtype)
        share = jnp.where(jnp.isnan(value), jnp.nan, share)
        tangent = (share * t_x).sum(axis, keepdims=keepdims)
        return value.reshape(tangent.shape), tangent

    def extremum(x: jax.Array, *, axis: tuple[int, ...], keepdims: bool) -> jax.Array:
        exact = not jnp.issubdtype(x.dtype, jnp.inexact)
        result: jax.Array = (
            function(x, axis=axis, keepdims=keepdims) if exact else inexact(x, axis, keepdims)
        )
        return result

    return extremum


LOWERINGS: dict[str, Lowering] = {
    "all": jnp.all,
    "any": jnp.any,
    "argmax": _counting(jnp.argmax),
    "argmin": _counting(jnp.argmin),
    "count_nonzero": _counting(jnp.count_nonzero),
    "cumulative_max": _running(lax.cummax),
    "cumulative_min": _running(lax.cummin),
    "cumulative_prod": of_unfolded(_in_own_dtype(jnp.cumulative_prod)),
    "cumulative_sum": of_unfolded(_in_own_dtype(jnp.cumulative_sum)),
    "max": _extremum(jnp.max),
    "mean": jnp.mean,
    "min": _extremum(jnp.min),
    "prod": _in_own_dtype(jnp.prod),
    "std": deviation,
    "sum": _in_own_dtype(jnp.sum),
    "var": variance,
}
