"""The table of special functions; those of JAX stay where they are accurate."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise import hyperbolic
from gradwire_server.compiler.lowering.elementwise.division import divide
from gradwire_server.compiler.lowering.elementwise.widths import in_double
from gradwire_server.compiler.lowering.special import (
    bessel,
    entropy,
    gamma,
    incomplete_beta,
    incomplete_gamma,
    normal,
    zeta,
)


def _polygamma(x: jax.Array, *, n: int) -> jax.Array:
    return in_double(lambda x: gamma.polygamma(x, n=n))(x)


def _logit(x: jax.Array) -> jax.Array:
    """Its derivative has a finite formula outside of 0 to 1, where there is no value."""
    return hyperbolic.logit(x) * jnp.where((x >= 0) & (x <= 1), 1, jnp.nan).astype(x.dtype)


def _sinc(x: jax.Array) -> jax.Array:
    """sin(πx) / πx, by its series for |x| < 1/2, where the quotient's derivatives cancel."""
    near = jnp.abs(x) < 0.5
    square = jnp.where(near, (math.pi * x) ** 2, 0)
    series = jnp.zeros_like(x)
    for k in range(13, -1, -1):
        series = (-1) ** k / math.factorial(2 * k + 1) + series * square

    # sin(πx) = ±sin(π(x - n)) for the nearest integer n: a product πx of a large x
    # has no digit of its fraction.
    away = jnp.where(near, 1, x)
    whole = lax.stop_gradient(jnp.round(jnp.real(away)))
    sign = 1 - 2 * jnp.abs(jnp.remainder(whole, 2)).astype(x.dtype)
    sine = jnp.sin(math.pi * (away - whole.astype(x.dtype)))
    return jnp.where(near, series, divide(sign * sine, math.pi * away))


LOWERINGS: dict[str, Lowering] = {
    "special.beta": in_double(gamma.beta),
    "special.betainc": incomplete_beta.betainc,
    "special.betaln": in_double(gamma.betaln),
    "special.digamma": in_double(gamma.digamma),
    "special.entr": entropy.entr,
    "special.erf": special.erf,
    "special.erfc": special.erfc,
    "special.erfcinv": in_double(normal.erfcinv),
    "special.erfcx": in_double(normal.erfcx),
    "special.erfinv": special.erfinv,
    "special.expit": hyperbolic.expit,
    "special.gamma": in_double(gamma.gamma),
    "special.gammainc": incomplete_gamma.gammainc,
    "special.gammaincc": incomplete_gamma.gammaincc,
    "special.gammaln": in_double(gamma.gammaln),
    "special.i0": in_double(bessel.i0),
    "special.i0e": in_double(bessel.i0e),
    "special.i1": in_double(bessel.i1),
    "special.i1e": in_double(bessel.i1e),
    "special.kl_div": in_double(entropy.kl_div),
    "special.log_ndtr": in_double(normal.log_ndtr),
    "special.loggamma": in_double(gamma.loggamma),
    "special.logit": _logit,
    "special.ndtr": in_double(special.ndtr),
    "special.ndtri": in_double(normal.ndtri),
    "special.polygamma": _polygamma,
    "special.rel_entr": in_double(entropy.rel_entr),
    "special.sinc": _sinc,
    "special.xlog1py": entropy.xlog1py,
    "special.xlogy": entropy.xlogy,
    "special.zeta": in_double(zeta.zeta),
}
