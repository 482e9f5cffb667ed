"""Linear algebra with closed forms: matrices that are made from their own factors.

Each case is a function of one matrix that returns factors and a gradient together, and the
closed form of both in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

import gradwire as gw

Residuals: TypeAlias = list[tuple[Any, Any]]

expm = gw.ops.linalg.expm


@dataclass(frozen=True)
class Factors:
    """A symmetric and a general matrix, made from Q, P orthogonal and a spectrum from 1 to 3.

    Attributes:
        q: Q, square.
        p: P, with as many columns as Q, or more rows.
        spectrum: Falling values, apart from each other.
        weights: A weight for each.
        target: A symmetric matrix to multiply results with.
    """

    q: np.ndarray
    p: np.ndarray
    spectrum: np.ndarray
    weights: np.ndarray
    target: np.ndarray

    @property
    def symmetric(self) -> np.ndarray:
        """Q diag(spectrum) Qᵀ."""
        return self.q * self.spectrum @ self.q.T

    @property
    def tall(self) -> np.ndarray:
        """P diag(spectrum) Qᵀ."""
        return self.p * self.spectrum @ self.q.T


@dataclass(frozen=True)
class Case:
    """One decomposition.

    Attributes:
        argument: The matrix of ``Factors`` that it takes.
        program: Returns factors and a gradient, of that matrix, the weights and the target.
        residuals: Pairs of what was got and what is right, of the results and the factors.
    """

    argument: str
    program: Callable[..., Any]
    residuals: Callable[..., Residuals]


def make_factors(n: int, shift: int = 0) -> Factors:
    """Returns factors of n columns; others for each shift."""
    grid = np.arange(1.0, n + 1)
    spectrum = 3.0 - 2.0 * (grid - 1) / max(n - 1, 1)
    target = np.cos(grid[:, None] + grid + shift)
    return Factors(
        _reflections(n, 1.0 + shift)[:, :n],
        _reflections(n + 3, 2.0 + shift)[:, :n],
        spectrum + 0.1 * shift,
        np.sin(grid + shift) + 2.0,
        target,
    )


def _reflections(n: int, phase: float) -> np.ndarray:
    """Returns the product of two Householder matrices."""
    q = np.eye(n)
    for k in (1.0, 2.0):
        v = np.sin(k * np.arange(1.0, n + 1) + phase)
        q = q - 2.0 * np.outer(q @ v, v) / (v @ v)
    return q


def _cholesky() -> Case:
    """The gradient of Σ log diag L is A⁻¹ / 2."""

    def program(a: Any, w: Any, c: Any) -> Any:
        gradient = gw.grad(lambda a: np.sum(np.log(np.diagonal(np.linalg.cholesky(a)))))(a)
        return np.linalg.cholesky(a), gradient

    def residuals(f: Factors, lower: Any, gradient: Any) -> Residuals:
        inverse = f.q / f.spectrum @ f.q.T
        return [
            (lower @ lower.T, f.symmetric),
            (np.triu(lower, 1), np.zeros_like(lower)),
            (_symmetric_part(gradient), inverse / 2),
        ]

    return Case("symmetric", program, residuals)


def _eigh() -> Case:
    """The gradient of Σ C ∘ f(A), f by eigenvectors, is Q ((Qᵀ C Q) ∘ F) Qᵀ.

    F has the divided differences of f: the formula of Daleckii and Krein.
    """

    def program(a: Any, w: Any, c: Any) -> Any:
        def through_vectors(a: Any) -> Any:
            values, vectors = np.linalg.eigh(a)
            return np.sum(c * ((vectors * np.exp(values)) @ vectors.T))

        values, vectors = np.linalg.eigh(a)
        weighted = gw.grad(lambda a: np.sum(w[::-1] * np.linalg.eigvalsh(a)))(a)
        return values, vectors, weighted, gw.grad(through_vectors)(a)

    def residuals(f: Factors, values: Any, v: Any, weighted: Any, gradient: Any) -> Residuals:
        return [
            (values, f.spectrum[::-1]),
            (v * values @ v.T, f.symmetric),
            (v.T @ v, np.eye(len(v))),
            (_symmetric_part(weighted), f.q * f.weights @ f.q.T),
            (_symmetric_part(gradient), _gradient_of_exponential(f)),
        ]

    return Case("symmetric", program, residuals)


def _svd() -> Case:
    """The gradient of Σ wᵢ σᵢ is P diag(w) Qᵀ."""

    def program(m: Any, w: Any, c: Any) -> Any:
        gradient = gw.grad(lambda m: np.sum(w * np.linalg.svd(m, compute_uv=False)))(m)
        return *np.linalg.svd(m, full_matrices=False), gradient

    def residuals(f: Factors, u: Any, s: Any, vh: Any, gradient: Any) -> Residuals:
        return [
            (s, f.spectrum),
            (u * s @ vh, f.tall),
            (u.T @ u, np.eye(len(s))),
            (gradient, f.p * f.weights @ f.q.T),
        ]

    return Case("tall", program, residuals)


def _qr() -> Case:
    """The gradient of Σ log |diag R| = log det(MᵀM) / 2 is P diag(1/spectrum) Qᵀ."""

    def program(m: Any, w: Any, c: Any) -> Any:
        def logarithm(m: Any) -> Any:
            return np.sum(np.log(np.abs(np.diagonal(np.linalg.qr(m)[1]))))

        return *np.linalg.qr(m), gw.grad(logarithm)(m)

    def residuals(f: Factors, q: Any, r: Any, gradient: Any) -> Residuals:
        return [
            (q @ r, f.tall),
            (q.T @ q, np.eye(len(r))),
            (np.tril(r, -1), np.zeros_like(r)),
            (gradient, f.p / f.spectrum @ f.q.T),
        ]

    return Case("tall", program, residuals)


def _solve() -> Case:
    """The gradient of wᵀ A⁻¹ w is −x xᵀ with x = A⁻¹ w."""

    def program(a: Any, w: Any, c: Any) -> Any:
        return np.linalg.solve(a, w), gw.grad(lambda a: w @ np.linalg.solve(a, w))(a)

    def residuals(f: Factors, x: Any, gradient: Any) -> Residuals:
        right = f.q @ ((f.q.T @ f.weights) / f.spectrum)
        return [(x, right), (gradient, -np.outer(right, right))]

    return Case("symmetric", program, residuals)


def _slogdet() -> Case:
    """The logarithm of det A is Σ log of the spectrum, and its gradient A⁻¹."""

    def program(a: Any, w: Any, c: Any) -> Any:
        return *np.linalg.slogdet(a), gw.grad(lambda a: np.linalg.slogdet(a)[1])(a)

    def residuals(f: Factors, sign: Any, logarithm: Any, gradient: Any) -> Residuals:
        return [
            (sign, np.float64(1.0)),
            (logarithm, np.log(f.spectrum).sum()),
            (gradient, f.q / f.spectrum @ f.q.T),
        ]

    return Case("symmetric", program, residuals)


def _expm() -> Case:
    """The exponential is Q diag(exp) Qᵀ; its gradient is as in ``_eigh``."""

    def program(a: Any, w: Any, c: Any) -> Any:
        return expm(a), gw.grad(lambda a: np.sum(c * expm(a)))(a)

    def residuals(f: Factors, exponential: Any, gradient: Any) -> Residuals:
        right = f.q * np.exp(f.spectrum) @ f.q.T
        return [(exponential, right), (gradient, _gradient_of_exponential(f))]

    return Case("symmetric", program, residuals)


def _gradient_of_exponential(f: Factors) -> np.ndarray:
    """Returns Q ((Qᵀ C Q) ∘ F) Qᵀ with F the divided differences of exp."""
    s, e = f.spectrum, np.exp(f.spectrum)
    apart = s[:, None] - s + np.eye(len(s))
    differences = (e[:, None] - e) / apart + np.diag(e)
    inner: np.ndarray = (f.q.T @ f.target @ f.q) * differences
    return f.q @ inner @ f.q.T


def _symmetric_part(x: Any) -> Any:
    """What a gradient is where only one triangle is read, and where both are."""
    return (x + x.T) / 2


CASES: dict[str, Callable[[], Case]] = {
    "cholesky": _cholesky,
    "eigh": _eigh,
    "svd": _svd,
    "qr": _qr,
    "solve": _solve,
    "slogdet": _slogdet,
    "expm": _expm,
}
