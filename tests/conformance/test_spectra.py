"""Derivatives through spectra whose values repeat, exactly or up to rounding: right, or loud."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.traced import in_jax
from gradwire.tensors import Array
from haste import UNOPTIMISED

RNG = np.random.default_rng(5)
EYE = np.eye(4)
Q = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
Z = np.linalg.qr(RNG.normal(size=(4, 4)) + 1j * RNG.normal(size=(4, 4)))[0]
E = RNG.normal(size=(4, 4))


def _hermitian(x: Array) -> Array:
    return np.asarray((x + x.conj().T) / 2)


def _with_spectrum(basis: Array, values: Sequence[float]) -> Array:
    """A Hermitian matrix; its values repeat up to rounding if at all."""
    return _hermitian((basis * values) @ basis.conj().T)


POINTS = {
    "identity": 1.5 * EYE,
    "diagonal": np.diag([2.0, 0.5, 2.0, 0.5]),
    "rounded": _with_spectrum(Q, [1.3, 1.3, 2, 2]),
    "near": _with_spectrum(Q, [1.3, 1.3 + 3e-7, 1.3 + 2e-4, 2]),
    "simple": _with_spectrum(Q, [0.3, 1.3, 1.7, 2]),
    "complex": _with_spectrum(Z, [1.3, 1.3, 1.3, 2]),
}
REAL = np.stack([a for a in POINTS.values() if a.dtype == np.float64])
COMPLEX = POINTS["complex"][None]
BOTH = pytest.mark.parametrize(
    "points",
    [pytest.param(REAL, id="real"), pytest.param(COMPLEX, id="complex", marks=pytest.mark.long)],
)


def _second(
    function: Callable[..., Any], points: Array, along: Array, *more: tuple[float, float]
) -> list[Array]:
    """Second derivatives of vectors along a line at each point: two ways, in a batch, compiled."""

    def line(t: Any, a: Any) -> Any:
        return function(a + t * along, *(x + t * t_x for x, t_x in more))

    forward = jax.jacfwd(jax.jacfwd(line))
    reverse = jax.jacfwd(jax.jacrev(line))
    both = jax.jit(
        jax.vmap(lambda a: (forward(0.0, a), reverse(0.0, a))), compiler_options=UNOPTIMISED
    )
    return list(map(np.asarray, both(points)))


def _traces(points: Array, term: Callable[[Array], Any]) -> Array:
    return np.array([np.trace(term(a)).real for a in points])


@BOTH
def test_second_derivatives_of_sums_over_eigenvalues(points: Array) -> None:
    """They are those of log det A, |A|², tr A³ and tr exp A, repeated values or not."""
    e = _hermitian(E + 1j * Q) if points.dtype == complex else _hermitian(E)

    def sums(a: Any) -> Any:
        w = np.linalg.eigvalsh(a)
        v = np.linalg.eigh(a).eigenvalues
        squares = [np.sum(w**2), w @ w, np.mean(v * v) * 4]
        return np.stack([np.sum(np.log(w)), np.sum(w**3), np.vecdot(v, v * v), *squares])

    cubes = 6 * _traces(points, lambda a: a @ e @ e)
    squares = np.full(len(points), 2 * np.sum(np.abs(e) ** 2))
    logarithms = -_traces(points, lambda a: np.linalg.matrix_power(np.linalg.solve(a, e), 2))
    want = np.stack([logarithms, cubes, cubes, squares, squares, squares], -1)
    for got in _second(in_jax(sums, points[0]), points, e):
        np.testing.assert_allclose(got, want, 1e-9)


def test_second_derivatives_by_a_parameter_of_the_sum() -> None:
    """Of log det (A + s² I) along both: −tr((GM)²) + 2 tr G, M = E + 2 s I, G the inverse."""
    s, e = 0.7, _hermitian(E)

    def model(a: Any, s: Any) -> Any:
        return np.sum(np.log(np.linalg.eigvalsh(a) + s**2))[None]

    inverses = [np.linalg.inv(a + s**2 * EYE) for a in REAL]
    moved = e + 2 * s * EYE
    want = [-np.trace(g @ moved @ g @ moved) + 2 * np.trace(g) for g in inverses]
    for got in _second(in_jax(model, REAL[0], s), REAL, e, (s, 1.0)):
        np.testing.assert_allclose(got[:, 0], want, 1e-9)


SHAPES = {
    "orthonormal": Q[:, :3] * 2,
    "rank_1": np.outer(Q[:, 0], E[0, :3]),
    "zero": np.zeros((4, 3)),
    "random": RNG.normal(size=(4, 3)),
}


@pytest.mark.parametrize(
    "wide",
    [pytest.param(False, id="tall"), pytest.param(True, id="wide", marks=pytest.mark.long)],
)
def test_second_derivatives_of_sums_over_singular_values(wide: bool) -> None:
    """They are those of |A|² and log det (I + AᵀA), where values repeat or are 0."""
    points, e = np.stack(list(SHAPES.values())), RNG.normal(size=(4, 3))
    if wide:
        points, e = points.mT.copy(), e.T.copy()

    def sums(a: Any) -> Any:
        s = np.linalg.svdvals(a)
        return np.stack([np.sum(s**2), np.sum(np.log(1 + s * s)), np.sum(np.log1p(s**2))])

    want = []
    for a in points:
        inverse = np.linalg.inv(np.eye(a.shape[1]) + a.T @ a)
        first, second = a.T @ e + e.T @ a, 2 * e.T @ e
        bend = -np.trace(inverse @ first @ inverse @ first) + np.trace(inverse @ second)
        want.append([2 * np.sum(e * e), bend, bend])
    for got in _second(in_jax(sums, points[0]), points, e):
        np.testing.assert_allclose(got, want, 1e-9, 1e-9)


def test_second_derivatives_of_the_nuclear_norm() -> None:
    """At Q with QᴴQ = I it bends by |E|² − |QᴴE + EᴴQ|² / 4; where a value is 0 it has a kink."""
    q = Z[:, :3]
    e = RNG.normal(size=(4, 3)) + 1j * RNG.normal(size=(4, 3))
    norm = in_jax(lambda a: np.linalg.matrix_norm(a, ord="nuc")[None], q)
    points = np.stack([q, np.outer(q[:, 0], q[0])])
    want = np.sum(np.abs(e) ** 2) - np.sum(np.abs(q.conj().T @ e + e.conj().T @ q) ** 2) / 4
    for got in _second(norm, points, e):
        np.testing.assert_allclose(got[0, 0], want, 1e-9)
        assert not np.isfinite(got[1, 0])


def test_the_rewriting_leaves_other_functions_of_a_spectrum_alone() -> None:
    """Weights that differ, other axes and other ops are computed as they are written."""
    stack = np.stack([POINTS["simple"], POINTS["rounded"]])
    weights = np.array([1.0, 2, 3, 4])

    def values(a: Any) -> Any:
        w = np.linalg.eigvalsh(a)
        return np.concatenate(
            [
                np.sum(w * weights, axis=1),
                np.sum(w**2, axis=0),
                np.max(w, axis=-1),
                np.sum(w, axis=(0, 1))[None],
                np.mean(w * w[:1], axis=(0, 1))[None],
                np.sum(w - np.mean(w, axis=1, keepdims=True), axis=1),
            ]
        )

    got = jax.jit(in_jax(values, stack))(stack)
    np.testing.assert_allclose(got, values(stack), 1e-12, 1e-12)


def _loud(x: Any) -> bool:
    return not np.isfinite(np.asarray(x)).all()


@pytest.mark.parametrize(
    "name",
    ["rounded", *(pytest.param(name, marks=pytest.mark.long) for name in ("identity", "complex"))],
)
def test_what_divides_by_a_gap_that_rounding_made_is_loud(name: str) -> None:
    """The derivative of √A by eigenvectors, and a second one of a single eigenvalue."""
    a = POINTS[name]
    e = _hermitian(E + 1j * Q) if a.dtype == complex else _hermitian(E)

    def root(a: Any) -> Any:
        w, v = np.linalg.eigh(a)
        return (v * np.sqrt(w)) @ np.conj(v.T)

    function = in_jax(root, a)
    assert _loud(jax.jit(lambda a: jax.jvp(function, (a,), (e,))[1])(a))
    assert _loud(jax.jit(lambda a: jax.vjp(function, a)[1](jnp.asarray(e, a.dtype))[0])(a))
    last = in_jax(lambda a: np.linalg.eigvalsh(a)[-2:], a)
    assert all(map(_loud, _second(last, a[None], e)))


def test_a_vector_of_a_repeated_value_is_loud_whatever_is_asked_of_it() -> None:
    """An element whose gradient holds no quotient by the gap, of eigh and of svd, in reverse."""
    first = in_jax(lambda a: np.linalg.eigh(a)[1][0, 0], EYE)
    left = in_jax(lambda a: np.linalg.svd(a)[0][0, 0], EYE)
    right = in_jax(lambda a: np.linalg.svd(a)[2][0, 0], EYE)
    gradients = jax.jit(lambda a: [jax.grad(f)(a) for f in (first, left, right)])(EYE)
    assert all(map(_loud, gradients))


def test_a_simple_eigenvector_has_its_derivative_whatever_the_others_do() -> None:
    """The first principal direction of a matrix of rank 1 + noise, by dv = Σ vᵢ (vᵢᵀEv) / (λ − λᵢ).

    Three of the four eigenvalues are 0 up to rounding.
    """
    a, e = _with_spectrum(Q, [0, 0, 0, 3.0]), _hermitian(E)
    v = np.linalg.eigh(a)[1]
    top = v[:, -1]
    want = np.sign(top[0]) * (e @ top - top * (top @ e @ top)) / 3
    sign = in_jax(lambda a: np.linalg.eigh(a)[1][:, -1] * np.sign(np.linalg.eigh(a)[1][0, -1]), a)
    slope, pull = jax.jit(lambda a: (jax.jvp(sign, (a,), (e,))[1], jax.jacrev(sign)(a)))(a)
    np.testing.assert_allclose(slope, want, 1e-9, 1e-12)
    np.testing.assert_allclose(np.einsum("kij,ij->k", pull, e), want, 1e-9, 1e-12)


def test_singular_vectors_of_a_square_singular_matrix_have_their_derivatives() -> None:
    """U, s and V of a 3×3 matrix of rank 2 move as NumPy's do, by finite differences."""
    u, _, vh = np.linalg.svd(RNG.normal(size=(3, 3)))
    a, e, h = (u * [3.0, 1.5, 0]) @ vh, RNG.normal(size=(3, 3)), 1e-5

    def projectors(a: Any) -> Any:
        u, _, vh = np.linalg.svd(a)
        parts = [np.outer(u[:, k], u[:, k]) for k in range(3)]
        return np.stack([*parts, vh.T @ (vh * np.arange(1.0, 4)[:, None])])

    function = in_jax(projectors, a)
    want = (projectors(a + h * e) - projectors(a - h * e)) / (2 * h)
    got, pull = jax.jit(lambda a: (jax.jvp(function, (a,), (e,))[1], jax.jacrev(function)(a)))(a)
    np.testing.assert_allclose(got, want, 1e-7, 1e-7)
    np.testing.assert_allclose(np.einsum("kijmn,mn->kij", pull, e), want, 1e-7, 1e-7)


