"""Cases of the linear-algebra family: factorisations and functions of one matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from conformance.harness import (
    ANY,
    INEXACT,
    INEXACT32,
    NUMERIC,
    Case,
    Make,
    Rng,
    distinct,
    normal,
)
from gradwire.tensors import Array, Dtype

DOUBLES = ("float64", "complex128")


def adjoint(x: Array) -> Array:
    return np.conj(np.swapaxes(x, -1, -2))


def hermitian(x: Array, lower: bool = True) -> Array:
    """The matrix of one triangle, and of the real part of the diagonal."""
    triangle = np.tril(x, -1) if lower else np.triu(x, 1)
    return triangle + adjoint(triangle) + np.where(np.eye(x.shape[-1], dtype=bool), x.real, 0)


def regular(*shape: int) -> Make:
    """Matrices with singular values well above 0."""

    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        return [(normal(rng, dtype, shape) + 4 * np.eye(*shape[-2:])).astype(dtype)]

    return make


def positive_definite(*shape: int) -> Make:
    """Matrices, not symmetric, of which both triangles are those of positive definite ones."""

    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        noise = normal(rng, dtype, shape, 0.5)
        return [(noise + 5 * np.eye(shape[-1])).astype(dtype)]

    return make


def separated(*shape: int) -> Make:
    """Matrices, not symmetric, with eigenvalues and singular values well apart."""

    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        spread = np.eye(*shape[-2:]) * (1.5 * np.arange(shape[-1]) - 2.25)
        return [(normal(rng, dtype, shape, 0.25) + spread).astype(dtype)]

    return make


def _projectors(xp: Any, vectors: Any) -> Any:
    """Σᵢ (i+1) vᵢ vᵢᴴ: what is left of the columns when their phases are free."""
    weights = xp.arange(1, vectors.shape[-1] + 1).astype(vectors.dtype)
    return (vectors * weights) @ xp.conj(xp.swapaxes(vectors, -1, -2))


def _observe_eigh(xp: Any, outputs: Sequence[Any]) -> Sequence[Any]:
    return [outputs[0], _projectors(xp, outputs[1])]


def _observe_svd(xp: Any, outputs: Sequence[Any]) -> Sequence[Any]:
    u, s, vh = outputs
    weights = xp.arange(1, s.shape[-1] + 1).astype(u.dtype)
    return [s, _projectors(xp, u), (u * weights) @ vh]


def _observe_qr(xp: Any, outputs: Sequence[Any]) -> Sequence[Any]:
    """The unique Q and R, with a positive diagonal in R."""
    q, r = outputs
    k = q.shape[-1]
    diagonal = (r[..., :, :k] * xp.eye(k, dtype=r.dtype)).sum(-1)
    phase = diagonal / xp.abs(diagonal).astype(r.dtype)
    return [q * phase[..., None, :], r * xp.conj(phase)[..., :, None]]


def _power_sums(xp: Any, values: Any) -> Any:
    """Σᵢ λᵢᵏ, k = 1 … n: the eigenvalues without their order."""
    return xp.stack([(values**k).sum(-1) for k in range(1, values.shape[-1] + 1)])


def _observe_eigvals(xp: Any, outputs: Sequence[Any]) -> Sequence[Any]:
    return [_power_sums(xp, outputs[0])]


def _observe_eig(xp: Any, outputs: Sequence[Any]) -> Sequence[Any]:
    """Eigenvalues, V Λ V⁻¹, and the lengths of the eigenvectors."""
    values, vectors = outputs
    again = (vectors * values[..., None, :]) @ xp.linalg.inv(vectors)
    return [_power_sums(xp, values), again, (xp.abs(vectors) ** 2).sum(-2)]


def _eig(x: Array) -> tuple[Array, Array]:
    values, vectors = np.linalg.eig(x.astype(np.complex128))
    return values, vectors


def _cholesky(x: Array, upper: bool = False) -> Array:
    return np.linalg.cholesky(hermitian(x, not upper), upper=upper)


def _eigh(x: Array, lower: bool = True) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(x, "L" if lower else "U")
    return values, vectors


def _eigvalsh(x: Array, lower: bool = True) -> Array:
    return np.linalg.eigvalsh(x, "L" if lower else "U")


def _pinv(x: Array, rtol: float = -1.0) -> Array:
    return np.linalg.pinv(x, rtol=rtol if rtol >= 0 else 1e-13)


def _deficient(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    return [(normal(rng, dtype, (4, 2)) @ normal(rng, dtype, (2, 3))).astype(dtype)]


def _lu(x: Array) -> tuple[Array, ...]:
    p, lower, upper = scipy.linalg.lu(x)
    return p.real, lower, upper


def _trace(x: Array, offset: int = 0) -> Array:
    return np.asarray(np.linalg.trace(x, offset=offset, dtype=x.dtype))


def _one(*shape: int) -> Make:
    return lambda rng, dtype: [normal(rng, dtype, shape)]


def _matrix_norm(x: Array, ord: str, keepdims: bool = False) -> Array:
    numbers: dict[str, Any] = {"inf": np.inf, "-inf": -np.inf}
    order = numbers.get(ord) or (ord if ord.isalpha() else int(ord))
    return np.asarray(np.linalg.matrix_norm(x, ord=order, keepdims=keepdims))


def _norms() -> Iterator[Case]:
    for order in ("fro", "nuc", "1", "-1", "2", "-2", "inf", "-inf"):
        yield Case(
            "linalg.matrix_norm",
            _far_from_zero if order.endswith(("1", "inf")) else separated(2, 3, 4),
            _matrix_norm,
            INEXACT32 if order == "fro" else DOUBLES,
            {"ord": order, "keepdims": order in ("2", "inf")},
            order.replace("-", "minus_"),
            ulps=64,
        )
    for name, order in (
        ("", 2.0),
        ("1", 1.0),
        ("3", 3.0),
        ("1.5", 1.5),
        ("minus_1", -1.0),
        ("inf", np.inf),
        ("minus_inf", -np.inf),
        ("0", 0.0),
    ):
        yield Case(
            "linalg.vector_norm",
            _far_from_zero,
            lambda x, axis, ord, keepdims: np.linalg.vector_norm(
                x, axis=axis, ord=ord, keepdims=keepdims
            ),
            DOUBLES if name else INEXACT,
            {"axis": (0, -1), "ord": order, "keepdims": order == 3},
            name,
        )


def _far_from_zero(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    """Numbers whose magnitudes differ, 0 is none of them."""
    x = distinct(rng, np.dtype(np.float64), (2, 3, 2))
    x = np.where(np.abs(x) == np.abs(x).round(), x + 0.1, x)
    turned = x * np.exp(1j * rng.normal(size=x.shape)) if dtype.kind == "c" else x
    return [np.asarray(turned).astype(dtype)]


def _op(
    op: str,
    make: Make,
    reference: Callable[..., Any],
    attrs: dict[str, Any] | None = None,
    name: str = "",
    **options: Any,
) -> Case:
    dtypes = options.pop("dtypes", DOUBLES if name else INEXACT32)
    return Case(
        f"linalg.{op}", make, reference, dtypes, attrs or {}, name, **{"ulps": 64} | options
    )


CASES = (
    *_norms(),
    _op("cholesky", positive_definite(3, 3), _cholesky),
    _op("cholesky", positive_definite(2, 3, 3), _cholesky, {"upper": True}, "upper"),
    _op("det", regular(3, 3), np.linalg.det),
    _op("det", regular(2, 5, 5), np.linalg.det, name="large"),
    _op("det", regular(0, 0), np.linalg.det, name="empty", wrt=()),
    _op("diagonal", _one(2, 3, 4), np.linalg.diagonal, {"offset": 1}, dtypes=ANY),
    _op("diagonal", _one(2, 2, 4), np.linalg.diagonal, {"offset": -2}, "empty"),
    _op("eig", separated(3, 3), _eig, observe=_observe_eig, ulps=256),
    _op("eig", separated(2, 3, 3), _eig, observe=_observe_eig, name="batch", ulps=256),
    _op("eigh", separated(3, 3), _eigh, observe=_observe_eigh),
    _op("eigh", separated(2, 4, 4), _eigh, name="batch", observe=_observe_eigh),
    _op("eigh", separated(3, 3), _eigh, {"lower": False}, "upper", observe=_observe_eigh),
    _op(
        "eigvals",
        separated(2, 3, 3),
        lambda x: np.linalg.eigvals(x.astype(np.complex128)),
        observe=_observe_eigvals,
        ulps=256,
    ),
    _op("eigvalsh", separated(2, 3, 3), _eigvalsh),
    _op("eigvalsh", separated(3, 3), _eigvalsh, {"lower": False}, "upper"),
    _op("expm", _one(2, 3, 3), scipy.linalg.expm, ulps=128),
    _op(
        "expm",
        lambda r, d: [normal(r, d, (3, 3), 8)],
        scipy.linalg.expm,
        name="squared",
        ulps=2048,
        wrt=(),
    ),
    _op("inv", regular(2, 3, 3), np.linalg.inv),
    _op("lu", regular(3, 3), _lu),
    _op("lu", _one(2, 4, 3), _lu, name="tall"),
    _op("lu", _one(3, 5), _lu, name="wide"),
    _op("matrix_power", regular(3, 3), np.linalg.matrix_power, {"n": 3}),
    _op("matrix_power", regular(2, 3, 3), np.linalg.matrix_power, {"n": -2}, "negative"),
    _op("matrix_power", _one(3, 3), np.linalg.matrix_power, {"n": 0}, "zero"),
    _op("pinv", regular(4, 3), _pinv),
    _op("pinv", regular(2, 2, 3), _pinv, {"rtol": 1e-3}, "wide"),
    _op("pinv", _deficient, _pinv, {"rtol": 1e-6}, "rank_2", wrt=()),
    _op("qr", regular(3, 3), lambda x: tuple(np.linalg.qr(x)), observe=_observe_qr),
    _op("qr", regular(2, 4, 3), lambda x: tuple(np.linalg.qr(x)), name="tall", observe=_observe_qr),
    _op("qr", regular(3, 5), lambda x: tuple(np.linalg.qr(x)), name="wide", observe=_observe_qr),
    _op("slogdet", regular(2, 3, 3), lambda x: tuple(np.linalg.slogdet(x))),
    _op(
        "svd",
        separated(4, 3),
        lambda x: tuple(np.linalg.svd(x, full_matrices=False)),
        observe=_observe_svd,
    ),
    _op(
        "svd",
        separated(2, 3, 4),
        lambda x: tuple(np.linalg.svd(x, full_matrices=False)),
        name="wide",
        observe=_observe_svd,
    ),
    _op("svdvals", separated(2, 4, 3), np.linalg.svdvals),
    _op("trace", _one(2, 3, 4), _trace, {"offset": 1}, dtypes=NUMERIC),
    _op("trace", _one(4, 3), _trace, {"offset": -2}, "below"),
)
