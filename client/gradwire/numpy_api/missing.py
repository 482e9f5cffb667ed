"""NumPy's sums, means and extremes that leave NaN out.

NaN are replaced before anything is computed from them: their derivative is 0 and they
make no other one NaN. Where a slice holds nothing else, and its result is NaN, they
stay, so the derivative is NaN too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.reductions import (
    cumprod,
    cumsum,
    max_,
    mean,
    min_,
    prod,
    std,
    sum_,
    var,
)
from gradwire.numpy_api.registry import (
    NO_VALUE,
    implements,
    normal_axes,
    pinned,
    refuse_options,
    strong,
)
from gradwire.tensors import is_complex, is_inexact
from gradwire.trace.traced import Traced
from gradwire.trace.values import apply, convert

_MASK = "replace elements with NaN by np.where"


def _replaced(name: str, total: Callable[..., Traced], neutral: float) -> Callable[..., Traced]:
    """Makes a total in which NaN count as an element that changes nothing."""

    def replaced(a: Any, *args: Any, **kwargs: Any) -> Traced:
        return total(_without(strong(a), neutral), *args, **kwargs)

    replaced.__name__ = replaced.__qualname__ = name
    return replaced


def _without(x: Traced, neutral: float) -> Traced:
    if not is_inexact(x.dtype):
        return x
    return apply("where", np.isnan(x), convert(neutral, x.dtype), x)


nansum = implements("nansum")(_replaced("nansum", sum_, 0.0))
nanprod = implements("nanprod")(_replaced("nanprod", prod, 1.0))
nancumsum = implements("nancumsum")(_replaced("nancumsum", cumsum, 0.0))
nancumprod = implements("nancumprod")(_replaced("nancumprod", cumprod, 1.0))


def _numbers(x: Traced, axis: Any) -> tuple[Any, Any]:
    """Returns which elements count, and how many numbers there are along the axes, kept.

    Where there is no number, all count: they are what makes the result NaN.
    """
    finite = np.logical_not(np.isnan(x))
    count = sum_(finite, normal_axes(axis, x.ndim), keepdims=True)
    return np.logical_or(finite, count == 0), count


def _extremum(name: str, of_all: Callable[..., Traced], least: float) -> Callable[..., Traced]:
    def extremum(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = None,
    ) -> Traced:
        refuse_options(name, out=out)
        refuse_options(name, "combine its result with the initial value", initial=initial)
        refuse_options(name, _MASK, where=where)
        x = strong(a)
        if is_inexact(x.dtype):
            counted, _ = _numbers(x, axis)
            x = apply("where", counted, x, convert(least, x.dtype))
        return of_all(x, axis, None, keepdims)

    return extremum


nanmax = implements("nanmax")(_extremum("nanmax", max_, -np.inf))
nanmin = implements("nanmin")(_extremum("nanmin", min_, np.inf))


@implements("nanmean")
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = None,
) -> Any:
    """``np.nanmean``; NaN where there are no numbers."""
    refuse_options("nanmean", out=out)
    refuse_options("nanmean", _MASK, where=where)
    x = strong(a)
    if not is_inexact(x.dtype):
        return mean(x, axis, dtype, keepdims=keepdims)
    average = _average(x, axis, _inexact(x, dtype))
    return average if _keeps(keepdims) else _without_axes(average, axis)


def _inexact(x: Traced, dtype: Any) -> Any:
    wanted = x.dtype if dtype is None else pinned(dtype)
    if not is_inexact(wanted):
        raise TypeError("If a is inexact, then dtype must be inexact")
    return wanted


def _keeps(keepdims: Any) -> bool:
    return keepdims is not NO_VALUE and bool(keepdims)


def _without_axes(x: Any, axis: Any) -> Any:
    return apply("squeeze", x, axis=normal_axes(axis, x.ndim))


def _average(x: Traced, axis: Any, dtype: Any) -> Any:
    """Returns the mean of the numbers, the axes kept."""
    counted, count = _numbers(x, axis)
    total = sum_(np.where(counted, x, 0), axis, dtype, keepdims=True)
    return total / _or_nan(count, count > 0, total)


def _or_nan(divisor: Any, valid: Any, like: Any) -> Any:
    """Returns a divisor, NaN where it is not valid: so are then the quotient's derivatives."""
    return np.where(valid, divisor, np.nan).astype(np.real(like).dtype)


def _spread(name: str, of_all: Callable[..., Traced]) -> Callable[..., Any]:
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
    ) -> Any:
        refuse_options(name, out=out, mean=mean)
        refuse_options(name, _MASK, where=where)
        ddof = ddof if correction is NO_VALUE else correction
        x = strong(a)
        if not is_inexact(x.dtype):
            return of_all(x, axis, dtype, None, ddof, keepdims)
        x = convert(x, _inexact(x, dtype))
        counted, count = _numbers(x, axis)
        centred: Any = np.where(counted, x - _average(x, axis, x.dtype), 0)
        freedom = _or_nan(count - ddof, count > ddof, x)
        axes = normal_axes(axis, x.ndim)
        if name == "nanstd":
            # The norm has a derivative where all are equal.
            length = apply("linalg.vector_norm", centred, ord=2.0, axis=axes, keepdims=True)
            result: Any = length / np.sqrt(freedom)
        else:
            squares = np.real(centred * np.conj(centred)) if is_complex(x.dtype) else centred**2
            result = sum_(squares, axes, keepdims=True) / freedom
        return result if _keeps(keepdims) else _without_axes(result, axis)

    return spread


nanvar = implements("nanvar")(_spread("nanvar", var))
nanstd = implements("nanstd")(_spread("nanstd", std))
