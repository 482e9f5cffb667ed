"""Convolutions and pools in JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering, unfolded


def _pairs(padding: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(padding[::2], padding[1::2], strict=True))


def _spread(
    x: jax.Array,
    weights: jax.Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
    spacing: Sequence[int],
) -> jax.Array:
    """Correlates x, spaced out and padded, with the weights.

    Padding up to a kernel's size is the convolution's own. The rest is put around
    x before: XLA's convolution crashes with a padding of a million on a CPU.
    """
    reach = [(n - 1) * d for n, d in zip(weights.shape[2:], dilation, strict=True)]
    inner = [
        (min(low, most), min(high, most)) for (low, high), most in zip(padding, reach, strict=True)
    ]
    if inner != list(padding):
        outer = [
            (low - i, high - j, space - 1)
            for (low, high), (i, j), space in zip(padding, inner, spacing, strict=True)
        ]
        x = lax.pad(x, np.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *outer])
        spacing = [1] * len(spacing)
    return lax.conv_general_dilated(
        x,
        weights,
        strides,
        inner,
        lhs_dilation=spacing,
        rhs_dilation=dilation,
        feature_group_count=groups,
    )


def _conv(
    x: jax.Array,
    weights: jax.Array,
    *,
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> jax.Array:
    spacing = [1] * len(strides)
    return _spread(x, weights, strides, _pairs(padding), dilation, groups, spacing)


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
    cut = [(r - low, r - high) for r, (low, high) in zip(reach, _pairs(padding), strict=True)]
    return _spread(x, weights, [1] * len(kernel), cut, dilation, groups, strides)


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
    result: jax.Array = lax.reduce_window(unfolded(x), lowest, lax.max, *sliding)
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
    total: jax.Array = lax.reduce_window(unfolded(x), zero, lax.add, *sliding)
    counts = jnp.asarray(math.prod(window) if count_include_pad else 1, _wide(x.dtype))
    if not count_include_pad:
        # How many elements a window holds is a product of what it holds along each axis.
        for place, length in enumerate(window):
            axis = x.ndim - len(window) + place
            first = lax.iota(jnp.int64, total.shape[axis]) * strides[place] - padding[2 * place]
            inside = jnp.minimum(first + length, x.shape[axis]) - jnp.maximum(first, 0)
            behind = tuple(range(1, x.ndim - axis))
            counts = counts * jnp.expand_dims(unfolded(inside).astype(counts.dtype), behind)
    return (total.astype(counts.dtype) / counts).astype(x.dtype)


def _wide(dtype: jnp.dtype) -> jnp.dtype:
    """Returns a dtype in which large counts are exact enough: float16 ends at 65504."""
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


LOWERINGS: dict[str, Lowering] = {
    "nn.avg_pool": _avg_pool,
    "nn.conv": _conv,
    "nn.conv_transpose": _conv_transpose,
    "nn.max_pool": _max_pool,
}
