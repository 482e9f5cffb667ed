"""The gamma function and the like on the whole real line, in float64.

Every formula is accurate when it is differentiated by ordinary rules, so that a
custom rule of JAX's, which some loops lose, is a matter of speed only.
JAX's own polygamma and zeta are wrong below -6.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy import special

from gradwire_server.compiler.lowering.elementwise.slopes import Unary, with_slope
from gradwire_server.compiler.lowering.special.zeta import scaled_zeta

_STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
)
"""B_2k / 2k(2k-1), for log Γ(x) = (x - 1/2) log x - x + log(2π)/2 + Σ (…) x^(1-2k)."""


def stirling_series(x: jax.Array) -> jax.Array:
    """Returns the sum above, for x >= 10."""
    square = 1 / (x * x)
    series = jnp.zeros_like(x)
    for coefficient in reversed(_STIRLING):
        series = coefficient + series * square
    return series / x


def sin_pi(x: jax.Array) -> jax.Array:
    """Returns sin(πx), with whole zeros exact."""
    whole = jnp.round(x)
    sign = 1 - 2 * jnp.abs(whole - 2 * jnp.round(whole / 2))
    return sign * jnp.sin(math.pi * (x - whole))


def _digamma_value(x: jax.Array) -> jax.Array:
    """ψ(x); below 1/2 by ψ(1-x) - π cot(πx), DLMF 5.5.4."""
    low = x < 0.5
    fraction = jnp.where(low, x - jnp.round(x), 0.25)
    right = special.digamma(jnp.where(low, 1 - x, x))
    return right - jnp.where(low, math.pi / jnp.tan(math.pi * fraction), 0)


digamma: Unary = with_slope(_digamma_value, lambda x: polygamma(x, n=1))
"""ψ(x)."""


def polygamma(x: jax.Array, *, n: int) -> jax.Array:
    """Returns ψ⁽ⁿ⁾(x) = (-1)^(n+1) n! ζ(n+1, x), DLMF 25.11.12.

    With c = n!^(1/(n+1)) that is ± Σ ((x+k)/c)^-(n+1), which does not overflow
    or underflow where the product does not.
    """
    if n == 0:
        return digamma(x)
    order = jnp.full_like(x, n + 1)
    scale = math.exp(math.lgamma(n + 1) / (n + 1))
    value = scaled_zeta(order, x, scale)
    return value if n % 2 else -value


def _gammaln_value(x: jax.Array) -> jax.Array:
    """log|Γ(x)|; below 1/2 by log π - log|sin πx| - log Γ(1-x), DLMF 5.5.3."""
    low = (x < 0.5) & (x > -jnp.inf)
    right = special.gammaln(jnp.where(low, 1 - x, x))
    sine = jnp.abs(sin_pi(jnp.where(low, x, 0.5)))
    return jnp.where(low, math.log(math.pi) - jnp.log(sine) - right, right)


gammaln: Unary = with_slope(_gammaln_value, digamma)
"""log|Γ(x)|."""


def loggamma(x: jax.Array) -> jax.Array:
    """Returns log Γ(x), NaN for x < 0, where its principal branch is not real."""
    # A derivative of a product keeps the NaN; one of a choice would be 0 in reverse.
    return gammaln(x) * jnp.where(x < 0, jnp.nan, 1).astype(x.dtype)


_ZETA_LESS_1 = (
    0.6449340668482264,
    0.2020569031595943,
    0.08232323371113819,
    0.03692775514336993,
    0.01734306198444914,
    0.008349277381922827,
    0.00407735619794434,
    0.0020083928260822143,
    0.0009945751278180853,
    0.0004941886041194645,
    0.0002460865533080483,
    0.00012271334757848915,
    6.124813505870483e-05,
    3.058823630702049e-05,
    1.528225940865187e-05,
    7.637197637899763e-06,
    3.81729326499984e-06,
    1.908212716553939e-06,
    9.539620338727962e-07,
    4.769329867878064e-07,
)
"""ζ(k) - 1 for k = 2, 3, …, rounded from 40 digits."""

_EULER = 0.57721566490153286


def gammaln_of_1_plus(x: jax.Array) -> jax.Array:
    """Returns log Γ(1+x) for x >= 0, where 1 + x would round a small x.

    -log(1+x) + x (1-γ) + Σ (-1)^k (ζ(k)-1) x^k / k over k >= 2, DLMF 5.7.3.
    """
    near = x < 0.25
    small = jnp.where(near, x, 0)
    series = jnp.zeros_like(x)
    for k in range(len(_ZETA_LESS_1) + 1, 1, -1):
        series = (-1) ** k * _ZETA_LESS_1[k - 2] / k + series * small
    value = -jnp.log1p(small) + small * ((1 - _EULER) + small * series)
    return jnp.where(near, value, gammaln(1 + jnp.where(near, 1, x)))


_SHIFT = 13


def _gamma_right(x: jax.Array) -> jax.Array:
    """Γ(x) for x >= 1/2, by Stirling's series past 13 and Γ(x+13) = Γ(x) x (x+1) … (x+12)."""
    small = x < _SHIFT
    large = jnp.minimum(jnp.where(small, x + _SHIFT, x), 180)
    power = large ** (large / 2 - 0.25)  # its square overflows before Γ does
    value = math.sqrt(2 * math.pi) * power * (power * jnp.exp(stirling_series(large) - large))
    near = jnp.where(small, x, 1)
    product = jnp.ones_like(x)
    for k in range(_SHIFT):
        product = product * (near + k)
    return jnp.where(small, value / product, value)


