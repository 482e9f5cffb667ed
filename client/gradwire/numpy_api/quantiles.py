"""NumPy's medians, percentiles and quantiles, with and without NaN.

Each sorts and takes elements by position, so that a derivative reaches only the one or
two elements between which the quantile lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradwire.numpy_api.missing import nanmean
from gradwire.numpy_api.reductions import mean
from gradwire.numpy_api.registry import (
    NO_VALUE,
    example,
    implements,
    normal_axes,
    pinned,
    refuse_options,
    strong,
)
from gradwire.numpy_api.shapes import expand_dims, moveaxis, reshape
from gradwire.numpy_api.sorting import sort, take, take_along_axis
from gradwire.tensors import Dtype, is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import as_operand, convert

_INTERPOLATED = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
"""The methods that interpolate, and their alpha and beta in R. J. Hyndman and Y. Fan, "Sample
Quantiles in Statistical Packages", The American Statistician 50 (1996) 361-365."""

_Places = tuple[Any, Any, Any]
"""The position below, that above, and how far from the first to the second the quantile lies."""


def _interpolated(method: str, n: Any, q: Any) -> _Places:
    if method == "linear":
        place = (n - 1) * q
    else:
        alpha, beta = _INTERPOLATED[method]
        place = n * q + (alpha + q * (1 - alpha - beta)) - 1
    below = np.floor(place)
    return below, below + 1, place - below


def _inverted(method: str, n: Any, q: Any) -> _Places:
    above = np.ceil(n * q)
    return above - 1, above - 1, None


def _averaged(method: str, n: Any, q: Any) -> _Places:
    below = np.floor(n * q)
    return below - 1, below, np.where(below == n * q, 0.5, 1.0)


def _closest(method: str, n: Any, q: Any) -> _Places:
    # Whether n q - 1.5 is whole, and its floor odd; all of twice n q, which is rounded
    # only once however the compiler fuses products and sums.
    twice = (2 * n) * q
    below = np.floor((np.floor(twice) - 3) / 2)
    whole = np.logical_and(twice == np.floor(twice), np.floor(twice) % 2 == 1)
    place = np.where(np.logical_and(whole, below % 2 == 1), below, below + 1)
    return place, place, None


def _at_integer(rounding: Callable[[Any], Any]) -> Callable[[str, Any, Any], _Places]:
    def places(method: str, n: Any, q: Any) -> _Places:
        place = rounding((n - 1) * q)
        return place, place, None

    return places


def _middle(method: str, n: Any, q: Any) -> _Places:
    place = (n - 1) * q
    return np.floor(place), np.ceil(place), np.where(place == np.floor(place), 0.0, 0.5)


_METHODS: dict[str, Callable[[str, Any, Any], _Places]] = {
    **dict.fromkeys(("linear", *_INTERPOLATED), _interpolated),
    "averaged_inverted_cdf": _averaged,
    "closest_observation": _closest,
    "higher": _at_integer(np.ceil),
    "inverted_cdf": _inverted,
    "lower": _at_integer(np.floor),
    "midpoint": _middle,
    "nearest": _at_integer(np.rint),
}


def _lerp(low: Any, high: Any, t: Any) -> Any:
    """Interpolates from the nearer end, so that both ends are met exactly."""
    gap = high - low
    return np.where(t < 0.5, low + gap * t, high - gap * (1 - t))


