"""The determinant in JAX, with derivatives that are right at singular matrices.

Up to four rows it is a polynomial, written out. For larger matrices the value
comes from an LU factorisation, and the derivatives from a form of the
determinant that needs no inverse of what may be singular.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.lowering.core import Lowering

_ROWS = 4
"""Up to so many rows the polynomial is written out."""


def _det(x: jax.Array) -> jax.Array:
    if x.shape[-1] == 0:
        return jnp.ones(x.shape[:-2], x.dtype)
    return _large_det(x) if x.shape[-1] > _ROWS else _small_det(x)


def _small_det(x: jax.Array) -> jax.Array:
    """Returns the polynomial, right everywhere and in all orders."""
    if x.shape[-1] < _ROWS:
        value: jax.Array = jnp.linalg.det(x)  # written out there
        return value
    total = jnp.zeros(x.shape[:-2], x.dtype)
    # Laplace's expansion by the first two rows: each pair of columns i < j with the
    # pair k < m of those left, its sign that of the permutation i, j, k, m.
    for sign, (i, j), (k, m) in (
        (1, (0, 1), (2, 3)),
        (-1, (0, 2), (1, 3)),
        (1, (0, 3), (1, 2)),
        (1, (1, 2), (0, 3)),
        (-1, (1, 3), (0, 2)),
        (1, (2, 3), (0, 1)),
    ):
        upper = x[..., 0, i] * x[..., 1, j] - x[..., 0, j] * x[..., 1, i]
        lower = x[..., 2, k] * x[..., 3, m] - x[..., 2, m] * x[..., 3, k]
        total = total + sign * upper * lower
    return total


@jax.custom_jvp
def _large_det(x: jax.Array) -> jax.Array:
    value: jax.Array = jnp.linalg.det(x)
    return value


@_large_det.defjvp
def _large_det_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    _, t_value = jax.jvp(_turned_det, primals, tangents)
    return _large_det(*primals), t_value


def _turned_det(x: jax.Array) -> jax.Array:
    """Returns the determinant in a form that has all derivatives where the rank is n − 4 or more.

    With the singular value decomposition A = U S Vᴴ at this very point, U and V
    held constant, det A = det U · det B · det Vᴴ for B = Uᴴ A V, whatever A is;
    and B is near S, with the values that may be 0 last. So of the blocks
    [[P, Q], [R, W]] of B with four rows in W, P is regular, and
    det B = det P · det(W − R P⁻¹ Q), the last a polynomial.

    Below that rank four orders are 0, and NaN says that more aren't offered.
    Rows and columns are first scaled by powers of 2, so that a matrix is called
    singular for its directions and not for its units.
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
    value = jnp.linalg.det(u) * value * jnp.linalg.det(vh)
    # In two halves: one power of 2 may be too large or too small where the product isn't.
    half = exponent // 2
    return _times_power_of_two(_times_power_of_two(value, half), exponent - half)


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
    """As known: d x⁻¹ = −x⁻¹ dx x⁻¹."""
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

    @jax.custom_jvp
    def flat(y: jax.Array) -> jax.Array:
        return jnp.zeros_like(y)

    @flat.defjvp
    def flat_jvp(
        primals: tuple[jax.Array], tangents: tuple[jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        (y,), (t_y,) = primals, tangents
        slope = _flat_to_order(order - 1, y) if order else jnp.full_like(y, jnp.nan)
        return flat(y), slope * t_y

    value: jax.Array = flat(y)
    return value


LOWERINGS: dict[str, Lowering] = {"linalg.det": _det}
