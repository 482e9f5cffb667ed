"""The exponential of a matrix, in JAX.

JAX's own has a branch for each of five degrees. In a batch all five are
computed, and each costs compiling again in every derivative. Here there is one.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradwire_server.lowering.core import Lowering

_MAX_SQUARINGS = 16

# For each precision the norm up to which a Padé approximant of the exponential
# is exact to rounding, and its coefficients: degree 7 and 13. From Higham, The
# Scaling and Squaring Method for the Matrix Exponential Revisited, 2005, table 2.3.
_SINGLE = (3.925724783138660, (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1))
_DOUBLE = (
    5.371920351148152,
    (
        *(64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800),
        *(129060195264000, 10559470521600, 670442572800, 33522128640),
        *(1323241920, 40840800, 960960, 16380, 182, 1),
    ),
)


def expm(a: jax.Array) -> jax.Array:
    """Returns exp A of one matrix: the approximant's value at A / 2ˢ, squared s times.

    NaN for matrices of a 1-norm over 2¹⁶ times what the approximant is good for.
    """
    if a.size == 0:
        return a
    bound, coefficients = _DOUBLE if a.real.dtype.itemsize > 4 else _SINGLE
    # The number of squarings doesn't change the value, so it has no derivative.
    norm = jnp.max(jnp.sum(jnp.abs(lax.stop_gradient(a)), axis=0))
    squarings = jnp.maximum(0, jnp.ceil(jnp.log2(norm / bound)))
    # NaN already here, so that the derivatives of what has no value are NaN, too.
    within = squarings <= _MAX_SQUARINGS
    scale = jnp.where(within, jnp.ldexp(jnp.ones_like(norm), -squarings.astype(np.int32)), jnp.nan)
    root = _pade(a * scale.astype(a.dtype), coefficients)

    def step(x: jax.Array, count: jax.Array) -> tuple[jax.Array, None]:
        return lax.cond(count < squarings, lambda x: x @ x, lambda x: x, x), None

    result, _ = lax.scan(step, root, jnp.arange(_MAX_SQUARINGS, dtype=squarings.dtype))
    return result


def _pade(a: jax.Array, coefficients: tuple[int, ...]) -> jax.Array:
    """Returns (V − U)⁻¹ (V + U), U the odd and V the even part of the numerator."""
    square = a @ a
    fourth = square @ square
    powers = [jnp.eye(a.shape[0], dtype=a.dtype), square, fourth, fourth @ square]
    u = a @ _combine(coefficients[1::2], powers)
    v = _combine(coefficients[::2], powers)
    quotient: jax.Array = jnp.linalg.solve(v - u, v + u)
    return quotient


def _combine(coefficients: tuple[int, ...], powers: list[jax.Array]) -> jax.Array:
    """Returns Σ cᵢ A²ⁱ. The powers end at A⁶; those beyond it are A⁶ times another."""
    low, high = coefficients[: len(powers)], coefficients[len(powers) :]
    result = _weigh(low, powers)
    if not high:
        return result
    beyond: jax.Array = powers[-1] @ _weigh(high, powers[1:])
    return result + beyond


def _weigh(weights: tuple[int, ...], terms: list[jax.Array]) -> jax.Array:
    total: jax.Array = sum(
        (float(c) * x for c, x in zip(weights, terms, strict=True)), jnp.zeros_like(terms[0])
    )
    return total


LOWERINGS: dict[str, Lowering] = {"linalg.expm": jnp.vectorize(expm, signature="(n,n)->(n,n)")}
