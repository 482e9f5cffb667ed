"""Hermitian matrices of which one triangle is read, as NumPy and LAPACK do."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def hermitian_from(x: jax.Array, *, lower: bool) -> jax.Array:
    """Returns the Hermitian matrix of which one triangle is x's; of the diagonal the real part.

    The other triangle isn't read, so that derivatives with respect to it are 0, and
    those with respect to the triangle that is read count each element twice.
    """
    triangle = jnp.tril(x, -1) if lower else jnp.triu(x, 1)
    diagonal = jnp.where(jnp.eye(x.shape[-1], dtype=bool), x.real, 0)
    return triangle + jnp.conj(triangle.mT) + diagonal.astype(x.dtype)


def cholesky(x: jax.Array, *, upper: bool) -> jax.Array:
    """Returns L with L Lᴴ = x; ``upper`` gives Lᴴ, and reads the upper triangle."""
    matrix = hermitian_from(x, lower=not upper)
    factor: jax.Array = jnp.linalg.cholesky(matrix, upper=upper, symmetrize_input=False)
    return factor
