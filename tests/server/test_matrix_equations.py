"""Matrix equations, square root and logarithm of a matrix: size, order, platform, edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from gradwire.tensors import Array
from gradwire_server.compiler.lowering import LOWERINGS
from gradwire_server.compiler.lowering.linalg.schur import shifted_qr

jax.config.update("jax_enable_x64", True)

RNG = np.random.default_rng(5)
N = 40
COMPLEX = pytest.param("complex128", marks=pytest.mark.long)
OPS = ("logm", "solve_continuous_lyapunov", "solve_discrete_lyapunov", "solve_sylvester", "sqrtm")


def _op(name: str) -> Callable[..., Any]:
    return jax.jit(lambda *operands: LOWERINGS[f"linalg.{name}"](*map(jnp.asarray, operands)))


def _random(dtype: str, *shape: int) -> Array:
    x = RNG.normal(size=shape)
    return np.asarray(x + 1j * RNG.normal(size=shape) if dtype[0] == "c" else x).astype(dtype)


def _distance(got: Any, want: Array) -> float:
    return float(np.abs(np.asarray(got) - want).max() / np.abs(want).max())


def _slope(line: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The derivative of a curve; less to compile than ``jacfwd``, which maps over one number."""
    return lambda t: jax.jvp(line, (t,), (1.0,))[1]


def _along(function: Callable[..., Any], order: int, *lines: tuple[Array, Array]) -> Array:
    """The derivative of an order of t ↦ function(x + t e, ...) at 0."""

    def line(t: Any) -> Any:
        return function(*(x + t * e for x, e in lines))

    for _ in range(order):
        line = _slope(line)
    return np.asarray(jax.jit(line)(0.0))


Lines = list[tuple[Array, Array]]
Answer = tuple[Lines, Array, Array]
"""Operands with their tangents, SciPy's value, and the slope that follows from it."""


def _sylvester(dtype: str) -> Answer:
    a, e, b, h = (_random(dtype, n, n) for n in (N, N, 30, 30))
    q, k = _random(dtype, N, 30), _random(dtype, N, 30)
    x = scipy.linalg.solve_sylvester(a, b, q)
    slope = scipy.linalg.solve_sylvester(a, b, k - e @ x - x @ h)
    return [(a, e), (b, h), (q, k)], x, slope


def _continuous(dtype: str) -> Answer:
    a, e, q, k = (_random(dtype, N, N) for _ in range(4))
    x = scipy.linalg.solve_continuous_lyapunov(a, q)
    slope = scipy.linalg.solve_continuous_lyapunov(a, k - e @ x - x @ e.conj().T)
    return [(a, e), (q, k)], x, slope


def _discrete(dtype: str) -> Answer:
    a, e, q, k = (_random(dtype, N, N) / 10 for _ in range(4))
    x = scipy.linalg.solve_discrete_lyapunov(a, q)
    derived = k + e @ x @ a.conj().T + a @ x @ e.conj().T
    return [(a, e), (q, k)], x, scipy.linalg.solve_discrete_lyapunov(a, derived)


def _root(dtype: str) -> Answer:
    a, e = 8 * np.eye(N) + 0.8 * _random(dtype, N, N), _random(dtype, N, N)
    root = scipy.linalg.sqrtm(a)
    return [(a, e)], root, scipy.linalg.solve_sylvester(root, root, e)


def _logarithm(dtype: str) -> Answer:
    """The slope is where expm_frechet, which is SciPy's own, leads back to the tangent."""
    x, slope = 0.2 * _random(dtype, N, N) + np.eye(N), _random(dtype, N, N)
    a, e = scipy.linalg.expm_frechet(x, slope)
    return [(a, e)], scipy.linalg.logm(a), slope


ANSWERS = {
    "logm": _logarithm,
    "solve_continuous_lyapunov": _continuous,
    "solve_discrete_lyapunov": _discrete,
    "solve_sylvester": _sylvester,
    "sqrtm": _root,
}


@pytest.mark.parametrize("dtype", ["float64", COMPLEX])
@pytest.mark.parametrize("op", OPS)
def test_forty_rows(op: str, dtype: str) -> None:
    """Value and slope are SciPy's to 1e-10."""
    lines, value, slope = ANSWERS[op](dtype)
    assert _distance(_op(op)(*(x for x, _ in lines)), value) < 1e-10
    assert _distance(_along(_op(op), 1, *lines), slope) < 1e-10