def test_float32_spectra_are_differentiated_in_double_precision() -> None:
    """A gap of 1e-5 costs no digits: log det by the eigenvalues, and the slope of a vector."""
    a = _with_spectrum(Q, [1.3, 1.3 + 1e-5, 2, 2.5]).astype(np.float32)
    e = _hermitian(E).astype(np.float32)

    gradient = jax.grad(in_jax(lambda a: np.sum(np.log(np.linalg.eigvalsh(a))), a))
    projector = in_jax(lambda a: np.outer(*[np.linalg.eigh(a)[1][:, 0]] * 2), a)
    both = jax.jit(lambda a: (jax.jvp(gradient, (a,), (e,))[1], jax.jvp(projector, (a,), (e,))[1]))
    second, moved = map(np.asarray, both(a))
    wide, e = a.astype(np.float64), e.astype(np.float64)
    want = -np.linalg.inv(wide) @ e @ np.linalg.inv(wide)
    np.testing.assert_allclose(second, 2 * np.tril(want) - np.diag(np.diag(want)), 1e-5, 1e-6)
    w, v = np.linalg.eigh(wide)
    slope = v @ np.where(
        w < w[0] + 1e-12, 0, (v.T @ e @ v[:, 0]) / np.where(w == w[0], 1, w[0] - w)
    )
    want = np.outer(slope, v[:, 0]) + np.outer(v[:, 0], slope)
    assert moved.dtype == second.dtype == np.float32
    np.testing.assert_allclose(moved, want, 1e-4, 1e-5 * np.abs(want).max())


