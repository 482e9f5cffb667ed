"""NumPy functions on one array that move or drop elements."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import (
    implements,
    implements_op,
    normal_axes,
    normal_axis,
    refuse_options,
    shape_of,
    strong,
)
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, as_traced


@implements("reshape")
@implements_op("reshape")
def reshape(a: Any, /, shape: Any, order: Any = "C", *, copy: Any = None) -> Traced:
    """``np.reshape``; one length may be -1."""
    x, lengths = strong(a) if copy else as_traced(a), list(shape_of(shape))
    if -1 in lengths:
        known = -math.prod(lengths)
        if lengths.count(-1) > 1 or known == 0 or x.size % known:
            raise ValueError(f"cannot reshape array of size {x.size} into shape {tuple(lengths)}")
        lengths[lengths.index(-1)] = x.size // known
    if _reads_columns("reshape", order, max(x.ndim, len(lengths))):
        # The last axis counts slowest: as in C order, with all axes reversed.
        result = transpose(apply("reshape", transpose(x), shape=tuple(reversed(lengths))))
    else:
        result = apply("reshape", x, shape=tuple(lengths))
    return Traced(result.ref) if copy else result


def _reads_columns(function: str, order: Any, ndim: int) -> bool:
    """Says whether elements are read in Fortran's order.

    Raises:
        TraceError: the order is that of the memory, which a traced array doesn't have.
        ValueError: NumPy has no such order.
    """
    if order not in ("C", "F", "A", "K", None):
        raise ValueError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
    if order in ("A", "K") and ndim > 1:
        refuse(
            f"np.{function}(..., order={order!r}) follows the memory, which a traced array doesn't "
            "have; write order='C' or order='F'"
        )
    return order == "F" and ndim > 1


@implements("ravel")
def ravel(a: Any, order: Any = "C") -> Traced:
    """``np.ravel``."""
    x = as_traced(a)
    columns = _reads_columns("ravel", order, x.ndim)
    return reshape(transpose(x) if columns else x, x.size)


@implements("transpose", "permute_dims")
def transpose(a: Any, axes: Any = None) -> Traced:
    """``np.transpose``; without ``axes`` the order is reversed."""
    x = as_traced(a)
    order = tuple(range(x.ndim))[::-1] if axes is None else normal_axes(axes, x.ndim)
    if len(order) != x.ndim:
        raise ValueError(f"`axes` must name all {x.ndim} axes; got {axes}")
    if order == tuple(range(x.ndim)):
        return x
    return apply("permute_dims", x, axes=order)


@implements("matrix_transpose", "linalg.matrix_transpose")
def matrix_transpose(x: Any, /) -> Traced:
    """``np.matrix_transpose``."""
    x = as_traced(x)
    if x.ndim < 2:
        raise ValueError(f"a matrix has at least 2 axes; got {x.ndim}")
    return apply("matrix_transpose", x)


@implements("swapaxes")
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Traced:
    """``np.swapaxes``."""
    x = as_traced(a)
    first, second = normal_axis(axis1, x.ndim), normal_axis(axis2, x.ndim)
    order = list(range(x.ndim))
    order[first], order[second] = second, first
    return transpose(x, order)


@implements("moveaxis")
def moveaxis(a: Any, source: Any, destination: Any) -> Traced:
    """``np.moveaxis``."""
    x = as_traced(a)
    start, end = normal_axes(source, x.ndim), normal_axes(destination, x.ndim)
    if len(start) != len(end):
        raise ValueError(
            f"`source` and `destination` must be equally long; got {source} and {destination}"
        )
    order = [axis for axis in range(x.ndim) if axis not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


@implements("rollaxis")
def rollaxis(a: Any, axis: Any, start: Any = 0) -> Traced:
    """``np.rollaxis``."""
    x = as_traced(a)
    axis, start = normal_axis(axis, x.ndim), start + x.ndim if start < 0 else start
    order = [place for place in range(x.ndim) if place != axis]
    order.insert(start - (axis < start), axis)
    return transpose(x, order)


@implements("expand_dims")
def expand_dims(a: Any, axis: Any) -> Traced:
    """``np.expand_dims``."""
    x = as_traced(a)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    return apply("expand_dims", x, axis=normal_axes(axis, x.ndim + count))


@implements("squeeze")
def squeeze(a: Any, axis: Any = None) -> Traced:
    """``np.squeeze``; without ``axis`` all axes of length 1 go."""
    x = as_traced(a)
    if axis is None:
        axis = tuple(place for place, length in enumerate(x.shape) if length == 1)
    return apply("squeeze", x, axis=normal_axes(axis, x.ndim))


@implements("broadcast_to")
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Traced:
    """``np.broadcast_to``."""
    return apply("broadcast_to", as_traced(array), shape=shape_of(shape))


@implements("broadcast_arrays")
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Traced, ...]:
    """``np.broadcast_arrays``."""
    arrays = [as_traced(array) for array in args]
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return tuple(x if x.shape == shape else broadcast_to(x, shape) for x in arrays)


def _at_least(ndim: int, array: Any) -> Traced:
    x = as_traced(array)
    if x.ndim >= ndim:
        return x
    # NumPy's rule: (n,) becomes (1, n), then (1, n, 1); (m, n) becomes (m, n, 1).
    shape = {0: (1,) * ndim, 1: (1, *x.shape, 1)[:ndim], 2: (*x.shape, 1)}[x.ndim]
    return reshape(x, shape)


def _at_least_each(ndim: int, arrays: tuple[Any, ...]) -> Any:
    results = tuple(_at_least(ndim, array) for array in arrays)
    return results[0] if len(results) == 1 else results


@implements("atleast_1d")
def atleast_1d(*arys: Any) -> Any:
    """``np.atleast_1d``."""
    return _at_least_each(1, arys)


@implements("atleast_2d")
def atleast_2d(*arys: Any) -> Any:
    """``np.atleast_2d``."""
    return _at_least_each(2, arys)


@implements("atleast_3d")
def atleast_3d(*arys: Any) -> Any:
    """``np.atleast_3d``."""
    return _at_least_each(3, arys)


@implements("flip")
def flip(m: Any, axis: Any = None) -> Traced:
    """``np.flip``."""
    x = as_traced(m)
    return apply("flip", x, axis=normal_axes(axis, x.ndim))


@implements("fliplr")
def fliplr(m: Any) -> Traced:
    """``np.fliplr``."""
    return flip(m, 1)


@implements("flipud")
def flipud(m: Any) -> Traced:
    """``np.flipud``."""
    return flip(m, 0)


@implements("rot90")
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Traced:
    """``np.rot90``."""
    x, (first, second), turns = as_traced(m), axes, k % 4
    if turns == 0:
        return flip(x, ())
    if turns == 2:
        return flip(x, (first, second))
    if turns == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second)


@implements("roll")
def roll(a: Any, shift: Any, axis: Any = None) -> Traced:
    """``np.roll``; without ``axis`` all elements in a row."""
    x = strong(a)
    if axis is None:
        return Traced(reshape(roll(ravel(x), shift, 0), x.shape).ref)
    shifts = shift if isinstance(shift, tuple | list) else (shift,)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    totals: dict[int, int] = {}
    for by, place in np.broadcast(shifts, axes):
        place = normal_axis(place, x.ndim)
        totals[place] = totals.get(place, 0) + operator.index(by)
    return apply("roll", x, shift=tuple(totals.values()), axis=tuple(totals))


@implements("tril")
def tril(m: Any, k: int = 0) -> Traced:
    """``np.tril``; a row becomes a square matrix as in NumPy."""
    return _triangle("tril", m, k)


@implements("triu")
def triu(m: Any, k: int = 0) -> Traced:
    """``np.triu``; a row becomes a square matrix as in NumPy."""
    return _triangle("triu", m, k)


def _triangle(op: str, m: Any, k: int) -> Traced:
    x = strong(m)
    if x.ndim == 1:
        x = broadcast_to(x, (*x.shape, *x.shape))
    return Traced(apply(op, x, k=operator.index(k)).ref)


@implements("copy")
def copy(a: Any, order: Any = "K", subok: bool = False) -> Traced:
    """``np.copy``: a value that doesn't follow the other's changes in place."""
    return strong(a)


@implements("astype")
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Traced:
    """``np.astype``."""
    refuse_options("astype", device=device)
    result: Traced = as_traced(x).astype(dtype, copy=copy)
    return result