@pytest.mark.long
def test_third_derivatives_in_closed_form() -> None:
    """Where all matrices commute the matrix is a number: along I at c I, and of λ on the diagonal.

    (x^½)''' = ⅜ x^(-5/2), (log x)''' = 2/x³; (q / 2x)''' = −3q/x⁴ and, from
    x = q/(1 − a²), x''' = 24 q a (1 + a²)/(1 − a²)⁴.
    """
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    values = np.array([0.5, 0.7, 0.3])

    def matrix(diagonal: Array) -> Array:
        return np.asarray(turn @ np.diag(diagonal) @ turn.T)

    line = (matrix(values), np.eye(3))
    q = (matrix(np.array([1.0, 2, 3])), np.zeros((3, 3)))
    weights = np.array([1.0, 2, 3])
    stein = 24 * weights * values * (1 + values**2) / (1 - values**2) ** 4
    lyapunov = -3 * weights / values**4
    for op, lines, wanted in (
        ("sqrtm", (line,), 0.375 * values**-2.5),
        ("logm", (line,), 2 / values**3),
        ("solve_continuous_lyapunov", (line, q), lyapunov),
        ("solve_discrete_lyapunov", (line, q), stein),
    ):
        assert _distance(_along(_op(op), 3, *lines), matrix(wanted)) < 1e-11
    both = _along(lambda a, q: _op("solve_sylvester")(a, a, q), 3, line, q)
    assert _distance(both, matrix(lyapunov)) < 1e-11


# The logarithm's derivatives take XLA as long as those of all others.
@pytest.mark.parametrize("dtype", ["float64", COMPLEX])
@pytest.mark.parametrize("op", [pytest.param("logm", marks=pytest.mark.long), *OPS[1:]])
def test_third_order_in_reverse_is_that_forward(op: str, dtype: str) -> None:
    """Three reverse sweeps and three forward ones give one number, where nothing commutes."""
    count = {"logm": 1, "sqrtm": 1, "solve_sylvester": 3}.get(op, 2)
    shift = 0.0 if op == "solve_discrete_lyapunov" else 3.0
    point = [shift * np.eye(2) + 0.3 * _random(dtype, 2, 2) for _ in range(count)]
    tangents = [_random(dtype, 2, 2) for _ in range(count)]
    weights = _random(dtype, 2, 2)

    def value(*x: Any) -> Any:
        return jnp.sum(weights * LOWERINGS[f"linalg.{op}"](*x)).real

    def line(t: Any) -> Any:
        return value(*(x + t * v for x, v in zip(point, tangents, strict=True)))

    forward = jax.jit(_slope(_slope(_slope(line))))(0.0)
    reverse = jax.jit(jax.grad(jax.grad(jax.grad(line))))(0.0)
    assert abs(forward) > 1e-6
    np.testing.assert_allclose(reverse, forward, 1e-10)


@pytest.mark.long
def test_exponential_and_square_undo_them() -> None:
    """Exp of the logarithm and the square of the root are the matrix, with the derivatives of it.

    A rotation has no real eigenvalue, and yet a real root and logarithm.
    """
    angle = 3.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    block = scipy.linalg.block_diag(rotation, 2 * rotation) + np.eye(4, k=2)
    e, zero = RNG.normal(size=(4, 4)), np.zeros((4, 4))
    for identity in (
        lambda a: _op("expm")(_op("logm")(a)),
        lambda a: jnp.linalg.matrix_power(_op("sqrtm")(a), 2),
    ):
        for order, wanted in enumerate((block, e, zero)):
            np.testing.assert_allclose(_along(identity, order, (block, e)), wanted, 0, 1e-9)
    np.testing.assert_allclose(_op("logm")(rotation), angle * np.array([[0, -1], [1, 0]]), 0, 1e-14)


@pytest.mark.parametrize("op", ["logm", "sqrtm"])
def test_a_negative_eigenvalue(op: str) -> None:
    """Of a real matrix NaN, of a complex one the principal value: i√2, log 2 + iπ."""
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    x = turn @ np.diag([-2.0, 1, 2, 3]) @ turn.T
    skewed = np.eye(4) + np.triu(RNG.normal(size=(4, 4)), 1)
    for real in (x, np.linalg.solve(skewed, x @ skewed), -np.eye(4)):
        assert np.isnan(_op(op)(real)).all()
    values = np.array([-2.0, 1, 2, 3], np.complex128)
    principal = np.sqrt(values) if op == "sqrtm" else np.log(values)
    got = turn.T @ np.asarray(_op(op)(np.diag(values))) @ turn
    np.testing.assert_allclose(got, turn.T @ np.diag(principal) @ turn, 0, 1e-14)


def test_singular_matrices() -> None:
    """No logarithm; a root, unless 0 is a defective eigenvalue, but no slope of it."""
    x = np.diag([1.0, 0, 0])
    assert not np.isfinite(_op("logm")(x)).any()
    np.testing.assert_array_equal(_op("sqrtm")(x), x)
    assert not np.isfinite(_along(_op("sqrtm"), 1, (x, RNG.normal(size=(3, 3))))).all()
    assert np.isnan(_op("sqrtm")(np.array([[0.0, 1], [0, 0]]))).any()
    factor = RNG.normal(size=(5, 3))
    covariance = factor @ factor.T
    root = np.asarray(_op("sqrtm")(covariance))
    np.testing.assert_allclose(root @ root, covariance, 0, 1e-7)