def _projected_slope(a: Array, e: Array) -> tuple[Array, Array]:
    """The derivative of V diag(1, 2, …) Vᵀ along E, ours and in closed form."""
    n = len(a)
    weights = np.arange(1.0, n + 1)

    def weigh(a: Any) -> Any:
        v = np.linalg.eigh(a)[1]
        return (v * weights.astype(a.dtype)) @ v.T

    function = in_jax(weigh, a)
    got = jax.jit(lambda a: jax.jvp(function, (a,), (e,))[1])(a)
    w, v = np.linalg.eigh(a.astype(float))
    gaps = w[:, None] - w
    factors = (weights[:, None] - weights) / np.where(gaps == 0, 1, gaps)
    return np.asarray(got), v @ (factors * (v.T @ e.astype(float) @ v)) @ v.T


@pytest.mark.parametrize("n", [30, pytest.param(300, marks=pytest.mark.long)])
def test_eigenvectors_of_a_large_float32_matrix_have_right_derivatives(n: int) -> None:
    """Of a random symmetric one, whose least gap is about 1e-3 / n of its size."""
    rng = np.random.default_rng(n)
    a, e = (_hermitian(rng.normal(size=(n, n))).astype(np.float32) for _ in range(2))
    got, want = _projected_slope(a, e)
    np.testing.assert_allclose(got, want, 1e-4, 1e-4 * np.abs(want).max())


