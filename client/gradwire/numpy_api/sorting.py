"""NumPy functions that order elements, look them up or pick them by position."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradwire.numpy_api.indexing import getitem
from gradwire.numpy_api.registry import implements, normal_axis, pinned, refuse_options, strong
from gradwire.numpy_api.shapes import ravel
from gradwire.trace.interception import INTERCEPTED
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, as_operand, convert, promote


def _along(a: Any, axis: Any) -> tuple[Traced, int]:
    x = strong(a)
    return (ravel(x), 0) if axis is None else (x, normal_axis(axis, x.ndim))


@implements("sort")
def sort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Traced:
    """``np.sort``; any ``kind`` is stable."""
    refuse_options("sort", order=order)
    x, place = _along(a, axis)
    return apply("sort", x, axis=place)


@implements("argsort")
def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Traced:
    """``np.argsort``; any ``kind`` is stable."""
    refuse_options("argsort", order=order)
    x, place = _along(a, axis)
    return apply("argsort", x, axis=place)


@implements("searchsorted")
def searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Traced:
    """``np.searchsorted``."""
    if sorter is not None:
        a = take(a, sorter)
    x, values = promote([strong(a), strong(v)])
    if x.dtype.kind == "b":
        x, values = (convert(operand, np.dtype(np.int64)) for operand in (x, values))
    return apply("searchsorted", x, values, side=side)


@implements("digitize")
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """``np.digitize``; bins that are traced may rise or fall, and are not checked to do so."""
    edges = as_operand(bins)
    side = "left" if right else "right"
    if isinstance(edges, Traced):
        if edges.size < 2:
            return searchsorted(edges, x, side)
        falling = edges[0] > edges[-1]
        place = searchsorted(np.where(falling, edges[::-1], edges), x, side)
        return np.where(falling, edges.size - place, place)
    steps = np.diff(np.asarray(edges))
    if not (np.all(steps >= 0) or np.all(steps <= 0)):
        raise ValueError("bins must be monotonically increasing or decreasing")
    if len(edges) < 2 or edges[0] <= edges[-1]:
        return searchsorted(edges, x, side)
    return len(edges) - searchsorted(edges[::-1], x, side)


def _positions(indices: Any, length: int, mode: str) -> Any:
    """Returns positions as the op takes them; those that are known must be in range."""
    operand = as_operand(indices)
    if not isinstance(operand, Traced):
        array = np.asarray(operand)
        if array.size == 0:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise TypeError(f"positions must be integers; got {array.dtype}")
        if mode == "wrap":
            return array % length if length else array
        if mode == "clip":
            return np.clip(array, 0, max(length - 1, 0))
        if array.size and not (-length <= array.min() and array.max() < length):
            raise IndexError(f"a position is out of bounds for axis with size {length}")
        return array
    if mode == "wrap":
        return operand % length
    return np.clip(operand, 0, max(length - 1, 0)) if mode == "clip" else operand


@implements("take")
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Traced:
    """``np.take``; traced positions out of range are moved to the nearest element."""
    refuse_options("take", out=out)
    x, place = _along(a, axis)
    positions = _positions(indices, x.shape[place], mode)
    if not isinstance(positions, Traced) and not positions.ndim:
        return Traced(getitem(x, (slice(None),) * place + (int(positions),)).ref)
    return apply("take", x, positions, axis=place)


INTERCEPTED["numpy", "take"] = take  # it dispatches on the table alone


@implements("take_along_axis")
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Traced:
    """``np.take_along_axis``; traced positions out of range go to the nearest element."""
    x, place = _along(arr, axis)
    positions = strong(_positions(indices, x.shape[place], "raise"))
    if positions.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    return apply("take_along_axis", x, positions, axis=place)


@implements("unravel_index")
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """``np.unravel_index``."""
    rest: Any = convert(strong(indices), pinned(np.int64))
    result = []
    lengths = shape if isinstance(shape, tuple | list) else (shape,)
    for length in lengths if order == "F" else reversed(lengths):
        result.append(rest % operator.index(length))
        rest = rest // operator.index(length)
    return tuple(result if order == "F" else reversed(result))


@implements("ravel_multi_index")
def ravel_multi_index(multi_index: Any, dims: Any, mode: str = "raise", order: str = "C") -> Any:
    """``np.ravel_multi_index`` in C order, of positions that are in range."""
    if mode != "raise" or order != "C":
        refuse("np.ravel_multi_index can be traced with mode='raise' and order='C' alone")
    total: Any = 0
    for position, length in zip(multi_index, dims, strict=True):
        total = total * operator.index(length) + convert(position, pinned(np.int64))
    return total


@implements("interp")
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """``np.interp``, in double precision as in NumPy."""
    values = strong(fp)
    if "c" in (strong(x).dtype.kind, strong(xp).dtype.kind):
        raise TypeError("`x` and `xp` of np.interp must be real")
    if values.dtype.kind == "c":
        parts = [
            interp(x, xp, part(values), _part(part, left), _part(part, right), period)
            for part in (np.real, np.imag)
        ]
        return apply("complex", *parts)
    double = pinned(np.float64)
    at: Any = convert(strong(x), double)
    points: Any = convert(strong(xp), double)
    levels: Any = convert(values, double)
    if period is not None:
        if not isinstance(period, Traced) and not period:
            raise ValueError("period must be a non-zero value")
        period = abs(period)
        at, points = at % period, points % period
        order = argsort(points)
        points, levels = take(points, order), take(levels, order)
        points = np.concatenate([points[-1:] - period, points, points[:1] + period])
        levels = np.concatenate([levels[-1:], levels, levels[:1]])
        left = right = None
    result: Any = apply("interp", at, points, levels)
    if left is not None:
        result = np.where(at < points[0], convert(left, double), result)
    return result if right is None else np.where(at > points[-1], convert(right, double), result)


def _part(part: Any, level: Any) -> Any:
    return None if level is None else part(level)


@implements("tril_indices_from")
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """``np.tril_indices_from``: known, since the shape is."""
    return np.tril_indices(strong(arr).shape[-2], k, strong(arr).shape[-1])


@implements("triu_indices_from")
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """``np.triu_indices_from``: known, since the shape is."""
    return np.triu_indices(strong(arr).shape[-2], k, strong(arr).shape[-1])


@implements("diag_indices_from")
def diag_indices_from(arr: Any) -> Any:
    """``np.diag_indices_from``: known, since the shape is."""
    return np.diag_indices(strong(arr).shape[0], strong(arr).ndim)
