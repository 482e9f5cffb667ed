"""Ops of Hermitian matrices read the triangle that NumPy reads, and so do their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from conformance.traced import in_jax
from gradwire.tensors import Array
from haste import UNOPTIMISED

RNG = np.random.default_rng(8)
REAL = RNG.normal(size=(3, 3)) + np.diag([3.0, 5, 8])
COMPLEX = REAL + 1j * RNG.normal(size=(3, 3))


def _projectors(vectors: Any) -> Any:
    """What is determined of eigenvectors, whose phases are free."""
    return np.real((vectors * np.array([1.0, 2, 3])) @ np.conj(np.matrix_transpose(vectors)))


def _everything(lower: bool) -> Callable[[Any], Any]:
    """All that read one triangle, as one real vector."""
    uplo = "L" if lower else "U"

    def values(a: Any) -> Any:
        eigenvalues, vectors = np.linalg.eigh(a, UPLO=uplo)
        factor = np.linalg.cholesky(a, upper=not lower)
        parts = [
            np.linalg.eigvalsh(a, uplo),
            eigenvalues,
            _projectors(vectors),
            np.real(factor),
            np.imag(factor),
        ]
        if lower:  # the only one that hermitian=True can mean
            u, s, vh = np.linalg.svd(a, hermitian=True)
            inverse = np.linalg.pinv(a, hermitian=True)
            parts += [s, np.linalg.svd(a, compute_uv=False, hermitian=True), _projectors(u)]
            parts += [np.real((u * s) @ vh), np.real(inverse), np.imag(inverse)]
        return np.concatenate([np.ravel(part) for part in parts])

    return values


@pytest.mark.parametrize("lower", [True, False], ids=["lower", "upper"])
@pytest.mark.parametrize(
    "a",
    [pytest.param(COMPLEX, id="complex"), pytest.param(REAL, id="real", marks=pytest.mark.long)],
)
def test_value_and_derivative_are_numpys(a: Array, lower: bool) -> None:
    """By each real and imaginary part of each element, in both triangles, in a batch."""
    function = _everything(lower)
    units = np.eye(9).reshape(9, 3, 3).astype(a.dtype)
    if a.dtype == complex:
        units = np.concatenate([units, 1j * units])
    traced, h = in_jax(function, a), 1e-3
    got, slopes = jax.jit(
        jax.vmap(lambda e: jax.jvp(traced, (a,), (e,))), compiler_options=UNOPTIMISED
    )(units)
    np.testing.assert_allclose(got, [function(a)] * len(units), 1e-12, 1e-12)

    def difference(e: Array, h: float) -> Array:
        return np.asarray((function(a + h * e) - function(a - h * e)) / (2 * h))

    want = np.stack([(4 * difference(e, h / 2) - difference(e, h)) / 3 for e in units])
    np.testing.assert_allclose(slopes, want, 1e-7, 1e-8)
    unread = np.triu(np.ones((3, 3)), 1) if lower else np.tril(np.ones((3, 3)), -1)
    silent = np.einsum("kij,ij->k", np.abs(units), unread) > 0
    assert not np.any(np.asarray(slopes)[silent])


def test_gradients_count_an_element_of_the_triangle_twice() -> None:
    """Of Σλ² they are 2A along the diagonal and 4A below; its Hessian is diag(2, 0, 4, 2)."""
    squares = in_jax(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2), np.eye(2))
    a = np.array([[1.0, 9], [3, 2]])
    gradient, hessian = jax.jit(lambda a: (jax.grad(squares)(a), jax.hessian(squares)(a)))(a)
    np.testing.assert_allclose(gradient, [[2, 0], [12, 4]], 1e-12, 1e-12)
    np.testing.assert_allclose(np.reshape(hessian, (4, 4)), np.diag([2, 0, 4, 2]), 1e-12, 1e-12)


def test_what_is_not_read_may_be_anything() -> None:
    """NaN in the other triangle reaches no value, as in NumPy."""
    a = np.where(np.triu(np.ones((3, 3)), 1) > 0, np.nan, REAL)
    function = lambda a: np.concatenate(  # noqa: E731 - the two that NumPy lets it be
        [np.linalg.eigvalsh(a), np.ravel(np.linalg.cholesky(a))]
    )
    np.testing.assert_allclose(jax.jit(in_jax(function, a))(a), function(a), 1e-12, 1e-12)


def test_singular_values_of_opposite_eigenvalues_keep_their_vectors_apart() -> None:
    """Of diag(2, −2, 1) with hermitian=True the vectors are those of eigenvalues: none repeats."""
    a, e = np.diag([2.0, -2, 1]), np.ones((3, 3)) - np.eye(3)
    function = in_jax(lambda a: _sum_of_projectors(*np.linalg.svd(a, hermitian=True)), a)
    slope = np.asarray(jax.jit(lambda a: jax.jvp(function, (a,), (e,))[1])(a))
    # Of Σ |λ| v vᵀ: (|λᵢ| − |λⱼ|) / (λᵢ − λⱼ) between i and j.
    np.testing.assert_allclose(slope, [[0, 0, 1], [0, 0, -1 / 3], [1, -1 / 3, 0]], 1e-12, 1e-12)


def _sum_of_projectors(u: Any, s: Any, _: Any) -> Any:
    return (u * s) @ np.matrix_transpose(u)
