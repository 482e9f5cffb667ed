"""Linear algebra at the points where derivatives are easily wrong, and in closed form."""

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

RNG = np.random.default_rng(3)
A = RNG.normal(size=(4, 4)) + 4 * np.eye(4)
E = RNG.normal(size=(4, 4))
SPD = A @ A.T
SYMMETRIC = E + E.T
WEIGHTS = RNG.normal(size=(4, 4))


def _op(name: str, **attrs: Any) -> Callable[..., Any]:
    def run(*operands: Any) -> Any:
        return LOWERINGS[f"linalg.{name}"](*map(jnp.asarray, operands), **attrs)

    return jax.jit(run)


def _along(function: Callable[..., Any], x: Array, direction: Array, order: int = 1) -> Array:
    """The derivative of an order of t ↦ function(x + t direction) at 0."""

    def line(t: Any) -> Any:
        return function(x + t * direction)

    for _ in range(order):
        line = jax.jacfwd(line)
    return np.asarray(jax.jit(line)(0.0))


def _close(got: Any, want: Any) -> None:
    np.testing.assert_allclose(got, want, 1e-10, 1e-10 * np.abs(want).max())


def test_inverse() -> None:
    """Of A⁻¹: d = −A⁻¹EA⁻¹, d² = 2 A⁻¹EA⁻¹EA⁻¹, forward and in reverse."""
    inverse = np.linalg.inv(A)
    _close(_along(_op("inv"), A, E), -inverse @ E @ inverse)
    _close(_along(_op("inv"), A, E, 2), 2 * inverse @ E @ inverse @ E @ inverse)
    gradient = jax.grad(lambda a: jnp.sum(_op("inv")(a) * WEIGHTS))(A)
    _close(gradient, -inverse.T @ WEIGHTS @ inverse.T)


def test_logarithm_of_the_determinant() -> None:
    """Of log|det A|: d = tr(A⁻¹E), d² = −tr(A⁻¹EA⁻¹E), d³ = 2 tr((A⁻¹E)³)."""
    slope = np.linalg.inv(A) @ E

    def log_determinant(x: Any) -> Any:
        return _op("slogdet")(x)[1]

    _close(_along(log_determinant, A, E), np.trace(slope))
    _close(_along(log_determinant, A, E, 2), -np.trace(slope @ slope))
    _close(_along(log_determinant, A, E, 3), 2 * np.trace(slope @ slope @ slope))


def test_cholesky() -> None:
    """As known: d L = L Φ(L⁻¹ E L⁻ᵀ), Φ the lower triangle with half the diagonal."""
    factor = np.linalg.cholesky(SPD)
    inner = np.linalg.inv(factor)
    half = np.tril(inner @ SYMMETRIC @ inner.T)
    half[np.diag_indices(4)] /= 2
    got = _along(_op("cholesky", upper=False), SPD, SYMMETRIC)
    _close(got, factor @ half)


def test_simple_eigenvalue() -> None:
    """As known: d λ = vᵀ E v."""
    _, vectors = np.linalg.eigh(SPD)
    _close(
        _along(_op("eigvalsh", lower=True), SPD, SYMMETRIC),
        np.diag(vectors.T @ SYMMETRIC @ vectors),
    )


def test_exponential_against_the_frechet_derivative() -> None:
    """SciPy's own algorithm for the derivative; also at 0, where d exp = E and d² exp = E²."""
    _close(_along(_op("expm"), A, E), scipy.linalg.expm_frechet(A, E, compute_expm=False))
    zero = np.zeros((4, 4))
    _close(_along(_op("expm"), zero, E), E)
    _close(_along(_op("expm"), zero, E, 2), E @ E)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(
    "order",
    [2.0, np.inf, *(pytest.param(order, marks=pytest.mark.long) for order in (1.0, 1.5, 3.0, 7.0))],
)
def test_norm_at_zero_has_one_derivative(order: float, dtype: str) -> None:
    """The first is 0, forward and in reverse, further ones are NaN; other rows don't notice."""
    x = np.array([[0.0, 0, 0], [3, 0.5, 4]]).astype(dtype)
    norms = _op("vector_norm", axis=(1,), ord=order, keepdims=False)
    direction = np.ones_like(x)
    for times in (1, 2, 3):
        slopes = _along(norms, x, direction, times)
        assert slopes[0] == 0 if times == 1 else np.isnan(slopes[0])
        assert np.isfinite(slopes[1])
    gradient = jax.grad(lambda x: norms(x).sum())(x)
    np.testing.assert_array_equal(gradient[0], np.zeros(3))
    assert np.abs(gradient[1]).max() > 0.1
    curvature = jax.grad(lambda x: jnp.abs(jax.grad(lambda x: norms(x).sum())(x)).sum())(x)
    assert np.isnan(curvature[0]).all()
    assert np.isfinite(curvature[1]).all()


