"""The ops on positions and on the order of elements, on dual numbers: for ``array_functions``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conformance import dual_numbers as d
from conformance.dual_numbers import Number, linear, plain
from gradwire.opset.core import At, ByArray, Index, NewAxis, Range


def subscript(shape: tuple[int, ...], index: Index, positions: Sequence[Any]) -> tuple[Any, ...]:
    """Returns NumPy's subscript, arrays clamped to their axes."""
    items: list[Any] = []
    arrays, lengths = iter(positions), iter(shape)
    for item in index:
        if isinstance(item, NewAxis):
            items.append(None)
            continue
        length = next(lengths)
        if isinstance(item, At):
            items.append(item.position)
        elif isinstance(item, Range):
            items.append(slice(item.start, item.stop, item.step))
        else:
            assert isinstance(item, ByArray)
            items.append(_clamped(next(arrays), length))
    return tuple(items)


def _clamped(positions: Any, length: int) -> Any:
    positions = plain(positions)
    return np.clip(np.where(positions < 0, positions + length, positions), 0, length - 1)


def getitem(x: Number, *positions: Any, index: Index) -> Number:
    where = subscript(x.shape, index, positions)
    return linear(lambda a: a[where], x)


def _assigned(x: Any, where: tuple[Any, ...], value: Any) -> Any:
    out = np.array(x)
    out[where] = value
    return out


def _added(x: Any, where: tuple[Any, ...], value: Any) -> Any:
    out = np.array(x)
    np.add.at(out, where, value)
    return out


def index_set(x: Number, value: Number, *positions: Any, index: Index) -> Number:
    where = subscript(x.shape, index, positions)
    return linear(lambda a, v: _assigned(a, where, v), x, value)


def index_add(x: Number, value: Number, *positions: Any, index: Index) -> Number:
    where = subscript(x.shape, index, positions)
    return linear(lambda a, v: _added(a, where, v), x, value)


def index_update(combine: Callable[..., Number]) -> Callable[..., Number]:
    """Makes an update of positions that don't repeat."""

    def update(x: Number, value: Number, *positions: Any, index: Index) -> Number:
        where = subscript(x.shape, index, positions)
        new = combine(linear(lambda a: a[where], x), value)
        return linear(lambda a, v: _assigned(a, where, v), x, new)

    return update


def take(x: Number, positions: Any, axis: int) -> Number:
    places = _clamped(positions, x.shape[axis])
    return linear(lambda a: np.take(a, places, axis), x)


def take_along_axis(x: Number, positions: Any, axis: int) -> Number:
    places = _clamped(positions, x.shape[axis])
    return linear(lambda a: np.take_along_axis(a, places, axis), x)


def _starts(x: Number, sizes: Sequence[int], starts: Sequence[Any]) -> tuple[slice, ...]:
    corner = []
    for start, size, length in zip(starts, sizes, x.shape, strict=True):
        first = int(plain(start))
        first = min(max(first + length if first < 0 else first, 0), length - size)
        corner.append(slice(first, first + size))
    return tuple(corner)


def dynamic_slice(x: Number, *starts: Any, slice_sizes: Sequence[int]) -> Number:
    where = _starts(x, slice_sizes, starts)
    return linear(lambda a: a[where], x)


def dynamic_update_slice(x: Number, update: Number, *starts: Any) -> Number:
    where = _starts(x, plain(update).shape, starts)
    return linear(lambda a, v: _assigned(a, where, v), x, update)


def order_of(x: Number, axis: int, descending: bool = False, stable: bool = True) -> Any:
    values = plain(x)
    return np.argsort(-values if descending else values, axis=axis, kind="stable")


def sort(x: Number, axis: int, descending: bool = False, stable: bool = True) -> Number:
    order = order_of(x, axis, descending)
    return linear(lambda a: np.take_along_axis(a, order, axis), x)


def top_k(x: Number, k: int) -> tuple[Number, Any]:
    order = order_of(x, -1, descending=True)[..., :k]
    return linear(lambda a: np.take_along_axis(a, order, -1), x), order.astype(np.int64)


def interp(x: Number, xp: Number, fp: Number) -> Number:
    """The line through the two points around each x; constant outside."""
    inside = d.maximum(d.minimum(x, take(xp, -1, 0)), take(xp, 0, 0))
    right = np.clip(np.searchsorted(plain(xp), plain(inside), "right"), 1, len(plain(xp)) - 1)
    x0, x1 = take(xp, right - 1, 0), take(xp, right, 0)
    y0, y1 = take(fp, right - 1, 0), take(fp, right, 0)
    return y0 + (y1 - y0) * ((inside - x0) / (x1 - x0))
