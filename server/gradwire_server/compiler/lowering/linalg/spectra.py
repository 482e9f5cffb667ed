"""Eigenvalues and eigenvectors in JAX, with derivatives that are right or not finite.

The derivatives of eigenvectors, and the second ones of eigenvalues, divide by the
gap between two eigenvalues. JAX divides even by a gap that is nothing but rounding;
here such a quotient, and what depends on it, is infinite or NaN. See ``gaps``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gradwire_server.compiler.lowering.linalg.gaps import (
    divide_by_gap,
    is_lost,
    least_gap,
    non_finite_where,
)
from gradwire_server.compiler.lowering.linalg.matrices import adjoint, product

_MAX_CONDITION = (1e3 * float(np.finfo(np.float64).eps)) ** -0.5
"""For an eigenvalue of a matrix that isn't normal: rounding moves it by epsilon times
its condition, and the derivative by about epsilon times the condition squared."""

_Pair = tuple[jax.Array, jax.Array]


@jax.custom_jvp
def hermitian_eigenvectors(h: jax.Array) -> _Pair:
    """Returns the eigenvalues, rising, and the eigenvectors of a Hermitian matrix."""
    values, vectors = jnp.linalg.eigh(h, symmetrize_input=False)
    return values, vectors


@hermitian_eigenvectors.defjvp
def _eigenvectors_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[_Pair, _Pair]:
    """With M = Vᴴ dH V: dw = diag M, dV = V X with Xᵢⱼ = Mᵢⱼ / (wⱼ − wᵢ), 0 on the diagonal.

    M. Giles, Collected matrix derivative results, 2008, section 3.1.
    """
    (h,), (t_h,) = primals, tangents
    w, v = hermitian_eigenvectors(h)
    moved = product(adjoint(v), product(t_h, v))
    gap = jnp.where(jnp.eye(w.shape[-1], dtype=bool), jnp.inf, w[..., None, :] - w[..., :, None])
    least = least_gap(w)[..., None]
    t_v = product(v, divide_by_gap(moved, gap, least))
    # A vector of a repeated value has no derivative, even where the derivative asked for
    # doesn't divide by the gap: the first element of the first, at the identity.
    repeats = jnp.any(is_lost(gap, least), -2, keepdims=True)
    t_w = jnp.diagonal(moved.real, axis1=-2, axis2=-1)
    return (w, v), (t_w, non_finite_where(repeats, t_v))


@jax.custom_jvp
def hermitian_eigenvalues(h: jax.Array) -> jax.Array:
    """Returns the eigenvalues of a Hermitian matrix, rising."""
    values: jax.Array = jnp.linalg.eigvalsh(h, symmetrize_input=False)
    return values


@hermitian_eigenvalues.defjvp
def _eigenvalues_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> _Pair:
    """As above: dwᵢ = vᵢᴴ dH vᵢ, which no gap divides."""
    (h,), (t_h,) = primals, tangents
    w, v = hermitian_eigenvectors(h)
    return w, jnp.sum((jnp.conj(v) * product(t_h, v)).real, -2)


@jax.custom_jvp
def general_eigenvalues(a: jax.Array) -> jax.Array:
    """Returns the eigenvalues of any square matrix, in no particular order."""
    values: jax.Array = jnp.linalg.eigvals(a)
    return values


@general_eigenvalues.defjvp
def _general_eigenvalues_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> _Pair:
    """With A V = V W: dW = diag(V⁻¹ dA V), not finite where V is nearly singular.

    Then A has no basis of eigenvectors, or rounding hides whether it has one. The
    condition of eigenvalue i is the length of row i of V⁻¹, for vᵢ of length 1.
    """
    (a,), (t_a,) = primals, tangents
    w, v = jnp.linalg.eig(a)
    inverse = jnp.linalg.inv(v)
    t_w = jnp.sum(product(inverse, t_a.astype(v.dtype)) * v.mT, -1)
    condition = jnp.sqrt(jnp.sum(jnp.square(jnp.abs(inverse)), -1))
    lost = ~(condition < _MAX_CONDITION)
    return w, non_finite_where(lost, t_w)
