"""The index family in JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire.opset.core import At, ByArray, Index, NewAxis, Range
from gradwire_server.compiler.lowering.core import Lowering, of_unfolded, unfolded

_IN_BOUNDS = "promise_in_bounds"  # ``_positions`` ensures it


def _positions(array: jax.Array, length: int, highest: int | None = None) -> jax.Array:
    """Returns positions from 0 to ``highest`` in int32, whatever the integer dtype.

    Negative ones count from the end of an axis of ``length``; others are clamped.
    """
    highest = length - 1 if highest is None else highest
    info = np.iinfo(array.dtype)
    # Clamped in the array's own dtype first: only then does every value fit int32.
    inside = jnp.clip(array, max(-length, int(info.min)), min(length - 1, int(info.max)))
    inside = inside.astype(jnp.int32)
    return jnp.clip(jnp.where(inside < 0, inside + length, inside), 0, highest)


def _key(index: Index, shape: Sequence[int], arrays: Sequence[jax.Array]) -> tuple[Any, ...]:
    """Returns the subscript as Python and JAX write it."""
    key: list[Any] = []
    lengths, remaining = iter(shape), iter(arrays)
    for item in index:
        match item:
            case NewAxis():
                key.append(None)
            case At(position):
                key.append(position % next(lengths))
            case Range(start, stop, step):
                next(lengths)
                key.append(slice(start, stop, step))
            case ByArray():
                key.append(_positions(next(remaining), next(lengths)))
    return tuple(key)


def _getitem(x: jax.Array, *arrays: jax.Array, index: Index) -> jax.Array:
    key = _key(index, x.shape, arrays)
    return x.at[key].get(mode=_IN_BOUNDS) if arrays else x[key]


def _update(method: str) -> Callable[..., jax.Array]:
    def update(x: jax.Array, value: jax.Array, *arrays: jax.Array, index: Index) -> jax.Array:
        target = x.at[_key(index, x.shape, arrays)]
        result: jax.Array = getattr(target, method)(
            value, mode=_IN_BOUNDS, unique_indices=not arrays
        )
        return result

    return update


def _index_multiply(x: jax.Array, value: jax.Array, *arrays: jax.Array, index: Index) -> jax.Array:
    """Multiplies at positions, with derivatives where positions repeat.

    JAX has no derivative for that. So values are sorted by position, each run
    of one position is multiplied up by a segmented scan, whose derivatives are
    those of products, and the last product of each run is the factor.
    """
    if not arrays or not jnp.issubdtype(x.dtype, jnp.inexact):
        return _update("multiply")(x, value, *arrays, index=index)
    places = _getitem(jnp.arange(x.size, dtype=jnp.int32).reshape(x.shape), *arrays, index=index)
    values = jnp.broadcast_to(value, places.shape).ravel()
    if not values.size:
        return x
    order = jnp.argsort(places.ravel())
    places, values = places.ravel()[order], values[order]
    edges = places[1:] != places[:-1]
    first = jnp.concat([jnp.ones(1, bool), edges])
    last = jnp.concat([edges, jnp.ones(1, bool)])

    def join(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        carried = jnp.where(right[0], jnp.ones_like(left[1]), left[1])
        return left[0] | right[0], carried * right[1]

    _, products = lax.associative_scan(join, (first, values))
    outside = jnp.asarray(x.size, jnp.int32)
    factors = jnp.ones(x.size, x.dtype)
    factors = factors.at[jnp.where(last, places, outside)].set(products, mode="drop")
    return x * factors.reshape(x.shape)


def _take(x: jax.Array, positions: jax.Array, *, axis: int) -> jax.Array:
    axis %= x.ndim
    key = (slice(None),) * axis + (_positions(positions, x.shape[axis]),)
    return x.at[key].get(mode=_IN_BOUNDS)


def _take_along_axis(x: jax.Array, positions: jax.Array, *, axis: int) -> jax.Array:
    inside = _positions(positions, x.shape[axis])
    return jnp.take_along_axis(x, inside, axis=axis, mode=_IN_BOUNDS)


def _starts(x: jax.Array, starts: Sequence[jax.Array], sizes: Sequence[int]) -> list[jax.Array]:
    return [
        _positions(start, length, length - size)
        for start, length, size in zip(starts, x.shape, sizes, strict=True)
    ]


def _dynamic_slice(x: jax.Array, *starts: jax.Array, slice_sizes: tuple[int, ...]) -> jax.Array:
    return lax.dynamic_slice(x, _starts(x, starts, slice_sizes), slice_sizes)


def _dynamic_update_slice(x: jax.Array, update: jax.Array, *starts: jax.Array) -> jax.Array:
    return lax.dynamic_update_slice(x, update, _starts(x, starts, update.shape))


def _top_k(x: jax.Array, *, k: int) -> list[jax.Array]:
    values, positions = lax.top_k(unfolded(x), k)
    return [values, positions.astype(jnp.int64)]


def _searchsorted(x: jax.Array, values: jax.Array, *, side: str) -> jax.Array:
    return jnp.searchsorted(x, values, side=side).astype(jnp.int64)


def _interp(x: jax.Array, xp: jax.Array, fp: jax.Array) -> jax.Array:
    """As ``numpy.interp``: the line through the points on both sides of x.

    Each line is written from one of its points, ``base``, chosen so that every
    intermediate is finite: one that isn't, even unused, would make derivatives NaN.
    """
    if xp.size == 1:
        return jnp.broadcast_to(fp[0], x.shape)
    below, above = x < xp[0], x > xp[-1]
    inside = jnp.where(below | above, xp[0], x)
    right = jnp.clip(jnp.searchsorted(xp, inside, side="right"), 1, xp.size - 1)
    left = right - 1
    width = xp[right] - xp[left]
    rise = fp[right] - fp[left]
    level = (width == 0) | (jnp.isinf(fp[left]) & (fp[left] == fp[right]))
    slope = jnp.where(level, 0, rise / jnp.where(width == 0, 1, width))
    # From the left point, unless x is the last of all points, which may be repeated,
    # or the line starts at infinity.
    offset = jnp.where(inside == xp[left], 0, (inside - xp[left]) * slope)
    endless = jnp.isnan(lax.stop_gradient(fp[left] + offset)) & ~jnp.isnan(x)
    base = jnp.where((inside == xp[-1]) | endless, right, left)
    at_point = (inside == xp[base]) & ~jnp.isfinite(slope)
    line = fp[base] + (inside - xp[base]) * jnp.where(at_point, 0, slope)
    return jnp.where(below, fp[0], jnp.where(above, fp[-1], line))


def _one_hot(x: jax.Array, *, num_classes: int, dtype: jnp.dtype) -> jax.Array:
    # In x's own dtype the classes past its range would wrap.
    return jax.nn.one_hot(x.astype(jnp.int64), num_classes, dtype=dtype)


LOWERINGS: dict[str, Lowering] = {
    "argsort": of_unfolded(jnp.argsort),
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "getitem": _getitem,
    "index_add": _update("add"),
    "index_max": _update("max"),
    "index_min": _update("min"),
    "index_multiply": _index_multiply,
    "index_set": _update("set"),
    "interp": _interp,
    "one_hot": _one_hot,
    "searchsorted": _searchsorted,
    "sort": of_unfolded(jnp.sort),
    "take": _take,
    "take_along_axis": _take_along_axis,
    "top_k": _top_k,
}
