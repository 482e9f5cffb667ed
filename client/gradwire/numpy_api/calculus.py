"""NumPy's differences, sums over samples, polynomials and moments."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradwire.numpy_api.choosing import conjugate
from gradwire.numpy_api.joining import pad
from gradwire.numpy_api.registry import (
    NO_VALUE,
    implements,
    normal_axes,
    normal_axis,
    pinned,
    refuse_options,
    strong,
)
from gradwire.numpy_api.shapes import atleast_1d, broadcast_to, moveaxis, ravel, reshape
from gradwire.numpy_api.sorting import take
from gradwire.tensors import is_complex, is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import convert, promote


def _cut(x: Any, axis: int, start: int | None, stop: int | None, step: int | None = None) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


@implements("diff")
def diff(
    a: Any, n: Any = 1, axis: int = -1, prepend: Any = NO_VALUE, append: Any = NO_VALUE
) -> Any:
    """``np.diff``."""
    x: Any = strong(a)
    order, place = operator.index(n), normal_axis(axis, x.ndim)
    if order < 0:
        raise ValueError(f"order must be non-negative but got {order}")
    if order == 0:
        return x  # as NumPy does, without what is put before and after it

    def edge(value: Any) -> Any:
        value = strong(value)
        one = (*x.shape[:place], 1, *x.shape[place + 1 :])
        return value if value.ndim else broadcast_to(value, one)

    parts = [x]
    if prepend is not NO_VALUE:
        parts.insert(0, edge(prepend))
    if append is not NO_VALUE:
        parts.append(edge(append))
    if len(parts) > 1:
        x = np.concatenate(parts, axis=place)
    for _ in range(order):
        ahead, behind = _cut(x, place, 1, None), _cut(x, place, None, -1)
        x = ahead != behind if x.dtype.kind == "b" else ahead - behind
    return x


@implements("ediff1d")
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """``np.ediff1d``."""
    x = ravel(strong(ary))
    steps = _cut(x, 0, 1, None) - _cut(x, 0, None, -1)
    parts = [to_begin, steps, to_end]
    return np.concatenate([np.ravel(strong(part)) for part in parts if part is not None])


@implements("gradient")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """``np.gradient``: central differences inside, one-sided ones at the ends."""
    x = strong(f)
    if x.dtype.kind == "b":
        raise TypeError("np.gradient of truth values is not supported; write x.astype(float)")
    if not is_inexact(x.dtype):
        x = convert(x, pinned(np.float64))
    axes = normal_axes(axis, x.ndim)
    spacings = [strong(spacing) for spacing in varargs] or [strong(1.0)]
    if len(spacings) == 1 and not spacings[0].ndim:
        spacings *= len(axes)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    results = [
        convert(_slope(x, spacing if varargs else 1.0, place, edge_order), x.dtype)
        for spacing, place in zip(spacings, axes, strict=True)
    ]
    return results[0] if len(results) == 1 else tuple(results)


def _slope(f: Traced, spacing: Any, axis: int, edge_order: int) -> Any:
    if f.shape[axis] < edge_order + 1:
        raise ValueError(
            "Shape of array too small to calculate a numerical gradient, "
            "at least (edge_order + 1) elements are required."
        )
    x: Any = moveaxis(f, axis, -1)
    if not np.ndim(spacing):
        inner = (x[..., 2:] - x[..., :-2]) / (2.0 * spacing)
        before = after = spacing
    else:
        h = diff(spacing)
        before, after = h[:-1], h[1:]
        # The parabola through three points, differentiated in the middle one.
        inner = (
            x[..., 2:] * (before / (after * (before + after)))
            + x[..., 1:-1] * ((after - before) / (before * after))
            - x[..., :-2] * (after / (before * (before + after)))
        )
        before, after = (h[0], h[-1])
    if edge_order == 1:
        first = (x[..., 1:2] - x[..., :1]) / before
        last = (x[..., -1:] - x[..., -2:-1]) / after
    else:
        steps = (h[0], h[1], h[-1], h[-2]) if np.ndim(spacing) else (spacing,) * 4
        first = _one_sided(x[..., :1], x[..., 1:2], x[..., 2:3], steps[0], steps[1])
        last = -_one_sided(x[..., -1:], x[..., -2:-1], x[..., -3:-2], steps[2], steps[3])
    return moveaxis(np.concatenate([first, inner, last], axis=-1), -1, axis)


def _one_sided(end: Any, second: Any, third: Any, near: Any, far: Any) -> Any:
    """The parabola through three points, differentiated at the end, pointing inwards."""
    return (
        -end * ((2.0 * near + far) / (near * (near + far)))
        + second * ((near + far) / (near * far))
        - third * (near / (far * (near + far)))
    )


@implements("unwrap")
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """``np.unwrap``: whole periods are added, so that no step is longer than half of one."""
    x: Any = strong(p)
    place = normal_axis(axis, x.ndim)
    steps = diff(x, axis=place)
    dtype = np.result_type(steps, period)
    if dtype.kind in "iu":
        high, odd = divmod(period, 2)
    else:
        high, odd = period / 2, False
    low = -high  # an OverflowError with unsigned integers, as in NumPy
    wrapped = np.remainder(steps - low, period) + low
    if not odd:
        wrapped = np.where(np.logical_and(wrapped == low, steps > 0), high, wrapped)
    limit = period / 2 if discont is None else discont
    added = np.cumsum(np.where(np.abs(steps) < limit, 0, wrapped - steps), axis=place)
    start = convert(_cut(x, place, None, 1), dtype)
    rest = convert(_cut(x, place, 1, None) + added, dtype)
    return np.concatenate([start, rest], axis=place)


@implements("trapezoid")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """``np.trapezoid``."""
    values = strong(y)
    place = normal_axis(axis, values.ndim)
    step: Any = dx
    if x is not None:
        points = strong(x)
        step = diff(points) if points.ndim == 1 else diff(points, axis=place)
        if points.ndim == 1:
            step = reshape(step, (-1,) + (1,) * (values.ndim - 1 - place))
    ahead, behind = _cut(values, place, 1, None), _cut(values, place, None, -1)
    return np.sum(step * (ahead + behind) / 2.0, axis=place)


@implements("convolve")
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """``np.convolve``."""
    x, y = map(atleast_1d, promote([strong(a), strong(v)]))
    if x.ndim != 1 or y.ndim != 1 or not x.size or not y.size:
        raise ValueError(f"np.convolve takes filled vectors; got shapes {x.shape} and {y.shape}")
    if y.size > x.size:
        x, y = y, x
    n, m = x.size, y.size
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    # Row i of the windows holds x[i], x[i-1] ... x[i-m+1], zeros standing beyond its ends.
    padded = pad(x, (m - 1, m - 1))
    rows = np.arange(n + m - 1)[:, None] + (m - 1) - np.arange(m)
    full = take(padded, rows) @ y
    if mode == "full":
        return full
    start = (m - 1) // 2 if mode == "same" else m - 1
    return full[start : start + (n if mode == "same" else n - m + 1)]


@implements("correlate")
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """``np.correlate``."""
    x, y = strong(a), strong(v)
    if y.size > x.size:
        return conjugate(correlate(y, x, mode))[::-1]
    return convolve(x, conjugate(y)[::-1], mode)


@implements("polyval")
def polyval(p: Any, x: Any) -> Any:
    """``np.polyval``: Horner's scheme, the highest power first."""
    coefficients, point = strong(p), strong(x)
    total: Any = np.zeros_like(point)
    for place in range(coefficients.shape[0]):
        total = total * point + coefficients[place]
    return total


