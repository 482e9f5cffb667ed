"""μ - log(1+μ), the distance that large deviations of gamma and beta laws depend on."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def log1p_ratio(mu: jax.Array) -> jax.Array:
    """Returns 2 (μ - log(1+μ)) / μ² for |μ| <= 0.4; 1 at 0.

    With s = μ/(2+μ), so that μ = 2s/(1-s) and log(1+μ) = 2 artanh s, it is
    (1-s) - s (1-s)² Σ s^2k/(2k+3).
    """
    s = mu / (2 + mu)
    square = s * s
    series = jnp.zeros_like(mu)
    for k in range(15, -1, -1):
        series = 1 / (2 * k + 3) + series * square
    return (1 - s) * (1 - s * (1 - s) * series)


def minus_log1p(mu: jax.Array, ratio: jax.Array) -> jax.Array:
    """Returns μ - log(1+μ), where ``ratio`` is 1 + μ to full relative accuracy.

    Near 0 by the series above, whose derivatives do not cancel either.
    """
    near = jnp.abs(mu) < 0.4
    inside = jnp.where(near, mu, 0)
    away = jnp.where(near, 1, ratio)
    far = jnp.where(near, 1, mu) - jnp.log(away)
    return jnp.where(near, inside * inside / 2 * log1p_ratio(inside), far)
