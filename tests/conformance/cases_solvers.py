"""Cases of the linear-algebra family: products, solutions, matrices made from parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg

from conformance.harness import INEXACT32, NUMERIC, Case, Make, Rng, normal
from gradwire.tensors import Array, Dtype

DOUBLES = ("float64", "complex128")
FEW = ("int32", *DOUBLES)


def _operands(*shapes: tuple[int, ...]) -> Make:
    return lambda rng, dtype: [normal(rng, dtype, shape) for shape in shapes]


def _system(a: tuple[int, ...], b: tuple[int, ...]) -> Make:
    """A matrix well away from singular ones, and a right-hand side."""

    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        matrix = normal(rng, dtype, a) + 4 * np.eye(*a[-2:])
        return [matrix.astype(dtype), normal(rng, dtype, b)]

    return make


def _product(
    op: str,
    make: Make,
    reference: Callable[..., Any],
    attrs: dict[str, Any] | None = None,
    name: str = "",
) -> Case:
    return Case(op, make, reference, FEW if name else NUMERIC, attrs or {}, name)


def _einsum(*arrays: Array, subscripts: str) -> Array:
    return np.asarray(np.einsum(subscripts, *arrays, optimize=False))


def _tensordot(x: Array, y: Array, x_axes: tuple[int, ...], y_axes: tuple[int, ...]) -> Array:
    return np.tensordot(x, y, axes=(x_axes, y_axes))


def _columns(solve: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
    """Solves one matrix and one column at a time."""
    if b.ndim == 1:
        return _columns(solve, a, b[:, None])[..., 0]
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, lead + a.shape[-2:])
    b = np.broadcast_to(b, lead + b.shape[-2:])
    result = np.empty((*lead, a.shape[-1], b.shape[-1]), np.result_type(a, b))
    for place in np.ndindex(*lead):
        for column in range(b.shape[-1]):
            result[(*place, slice(None), column)] = solve(a[place], b[(*place, ..., column)])
    return result


def _solve_triangular(
    a: Array, b: Array, lower: bool = False, trans: int = 0, unit_diagonal: bool = False
) -> Array:
    return _columns(
        lambda a, b: scipy.linalg.solve_triangular(
            a, b, trans=trans, lower=lower, unit_diagonal=unit_diagonal
        ),
        a,
        b,
    )


def _cho_solve(a: Array, b: Array, lower: bool = True) -> Array:
    def solve(a: Array, b: Array) -> Array:
        factor = np.tril(a) if lower else np.conj(np.triu(a).T)
        return np.linalg.solve(factor @ np.conj(factor.T), b)

    return _columns(solve, a, b)


def _lstsq(a: Array, b: Array, rtol: float = -1.0) -> Array:
    rcond = rtol if rtol >= 0 else None
    return _columns(lambda a, b: np.linalg.lstsq(a, b, rcond=rcond)[0], a, b)


def _deficient(rng: Rng, dtype: Dtype) -> Sequence[Array]:
    a = normal(rng, dtype, (4, 2)) @ normal(rng, dtype, (2, 3))
    return [a.astype(dtype), normal(rng, dtype, (4,))]


def _tridiagonal(lower: Array, d: Array, upper: Array, b: Array) -> Array:
    n = d.shape[-1]
    places = np.arange(n)
    matrix = np.zeros((*d.shape, n), d.dtype)
    matrix[..., places, places] = d
    matrix[..., places[1:], places[:-1]] = lower[..., 1:]
    matrix[..., places[:-1], places[1:]] = upper[..., :-1]
    return _columns(np.linalg.solve, matrix, b)


def _bands(lead: tuple[int, ...], n: int, b: tuple[int, ...]) -> Make:
    def make(rng: Rng, dtype: Dtype) -> Sequence[Array]:
        bands = [normal(rng, dtype, (*lead, n)) for _ in range(3)]
        return [bands[0], (bands[1] + 6).astype(dtype), bands[2], normal(rng, dtype, b)]

    return make


def _toeplitz(c: Array, r: Array) -> Array:
    m, n = c.shape[-1], r.shape[-1]
    lead = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    result = np.empty((*lead, m, n), c.dtype)
    for i, j in np.ndindex(m, n):
        result[..., i, j] = c[..., i - j] if i >= j else r[..., j - i]
    return result


def _solver(
    op: str,
    make: Make,
    reference: Callable[..., Any],
    attrs: dict[str, Any] | None = None,
    name: str = "",
    **options: Any,
) -> Case:
    dtypes = DOUBLES if name else INEXACT32
    return Case(f"linalg.{op}", make, reference, dtypes, attrs or {}, name, ulps=64, **options)


def _einsums() -> list[Case]:
    cases: list[tuple[str, str, Sequence[tuple[int, ...]]]] = [
        ("", "ij,jk->ki", [(2, 3), (3, 4)]),
        ("one", "iij->ji", [(3, 3, 2)]),
        ("sum", "ij->", [(2, 3)]),
        ("trace", "ii,ij->j", [(3, 3), (3, 2)]),
        ("batch", "bij,bjk->bik", [(2, 3, 2), (2, 2, 3)]),
        ("outer", "bi,cj->bicj", [(2, 2), (2, 3)]),
        ("dropped", "bi,jb->b", [(3, 2), (2, 3)]),
        ("three", "bi,ij,bj->b", [(3, 2), (2, 4), (3, 4)]),
        ("four", "ab,bc,cd,ad->ac", [(2, 3), (3, 2), (2, 4), (2, 4)]),
        ("scalars", ",i,->i", [(), (3,), ()]),
    ]
    return [
        _product("einsum", _operands(*shapes), _einsum, {"subscripts": subscripts}, name)
        for name, subscripts, shapes in cases
    ]


CASES = (
    *_einsums(),
    _product("matmul", _operands((2, 3), (3, 4)), np.matmul),
    _product("matmul", _operands((3,), (3,)), np.matmul, name="vectors"),
    _product("matmul", _operands((3,), (2, 3, 4)), np.matmul, name="row"),
    _product("matmul", _operands((2, 1, 3, 4), (4,)), np.matmul, name="column"),
    _product("matmul", _operands((2, 1, 3, 2), (5, 2, 3)), np.matmul, name="batches"),
    _product("matmul", _operands((3, 3, 3), (3, 3, 3)), np.matmul, name="all_threes"),
    _product("matmul", _operands((2, 0), (0, 3)), np.matmul, name="empty"),
    _product("vecdot", _operands((2, 3), (4, 1, 3)), np.vecdot, {"axis": -1}),
    _product("vecdot", _operands((3, 3), (3, 3, 3)), np.vecdot, {"axis": -2}, "inner"),
    _product(
        "tensordot",
        _operands((2, 3, 4), (4, 5, 2)),
        _tensordot,
        {"x_axes": (0, -1), "y_axes": (2, 0)},
    ),
    _product(
        "tensordot", _operands((2, 3), (3, 2)), _tensordot, {"x_axes": (), "y_axes": ()}, "none"
    ),
    _product("outer", _operands((2,), (3,)), np.outer),
    _product("kron", _operands((2, 3), (2, 1, 2)), np.kron),
    _product("kron", _operands((), (2,)), np.kron, name="scalar"),
    _product("cross", _operands((3,), (2, 3)), np.linalg.cross, {"axis": -1}),
    _product(
        "cross",
        _operands((3, 2), (3, 3, 2)),
        lambda x, y, axis: np.cross(x, y, axis=axis),
        {"axis": -2},
        "inner",
    ),
    _solver("solve", _system((3, 3), (3, 2)), np.linalg.solve),
    _solver(
        "solve",
        _system((2, 3, 3), (3,)),
        lambda a, b: _columns(np.linalg.solve, a, b),
        name="vector",
    ),
    _solver("solve", _system((2, 1, 3, 3), (2, 3, 2)), np.linalg.solve, name="batches"),
    _solver("solve", _system((2, 3, 3), (3, 2)), np.linalg.solve, name="many_matrices"),
    _solver("solve", _system((3, 3), (2, 3, 2)), np.linalg.solve, name="one_matrix"),
    _solver("solve_triangular", _system((3, 3), (3, 2)), _solve_triangular),
    _solver(
        "solve_triangular",
        _system((3, 3), (3,)),
        _solve_triangular,
        {"lower": True, "trans": 1, "unit_diagonal": True},
        "vector",
    ),
    _solver(
        "solve_triangular",
        _system((2, 3, 3), (2, 1, 3, 2)),
        _solve_triangular,
        {"lower": True, "trans": 2},
        "batches",
    ),
    _solver(
        "solve_triangular",
        _system((3, 3), (2, 3, 2)),
        _solve_triangular,
        {"lower": False, "trans": 1},
        "one_matrix",
    ),
    _solver("cho_solve", _system((3, 3), (3, 2)), _cho_solve),
    _solver("cho_solve", _system((2, 3, 3), (3,)), _cho_solve, {"lower": False}, "upper"),
    _solver("lstsq", _system((4, 3), (4, 2)), _lstsq),
    _solver("lstsq", _system((2, 2, 3), (2, 2, 2)), _lstsq, {"rtol": 1e-3}, "wide"),
    _solver("lstsq", _system((2, 3, 3), (3,)), _lstsq, name="vector"),
    _solver("lstsq", _deficient, _lstsq, {"rtol": 1e-6}, "rank_2", wrt=()),
    _solver("tridiagonal_solve", _bands((), 4, (4, 2)), _tridiagonal),
    _solver("tridiagonal_solve", _bands((2,), 3, (3,)), _tridiagonal, name="vector"),
    _solver("tridiagonal_solve", _bands((2,), 2, (3, 1, 2, 2)), _tridiagonal, name="batches"),
    _solver("tridiagonal_solve", _bands((), 1, (1, 2)), _tridiagonal, name="one"),
    Case("linalg.toeplitz", _operands((3,), (2,)), _toeplitz, NUMERIC),
    Case("linalg.toeplitz", _operands((2, 2), (3, 1, 3)), _toeplitz, FEW, name="batches"),
    Case("linalg.block_diag", _operands((2, 3), (1, 1), (0, 2)), scipy.linalg.block_diag, NUMERIC),
)
