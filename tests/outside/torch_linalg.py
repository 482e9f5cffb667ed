"""PyTorch's linear algebra and Fourier transforms in NumPy's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import gradwire as gw
from outside.torch_words import Pair, not_offered

ops = gw.ops


def _h(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def _addmm(c: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * c + alpha * np.matmul(a, b)


def _addbmm(c: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * c + alpha * np.sum(np.matmul(a, b), axis=0)


def _addr(c: Any, a: Any, b: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * c + alpha * np.outer(a, b)


def _cross(x: Any, y: Any, dim: int = -1) -> Any:
    x, y = np.broadcast_arrays(x, y)
    return np.cross(x, y, axis=dim)


def _cdist(x: Any, y: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    return np.linalg.norm(x[..., :, None, :] - y[..., None, :, :], ord=p, axis=-1)


def _pdist(x: Any, p: float = 2.0) -> Any:
    rows, columns = np.triu_indices(x.shape[0], 1)
    return np.linalg.norm(x[rows] - x[columns], ord=p, axis=-1)


def _tensordot(x: Any, y: Any, dims: Any = 2) -> Any:
    pairs = dims if isinstance(dims, list | tuple) else ((), ())
    if any(x.shape[a] != y.shape[b] for a, b in zip(*pairs, strict=True)):
        not_offered("axes of length 1 that stretch")
    return np.tensordot(x, y, dims)


def _triangular_solve(
    b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    x = ops.linalg.solve_triangular(
        np.broadcast_to(a, np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + a.shape[-2:]),
        np.broadcast_to(b, np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + b.shape[-2:]),
        lower=not upper,
        trans=int(transpose),
        unit_diagonal=unitriangular,
    )
    return x, +a


def _solve_triangular(
    a: Any, b: Any, upper: bool, left: bool = True, unitriangular: bool = False
) -> Any:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, lead + a.shape[-2:]), np.broadcast_to(b, lead + b.shape[-2:])
    if left:
        return ops.linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unitriangular)
    x = ops.linalg.solve_triangular(a.mT, b.mT, lower=upper, unit_diagonal=unitriangular)
    return x.mT


def _solve(a: Any, b: Any, left: bool = True) -> Any:
    if not left:
        return _solve(a.mT, b.mT).mT
    return np.linalg.solve(a, b) if b.ndim != a.ndim - 1 or b.ndim == 1 else _solve_rows(a, b)


def _solve_rows(a: Any, b: Any) -> Any:
    """A batch of vectors, which NumPy 2 takes for a matrix."""
    return (
        np.linalg.solve(a, b[..., None])[..., 0]
        if b.shape == a.shape[:-1]
        else np.linalg.solve(a, b)
    )


def _cholesky_inverse(x: Any, upper: bool = False) -> Any:
    return np.linalg.inv(_h(x) @ x if upper else x @ _h(x))


def _cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    return gw.ops.linalg.cho_solve(factor, b, lower=not upper)


def _norm(x: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if dtype is not None:
        not_offered("dtype")
    dim = tuple(dim) or None if isinstance(dim, list | tuple) else dim
    if p == "nuc":
        return np.linalg.norm(x, "nuc", axis=(-2, -1) if dim is None else dim, keepdims=keepdim)
    p = 2 if p in ("fro", None) else p
    return ops.linalg.vector_norm(x, ord=p, keepdims=keepdim, **_axes(x, dim))


def _axes(x: Any, dim: Any) -> dict[str, Any]:
    if dim is None:
        return {}
    return {"axis": tuple(d % x.ndim for d in np.atleast_1d(dim).tolist()) if x.ndim else ()}


def _linalg_norm(
    x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    if dtype is not None:
        not_offered("dtype")
    dim = tuple(dim) if isinstance(dim, list | tuple) else dim
    dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
    if x.ndim == 0:
        return _norm(x, 2 if ord is None else ord, None, keepdim)
    return np.linalg.norm(x, ord, dim, keepdim)


def _vector_norm(
    x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    return _norm(x, ord, dim, keepdim, dtype)


def _matrix_norm(
    x: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, dtype: Any = None
) -> Any:
    if dtype is not None:
        not_offered("dtype")
    return np.linalg.norm(x, ord, tuple(dim), keepdim)


def _pinv(
    x: Any, *, rtol: Any = None, atol: Any = None, hermitian: bool = False, rcond: Any = None
) -> Any:
    if atol is not None:
        not_offered("atol")
    limit = rcond if rtol is None else rtol
    if limit is None:
        limit = max(x.shape[-2:]) * np.finfo(x.dtype).eps
    return np.linalg.pinv(x, limit, hermitian=hermitian)


def _svd(x: Any, full_matrices: bool = True, some: bool = True, compute_uv: bool = True) -> Any:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return s, (u * s[..., None, :]) @ vh, u @ _h(u)


def _theirs_svd(theirs: Any) -> Any:
    u, s, vh = theirs
    k = s.shape[-1]
    u, vh = u[..., :k], vh[..., :k, :]
    return s, (u * s[..., None, :]) @ vh, u @ u.mH


def _theirs_svd_old(theirs: Any) -> Any:
    u, s, v = theirs
    return _theirs_svd((u, s, v.mH))


def _qr(x: Any, mode: str | bool = "reduced") -> Any:
    if mode not in ("reduced", True) and x.shape[-1] != x.shape[-2]:
        not_offered("mode")
    q, r = np.linalg.qr(x)
    return abs(r) ** 2, q @ r  # |r| has no second derivative where r is 0


def _theirs_qr(theirs: Any) -> Any:
    q, r = theirs
    return abs(r) ** 2, q @ r


def _spectrum(w: Any, xp: Any) -> Any:
    """Power sums, which know no order."""
    return tuple(xp.sum(w**k, axis=-1) if xp is np else (w**k).sum(-1) for k in (1, 2, 3))


def _lu(x: Any, pivot: bool = True) -> Any:
    if not pivot:
        not_offered("no pivots")
    return ops.linalg.lu(x)


def _slogdet(x: Any) -> Any:
    return tuple(np.linalg.slogdet(x))


def _logdet(x: Any) -> Any:
    sign, size = np.linalg.slogdet(x)
    return size + np.log(sign) if x.dtype.kind == "c" else size + 0 * np.log(sign)


def _lstsq(a: Any, b: Any, rcond: Any = None, driver: Any = None) -> Any:
    if b.ndim < a.ndim:
        not_offered("a batch of vectors")
    return ops.linalg.lstsq(a, b)


def _transform(name: str) -> Callable[..., Any]:
    function = getattr(np.fft, name)

    def transform(x: Any, n: Any = None, dim: Any = -1, norm: Any = None) -> Any:
        return function(x, n, dim, norm)

    return transform


def _transforms(name: str, axes: Any = None) -> Callable[..., Any]:
    function = getattr(np.fft, name)

    def transform(x: Any, s: Any = None, dim: Any = axes, norm: Any = None) -> Any:
        if s is not None and dim is None:
            dim = tuple(range(-len(np.atleast_1d(s)), 0))
        s = None if s is None else np.atleast_1d(s).tolist()
        dim = None if dim is None else np.atleast_1d(dim).tolist()
        return function(x, s=s, axes=dim, norm=norm)

    return transform


LINALG: dict[str, Callable[..., Any] | Pair] = {
    "__rmatmul__": lambda x, y: y @ x,
    "addbmm": _addbmm,
    "addmm": _addmm,
    "addmv": _addmm,
    "addr": _addr,
    "baddbmm": _addmm,
    "bmm": np.matmul,
    "cdist": _cdist,
    "cholesky": lambda x, upper=False: np.linalg.cholesky(x, upper=upper),
    "cholesky_inverse": _cholesky_inverse,
    "cholesky_solve": _cholesky_solve,
    "cross": lambda x, y, dim=-1: np.cross(x, y, axis=dim),
    "dist": lambda x, y, p=2: _norm(x - y, p),
    "dot": np.dot,
    "einsum": lambda arrays, equation: np.einsum(equation, *arrays),
    "inner": np.inner,
    "kron": np.kron,
    "linalg.cholesky": lambda x, upper=False: np.linalg.cholesky(x, upper=upper),
    "linalg.cholesky_ex": Pair(
        lambda x, upper=False, check_errors=False: np.linalg.cholesky(x, upper=upper),
        lambda theirs: theirs[0],
    ),
    "linalg.cross": _cross,
    "linalg.det": np.linalg.det,
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: np.diagonal(x, offset, dim1, dim2),
    "linalg.eig": Pair(
        lambda x: _spectrum(np.linalg.eig(x)[0], np), lambda t: _spectrum(t[0], torch)
    ),
    "linalg.eigh": Pair(
        lambda x, UPLO="L": (lambda w, v: (w, abs(v)))(*np.linalg.eigh(x, UPLO)),
        lambda theirs: (theirs[0], abs(theirs[1])),
    ),
    "linalg.eigvals": Pair(
        lambda x: _spectrum(np.linalg.eigvals(x), np), lambda theirs: _spectrum(theirs, torch)
    ),
    "linalg.eigvalsh": lambda x, UPLO="L": np.linalg.eigvalsh(x, UPLO),
    "linalg.inv": np.linalg.inv,
    "linalg.inv_ex": Pair(lambda x, check_errors=False: np.linalg.inv(x), lambda theirs: theirs[0]),
    "linalg.lstsq": Pair(_lstsq, lambda theirs: theirs[0]),
    "linalg.lu": _lu,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.matrix_power": lambda x, n: np.linalg.matrix_power(x, n),
    "linalg.multi_dot": np.linalg.multi_dot,
    "linalg.norm": _linalg_norm,
    "linalg.pinv": _pinv,
    "linalg.pinv|singular": lambda x, y: _pinv(x @ y.mT),
    "linalg.qr": Pair(_qr, _theirs_qr),
    "linalg.slogdet": _slogdet,
    "linalg.solve": _solve,
    "linalg.solve_ex": Pair(
        lambda a, b, left=True, check_errors=False: _solve(a, b, left), lambda theirs: theirs[0]
    ),
    "linalg.solve_triangular": _solve_triangular,
    "linalg.svd": Pair(_svd, _theirs_svd),
    "linalg.svdvals": np.linalg.svdvals,
    "linalg.vander": lambda x, N=None: (
        np.vander(x, N, increasing=True) if x.ndim == 1 else not_offered("several rows")
    ),
    "linalg.vecdot": lambda x, y, dim=-1: np.vecdot(x, y, axis=dim),
    "linalg.vector_norm": _vector_norm,
    "logdet": _logdet,
    "matmul": np.matmul,
    "matrix_exp": ops.linalg.expm,
    "mm": np.matmul,
    "mv": np.matmul,
    "norm": _norm,
    "outer": np.outer,
    "pinverse": lambda x, rcond=1e-15: np.linalg.pinv(x, rcond),
    "qr": Pair(_qr, _theirs_qr),
    "svd": Pair(_svd, _theirs_svd_old),
    "tensordot": _tensordot,
    "trace": np.trace,
    "triangular_solve": _triangular_solve,
    "vdot": np.vdot,
    "nn.functional.pdist": _pdist,
    # Fourier.
    **{
        f"fft.{name}": _transform(name)
        for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
    },
    **{f"fft.{name}": _transforms(name) for name in ("fftn", "ifftn", "rfftn", "irfftn")},
    **{f"fft.{name}": _transforms(name, (-2, -1)) for name in ("fft2", "ifft2", "rfft2", "irfft2")},
    "fft.fftshift": lambda x, dim=None: np.fft.fftshift(x, dim),
    "fft.ifftshift": lambda x, dim=None: np.fft.ifftshift(x, dim),
}
"""By the name in OpInfo."""
