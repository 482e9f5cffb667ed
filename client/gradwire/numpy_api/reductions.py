"""NumPy's reductions and running totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import (
    NO_VALUE,
    implements,
    normal_axes,
    normal_axis,
    pinned,
    refuse_options,
    strong,
)
from gradwire.tensors import Dtype, is_inexact
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply, convert

_MASK = "write np.where(mask, x, neutral) as its argument"
_START = "combine its result with the initial value"


def total_dtype(dtype: Dtype) -> Dtype:
    """Returns the dtype in which NumPy adds and multiplies up: no short integers."""
    if dtype.kind == "u":
        return np.dtype(np.uint64)
    return np.dtype(np.int64) if dtype.kind in "bi" else dtype


def mean_dtype(dtype: Dtype) -> Dtype:
    """Returns the dtype in which NumPy averages: floating."""
    return dtype if is_inexact(dtype) else pinned(np.float64)


def reduce_along(op: str, x: Traced, axis: Any, keepdims: Any, **attrs: Any) -> Traced:
    """Adds a reduction along one axis, several, or all for None."""
    kept = keepdims is not NO_VALUE and bool(keepdims)
    return apply(op, x, axis=normal_axes(axis, x.ndim), keepdims=kept, **attrs)


def in_dtype(a: Any, dtype: Any, default: Callable[[Dtype], Dtype]) -> Traced:
    """Returns an operand in the dtype asked for, or in NumPy's choice for its own."""
    x = strong(a)
    return convert(x, default(x.dtype) if dtype is None else pinned(dtype))


@implements("sum")
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Traced:
    """``np.sum``."""
    refuse_options("sum", out=out)
    refuse_options("sum", _START, initial=initial)
    refuse_options("sum", _MASK, where=where)
    return reduce_along("sum", in_dtype(a, dtype, total_dtype), axis, keepdims)


@implements("prod")
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Traced:
    """``np.prod``."""
    refuse_options("prod", out=out)
    refuse_options("prod", _START, initial=initial)
    refuse_options("prod", _MASK, where=where)
    return reduce_along("prod", in_dtype(a, dtype, total_dtype), axis, keepdims)


@implements("mean")
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = None,
) -> Traced:
    """``np.mean``."""
    refuse_options("mean", out=out)
    refuse_options("mean", "write np.sum(np.where(mask, x, 0)) / np.sum(mask)", where=where)
    return reduce_along("mean", in_dtype(a, dtype, mean_dtype), axis, keepdims)


def _spread(name: str) -> Callable[..., Traced]:
    def spread(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: Any = 0,
        keepdims: Any = False,
        *,
        where: Any = None,
        mean: Any = None,
        correction: Any = NO_VALUE,
    ) -> Traced:
        refuse_options(name, out=out, mean=mean)
        refuse_options(name, "average the squares by np.mean", where=where)
        correction = ddof if correction is NO_VALUE else correction
        x = in_dtype(a, dtype, mean_dtype)
        return reduce_along(name, x, axis, keepdims, correction=float(correction))

    return spread


var = implements("var")(_spread("var"))
std = implements("std")(_spread("std"))


def _extremum(name: str, instead: str) -> Callable[..., Traced]:
    def extremum(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = None,
    ) -> Traced:
        refuse_options(name, out=out)
        refuse_options(name, f"write {instead}(initial, np.{name}(x))", initial=initial)
        refuse_options(name, _MASK, where=where)
        return reduce_along(name, strong(a), axis, keepdims)

    return extremum


max_ = implements("max", "amax")(_extremum("max", "np.maximum"))
min_ = implements("min", "amin")(_extremum("min", "np.minimum"))


@implements("ptp")
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Traced:
    """``np.ptp``."""
    refuse_options("ptp", out=out)
    result: Traced = max_(a, axis, None, keepdims) - min_(a, axis, None, keepdims)
    return result


def _test(name: str) -> Callable[..., Traced]:
    def test(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = None
    ) -> Traced:
        refuse_options(name, out=out)
        refuse_options(name, _MASK, where=where)
        return reduce_along(name, strong(a), axis, keepdims)

    return test


all_ = implements("all")(_test("all"))
any_ = implements("any")(_test("any"))


def _position(name: str) -> Callable[..., Traced]:
    def position(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Traced:
        refuse_options(name, out=out)
        x = strong(a)
        if axis is not None:
            kept = keepdims is not NO_VALUE and bool(keepdims)
            return apply(name, x, axis=normal_axis(axis, x.ndim), keepdims=kept)
        result = apply(name, apply("reshape", x, shape=(x.size,)), axis=0)
        if keepdims is NO_VALUE or not keepdims:
            return result
        return apply("reshape", result, shape=(1,) * x.ndim)

    return position


argmax = implements("argmax")(_position("argmax"))
argmin = implements("argmin")(_position("argmin"))


@implements("count_nonzero")
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Traced:
    """``np.count_nonzero``."""
    return reduce_along("count_nonzero", strong(a), axis, keepdims)


def run_along(x: Traced, op: str, axis: Any, **attrs: Any) -> Traced:
    """Adds a running total along an axis, or of all elements in a row for None."""
    if axis is None:
        return apply(op, apply("reshape", x, shape=(x.size,)), axis=0, **attrs)
    return apply(op, x, axis=normal_axis(axis, x.ndim), **attrs)


def _cumulative(name: str, op: str) -> Callable[..., Traced]:
    def cumulative(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Traced:
        refuse_options(name, out=out)
        return run_along(in_dtype(a, dtype, total_dtype), op, axis)

    return cumulative


cumsum = implements("cumsum")(_cumulative("cumsum", "cumulative_sum"))
cumprod = implements("cumprod")(_cumulative("cumprod", "cumulative_prod"))


def _cumulative_with_start(op: str) -> Callable[..., Traced]:
    def cumulative(
        x: Any,
        /,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Traced:
        refuse_options(op, out=out)
        x = in_dtype(x, dtype, total_dtype)
        if axis is None and x.ndim != 1:
            raise ValueError(f"np.{op} needs `axis` for an array of {x.ndim} axes")
        return run_along(x, op, axis, include_initial=bool(include_initial))

    return cumulative


implements("cumulative_sum")(_cumulative_with_start("cumulative_sum"))
implements("cumulative_prod")(_cumulative_with_start("cumulative_prod"))
