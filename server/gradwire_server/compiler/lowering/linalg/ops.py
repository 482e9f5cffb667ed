"""Factorisations and functions of one matrix in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.norms import sum_norm, vector_norm
from gradwire_server.compiler.lowering.linalg.double import differentiated_in_double
from gradwire_server.compiler.lowering.linalg.gaps import non_finite_where
from gradwire_server.compiler.lowering.linalg.guard import Operand, guarded
from gradwire_server.compiler.lowering.linalg.singular import singular_values
from gradwire_server.compiler.lowering.linalg.spectral_sums import singular_sum


def _slogdet(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.slogdet(x))


def _qr(x: jax.Array) -> tuple[jax.Array, ...]:
    q, r = jnp.linalg.qr(x)
    # Derivatives divide by the diagonal of R. Where an element of it is nothing but
    # rounding, they are arbitrary numbers of any size.
    pivots = jnp.abs(jnp.diagonal(lax.stop_gradient(r), axis1=-2, axis2=-1))
    rounding = 10 * max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    least = jnp.min(pivots, -1, initial=jnp.inf)
    lost = (least <= rounding * jnp.max(pivots, -1, initial=0))[..., None, None]
    return tuple(y + _loud_change(y, lost) for y in (q, r))


def _loud_change(y: jax.Array, lost: jax.Array) -> jax.Array:
    """Returns 0, whose derivative makes that of y infinite where ``lost``."""
    change = y - lax.stop_gradient(y)
    return jnp.where(lost, non_finite_where(lost, change), 0)


def _lu(x: jax.Array) -> tuple[jax.Array, ...]:
    m, n = x.shape[-2:]
    k = min(m, n)
    packed, _, order = lax.linalg.lu(x)
    permutation = jnp.arange(m, dtype=order.dtype)[:, None] == order[..., None, :]
    lower = jnp.tril(packed[..., :k], -1) + jnp.eye(m, k, dtype=x.dtype)
    return permutation.astype(x.real.dtype), lower, jnp.triu(packed[..., :k, :])


def _trace(x: jax.Array, *, offset: int) -> jax.Array:
    return jnp.trace(x, offset, -2, -1, dtype=x.dtype)


def _spectral_norm_of_finite(x: jax.Array, *, ord: str) -> jax.Array:
    """Returns the sum of the singular values, the largest or the smallest: nuc, 2 or -2."""
    if ord == "nuc":
        return singular_sum(lambda s: s, x)
    values: jax.Array = differentiated_in_double(singular_values)(x)
    return values[..., 0 if ord == "2" else -1]


_spectral_norm = guarded(_spectral_norm_of_finite, Operand())
_inverse = guarded(jnp.linalg.inv, Operand())


def _matrix_power(x: jax.Array, *, n: int) -> jax.Array:
    power: jax.Array = jnp.linalg.matrix_power(x if n >= 0 else _inverse(x), abs(n))
    return power


def _matrix_norm(x: jax.Array, *, ord: str, keepdims: bool) -> jax.Array:
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), ord=2.0, keepdims=keepdims)
    if ord not in ("nuc", "2", "-2"):
        rows, least = ord.endswith("inf"), ord.startswith("-")
        return sum_norm(x, rows=rows, least=least, keepdims=keepdims)
    norm: jax.Array = _spectral_norm(x, ord=ord)
    return norm[..., None, None] if keepdims else norm


LOWERINGS: dict[str, Lowering] = {
    "linalg.diagonal": jnp.linalg.diagonal,
    "linalg.inv": jnp.linalg.inv,
    "linalg.lu": _lu,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.matrix_power": _matrix_power,
    "linalg.qr": _qr,
    "linalg.slogdet": _slogdet,
    "linalg.trace": _trace,
    "linalg.vector_norm": vector_norm,
}
