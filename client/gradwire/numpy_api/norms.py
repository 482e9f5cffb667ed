"""`np.linalg.norm` and the Array API's norms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradwire.numpy_api.registry import implements, normal_axes, pinned, strong
from gradwire.numpy_api.shapes import expand_dims, moveaxis
from gradwire.tensors import is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, convert

_MATRIX_NORMS = {1: "1", -1: "-1", 2: "2", -2: "-2", math.inf: "inf", -math.inf: "-inf"}


def _floating(x: Any) -> Traced:
    value = strong(x)
    return value if is_inexact(value.dtype) else convert(value, pinned(np.float64))


@implements("linalg.norm")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Traced:
    """``np.linalg.norm``: of all elements, of vectors along one axis, of matrices in two."""
    value = _floating(x)
    if axis is None and ord is not None and value.ndim > 2:
        raise ValueError("Improper number of dimensions to norm.")
    axes = normal_axes(axis, value.ndim)
    if ord is None:
        if axis is not None and len(axes) > 2:
            raise ValueError("Improper number of dimensions to norm.")
        return _vector_norm(value, 2, axes, keepdims)
    if len(axes) == 1:
        return _vector_norm(value, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(value, ord, axes, keepdims)
    raise ValueError("Improper number of dimensions to norm.")


@implements("linalg.vector_norm")
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Traced:
    """``np.linalg.vector_norm``."""
    value = _floating(x)
    return _vector_norm(value, ord, normal_axes(axis, value.ndim), keepdims)


@implements("linalg.matrix_norm")
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Traced:
    """``np.linalg.matrix_norm``."""
    value = _floating(x)
    axes = (value.ndim - 2, value.ndim - 1)
    if ord is None:
        return _vector_norm(value, 2, axes, keepdims)
    return _matrix_norm(value, ord, axes, keepdims)


def _vector_norm(x: Traced, order: Any, axes: tuple[int, ...], keepdims: bool) -> Traced:
    if isinstance(order, str | Traced):
        if isinstance(order, Traced):
            refuse("a norm of traced order can't be traced; write np.sum(np.abs(x)**p) ** (1/p)")
        raise ValueError(f"Invalid norm order '{order}' for vectors")
    return apply("linalg.vector_norm", x, ord=float(order), axis=axes, keepdims=bool(keepdims))


def _matrix_norm(x: Traced, order: Any, axes: tuple[int, ...], keepdims: bool) -> Traced:
    if order in ("fro", "f"):
        return _vector_norm(x, 2, axes, keepdims)
    word = "nuc" if order == "nuc" else _MATRIX_NORMS.get(order)
    if word is None:
        raise ValueError(f"Invalid norm order {order!r} for matrices.")
    result = apply("linalg.matrix_norm", moveaxis(x, axes, (-2, -1)), ord=word)
    return expand_dims(result, axes) if keepdims else result
