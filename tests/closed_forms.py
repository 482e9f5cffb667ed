"""Functions with derivatives that were worked out by hand.

Each is written twice, as a program and in NumPy, and its first and second
derivatives are written a third time as formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sketch import Value, op, several, total

rng = np.random.default_rng(7)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """One function at one point.

    Attributes:
        name: For the test's id.
        write: The function as a program.
        numpy: The same in NumPy.
        x: The point.
        jacobian: Its first derivative at x, ``(*out, *in)``.
        hessian: Its second derivative at x, ``(*out, *in, *in)``.
    """

    name: str
    write: Callable[[Value], Value]
    numpy: Callable[[Array], Array]
    x: Array
    jacobian: Array
    hessian: Array

    @property
    def value(self) -> Array:
        return np.asarray(self.numpy(self.x))

    @property
    def hessian_diagonal(self) -> Array:
        m, n = self.value.size, self.x.size
        diagonal = np.diagonal(self.hessian.reshape(m, n, n), axis1=1, axis2=2)
        return diagonal.reshape(self.value.shape + self.x.shape)

    @property
    def laplacian(self) -> Array:
        return self.hessian_diagonal.reshape((*self.value.shape, -1)).sum(-1)


def _quartic() -> Case:
    """|x|⁴, with Δ = 4(d + 2)|x|²."""
    x = rng.standard_normal(4)
    r2 = x @ x
    return Case(
        "quartic",
        lambda x: total(x * x, 0) ** 2,
        lambda x: np.sum(x**2) ** 2,
        x,
        4 * r2 * x,
        4 * r2 * np.eye(4) + 8 * np.outer(x, x),
    )


def _yukawa() -> Case:
    """e^{−r} in three dimensions, with Δ = (1 − 2/r)e^{−r}."""
    x = rng.standard_normal(3)
    r = np.sqrt(x @ x)
    u = x / r
    return Case(
        "exponential of the radius",
        lambda x: op("exp", -op("sqrt", total(x * x, 0))),
        lambda x: np.exp(-np.sqrt(np.sum(x**2))),
        x,
        -u * np.exp(-r),
        np.exp(-r) * (np.outer(u, u) * (1 + 1 / r) - np.eye(3) / r),
    )


def _harmonic() -> Case:
    """Re (x + iy)⁵, with Δ = 0, through complex intermediates."""
    x = rng.standard_normal(2)
    z = x[0] + 1j * x[1]
    second = 20 * z**3
    complex128 = np.dtype(np.complex128)
    return Case(
        "harmonic polynomial",
        lambda x: op("real", total(op("astype", x, dtype=complex128) * np.array([1, 1j]), 0) ** 5),
        lambda x: ((x[0] + 1j * x[1]) ** 5).real,
        x,
        np.array([(5 * z**4).real, (5j * z**4).real]),
        np.array([[second.real, -second.imag], [-second.imag, -second.real]]),
    )


def _logsumexp() -> Case:
    """Log Σ eˣ, with H = diag(p) − ppᵀ."""
    x = rng.standard_normal(5)
    p = np.exp(x) / np.exp(x).sum()
    return Case(
        "logsumexp",
        lambda x: op("logsumexp", x, axis=(0,)),
        lambda x: np.log(np.sum(np.exp(x))),
        x,
        p,
        np.diag(p) - np.outer(p, p),
    )


def _quadratic() -> Case:
    """½xᵀAx with A not symmetric."""
    x, a = rng.standard_normal(4), rng.standard_normal((4, 4))
    return Case(
        "quadratic form",
        lambda x: 0.5 * total(x * total(a * x, 1), 0),
        lambda x: 0.5 * x @ a @ x,
        x,
        0.5 * (a + a.T) @ x,
        0.5 * (a + a.T),
    )


def _neuron() -> Case:
    """aᵀtanh(Wx + b), with diagᵢ = −2Σₖ aₖtₖ(1 − tₖ²)Wₖᵢ²."""
    x, a, b = rng.standard_normal(3), rng.standard_normal(6), rng.standard_normal(6)
    w = rng.standard_normal((6, 3))
    t = np.tanh(w @ x + b)
    return Case(
        "network",
        lambda x: total(a * op("tanh", total(w * x, 1) + b), 0),
        lambda x: a @ np.tanh(w @ x + b),
        x,
        (a * (1 - t**2)) @ w,
        np.einsum("k,ki,kj->ij", -2 * a * t * (1 - t**2), w, w),
    )


def _rosenbrock() -> Case:
    """Σ 100(xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²."""
    x = rng.standard_normal(4)
    here, there = np.eye(3, 4), np.eye(3, 4, 1)
    p, q = x[:-1], x[1:]
    gradient = here.T @ (-400 * p * (q - p**2) - 2 * (1 - p)) + there.T @ (200 * (q - p**2))
    mixed = here.T @ np.diag(-400 * p) @ there
    hessian = (
        here.T @ np.diag(1200 * p**2 - 400 * q + 2) @ here + 200 * there.T @ there + mixed + mixed.T
    )

    def write(x: Value) -> Value:
        p, q = total(here * x, 1), total(there * x, 1)
        return total(100.0 * (q - p * p) ** 2 + (1.0 - p) ** 2, 0)

    return Case(
        "Rosenbrock",
        write,
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        x,
        gradient,
        hessian,
    )


def _inverse() -> Case:
    """A⁻¹: along E −A⁻¹EA⁻¹, along E and F A⁻¹(EA⁻¹F + FA⁻¹E)A⁻¹."""
    a = rng.standard_normal((3, 3)) + 3 * np.eye(3)
    b = np.linalg.inv(a)
    twice = np.einsum("ip,qr,sj->ijpqrs", b, b, b)
    return Case(
        "matrix inverse",
        lambda a: op("linalg.inv", a),
        np.linalg.inv,
        a,
        -np.einsum("ip,qj->ijpq", b, b),
        twice + np.einsum("ip,qr,sj->ijrspq", b, b, b),
    )


def _logdet() -> Case:
    """Log |det A|: along E tr A⁻¹E, along E and F −tr A⁻¹EA⁻¹F."""
    a = rng.standard_normal((3, 3)) + 3 * np.eye(3)
    b = np.linalg.inv(a)
    return Case(
        "log determinant",
        lambda a: several("linalg.slogdet", a, outputs=2)[1],
        lambda a: np.linalg.slogdet(a)[1],
        a,
        b.T,
        -np.einsum("jp,qi->ijpq", b, b),
    )


def _products() -> Case:
    """[x₁, x₁x₃, x₂²]: at [3, 4, 5] along [1, 2, 3] it is [1, 14, 16]."""
    x = np.array([3.0, 4.0, 5.0])
    first = np.array([[1.0, 0, 0], [5, 0, 3], [0, 8, 0]])
    second = np.zeros((3, 3, 3))
    second[1, 0, 2] = second[1, 2, 0] = 1
    second[2, 1, 1] = 2
    pick = np.eye(3)[[0, 0, 1]]
    other = np.array([[0, 0, 0], [0, 0, 1], [0, 1.0, 0]])
    one = np.array([1.0, 0, 0])
    return Case(
        "products",
        lambda x: total(pick * x, 1) * (total(other * x, 1) + one),
        lambda x: np.array([x[0], x[0] * x[2], x[1] ** 2]),
        x,
        first,
        second,
    )


def _layer() -> Case:
    """tanh(Wx) with fewer inputs than outputs, on a matrix x."""
    x, w = rng.standard_normal((2, 1)), rng.standard_normal((5, 2))
    t = np.tanh(w @ x)
    return Case(
        "layer",
        lambda x: op("tanh", op("matmul", w, x)),
        lambda x: np.tanh(w @ x),
        x,
        ((1 - t**2) * w)[:, None, :, None],
        np.einsum("ki,kj->kij", -2 * t * (1 - t**2) * w, w)[:, None, :, None, :, None],
    )


def _sine() -> Case:
    """A scalar of a scalar: n = m = 1, no axes."""
    x = np.array(0.7)
    return Case("sine", lambda x: op("sin", x), np.sin, x, np.cos(x), -np.sin(x))


def _entropy() -> Case:
    """Σ x log x of one element: n = 1, one axis."""
    x = np.array([1.3])
    return Case(
        "entropy",
        lambda x: total(x * op("log", x), 0),
        lambda x: np.sum(x * np.log(x)),
        x,
        1 + np.log(x),
        1 / x[:, None],
    )


def _squares() -> Case:
    """Σ xᵢ² with one axis kept: n = 3, m = 1."""
    x = rng.standard_normal(3)
    return Case(
        "one output",
        lambda x: op("sum", x * x, axis=(0,), keepdims=True),
        lambda x: np.sum(x**2, keepdims=True),
        x,
        2 * x[None],
        2 * np.eye(3)[None],
    )


def _empty() -> Case:
    """No input at all: n = 0."""
    return Case(
        "no input",
        lambda x: total(x * x, 0),
        lambda x: np.sum(x**2),
        np.zeros(0),
        np.zeros(0),
        np.zeros((0, 0)),
    )


CASES = [
    _quartic(),
    _yukawa(),
    _harmonic(),
    _logsumexp(),
    _quadratic(),
    _neuron(),
    _rosenbrock(),
    _inverse(),
    _logdet(),
    _products(),
    _layer(),
    _sine(),
    _entropy(),
    _squares(),
    _empty(),
]
SCALAR_CASES = [case for case in CASES if case.value.shape == ()]
SQUARE_CASES = [case for case in CASES if case.value.shape == case.x.shape]