def test_eigenvalues_of_any_matrix_are_loud_where_it_has_no_basis_of_eigenvectors() -> None:
    """A Jordan block, turned or not; where eigenvalues merely repeat, their sum is right."""
    sums = in_jax(lambda a: np.real(np.sum(np.linalg.eigvals(a) ** 2)), EYE)
    jordan = np.diag([1.0, 1, 2, 3]) + np.diag([1.0, 0, 0], 1)
    turned = Q @ jordan @ Q.T
    points = np.stack([jordan, turned, np.diag([2.0, 2, 1, 3]), POINTS["simple"] + 0.1 * E])
    gradients = np.asarray(jax.jit(jax.vmap(jax.grad(sums)))(points))
    assert _loud(gradients[0])
    assert _loud(gradients[1])
    np.testing.assert_allclose(gradients[2:], 2 * points[2:].mT, 1e-9, 1e-9)


def test_sums_over_the_spectrum_of_what_is_no_number_are_nan() -> None:
    """In one row of a batch, with its derivatives, and without touching the others."""
    points = np.stack([POINTS["simple"], POINTS["simple"], POINTS["simple"]])
    points[0, 1, 0], points[2, 2, 2] = np.inf, np.nan
    names = (np.linalg.eigvalsh, np.linalg.svdvals)
    sums = [in_jax(lambda a, f=f: np.sum(np.exp(f(a))), EYE) for f in names]
    both = jax.vmap(lambda a: [jax.value_and_grad(f)(a) for f in sums])
    for value, gradient in jax.jit(both)(points):
        assert np.isnan(np.asarray(value)[[0, 2]]).all()
        assert np.isnan(np.asarray(gradient)[[0, 2]]).any((1, 2)).all()
        assert np.isfinite(np.asarray(gradient)[1]).all()