def _ranked(a: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """Returns an array sorted along its first axis, which stands for those named, and these."""
    x = strong(a)
    axes = normal_axes(axis, x.ndim)
    others = [length for place, length in enumerate(x.shape) if place not in axes]
    front = moveaxis(x, axes, tuple(range(len(axes))))
    count = math.prod(x.shape[place] for place in axes)
    return sort(reshape(front, (count, *others)), 0), axes


def _kept(result: Any, axes: tuple[int, ...], keepdims: Any, ahead: int = 0) -> Any:
    """Returns a result with an axis of length 1 in the place of each that went."""
    if keepdims is NO_VALUE or not keepdims:
        return result
    return expand_dims(result, tuple(ahead + axis for axis in sorted(axes)))


def _poisoned(result: Any, invalid: Any) -> Any:
    """Makes a result NaN by a factor, so that its derivatives are NaN with it."""
    return result * np.where(invalid, np.nan, 1.0).astype(result.dtype)


def _pick(ranked: Any, place: Any, n: Any) -> Any:
    """Takes rows at positions among n elements, or from each column its own."""
    inside = np.maximum(np.minimum(place, n - 1), 0).astype(np.int64)
    if not isinstance(n, Traced):
        return take(ranked, inside, axis=0)
    flat = reshape(inside, (-1, *n.shape))
    return reshape(take_along_axis(ranked, flat, axis=0), inside.shape)


def _between(ranked: Any, places: _Places, n: Any, dtype: Any) -> Any:
    """Returns what lies between elements of an array that is sorted along its first axis."""
    below, above, t = places
    low = convert(_pick(ranked, below, n), dtype)
    if t is None:
        return low
    high = convert(_pick(ranked, above, n), dtype)
    t = convert(t, dtype)
    t = reshape(t, (*t.shape, *(1,) * (low.ndim - t.ndim)))
    return _lerp(low, high, t)


def _quantile(name: str, *, percent: bool, of_numbers: bool) -> Callable[..., Any]:
    """Makes ``np.quantile`` or one like it.

    Args:
        name: Its name below ``np``.
        percent: It counts from 0 to 100.
        of_numbers: It leaves NaN out; otherwise they make NaN of the result.
    """

    def quantile(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
    ) -> Any:
        refuse_options(name, out=out)
        instead = "write np.argsort(x), and np.cumsum of the weights in that order"
        refuse_options(name, instead, weights=weights)
        x = strong(a)
        known = not isinstance(q := as_operand(q), Traced)
        # NumPy's own result has the dtype; NumPy refuses an unknown method.
        at = q if known else example(q) * 0
        dtype = pinned(getattr(np, name)(np.ones(1, x.dtype), at, method=method).dtype)
        if not known and not is_inexact(dtype):
            refuse(f"np.{name} of integers can't be traced at traced places; write x.astype(float)")
        ranked, axes = _ranked(x, axis)
        if not ranked.shape[0]:
            raise IndexError(f"np.{name} of no elements has no value")
        share = np.true_divide(q, 100) if percent else q
        numbers = of_numbers and is_inexact(ranked.dtype)
        result = _at(ranked, share, method, dtype, of_numbers=numbers)
        return _kept(result, axes, keepdims, ahead=np.ndim(share))

    return quantile


def _at(ranked: Any, share: Any, method: str, dtype: Dtype, *, of_numbers: bool) -> Any:
    """Returns quantiles along the first axis of a sorted array, of the numbers or of all."""
    rows = (*np.shape(share), *(1,) * (ranked.ndim - 1))
    n: Any = ranked.shape[0]
    place = share
    if of_numbers:
        n = _count(ranked)
        place = reshape(strong(share), rows)
        if is_inexact(place.dtype):
            n = n.astype(place.dtype)
    result = _between(ranked, _METHODS[method](method, n, place), n, dtype)
    if is_inexact(ranked.dtype):
        result = _poisoned(result, n == 0 if of_numbers else np.isnan(ranked[-1]))
    if isinstance(share, Traced):
        # Known ones are refused outside of the range.
        inside = np.logical_and(share >= 0, share <= 1)
        result = _poisoned(result, reshape(np.logical_not(inside), rows))
    return result


def _count(ranked: Any) -> Any:
    """Returns how many elements of each column of a sorted array are not NaN."""
    return np.sum(np.logical_not(np.isnan(ranked)), axis=0)


quantile = implements("quantile")(_quantile("quantile", percent=False, of_numbers=False))
percentile = implements("percentile")(_quantile("percentile", percent=True, of_numbers=False))
nanquantile = implements("nanquantile")(_quantile("nanquantile", percent=False, of_numbers=True))
nanpercentile = implements("nanpercentile")(
    _quantile("nanpercentile", percent=True, of_numbers=True)
)


@implements("median")
def median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    """``np.median``: the mean of the two in the middle, if their count is even."""
    refuse_options("median", out=out)
    ranked, axes = _ranked(a, axis)
    n = ranked.shape[0]
    result: Any = mean(ranked[(n - 1) // 2 : n // 2 + 1], axis=0)
    if n and is_inexact(ranked.dtype):
        result = _poisoned(result, np.isnan(ranked[-1]))
    return _kept(result, axes, keepdims)


@implements("nanmedian")
def nanmedian(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    """``np.nanmedian``; NaN where there are no numbers."""
    refuse_options("nanmedian", out=out)
    x = strong(a)
    if not is_inexact(x.dtype):
        return median(x, axis, keepdims=keepdims)
    if not x.size:
        return nanmean(x, axis, keepdims=keepdims)
    ranked, axes = _ranked(x, axis)
    n = _count(ranked)
    low, high = _pick(ranked, (n - 1) // 2, n), _pick(ranked, n // 2, n)
    result = np.where(n % 2 == 1, low, (low + high) / 2)
    return _kept(_poisoned(result, n == 0), axes, keepdims)