@pytest.mark.parametrize("order", [-1.0, -2.0, -3.5])
def test_norm_of_negative_order_with_a_zero(order: float) -> None:
    """It is 0, with derivatives 0, in one row, without touching others."""
    x = np.array([[0.0, 0, 0], [3, 0, 4], [3, 0.5, 4]])
    norms = _op("vector_norm", axis=(1,), ord=order, keepdims=False)
    want = [0, 0, (3**order + 0.5**order + 4**order) ** (1 / order)]
    np.testing.assert_allclose(norms(x), want, 1e-14)
    gradient = jax.jit(jax.grad(lambda x: norms(x).sum()))(x)
    np.testing.assert_array_equal(gradient[:2], np.zeros((2, 3)))
    np.testing.assert_allclose(gradient[2], (x[2] / norms(x)[2]) ** (order - 1), 1e-13)


def test_frobenius_norm_at_zero_has_gradient_zero() -> None:
    """As the vector norm."""
    norm = _op("matrix_norm", ord="fro", keepdims=False)
    np.testing.assert_array_equal(jax.grad(norm)(np.zeros((2, 3))), np.zeros((2, 3)))


def test_norm_in_half_precision_does_not_overflow() -> None:
    """Squares above 65504 are no float16, the norm is."""
    norm = _op("vector_norm", axis=(0,), ord=2.0, keepdims=False)
    assert norm(np.array([300.0, 400.0], np.float16)) == np.float16(500)


def test_least_squares_with_orthonormal_columns_has_a_gradient() -> None:
    """All singular values are 1 there: a derivative through U and V would be NaN.

    With x = (AᵀA)⁻¹Aᵀb and A = I, d x along E is −E b in the square case.
    """
    b = RNG.normal(size=4)
    solve = _op("lstsq", rtol=-1.0)
    _close(_along(lambda a: solve(a, b), np.eye(4), E), -E @ b)


@pytest.mark.parametrize("op", ["inv", "cholesky", "slogdet"])
def test_a_singular_matrix_gives_no_finite_number(op: str) -> None:
    """It is said in the result: infinite or NaN."""
    attrs = {"upper": False} if op == "cholesky" else {}
    outputs = jax.tree.leaves(_op(op, **attrs)(-np.zeros((3, 3)) - np.diag([0.0, 1, 1])))
    assert not np.isfinite(np.asarray(outputs[-1])).all()


def test_eigenvectors_where_eigenvalues_repeat_have_no_finite_derivative() -> None:
    """It isn't defined; a finite number would be a wrong one."""
    slopes = _along(lambda x: _op("eigh", lower=True)(x)[1], np.eye(4), SYMMETRIC)
    assert not np.isfinite(slopes).all()


@pytest.mark.parametrize("shape", [(3, 3), (4, 2)])
def test_factors_of_dependent_columns_have_no_finite_derivative(shape: tuple[int, int]) -> None:
    """Rounding leaves a pivot of R that isn't 0, and derivatives divide by it."""
    x = np.ones(shape) * 0.3

    def loss(x: Any) -> Any:
        q, r = LOWERINGS["linalg.qr"](x)
        return jnp.sum(jnp.cos(q) + 0.5) + jnp.sum(r * r)

    assert not np.isfinite(jax.jit(jax.grad(loss))(x)).all()
    assert not np.isfinite(jax.jit(jax.jvp, static_argnums=0)(loss, (x,), (np.eye(*shape),))[1])
    regular = x + np.eye(*shape)
    step = 1e-6 * np.arange(x.size).reshape(shape) ** 2
    differences = (loss(regular + step) - loss(regular - step)) / 2e-6
    slope = np.sum(jax.jit(jax.grad(loss))(regular) * step) / 1e-6
    np.testing.assert_allclose(slope, differences, 1e-7)
