"""Factorisations and functions of one matrix in JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.lowering.core import Lowering
from gradwire_server.lowering.guard import Operand, guarded


def _eig(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.eig(x))


def _eigh(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.eigh(x))


def _slogdet(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.slogdet(x))


def _qr(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.qr(x))


def _svd(x: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(jnp.linalg.svd(x, full_matrices=False))


def _lu(x: jax.Array) -> tuple[jax.Array, ...]:
    m, n = x.shape[-2:]
    k = min(m, n)
    packed, _, order = lax.linalg.lu(x)
    permutation = jnp.arange(m, dtype=order.dtype)[:, None] == order[..., None, :]
    lower = jnp.tril(packed[..., :k], -1) + jnp.eye(m, k, dtype=x.dtype)
    return permutation.astype(x.real.dtype), lower, jnp.triu(packed[..., :k, :])


def pseudoinverse(x: jax.Array, rtol: float) -> jax.Array:
    """Returns the pseudoinverse; a negative ``rtol`` stands for epsilon times max(m, n)."""
    if rtol < 0:
        rtol = max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return jnp.linalg.pinv(x, rtol=rtol)


def _pinv(x: jax.Array, *, rtol: float) -> jax.Array:
    return pseudoinverse(x, rtol)


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
    # Where the norm is 0, the root below has no derivative, nor has the power of
    # some orders: neither is reached there. One element 0 is enough for a negative order.
    fixed = lax.stop_gradient(size)
    if order < 0:
        zero = jnp.any(fixed == 0, axis, keepdims=True)
    else:
        zero = jnp.sum(fixed**order, axis, keepdims=True) == 0
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


_SPECTRAL: dict[str, Callable[[jax.Array], jax.Array]] = {
    "nuc": lambda s: jnp.sum(s, -1),
    "2": lambda s: s[..., 0],
    "-2": lambda s: s[..., -1],
}


_singular_values = guarded(jnp.linalg.svdvals, Operand())
_inverse = guarded(jnp.linalg.inv, Operand())


def _matrix_power(x: jax.Array, *, n: int) -> jax.Array:
    power: jax.Array = jnp.linalg.matrix_power(x if n >= 0 else _inverse(x), abs(n))
    return power


def _matrix_norm(x: jax.Array, *, ord: str, keepdims: bool) -> jax.Array:
    if ord == "fro":
        return _vector_norm(x, axis=(-2, -1), ord=2.0, keepdims=keepdims)
    if ord in _SPECTRAL:
        norm = _SPECTRAL[ord](_singular_values(x))
    else:
        sums = jnp.sum(_magnitude(x), -1 if ord.endswith("inf") else -2)
        norm = jnp.min(sums, -1) if ord.startswith("-") else jnp.max(sums, -1)
    return norm[..., None, None] if keepdims else norm


LOWERINGS: dict[str, Lowering] = {
    "linalg.cholesky": jnp.linalg.cholesky,
    "linalg.diagonal": jnp.linalg.diagonal,
    "linalg.eig": _eig,
    "linalg.eigh": _eigh,
    "linalg.eigvals": jnp.linalg.eigvals,
    "linalg.eigvalsh": jnp.linalg.eigvalsh,
    "linalg.inv": jnp.linalg.inv,
    "linalg.lu": _lu,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.matrix_power": _matrix_power,
    "linalg.pinv": _pinv,
    "linalg.qr": _qr,
    "linalg.slogdet": _slogdet,
    "linalg.svd": _svd,
    "linalg.svdvals": jnp.linalg.svdvals,
    "linalg.trace": _trace,
    "linalg.vector_norm": _vector_norm,
}
