"""NumPy functions that compare whole arrays or classify each element."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradwire.numpy_api.registry import implements, pinned, refuse_options, strong
from gradwire.tensors import is_inexact
from gradwire.trace.values import convert


@implements("isclose")
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """``np.isclose``."""
    x, y = strong(a), strong(b)
    if not is_inexact(y.dtype):
        y = convert(y, pinned(np.result_type(y.dtype, 1.0)))
    near = np.abs(x - y) <= atol + rtol * np.abs(y)
    close = np.logical_or(np.logical_and(near, np.isfinite(y)), np.equal(x, y))
    if not equal_nan:
        return close
    return np.logical_or(close, np.logical_and(np.isnan(x), np.isnan(y)))


@implements("allclose")
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """``np.allclose``, as a value of the program."""
    return np.all(isclose(a, b, rtol, atol, equal_nan))


@implements("array_equal")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """``np.array_equal``; known where the shapes differ."""
    x, y = strong(a1), strong(a2)
    if x.shape != y.shape:
        return False
    same = np.equal(x, y)
    if equal_nan and is_inexact(x.dtype) and is_inexact(y.dtype):
        same = np.logical_or(same, np.logical_and(np.isnan(x), np.isnan(y)))
    return np.all(same)


@implements("array_equiv")
def array_equiv(a1: Any, a2: Any) -> Any:
    """``np.array_equiv``; known where the shapes don't broadcast."""
    x, y = strong(a1), strong(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return np.all(np.equal(x, y))


@implements("iscomplex")
def iscomplex(x: Any) -> Any:
    """``np.iscomplex``."""
    return np.not_equal(np.imag(strong(x)), 0)


@implements("isreal")
def isreal(x: Any) -> Any:
    """``np.isreal``."""
    return np.equal(np.imag(strong(x)), 0)


@implements("isposinf")
def isposinf(x: Any, out: Any = None) -> Any:
    """``np.isposinf``."""
    refuse_options("isposinf", out=out)
    return np.logical_and(np.isinf(x), np.greater(x, 0))


@implements("isneginf")
def isneginf(x: Any, out: Any = None) -> Any:
    """``np.isneginf``."""
    refuse_options("isneginf", out=out)
    return np.logical_and(np.isinf(x), np.less(x, 0))