@implements("cov")
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """``np.cov`` without weights."""
    refuse_options("cov", "write it with @", fweights=fweights, aweights=aweights)
    samples = [strong(array) for array in (m, y) if array is not None]
    wanted = pinned(np.result_type(np.float64, *(x.dtype for x in samples)))
    rows = []
    for x in samples:
        row: Any = np.atleast_2d(convert(x, wanted if dtype is None else pinned(dtype)))
        rows.append(row.T if not rowvar and x.ndim > 1 else row)
    data = np.concatenate(rows) if len(rows) > 1 else rows[0]
    centred = data - np.mean(data, axis=1, keepdims=True)
    freedom = (0 if bias else 1) if ddof is None else ddof
    divisor = max(data.shape[1] - freedom, 0)
    return np.squeeze(centred @ np.conj(centred.T) / (divisor or float("nan")))


@implements("corrcoef")
def corrcoef(
    x: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: Any = NO_VALUE,
    ddof: Any = NO_VALUE,
    *,
    dtype: Any = None,
) -> Any:
    """``np.corrcoef``."""
    covariance = cov(x, y, rowvar, dtype=dtype)
    if not covariance.ndim:
        return covariance / covariance
    spread = np.sqrt(np.real(np.diagonal(covariance)))
    result = covariance / spread[:, None] / spread[None, :]
    if not is_complex(result.dtype):
        return np.clip(result, -1, 1)
    return np.clip(result.real, -1, 1) + 1j * np.clip(result.imag, -1, 1)


@implements("average")
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    """``np.average``."""
    x: Any = strong(a)
    if weights is None:
        mean: Any = np.mean(x, axis=axis, keepdims=keepdims)
        scale: Any = np.full_like(mean, x.size / max(mean.size, 1))
        return (mean, scale) if returned else mean
    weight: Any = strong(weights)
    if weight.shape != x.shape:
        places = normal_axes(axis, x.ndim)
        if axis is None or weight.shape != tuple(x.shape[place] for place in places):
            refuse("np.average needs weights shaped like the array, or like its `axis`")
        # The weights' axes, sorted, stand where they stand in the array.
        weight = np.transpose(weight, np.argsort(places).tolist())
        lengths = [n if place in places else 1 for place, n in enumerate(x.shape)]
        weight = reshape(weight, tuple(lengths))
    exact = not is_inexact(x.dtype)
    dtype = np.result_type(x.dtype, weight.dtype, *([np.float64] if exact else []))
    x, weight = convert(x, pinned(dtype)), convert(weight, pinned(dtype))
    scale = np.sum(broadcast_to(weight, x.shape), axis=axis, keepdims=keepdims)
    mean = np.sum(x * weight, axis=axis, keepdims=keepdims) / scale
    return (mean, scale) if returned else mean
