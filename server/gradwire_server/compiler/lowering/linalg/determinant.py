"""The determinant in JAX, with derivatives that are right at singular matrices.

Up to four rows it is a polynomial, written out. For larger matrices the value
comes from an LU factorisation, and the derivatives from a form of the
determinant that needs no inverse of what may be singular.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire.tensors import Array
from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.slopes import with_slope

_ROWS = 4
"""Up to so many rows the polynomial is written out."""

# Laplace's expansion of four rows by the first two: each pair of columns, with the pair
# of those left, and the sign of the permutation that both are.
_UPPER = np.array([(0, 0, 0, 1, 1, 2), (1, 2, 3, 2, 3, 3)])
_LOWER = np.array([(2, 1, 1, 0, 0, 0), (3, 3, 2, 3, 2, 1)])
_SIGNS = np.array([1, -1, 1, 1, -1, 1])


def _det(x: jax.Array) -> jax.Array:
    if x.shape[-1] == 0:
        return jnp.ones(x.shape[:-2], x.dtype)
    return _large_det(x) if x.shape[-1] > _ROWS else _small_det(x)


def _small_det(x: jax.Array) -> jax.Array:
    """Returns the polynomial, right everywhere and in all orders."""
    if x.shape[-1] < _ROWS:
        value: jax.Array = jnp.linalg.det(x)  # written out there
        return value
    upper = _minors(x[..., 0, :], x[..., 1, :], _UPPER)
    lower = _minors(x[..., 2, :], x[..., 3, :], _LOWER)
    return jnp.sum(_SIGNS.astype(x.dtype) * upper * lower, -1)


def _minors(a: jax.Array, b: jax.Array, columns: Array) -> jax.Array:
    """Returns the minors of two rows in so many pairs of columns."""
    i, j = columns
    minors: jax.Array = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return minors


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
    """Returns ∂ det / ∂ x. JAX's is 0, silently, where elimination meets a column of zeros."""
    return _slope(_det_to_first_order, x)


@_cofactors.defjvp
def _cofactors_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    _, t_cofactors = jax.jvp(partial(_slope, _turned_det), primals, tangents)
    return _cofactors(*primals), t_cofactors


def _slope(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    value, pull = jax.vjp(function, x)
    slope: jax.Array = pull(jnp.ones_like(value))[0]
    return slope


def _det_to_first_order(x: jax.Array) -> jax.Array:
    """Returns a function with the first derivative of the determinant, quick to compile.

    With A = U S Vᴴ it is det U · det Vᴴ · Σ (Uᴴ dA V)ₖₖ Πₗ sₗ, over all l but k.
    """
    x, exponent = _balanced(x)
    u, values, vh = jnp.linalg.svd(lax.stop_gradient(x))
    ones = jnp.ones_like(values[..., :1])
    axis = values.ndim - 1
    before = lax.cumprod(jnp.concatenate([ones, values[..., :-1]], axis), axis)
    after = lax.cumprod(jnp.concatenate([values[..., 1:], ones], axis), axis, reverse=True)
    others = (before * after)[..., None, :].astype(x.dtype)
    cofactors = jnp.matmul(jnp.conj(u) * others, jnp.conj(vh), precision=lax.Precision.HIGHEST)
    value = jnp.sum(cofactors * x, (-2, -1))
    return _unbalanced(jnp.linalg.det(u) * value * jnp.linalg.det(vh), exponent)


def _turned_det(x: jax.Array) -> jax.Array:
    """Returns the determinant in a form that has all derivatives where the rank is n − 4 or more.

    With the singular value decomposition A = U S Vᴴ at this very point, U and V
    held constant, det A = det U · det B · det Vᴴ for B = Uᴴ A V, whatever A is;
    and B is near S, with the values that may be 0 last. So of the blocks
    [[P, Q], [R, W]] of B with four rows in W, P is regular, and
    det B = det P · det(W − R P⁻¹ Q), the last a polynomial.

    Below that rank four orders are 0, and higher ones are not offered: NaN. Rows and
    columns are first scaled by powers of 2, so that a matrix counts as singular
    for its directions and not for its units.
    """
    x, exponent = _balanced(x)
    u, values, vh = jnp.linalg.svd(lax.stop_gradient(x))
    turned = jnp.conj(u.mT) @ x @ jnp.conj(vh.mT)
    m = x.shape[-1] - _ROWS
    rounding = x.shape[-1] * float(np.finfo(x.dtype).eps)
    regular = values[..., m - 1] > rounding * values[..., 0]
    p, q = turned[..., :m, :m], turned[..., :m, m:]
    r, w = turned[..., m:, :m], turned[..., m:, m:]
    diagonal = jnp.where(regular[..., None], values[..., :m], 1)
    value = _det_near(diagonal, p) * _small_det(w - r @ _inverse_near(diagonal, p) @ q)
    flat = jnp.sum(x - lax.stop_gradient(x), (-2, -1))
    value = jnp.where(regular, value, _flat_to_order(_ROWS, flat))
    return _unbalanced(jnp.linalg.det(u) * value * jnp.linalg.det(vh), exponent)


def _balanced(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns x with rows and columns scaled to a largest element from ½ to 1.

    And what is to be added to the binary exponent of its determinant.
    """
    sizes = jnp.abs(lax.stop_gradient(x))
    rows = jnp.frexp(jnp.max(sizes, -1, keepdims=True))[1]
    sizes = jnp.ldexp(sizes, -rows)
    columns = jnp.frexp(jnp.max(sizes, -2, keepdims=True))[1]
    scaled = _times_power_of_two(_times_power_of_two(x, -rows), -columns)
    return scaled, jnp.sum(rows, (-2, -1)) + jnp.sum(columns, (-2, -1))


def _unbalanced(value: jax.Array, exponent: jax.Array) -> jax.Array:
    # In two halves: one power of 2 may be too large or too small where the product isn't.
    half = exponent // 2
    return _times_power_of_two(_times_power_of_two(value, half), exponent - half)


def _times_power_of_two(x: jax.Array, exponent: jax.Array) -> jax.Array:
    return x * jnp.ldexp(jnp.ones(exponent.shape, x.real.dtype), exponent).astype(x.dtype)


@jax.custom_jvp
def _inverse_near(diagonal: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x⁻¹ of a matrix x that is diagonal but for rounding."""
    inverse: jax.Array = jnp.eye(x.shape[-1], dtype=x.dtype) / diagonal[..., None].astype(x.dtype)
    return inverse


@_inverse_near.defjvp
def _inverse_near_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The usual rule: d x⁻¹ = −x⁻¹ dx x⁻¹."""
    inverse = _inverse_near(*primals)
    return inverse, -inverse @ tangents[1] @ inverse


@jax.custom_jvp
def _det_near(diagonal: jax.Array, x: jax.Array) -> jax.Array:
    """Returns det x of a matrix x that is diagonal but for rounding."""
    return jnp.prod(diagonal, -1).astype(x.dtype)


@_det_near.defjvp
def _det_near_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Jacobi's formula: d det x = det x tr(x⁻¹ dx)."""
    value = _det_near(*primals)
    return value, value * jnp.sum(_inverse_near(*primals).mT * tangents[1], (-2, -1))


def _flat_to_order(order: int, y: jax.Array) -> jax.Array:
    """Returns 0, with so many derivatives that are 0, and NaN beyond."""

    def slope(y: jax.Array) -> jax.Array:
        return _flat_to_order(order - 1, y) if order else jnp.full_like(y, jnp.nan)

    return with_slope(jnp.zeros_like, slope)(y)


LOWERINGS: dict[str, Lowering] = {"linalg.det": _det}