def test_equations_without_one_solution_say_so() -> None:
    """NaN at eigenvalues that add to 0 (Stein: have the product 1), also after a rotation."""
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    q = RNG.normal(size=(4, 4))
    for basis in (np.eye(4), turn):
        opposite = basis @ np.diag([1.0, -1, 2, 3]) @ basis.T
        assert np.isnan(_op("solve_continuous_lyapunov")(opposite, q)).all()
        assert np.isnan(_op("solve_sylvester")(opposite, opposite, q)).all()
        assert np.isnan(_op("solve_discrete_lyapunov")(opposite, q)).all()
    nearly = np.diag([1.0, -1 + 1e-9, 2, 3])
    want = scipy.linalg.solve_continuous_lyapunov(nearly, q)
    assert _distance(_op("solve_continuous_lyapunov")(nearly, q), want) < 1e-6


@pytest.mark.long
def test_nan_stays_in_its_sample() -> None:
    """A batch with a row of NaN gives the others what they get alone."""
    good = 3 * np.eye(3) + 0.3 * RNG.normal(size=(3, 3))
    batch = np.stack([good, np.full((3, 3), np.nan), good])
    for op in OPS:
        operands = 3 if op == "solve_sylvester" else 1 if op in ("logm", "sqrtm") else 2
        alone, got = _op(op)(*[good] * operands), np.asarray(_op(op)(*[batch] * operands))
        assert np.isnan(got[1]).all()
        np.testing.assert_allclose(got[[0, 2]], np.stack([alone, alone]), 1e-12)


@pytest.mark.parametrize("op", OPS)
def test_empty_matrices_and_batches(op: str) -> None:
    """Zero rows, and zero matrices: nothing, of the right shape."""
    count = 3 if op == "solve_sylvester" else 1 if op in ("logm", "sqrtm") else 2
    for shape in ((0, 0), (2, 0, 0)):
        assert _op(op)(*[np.zeros(shape)] * count).shape == shape
        jacobian = jax.jacrev(_op(op))(*[np.zeros(shape)] * count)
        assert jacobian.shape == shape + shape


SPECIAL = {
    "random": RNG.normal(size=(N, N)) + 1j * RNG.normal(size=(N, N)),
    "real": RNG.normal(size=(N, N)),
    "cycle": np.roll(np.eye(7), 1, 0),
    "nilpotent": np.eye(6, k=-1),
    "jordan": np.eye(6) + np.eye(6, k=-1),
    "rotations": np.kron(np.eye(3), [[0, 1], [-1, 0]]),
    "rank 1": np.ones((6, 6)),
    "zero": np.zeros((4, 4)),
    "graded": np.vander(np.arange(1.0, 9)),
    "one": np.array([[2.0]]),
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_schur_form_of_platforms_without_lapack(name: str, dtype: str) -> None:
    """Unitary, upper triangular, and the matrix again, to rounding."""
    a = SPECIAL[name].astype(dtype)
    u, t = map(np.asarray, jax.jit(shifted_qr)(a))
    rounding = 40 * a.shape[0] * np.finfo(dtype).eps
    np.testing.assert_allclose(u @ u.conj().T, np.eye(len(a)), 0, rounding)
    np.testing.assert_allclose(u @ t @ u.conj().T, a, 0, rounding * np.linalg.norm(a))
    np.testing.assert_array_equal(np.tril(t, -1), np.zeros_like(a))


def test_the_schur_form_of_what_is_no_number_is_nan() -> None:
    """And the iteration ends."""
    u, t = jax.jit(shifted_qr)(np.full((3, 3), np.inf, np.complex128))
    assert np.isnan(u).all()
    assert np.isnan(t).all()


@pytest.mark.parametrize("op", OPS)
def test_a_gpu_is_not_asked_for_what_it_lacks(op: str) -> None:
    """Value and gradient, batched, lower for CUDA, without LAPACK's Schur form in them."""
    x = np.stack([3 * np.eye(3), 2 * np.eye(3)])
    count = 3 if op == "solve_sylvester" else 1 if op in ("logm", "sqrtm") else 2

    def loss(*operands: Any) -> Any:
        return jnp.sum(LOWERINGS[f"linalg.{op}"](*operands))

    traced = jax.jit(jax.value_and_grad(loss)).trace(*[x] * count)
    texts = {p: traced.lower(lowering_platforms=(p,)).as_text() for p in ("cuda", "cpu")}
    assert "gees" in texts["cpu"]
    assert "gees" not in texts["cuda"]
