"""Hurwitz's zeta function for every real q, in float64; no loop runs as long as q is low."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

_TERMS = 9
"""How many terms are added before the rest is integrated."""

_BERNOULLI = (
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
    43867 / 798,
    -174611 / 330,
    854513 / 138,
    -236364091 / 2730,
)
"""B_2, B_4, …"""


def _right(s: jax.Array, q: jax.Array, scale: float) -> jax.Array:
    """Σ ((q+k)/scale)^-s for q > 0, by the formula of Euler and Maclaurin, DLMF 25.11.7.

    With T = q + 9 the rest past nine terms is T^(1-s) times 1/(s-1) + 1/2T +
    Σ B_2j/(2j)! s(s+1)…(s+2j-2) T^-2j. For s > 100 T it is below e^-900 of the
    first term, and left out, because its factors would overflow.
    """
    head = jnp.sum(((q[..., None] + jnp.arange(float(_TERMS))) / scale) ** -s[..., None], axis=-1)
    end = q + _TERMS
    steep = s > 100 * end
    s = jnp.where(steep, 2, s)
    series = jnp.zeros_like(end)
    for place in range(len(_BERNOULLI), 0, -1):
        # b_j = B_2j/(2j)!, scaled so that each factor is (s+…)/(T (2j-1)).
        step = ((s + (2 * place - 1)) / (2 * place + 1)) * ((s + 2 * place) / (2 * place + 2))
        series = _BERNOULLI[place - 1] + series * step / end / end
    rest = 1 / (s - 1) + (0.5 + series * s / 2 / end) / end
    power = scale * (end / scale) ** (1 - s)
    return head + jnp.where(steep, 0, power * rest)


def _everywhere(s: jax.Array, q: jax.Array, scale: float) -> jax.Array:
    """Σ ((q+k)/scale)^-s for whole s > 1 and every q, or q > 0 and s > 1.

    For q < 0 with the fractions f = q - floor(q) and g = ceil(q) - q, the terms
    before 0 taken from the sum over all whole numbers leave
    ζ(s, f) + (-1)^s (ζ(s, g) - ζ(s, 1-q)).
    """
    left = q < 0
    pole = left & (q == jnp.floor(q))
    parity = jnp.where(left, 1 - 2 * lax.stop_gradient(s - 2 * jnp.floor(s / 2)), 0)
    first = jnp.where(left, q - jnp.floor(q), q)
    second = jnp.where(left & ~pole, jnp.ceil(q) - q, 1)
    third = jnp.where(left, 1 - q, 1)
    orders = jnp.broadcast_to(s, (3, *s.shape))
    parts = _right(orders, jnp.stack([first, second, third]), scale)
    # Equal parts cancel exactly where q is half a whole number.
    return parts[0] + parity * parts[1] - parity * parts[2]


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def scaled_zeta(s: jax.Array, q: jax.Array, scale: float) -> jax.Array:
    """Returns Σ ((q+k)/scale)^-s over k >= 0, differentiable by q only.

    The rule is shorter than the derivative of the formulas, which is as accurate.

    Args:
        s: The exponent, above 1, and whole where q < 0.
        q: Any number; at a pole the sum is infinite.
        scale: A positive number.
    """
    return _everywhere(s, q, scale)


@scaled_zeta.defjvp
def _scaled_zeta_jvp(
    scale: float, primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (s, q), (_, t_q) = primals, tangents
    return scaled_zeta(s, q, scale), -s / scale * scaled_zeta(s + 1, q, scale) * t_q


def _by_s(s: jax.Array, q: jax.Array) -> jax.Array:
    """ζ(s, q) by the plain formulas, NaN where q <= 0: it serves derivatives by s."""
    inside = jnp.where(q > 0, q, jnp.nan)
    return _right(s, inside, 1.0)


def zeta(s: jax.Array, q: jax.Array) -> jax.Array:
    """Returns ζ(s, q) = Σ (q+k)^-s; inf for s = 1, NaN for s < 1 and for broken s at q < 0."""
    outside = (s < 1) | ((q < 0) & (s != jnp.floor(s)))
    order = jnp.where(s <= 1, 2, s)
    factor = jnp.where(outside, jnp.nan, jnp.where(s == 1, jnp.inf, 1))
    return _zeta(order, q) * factor


@jax.custom_jvp
def _zeta(s: jax.Array, q: jax.Array) -> jax.Array:
    return scaled_zeta(s, q, 1.0)


def _zeta_rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, Any]:
    (s, q), (t_s, t_q) = primals, tangents
    out = _zeta(s, q)
    t_out = jnp.zeros_like(out)
    if not isinstance(t_q, SymbolicZero):
        t_out += -s * _zeta(s + 1, q) * t_q
    if not isinstance(t_s, SymbolicZero):
        t_out += jax.jvp(lambda s: _by_s(s, q), (s,), (jnp.ones_like(s),))[1] * t_s
    return out, t_out


_zeta.defjvp(_zeta_rule, symbolic_zeros=True)
