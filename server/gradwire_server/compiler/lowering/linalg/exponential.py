"""The exponential of a matrix, in JAX.

JAX's own has a branch for each of five degrees, and solves a linear system. In a
batch all five are computed, and each costs compiling again in every derivative.
Here there is one, made of products alone.
"""

from __future__ import annotations

from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.compiler.lowering.core import Lowering

_MAX_SQUARINGS = 20

# For each precision a degree and the norm up to which the Taylor polynomial is exp
# of a matrix that is within rounding of A: where Σ |cₖ| θᵏ⁻¹ = 2⁻⁵³ (2⁻²⁴) for
# log(e⁻ˣ T(x)) = Σ cₖ xᵏ (Higham, Functions of Matrices, 10.3; computed in
# fractions). And how many powers are made: the degree is a multiple of that.
_SINGLE = (9, 0.7795, 3)
_DOUBLE = (16, 0.7802, 4)


def expm(a: jax.Array) -> jax.Array:
    """Returns exp A of one matrix: the polynomial's value at A / 2ˢ, squared s times.

    NaN for matrices of a 1-norm over 2²⁰ times the polynomial's bound.
    """
    if a.size == 0:
        return a
    degree, bound, powers = _DOUBLE if a.real.dtype.itemsize > 4 else _SINGLE
    # The number of squarings doesn't change the value, so it has no derivative.
    norm = jnp.max(jnp.sum(jnp.abs(lax.stop_gradient(a)), axis=0))
    squarings = jnp.maximum(0, jnp.ceil(jnp.log2(norm / bound)))
    # NaN already here, so that the derivatives of what has no value are NaN, too.
    within = squarings <= _MAX_SQUARINGS
    scale = jnp.where(within, jnp.ldexp(jnp.ones_like(norm), -squarings.astype(np.int32)), jnp.nan)
    root = _taylor(a * scale.astype(a.dtype), degree, powers)

    def step(x: jax.Array, count: jax.Array) -> tuple[jax.Array, None]:
        return lax.cond(count < squarings, lambda x: x @ x, lambda x: x, x), None

    result, _ = lax.scan(step, root, jnp.arange(_MAX_SQUARINGS, dtype=squarings.dtype))
    return result


def _taylor(a: jax.Array, degree: int, count: int) -> jax.Array:
    """Returns Σ Aⁱ / i! up to a degree, as a polynomial in the last of so many powers.

    Paterson and Stockmeyer 1973: its coefficients are polynomials in the other powers.
    """
    powers = [jnp.eye(a.shape[0], dtype=a.dtype), a]
    while len(powers) <= count:
        powers.append(powers[-1] @ a)
    # The first product is one with a multiple of I.
    higher = powers[-1] * (1 / factorial(degree))
    for first in range(degree - count, -1, -count):
        terms = [x * (1 / factorial(first + i)) for i, x in enumerate(powers[:-1])]
        total = sum(terms, higher)
        higher = total @ powers[-1]
    return total


LOWERINGS: dict[str, Lowering] = {"linalg.expm": jnp.vectorize(expm, signature="(n,n)->(n,n)")}
