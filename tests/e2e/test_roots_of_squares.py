"""Norms, moduli and standard deviations at 0, where they have a kink and their squares none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradwire as gw

pytestmark = pytest.mark.usefixtures("server")

EYE = np.eye(3)
POINT = np.array([0.3, -1.0, 2.0])
ZERO = np.zeros(3)


def complex_of(x: Any) -> Any:
    """Two complex numbers made of four real ones."""
    return x[:2] + 1j * x[2:]


def taylor(f: Callable[..., Any], order: int) -> list[float]:
    """The derivatives at 0 of a function of one number, from the first."""
    derivatives = []
    for _ in range(order):
        f = gw.grad(f)
        derivatives.append(f)
    return [float(d(0.0)) for d in derivatives]


@pytest.mark.parametrize(
    ("f", "want"),
    [
        pytest.param(lambda x: np.abs(x) ** 2, [0, 2, 0, 0], id="square"),
        pytest.param(lambda x: np.abs(x) * np.abs(x), [0, 2, 0, 0], id="product"),
        pytest.param(lambda x: np.abs(x) ** 4, [0, 0, 0, 24], id="fourth_power"),
        pytest.param(lambda x: np.log1p(np.abs(x) ** 2), [0, 2, 0, -12], id="cauchy"),
        pytest.param(lambda x: np.exp(-(np.abs(3 * x) ** 2)), [0, -18, 0, 972], id="gauss"),
        pytest.param(lambda x: np.cosh(np.abs(x)), [0, 1, 0, 1], id="cosh"),
        pytest.param(lambda x: np.copysign(x, -1.0) ** 2, [0, 2, 0, 0], id="copysign"),
        pytest.param(
            lambda x: np.where(np.abs(x) < 1, 0.5 * np.abs(x) ** 2, np.abs(x) - 0.5),
            [0, 1, 0, 0],
            id="huber",
        ),
        pytest.param(
            lambda x: np.abs(x + 1j * x) ** 2 + np.hypot(x, 2 * x) ** 4,
            [0, 4, 0, 600],
            id="complex",
        ),
    ],
)
def test_smooth_functions_of_a_modulus(f: Callable[..., Any], want: list[float]) -> None:
    """Every derivative at 0 is that of the power series, to the fourth."""
    np.testing.assert_allclose(taylor(f, 4), want, atol=1e-12)


HESSIANS: dict[str, tuple[Callable[..., Any], int, Any]] = {
    # a function of so many numbers, and its Hessian at 0
    "norm": (lambda x: np.linalg.norm(x) ** 2, 3, 2 * EYE),
    "norm_along_rows": (
        lambda x: np.linalg.norm(np.reshape(x, (2, 2)), axis=1) ** 2 @ np.array([1.0, 3.0]),
        4,
        np.diag([2.0, 2, 6, 6]),
    ),
    "norm_of_moduli": (lambda x: np.linalg.norm(np.abs(complex_of(x))) ** 2, 4, 2 * np.eye(4)),
    "frobenius": (lambda x: np.linalg.norm(np.outer(x, np.ones(2))) ** 2, 3, 4 * EYE),
    "complex_square": (lambda x: np.sum(np.abs(complex_of(x)) ** 2), 4, 2 * np.eye(4)),
    "complex_product": (lambda x: np.dot(*2 * [np.abs(complex_of(x))]), 4, 2 * np.eye(4)),
    "hypot": (lambda x: np.hypot(x[0], x[1]) ** 2, 2, 2 * np.eye(2)),
    "power_spectrum": (lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2), 3, 6 * EYE),
    "deviation": (lambda x: np.std(x) ** 2, 3, 2 / 3 * (EYE - np.ones((3, 3)) / 3)),
    "scaled": (lambda x: np.sum((-np.abs(complex_of(x)) / 0.5) ** 2), 4, 8 * np.eye(4)),
    "moved": (lambda x: np.sum(np.abs(complex_of(x))[::-1][None, :] ** 2), 4, 2 * np.eye(4)),
    "stacked": (
        lambda x: np.sum(np.stack([np.linalg.norm(x[:2]), x[2]]) ** 2),
        3,
        2 * EYE,
    ),
    "kernel": (lambda x: np.exp(-0.5 * (np.linalg.norm(x) / 0.5) ** 2), 3, -4 * EYE),
    "in_a_loop": (
        lambda x: gw.fori_loop(0, 2, lambda i, c: c + np.linalg.norm(x) ** 2, 0.0),
        3,
        4 * EYE,
    ),
}


@pytest.mark.parametrize(("f", "n", "want"), HESSIANS.values(), ids=HESSIANS)
def test_hessian_of_a_square(f: Callable[..., Any], n: int, want: Any) -> None:
    """It is right at 0, where the root that is squared has no second derivative."""
    np.testing.assert_allclose(gw.hessian(f)(np.zeros(n)), want, atol=1e-12)


def test_covariance_of_a_gaussian_process_and_its_gradient() -> None:
    """The mixed second derivatives of exp(-|x - y|²/2) at x = y are the identity."""
    kernel = lambda x, y: np.exp(-0.5 * np.linalg.norm(x - y) ** 2)  # noqa: E731
    mixed = gw.jacobian(gw.grad(kernel, argnums=0), argnums=1)
    np.testing.assert_allclose(mixed(POINT, POINT), EYE, atol=1e-14)
    fourth = gw.hessian(lambda y: np.trace(mixed(POINT, y)))(POINT)  # -(n + 2) I by hand
    np.testing.assert_allclose(fourth, -5 * EYE, atol=1e-12)


def test_it_holds_in_single_precision_and_whatever_the_sweeps() -> None:
    """Forward over forward and reverse over reverse, of one of them."""
    f = HESSIANS["scaled"][0]
    for mode in ("forward", "reverse"):
        twice = gw.jacobian(gw.jacobian(f, mode=mode), mode=mode)
        np.testing.assert_allclose(twice(np.zeros(4, np.float32)), 8 * np.eye(4), atol=1e-5)


KINKS: dict[str, tuple[str, Callable[..., Any]]] = {
    # the op that the warning names, and a function
    "norm": ("linalg.vector_norm", np.linalg.norm),
    "norm_1": ("linalg.vector_norm", lambda x: np.linalg.norm(x, 1)),
    "norm_inf": ("linalg.vector_norm", lambda x: np.linalg.norm(x, np.inf)),
    "norm_3": ("linalg.vector_norm", lambda x: np.linalg.norm(x, 3)),
    "norm_minus_1": ("linalg.vector_norm", lambda x: np.linalg.norm(x, -1)),
    "matrix_norm": ("linalg.matrix_norm", lambda x: np.linalg.norm(np.reshape(x, (1, 3)), np.inf)),
    "hypot": ("hypot", lambda x: np.hypot(x[0], x[1])),
    "modulus": ("abs", lambda x: np.abs(x[0] + 1j * x[1])),
    "deviation": ("std", np.std),
}


@pytest.mark.parametrize(("op", "f"), KINKS.values(), ids=KINKS)
def test_at_a_kink_the_first_derivative_is_zero_and_the_second_is_loud(
    op: str, f: Callable[..., Any]
) -> None:
    """No second derivative exists, so that it is NaN, and the warning names the op."""
    np.testing.assert_array_equal(gw.grad(f)(ZERO), 0)
    np.testing.assert_array_equal(gw.jacobian(f, mode="forward")(ZERO), 0)
    with pytest.warns(gw.NonFiniteWarning, match=op):
        hessian = gw.hessian(f)(ZERO)
    assert np.isnan(hessian[0, 0])


def test_hessian_of_a_norm_away_from_zero() -> None:
    """(I − x xᵀ / |x|²) / |x|, as ever."""
    size = np.linalg.norm(POINT)
    want = (EYE - np.outer(POINT, POINT) / size**2) / size
    np.testing.assert_allclose(gw.hessian(np.linalg.norm)(POINT), want, atol=1e-14)


def test_sum_of_moduli_takes_the_derivative_to_the_right() -> None:
    """Σ|w| has the gradient 1 where w is 0."""
    gradient = gw.grad(lambda w: np.sum(np.abs(w)))(np.array([0.0, -0.0, 2.0, -3.0]))
    np.testing.assert_array_equal(gradient, [1, 1, 1, -1])


def test_standard_deviation_of_equal_elements() -> None:
    """It is exactly 0 with the gradient 0, though the mean of 0.3's is rounded."""
    for x in (np.array([0.3]), np.full(3, 0.3), np.full((7,), 0.1, np.float32)):
        value, gradient = gw.value_and_grad(np.std)(x)
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
