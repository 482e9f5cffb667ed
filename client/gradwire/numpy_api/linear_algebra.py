"""`np.linalg`: factorisations, systems and functions of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradwire.numpy_api.registry import NO_VALUE, implements, pinned, strong
from gradwire.tensors import is_inexact
from gradwire.trace.traced import Traced, refuse
from gradwire.trace.values import apply, apply_many, convert, promote

_ONE = np.ones((1, 1))
_SlogdetResult: Any = type(np.linalg.slogdet(_ONE))
_EigResult: Any = type(np.linalg.eig(_ONE))
_EighResult: Any = type(np.linalg.eigh(_ONE))
_QRResult: Any = type(np.linalg.qr(_ONE))
_SVDResult: Any = type(np.linalg.svd(_ONE))


def matrix(a: Any) -> Traced:
    """Returns an operand as ``np.linalg`` computes with it: integers in double precision.

    Raises:
        TypeError: half precision, as in NumPy.
    """
    x = strong(a)
    if not is_inexact(x.dtype):
        return convert(x, pinned(np.float64))
    if x.dtype.itemsize < 4:
        raise TypeError(f"array type {x.dtype.name} is unsupported in linalg")
    return x


def _is_lower(name: str) -> bool:
    """Reads an ``UPLO``."""
    if name.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return name.upper() == "L"


def _hermitian(x: Traced) -> Any:
    """Returns the matrix of which ``hermitian=True`` reads the lower triangle."""
    low: Any = np.tril(x, -1)
    diagonal = np.where(np.eye(x.shape[-1], dtype=bool), np.real(x), 0)
    return low + np.conj(np.matrix_transpose(low)) + diagonal


@implements("linalg.inv")
def inv(a: Any) -> Traced:
    """``np.linalg.inv``."""
    return apply("linalg.inv", matrix(a))


@implements("linalg.det")
def det(a: Any) -> Traced:
    """``np.linalg.det``."""
    return apply("linalg.det", matrix(a))


@implements("linalg.slogdet")
def slogdet(a: Any) -> Any:
    """``np.linalg.slogdet``."""
    return _SlogdetResult(*apply_many("linalg.slogdet", matrix(a)))


@implements("linalg.solve")
def solve(a: Any, b: Any) -> Traced:
    """``np.linalg.solve``."""
    return apply("linalg.solve", *promote([matrix(a), matrix(b)]))


@implements("linalg.cholesky")
def cholesky(a: Any, /, *, upper: bool = False) -> Traced:
    """``np.linalg.cholesky``."""
    return apply("linalg.cholesky", matrix(a), upper=bool(upper))


@implements("linalg.qr")
def qr(a: Any, mode: str = "reduced") -> Any:
    """``np.linalg.qr`` in the modes ``reduced``, ``r``, and ``complete`` of wide matrices."""
    x = matrix(a)
    rows, columns = x.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        refuse(f"np.linalg.qr(..., mode={mode!r}) can't be traced; write mode='reduced'")
    q, r = apply_many("linalg.qr", x)
    return r if mode == "r" else _QRResult(q, r)


@implements("linalg.svd")
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """``np.linalg.svd``; of a matrix that isn't square only ``full_matrices=False``."""
    x = matrix(a)
    if hermitian:
        return _hermitian_svd(x, compute_uv)
    if not compute_uv:
        return apply("linalg.svdvals", x)
    if full_matrices and x.shape[-1] != x.shape[-2]:
        refuse(
            "np.linalg.svd of a matrix that isn't square can be traced with "
            "full_matrices=False alone; write that"
        )
    return _SVDResult(*apply_many("linalg.svd", x))


def _hermitian_svd(x: Traced, compute_uv: bool) -> Any:
    """As NumPy does it, by the eigenvalues: where only their signs differ, none repeats."""
    if not compute_uv:
        return np.flip(np.sort(np.abs(eigvalsh(x)), axis=-1), axis=-1)
    values, vectors = eigh(x)
    sizes = np.abs(values)
    order: Any = np.flip(np.argsort(sizes, axis=-1), axis=-1)
    signs = np.take_along_axis(np.sign(values), order, axis=-1)
    u: Any = np.take_along_axis(vectors, order[..., None, :], axis=-1)
    vh = np.matrix_transpose(np.conj(u * signs[..., None, :]))
    return _SVDResult(u, np.take_along_axis(sizes, order, axis=-1), vh)


@implements("linalg.svdvals")
def svdvals(x: Any, /) -> Traced:
    """``np.linalg.svdvals``."""
    return apply("linalg.svdvals", matrix(x))


@implements("linalg.eig")
def eig(a: Any) -> Any:
    """``np.linalg.eig``; always complex, since a dtype can't depend on values."""
    return _EigResult(*apply_many("linalg.eig", matrix(a)))


@implements("linalg.eigvals")
def eigvals(a: Any) -> Traced:
    """``np.linalg.eigvals``; always complex, since a dtype can't depend on values."""
    return apply("linalg.eigvals", matrix(a))


@implements("linalg.eigh")
def eigh(a: Any, UPLO: str = "L") -> Any:
    """``np.linalg.eigh``."""
    return _EighResult(*apply_many("linalg.eigh", matrix(a), lower=_is_lower(UPLO)))


@implements("linalg.eigvalsh")
def eigvalsh(a: Any, UPLO: str = "L") -> Traced:
    """``np.linalg.eigvalsh``."""
    return apply("linalg.eigvalsh", matrix(a), lower=_is_lower(UPLO))


def _tolerance(value: Any, default: float) -> float:
    if value is None or value is NO_VALUE:
        return default
    if isinstance(value, Traced) or np.ndim(value):
        refuse("the tolerance of np.linalg.pinv and lstsq must be a number that is known")
    return float(value)


_OF_PRECISION = -1.0
"""Stands in the op for the dtype's epsilon times the longer side."""


@implements("linalg.pinv")
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = NO_VALUE) -> Traced:
    """``np.linalg.pinv``."""
    # NumPy: 1e-15 unless rtol is given, and the precision if it is given as None.
    default = 1e-15 if rtol is NO_VALUE else _OF_PRECISION
    tolerance = _tolerance(rcond if rcond is not None else rtol, default)
    x = matrix(a)
    return apply("linalg.pinv", _hermitian(x) if hermitian else x, rtol=tolerance)


@implements("linalg.lstsq")
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Any, Any, Any, Any]:
    """``np.linalg.lstsq``: ``(x, residuals, rank, singular values)``.

    Residuals of more rows than columns are NaN where the rank is not full: NumPy's
    are then empty, but a shape can't depend on values.
    """
    left, right = promote([matrix(a), matrix(b)])
    tolerance = _tolerance(rcond, _OF_PRECISION)
    values = apply("linalg.svdvals", left)
    relative = np.finfo(left.dtype).eps * max(left.shape) if tolerance < 0 else tolerance
    rank = np.sum(values > values[0] * float(relative), dtype=np.int32)
    x = apply("linalg.lstsq", left, right, rtol=tolerance)
    rows, columns = left.shape
    if rows <= columns:
        return x, apply("full", convert(0, values.dtype), shape=(0,)), rank, values
    error: Any = right - left @ x
    squares = np.sum(np.real(error * np.conj(error)), axis=0)
    # A factor, so that derivatives are NaN with it.
    known = np.where(rank == columns, 1.0, np.nan).astype(values.dtype)
    return x, np.reshape(squares, -1) * known, rank, values
