"""Convolutions and pools in JAX."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.lowering.core import Lowering


def _pairs(padding: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(padding[::2], padding[1::2], strict=True))


def _conv(
    x: jax.Array,
    weights: jax.Array,
    *,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        weights,
        strides,
        _pairs(padding),
        rhs_dilation=dilation,
        feature_group_count=groups,
    )


def _conv_transpose(
    x: jax.Array,
    weights: jax.Array,
    *,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> jax.Array:
    """Spreads x by the strides and correlates it with the flipped weights."""
    channels, per_group, *kernel = weights.shape
    weights = weights.reshape(groups, channels // groups, per_group, *kernel)
    weights = jnp.flip(jnp.swapaxes(weights, 1, 2), range(3, weights.ndim))
    weights = weights.reshape(groups * per_group, channels // groups, *kernel)
    reach = [(n - 1) * d for n, d in zip(kernel, dilation, strict=True)]
    return lax.conv_general_dilated(
        x,
        weights,
        [1] * len(kernel),
        [(r - low, r - high) for r, (low, high) in zip(reach, _pairs(padding), strict=True)],
        lhs_dilation=strides,
        rhs_dilation=dilation,
        feature_group_count=groups,
    )


def _sliding(
    x: jax.Array, window: Sequence[int], strides: Sequence[int], padding: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]]]:
    lead = x.ndim - len(window)
    return (
        (1,) * lead + tuple(window),
        (1,) * lead + tuple(strides),
        [(0, 0)] * lead + _pairs(padding),
    )


def _max_pool(
    x: jax.Array, *, window: Sequence[int], strides: Sequence[int], padding: Sequence[int]
) -> jax.Array:
    # NumPy's scalar, here and below: JAX only knows its derivative with one.
    lowest = np.asarray(-np.inf, x.dtype)
    sliding = _sliding(x, window, strides, padding)
    result: jax.Array = lax.reduce_window(x, lowest, lax.max, *sliding)
    return result


def _avg_pool(
    x: jax.Array,
    *,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    count_include_pad: bool,
) -> jax.Array:
    zero = np.zeros((), x.dtype)
    sliding = _sliding(x, window, strides, padding)

    def total(values: jax.Array) -> jax.Array:
        result: jax.Array = lax.reduce_window(values, zero, lax.add, *sliding)
        return result

    counted = total(jnp.ones_like(x)) if not count_include_pad else jnp.prod(jnp.asarray(window))
    return total(x) / counted.astype(x.dtype)


LOWERINGS: dict[str, Lowering] = {
    "nn.avg_pool": _avg_pool,
    "nn.conv": _conv,
    "nn.conv_transpose": _conv_transpose,
    "nn.max_pool": _max_pool,
}
