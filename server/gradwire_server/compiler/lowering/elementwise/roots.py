"""The root of a sum of squares, in JAX.

Such a root r is not differentiable where it is 0. There the first derivative is
0, the mean over all directions, and every further one is NaN, since none exists
and 0 would be silently wrong. What is smooth although it is written with r, such
as r**2, is found in the program before it is lowered: ``rewriting.squares``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def root(square: jax.Array) -> jax.Array:
    """Returns the square root of a sum of squares, with the derivatives above.

    At 0 it is square**1.5 instead, whose first derivative 1.5 square**0.5 d(square)
    is 0, and whose second is inf · 0. These are JAX's own rules for powers, and not
    a rule of ours, so that no loop can lose them.
    """
    zero = square == 0
    flat = jnp.where(zero, square, 1) ** 1.5
    return jnp.where(zero, flat, jnp.sqrt(jnp.where(zero, 1, square)))


def length(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns sqrt(x² + y²); neither it nor its first derivatives overflow before they must.

    Both are divided by the larger, which is constant to all derivatives: s sqrt((x/s)² +
    (y/s)²) is the same function of x and y for every s.
    """
    largest = lax.stop_gradient(jnp.maximum(jnp.abs(x), jnp.abs(y)))
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    scaled = scale * root(jnp.square(x / scale) + jnp.square(y / scale))
    # As in C, an infinite side makes it infinite, whatever the other.
    return jnp.where(jnp.isnan(scaled) & (jnp.isinf(x) | jnp.isinf(y)), jnp.inf, scaled)
