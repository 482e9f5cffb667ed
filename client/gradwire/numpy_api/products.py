"""NumPy's products of arrays."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.numpy_api.creation import eye_like
from gradwire.numpy_api.registry import implements, normal_axes, refuse_options, strong
from gradwire.numpy_api.shapes import moveaxis, ravel, reshape
from gradwire.numpy_api.ufuncs import by_loop, matmul
from gradwire.trace.traced import UFUNCS, Traced, refuse
from gradwire.trace.values import apply, promote


def _pair(a: Any, b: Any) -> list[Traced]:
    return promote([strong(a), strong(b)])


@implements("dot")
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """``np.dot``: sums over the last axis of a and the last but one of b."""
    refuse_options("dot", out=out)
    x, y = _pair(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    if y.ndim <= 2:
        return apply("matmul", x, y)
    return apply("tensordot", x, y, x_axes=(x.ndim - 1,), y_axes=(y.ndim - 2,))


@implements("inner")
def inner(a: Any, b: Any, /) -> Any:
    """``np.inner``: sums over the last axes."""
    x, y = _pair(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    return apply("tensordot", x, y, x_axes=(x.ndim - 1,), y_axes=(y.ndim - 1,))


@implements("vdot")
def vdot(a: Any, b: Any, /) -> Traced:
    """``np.vdot``: the scalar product of all elements, the first conjugated."""
    x, y = _pair(a, b)
    return apply("vecdot", ravel(x), ravel(y))


@implements("outer")
def outer(a: Any, b: Any, out: Any = None) -> Traced:
    """``np.outer`` of all elements in a row."""
    refuse_options("outer", out=out)
    x, y = _pair(a, b)
    return apply("outer", ravel(x), ravel(y))


@implements("linalg.outer")
def outer_of_vectors(x1: Any, x2: Any, /) -> Traced:
    """``np.linalg.outer``."""
    x, y = _pair(x1, x2)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"np.linalg.outer takes vectors; got shapes {x.shape} and {y.shape}")
    return apply("outer", x, y)


@implements("tensordot")
def tensordot(a: Any, b: Any, axes: Any = 2) -> Traced:
    """``np.tensordot``."""
    x, y = _pair(a, b)
    if isinstance(axes, int | np.integer):
        count = int(axes)
        left, right = tuple(range(x.ndim - count, x.ndim)), tuple(range(count))
    else:
        left, right = (normal_axes(*pair) for pair in zip(axes, (x.ndim, y.ndim), strict=True))
    return apply("tensordot", x, y, x_axes=left, y_axes=right)


@implements("linalg.tensordot")
def tensordot_of_axes(x1: Any, x2: Any, /, *, axes: Any = 2) -> Traced:
    """``np.linalg.tensordot``."""
    return tensordot(x1, x2, axes)


@implements("kron")
def kron(a: Any, b: Any) -> Traced:
    """``np.kron``."""
    return apply("kron", *_pair(a, b))


@implements("cross")
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Traced:
    """``np.cross`` of vectors of length 3."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = _pair(a, b)
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        refuse(
            f"np.cross can be traced for vectors of length 3; got {x.shape[-1]} and "
            f"{y.shape[-1]}. In the plane write a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]"
        )
    return moveaxis(apply("cross", x, y, axis=-1), -1, axisc)


@implements("linalg.cross")
def cross_of_vectors(x1: Any, x2: Any, /, *, axis: int = -1) -> Traced:
    """``np.linalg.cross``."""
    return cross(x1, x2, axis=axis)


@implements("linalg.matmul")
def matmul_of_arrays(x1: Any, x2: Any, /) -> Traced:
    """``np.linalg.matmul``."""
    return matmul(x1, x2)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Traced:
    """``np.vecdot``: sums over one axis, the first operand conjugated."""
    x, y = strong(x1), strong(x2)
    x, y = (moveaxis(v, axis, -1) if axis != -1 else v for v in (x, y))
    return by_loop(np.vecdot, (x, y), "vecdot", axis=-1)


implements("linalg.vecdot")(vecdot)


def matvec(x1: Any, x2: Any, /) -> Traced:
    """``np.matvec``: matrices times vectors."""
    x, y = _pair(x1, x2)
    product = apply("matmul", x, reshape(y, (*y.shape, 1)))
    return reshape(product, product.shape[:-1])


def vecmat(x1: Any, x2: Any, /) -> Traced:
    """``np.vecmat``: conjugated vectors times matrices."""
    x, y = _pair(x1, x2)
    product = apply("matmul", reshape(np.conj(x), (*x.shape[:-1], 1, x.shape[-1])), y)
    return reshape(product, (*product.shape[:-2], product.shape[-1]))


@implements("linalg.multi_dot")
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Traced:
    """``np.linalg.multi_dot``; the longest inner axis is summed over first."""
    refuse_options("linalg.multi_dot", out=out)
    factors = promote([strong(array) for array in arrays])
    if len(factors) < 2:
        raise ValueError(f"np.linalg.multi_dot needs two arrays at least; got {len(factors)}")
    while len(factors) > 2:
        # An axis that is summed over early makes no later product more expensive.
        at = max(range(len(factors) - 1), key=lambda i: factors[i + 1].shape[0])
        factors[at : at + 2] = [apply("matmul", factors[at], factors[at + 1])]
    return apply("matmul", *factors)


@implements("linalg.matrix_power")
def matrix_power(a: Any, n: Any) -> Traced:
    """``np.linalg.matrix_power``; integers stay integers."""
    x, power = strong(a), operator.index(n)
    if x.dtype.kind in "fc" and x.dtype.itemsize >= 4:
        return apply("linalg.matrix_power", x, n=power)
    if power < 0:
        return apply("linalg.matrix_power", x.astype(float), n=power)
    result = eye_like(x)
    for bit in f"{power:b}":
        result = apply("matmul", result, result)
        if bit == "1":
            result = apply("matmul", result, x)
    return result


@implements("trace")
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """``np.trace``."""
    refuse_options("trace", out=out)
    return np.sum(diagonal(strong(a), offset, axis1, axis2), axis=-1, dtype=dtype)


@implements("linalg.trace")
def trace_of_matrices(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """``np.linalg.trace``."""
    return trace(x, offset, -2, -1, dtype)


@implements("diagonal")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Traced:
    """``np.diagonal``."""
    x = moveaxis(a, (axis1, axis2), (-2, -1))
    return apply("linalg.diagonal", x, offset=operator.index(offset))


@implements("linalg.diagonal")
def diagonal_of_matrices(x: Any, /, *, offset: int = 0) -> Traced:
    """``np.linalg.diagonal``."""
    return diagonal(x, offset, -2, -1)


UFUNCS[np.vecdot] = vecdot
if hasattr(np, "matvec"):  # NumPy 2.2
    UFUNCS[np.matvec] = matvec
    UFUNCS[np.vecmat] = vecmat
