"""Factorisations and functions of one matrix in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradwire_server.lowering.core import Lowering
from gradwire_server.lowering.double import differentiated_in_double
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


def _magnitude(x: jax.Array) -> jax.Array:
    """Returns |x|; all derivatives are 0 at 0, where JAX's are 1 and NaN."""
    if jnp.iscomplexobj(x):
        return _root(jnp.square(x.real) + jnp.square(x.imag))
    return x * jnp.sign(x)


def _root(x: jax.Array) -> jax.Array:
    """Returns the square root; all derivatives are 0 at 0."""
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


def _power_norm(x: jax.Array, order: float, axis: tuple[int, ...], keepdims: bool) -> jax.Array:
    """Returns the norm for an order other than 2."""
    size = _magnitude(x)
    if order == 0:
        return jnp.sum((x != 0).astype(size.dtype), axis, keepdims=keepdims)
    if order == jnp.inf:
        return jnp.max(size, axis, keepdims=keepdims, initial=0)
    if order == -jnp.inf:
        return jnp.min(size, axis, keepdims=keepdims)
    if order == 1:
        return jnp.sum(size, axis, keepdims=keepdims)
    # Where the sum is 0, the root below has no derivative, nor has the power of
    # some orders: neither is reached there.
    zero = jnp.sum(lax.stop_gradient(size) ** order, axis, keepdims=True) == 0
    total = jnp.sum(jnp.where(zero, 1, size) ** order, axis, keepdims=True)
    norm = jnp.where(zero, 0, total ** (1 / order))
    return norm if keepdims else jnp.squeeze(norm, axis)


def _vector_norm(x: jax.Array, *, axis: tuple[int, ...], ord: float, keepdims: bool) -> jax.Array:
    dtype = x.real.dtype
    if dtype.itemsize < 4:  # squares of half precision overflow from 256 on
        x = x.astype(jnp.float32)
    if ord == 2:
        squares = jnp.square(x.real) + jnp.square(x.imag) if jnp.iscomplexobj(x) else x * x
        return _root(jnp.sum(squares, axis, keepdims=keepdims)).astype(dtype)
    return _power_norm(x, ord, axis, keepdims).astype(dtype)


def spectral_norm(x: jax.Array, ord: str) -> jax.Array:
    """Returns the sum of the singular values, the largest or the smallest: nuc, 2 or -2."""
    if ord == "nuc":
        return singular_sum(lambda s: s, x)
    values: jax.Array = differentiated_in_double(singular_values)(x)
    return values[..., 0 if ord == "2" else -1]


def _matrix_norm(x: jax.Array, *, ord: str, keepdims: bool) -> jax.Array:
    if ord == "fro":
        return _vector_norm(x, axis=(-2, -1), ord=2.0, keepdims=keepdims)
    if ord in ("nuc", "2", "-2"):
        norm = spectral_norm(x, ord)
    else:
        sums = jnp.sum(_magnitude(x), -1 if ord.endswith("inf") else -2)
        norm = jnp.min(sums, -1) if ord.startswith("-") else jnp.max(sums, -1)
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
    "linalg.vector_norm": _vector_norm,
}
