"""NumPy functions that make arrays like others, or from few numbers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import (
    example,
    implements,
    pinned,
    refuse_options,
    shape_of,
    strong,
)
from gradwire.numpy_api.shapes import broadcast_to, moveaxis, ravel, reshape
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, as_traced, convert


@implements("full_like")
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Traced:
    """``np.full_like``; the value may be traced."""
    refuse_options("full_like", device=device)
    x = as_traced(a)
    value = convert(fill_value, x.dtype if dtype is None else pinned(dtype))
    lengths = x.shape if shape is None else shape_of(shape)
    if value.ndim:
        return Traced(broadcast_to(value, lengths).ref)
    return apply("full", value, shape=lengths)


@implements("zeros_like", "empty_like")
def zeros_like(
    a: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Traced:
    """``np.zeros_like``, and ``np.empty_like``, whose values are unspecified."""
    return full_like(a, 0, dtype, order, subok, shape, device=device)


@implements("ones_like")
def ones_like(
    a: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Traced:
    """``np.ones_like``."""
    return full_like(a, 1, dtype, order, subok, shape, device=device)


def eye_like(x: Traced) -> Traced:
    """Returns unit matrices of the shape and dtype of square matrices."""
    rows, columns = x.shape[-2:]
    return broadcast_to(apply("eye", n_rows=rows, n_cols=columns, dtype=x.dtype), x.shape)


@implements("linspace")
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """``np.linspace`` between ends that may be traced."""
    refuse_options("linspace", device=device)
    count = operator.index(num)
    if count < 0:
        raise ValueError(f"`num` must not be negative; got {count}")
    inner = pinned(np.linspace(example(start), example(stop), 2).dtype)
    first, last = convert(start, inner), convert(stop, inner)
    result: Any = apply("linspace", first, last, num=count, endpoint=bool(endpoint))
    result = moveaxis(result, 0, axis)
    wanted = inner if dtype is None else pinned(dtype)
    if wanted.kind in "iu":
        result = np.floor(result)
    result = convert(result, wanted)
    if not retstep:
        return result
    gaps = count - 1 if endpoint else count
    return result, (last - first) / (gaps or float("nan"))


@implements("logspace")
def logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``np.logspace``: powers of the base."""
    if np.ndim(base):
        refuse("np.logspace can't be traced with several bases; write base ** np.linspace(...)")
    result = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else result.astype(dtype)


@implements("meshgrid")
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Traced, ...]:
    """``np.meshgrid``."""
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    vectors = [ravel(strong(x)) for x in xi]
    ndim = len(vectors)
    places = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        places[:2] = [1, 0]
    grids = [
        reshape(x, tuple(x.size if axis == place else 1 for axis in range(ndim)))
        for x, place in zip(vectors, places, strict=True)
    ]
    if not sparse:
        shape = np.broadcast_shapes(*(grid.shape for grid in grids))
        grids = [broadcast_to(grid, shape) for grid in grids]
    return tuple(Traced(grid.ref) for grid in grids) if copy else tuple(grids)


@implements("diag")
def diag(v: Any, k: int = 0) -> Traced:
    """``np.diag``: a matrix from a diagonal, or a matrix's diagonal."""
    x, offset = as_traced(v), operator.index(k)
    if x.ndim == 1:
        return apply("diag", x, k=offset)
    if x.ndim == 2:
        return apply("linalg.diagonal", x, offset=offset)
    raise ValueError("Input must be 1- or 2-d.")


@implements("diagflat")
def diagflat(v: Any, k: int = 0) -> Traced:
    """``np.diagflat``."""
    return diag(ravel(strong(v)), k)


@implements("vander")
def vander(x: Any, N: Any = None, increasing: bool = False) -> Traced:
    """``np.vander``."""
    base = strong(x)
    if base.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    base = convert(base, pinned(np.promote_types(base.dtype, int)))
    count = base.size if N is None else operator.index(N)
    powers = range(count) if increasing else range(count - 1, -1, -1)
    if not count:
        return apply("full", convert(0, base.dtype), shape=(base.size, 0))
    columns = [apply("integer_pow", base, exponent=power) for power in powers]
    return apply("stack", *columns, axis=1)


def fill(shape: Any, fill_value: Any, dtype: Any = None) -> Traced:
    """``np.full`` of a value that may be traced."""
    value = strong(fill_value)
    if dtype is not None:
        value = convert(value, pinned(dtype))
    return broadcast_to(value, shape_of(shape))
