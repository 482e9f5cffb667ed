"""Factorisations and functions of one matrix in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.lowering.core import Lowering
from gradwire_server.lowering.double import differentiated_in_double
from gradwire_server.lowering.norms import sum_norm, vector_norm
from gradwire_server.lowering.singular import singular_values
from gradwire_server.lowering.spectral_sums import singular_sum


def _det(x: jax.Array) -> jax.Array:
    # Up to 3 rows JAX writes the polynomial out: right everywhere, in all orders.
    return jnp.linalg.det(x) if x.shape[-1] <= 3 else _large_det(x)


@jax.custom_jvp
def _large_det(x: jax.Array) -> jax.Array:
    value: jax.Array = jnp.linalg.det(x)
    return value


@_large_det.defjvp
def _large_det_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    return _large_det(x), jnp.sum(_cofactors(x) * t_x, (-2, -1))


@jax.custom_jvp
def _cofactors(x: jax.Array) -> jax.Array:
    """Returns ∂ det / ∂ x; JAX's is right for singular matrices too."""
    value, pull = jax.vjp(jnp.linalg.det, x)
    cofactors: jax.Array = pull(jnp.ones_like(value))[0]
    return cofactors


@_cofactors.defjvp
def _cofactors_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """With C = det(x) x⁻ᵀ: dC = tr(x⁻¹ dx) C − C (x⁻¹ dx)ᵀ.

    JAX's own derivative of its cofactors is silently 0 at a matrix of rank
    n − 2 or less, where the truth isn't; here a singular x gives NaN.
    """
    (x,), (t_x,) = primals, tangents
    cofactors = _cofactors(x)
    slope = jnp.linalg.solve(x, t_x)
    trace = jnp.trace(slope, axis1=-2, axis2=-1)[..., None, None]
    return cofactors, trace * cofactors - cofactors @ slope.mT


def _slogdet(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.slogdet(x))


def _qr(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.qr(x))


def _lu(x: jax.Array) -> tuple[jax.Array, ...]:
    m, n = x.shape[-2:]
    k = min(m, n)
    packed, _, order = lax.linalg.lu(x)
    permutation = jnp.arange(m, dtype=order.dtype)[:, None] == order[..., None, :]
    lower = jnp.tril(packed[..., :k], -1) + jnp.eye(m, k, dtype=x.dtype)
    return permutation.astype(x.real.dtype), lower, jnp.triu(packed[..., :k, :])


def _trace(x: jax.Array, *, offset: int) -> jax.Array:
    return jnp.trace(x, offset, -2, -1, dtype=x.dtype)


def spectral_norm(x: jax.Array, ord: str) -> jax.Array:
    """Returns the sum of the singular values, the largest or the smallest: nuc, 2 or -2."""
    if ord == "nuc":
        return singular_sum(lambda s: s, x)
    values: jax.Array = differentiated_in_double(singular_values)(x)
    return values[..., 0 if ord == "2" else -1]


def _matrix_norm(x: jax.Array, *, ord: str, keepdims: bool) -> jax.Array:
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), ord=2.0, keepdims=keepdims)
    if ord not in ("nuc", "2", "-2"):
        rows, least = ord.endswith("inf"), ord.startswith("-")
        return sum_norm(x, rows=rows, least=least, keepdims=keepdims)
    norm = spectral_norm(x, ord)
    return norm[..., None, None] if keepdims else norm


LOWERINGS: dict[str, Lowering] = {
    "linalg.det": _det,
    "linalg.diagonal": jnp.linalg.diagonal,
    "linalg.inv": jnp.linalg.inv,
    "linalg.lu": _lu,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.matrix_power": jnp.linalg.matrix_power,
    "linalg.qr": _qr,
    "linalg.slogdet": _slogdet,
    "linalg.trace": _trace,
    "linalg.vector_norm": vector_norm,
}
