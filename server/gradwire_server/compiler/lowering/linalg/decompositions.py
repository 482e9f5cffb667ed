"""The table's factorisations that have rules of their own: spectra, triangles, inverses."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.linalg.double import differentiated_in_double
from gradwire_server.compiler.lowering.linalg.pseudoinverse import least_squares, pseudoinverse
from gradwire_server.compiler.lowering.linalg.singular import singular_values, singular_vectors
from gradwire_server.compiler.lowering.linalg.spectra import (
    general_eigenvalues,
    hermitian_eigenvalues,
    hermitian_eigenvectors,
)
from gradwire_server.compiler.lowering.linalg.triangles import cholesky, hermitian_from


def _eig(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.eig(x))


def _eigh(x: jax.Array, *, lower: bool) -> tuple[jax.Array, jax.Array]:
    values, vectors = differentiated_in_double(hermitian_eigenvectors)(
        hermitian_from(x, lower=lower)
    )
    return values, vectors


def _eigvalsh(x: jax.Array, *, lower: bool) -> jax.Array:
    matrix = hermitian_from(x, lower=lower)
    values: jax.Array = differentiated_in_double(hermitian_eigenvalues)(matrix)
    return values


LOWERINGS: dict[str, Lowering] = {
    "linalg.cholesky": cholesky,
    "linalg.eig": _eig,
    "linalg.eigh": _eigh,
    "linalg.eigvals": differentiated_in_double(general_eigenvalues),
    "linalg.eigvalsh": _eigvalsh,
    "linalg.lstsq": least_squares,
    "linalg.pinv": pseudoinverse,
    "linalg.svd": differentiated_in_double(singular_vectors),
    "linalg.svdvals": differentiated_in_double(singular_values),
}
