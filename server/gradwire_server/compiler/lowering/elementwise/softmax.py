"""logsumexp, softmax and the like, with values and derivatives that are accurate in the tails.

With the weights p = softmax(x), all have derivatives of t - Σ p t, which
cancels where one weight is near 1. The sum of p is 1, so t may be measured from
its own value at the largest element: what is left there is a sum of small terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.hyperbolic import expit
from gradwire_server.compiler.lowering.elementwise.slopes import tangent_of

Pair = tuple[jax.Array, jax.Array]
Axes = tuple[int, ...]


@jax.custom_jvp
def logaddexp(x: jax.Array, y: jax.Array) -> jax.Array:
    """log(exp(x) + exp(y))."""
    # Each of the two formulas is smooth where x = y, unlike one of max and |x - y|.
    swapped = x < y
    high, low = jnp.where(swapped, y, x), jnp.where(swapped, x, y)
    equal = (high == low) & jnp.isinf(high)
    return high + jnp.log1p(jnp.exp(jnp.where(equal, 0, low) - jnp.where(equal, 0, high)))


def _logaddexp_jvp(primals: Pair, tangents: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
    (x, y), (t_x, t_y) = primals, tangents
    # exp(x - logaddexp(x, y)) would be 1 - tiny, whose own derivative is lost.
    # Of equal infinities each has half.
    equal = (x == y) & jnp.isinf(x)
    excess = jnp.where(equal, 0, x) - jnp.where(equal, 0, y)
    value = logaddexp(x, y)
    return value, tangent_of(value, (expit(excess), t_x), (expit(-excess), t_y))


logaddexp.defjvp(_logaddexp_jvp, symbolic_zeros=True)


def _highest(x: jax.Array, axes: Axes) -> jax.Array:
    return jnp.max(x, axes, keepdims=True)


def _log_sum(shifted: jax.Array, axes: Axes) -> jax.Array:
    """The logarithm of Σ exp(shifted), by log1p where the maximum, 0, is single."""
    powers = jnp.exp(shifted)
    total = jnp.sum(powers, axes, keepdims=True)
    top = shifted == 0
    single = jnp.sum(top, axes, keepdims=True) == 1
    others = jnp.sum(jnp.where(top, 0, powers), axes, keepdims=True)
    return jnp.where(single, jnp.log1p(others), jnp.log(total))


def _centred(t: jax.Array, x: jax.Array, weights: jax.Array, axes: Axes) -> jax.Array:
    """The tangent t - Σ p t; see the module's docstring. Equal largest elements take their mean."""
    top = (x == _highest(x, axes)).astype(t.dtype)
    share = top / jnp.sum(top, axes, keepdims=True)
    from_top = t - jnp.sum(share * t, axes, keepdims=True)
    return from_top - jnp.sum(weights * from_top, axes, keepdims=True)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(x: jax.Array, axes: Axes) -> jax.Array:
    powers = jnp.exp(x - _highest(x, axes))
    return powers / jnp.sum(powers, axes, keepdims=True)


@_softmax.defjvp
def _softmax_jvp(
    axes: Axes, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    weights = _softmax(x, axes)
    return weights, weights * _centred(t_x, x, weights, axes)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_softmax(x: jax.Array, axes: Axes) -> jax.Array:
    shifted = x - _highest(x, axes)
    return shifted - _log_sum(shifted, axes)


@_log_softmax.defjvp
def _log_softmax_jvp(
    axes: Axes, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    return _log_softmax(x, axes), _centred(t_x, x, _softmax(x, axes), axes)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _logsumexp(x: jax.Array, axes: Axes) -> jax.Array:
    highest = _highest(x, axes)
    highest = jnp.where(jnp.isfinite(highest), highest, 0)  # inf - inf would be NaN
    return jnp.squeeze(highest + _log_sum(x - highest, axes), axes)


@_logsumexp.defjvp
def _logsumexp_jvp(
    axes: Axes, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    return _logsumexp(x, axes), jnp.sum(_softmax(x, axes) * t_x, axes)


def _logsumexp_lowering(x: jax.Array, *, axis: Sequence[int], keepdims: bool) -> jax.Array:
    axes = tuple(a % x.ndim for a in axis)
    result = _logsumexp(x, axes) if x.size else jax.nn.logsumexp(x, axes)
    return jnp.expand_dims(result, axes) if keepdims else result


def _cumulative_logsumexp(x: jax.Array, *, axis: int) -> jax.Array:
    return lax.associative_scan(logaddexp, x, axis=axis) if x.size else x


def _over(function: Callable[[jax.Array, Axes], jax.Array]) -> Lowering:
    def normalise(x: jax.Array, *, axis: Sequence[int]) -> jax.Array:
        return function(x, tuple(axis)) if x.size else x

    return normalise


softmax, log_softmax = _over(_softmax), _over(_log_softmax)

LOWERINGS: dict[str, Lowering] = {
    "cumulative_logsumexp": _cumulative_logsumexp,
    "logaddexp": logaddexp,
    "logsumexp": _logsumexp_lowering,
    "nn.log_softmax": log_softmax,
    "nn.softmax": softmax,
}