@jax.custom_jvp
def gamma(x: jax.Array) -> jax.Array:
    """Returns Γ(x), on the left by Γ(x) Γ(1-x) = π / sin πx; NaN at its poles below 0."""
    low = x < 0.5
    right = _gamma_right(jnp.where(low, 1 - x, x))
    sine = sin_pi(jnp.where(low, x, 0.5))
    sine = jnp.where((sine == 0) & (x < 0), jnp.nan, sine)
    return jnp.where(low, math.pi / sine / right, right)


@gamma.defjvp
def _gamma_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    value = gamma(x)
    return value, value * digamma(x) * t_x


def _gammaln_difference(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns log Γ(b) - log Γ(a + b) for 0 < a <= b, b >= 8, without cancellation.

    Stirling's series of both, as in DiDonato and Morris, Algorithm 708, ALGDIV.
    """
    h = a / b
    x = 1 / (1 + h)
    correction, power, geometric = jnp.zeros_like(h), jnp.ones_like(h), jnp.ones_like(h)
    for coefficient in _STIRLING:  # geometric is 1 + x + ... + x^(2k)
        correction += coefficient * geometric * power
        power /= b * b
        geometric = 1 + x + x * x * geometric
    correction *= h / (1 + h) / b
    return correction - (b + (a - 0.5)) * jnp.log1p(h) - a * (jnp.log(b) - 1)


def betaln(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns log B(a, b) for a, b > 0. JAX's is off by 5e-9 at (30, 40).

    The larger one is brought past 8 by B(a, b) = B(a, b+8) Π (1 + a/(b+k)). At
    a = b one of the two counts as the larger: in both cases the derivatives are
    those of the same smooth function.
    """
    outside = (a < 0) | (b < 0)
    low, high = jnp.where(a < b, a, b), jnp.where(a < b, b, a)
    small = high < 8
    near = jnp.where(small, high, 8)[..., None] + jnp.arange(8.0)
    shifted = jnp.sum(jnp.log1p(low[..., None] / near), axis=-1)
    far = _gammaln_difference(low, jnp.where(small, high + 8, high))
    value = gammaln(low) + far + jnp.where(small, shifted, 0)
    return value * jnp.where(outside, jnp.nan, 1)


def beta(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns B(a, b) for a, b > 0."""
    return jnp.exp(betaln(a, b))
