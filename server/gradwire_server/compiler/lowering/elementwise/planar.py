"""Length and angle of the point (x, y), without overflow in any derivative."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradwire_server.compiler.lowering.core import Lowering
from gradwire_server.compiler.lowering.elementwise.roots import length
from gradwire_server.compiler.lowering.elementwise.slopes import tangent_of

Pair = tuple[jax.Array, jax.Array]
Tangents = tuple[Any, Any]

# With h = hypot(x, y), c = x/h, s = y/h, u = x/h², v = y/h² and the angle a:
#   dh = c dx + s dy,  da = u dy - v dx,  dc = -s da,  ds = c da,
# and from d(1/z) = -dz/z² for 1/z = u - iv:
#   du = (v² - u²) dx - 2uv dy,  dv = (u² - v²) dy - 2uv dx.
# Nothing here squares x or y, and nothing cancels, as 1 - c² would. Where a loop
# loses these rules, the derivatives of the plain formulas are right, too, but
# 1/h - x²/h³ has lost the digits of y²/h³ where y is small.


@jax.custom_jvp
def hypot(x: jax.Array, y: jax.Array) -> jax.Array:
    """sqrt(x*x + y*y)."""
    return length(*jnp.broadcast_arrays(x, y))


def _hypot_jvp(primals: Pair, tangents: Tangents) -> tuple[jax.Array, jax.Array]:
    (t_x, t_y), value = tangents, hypot(*primals)
    cosine, sine = direction(*primals)
    return value, tangent_of(value, (cosine, t_x), (sine, t_y))


hypot.defjvp(_hypot_jvp, symbolic_zeros=True)


@jax.custom_jvp
def direction(x: jax.Array, y: jax.Array) -> Pair:
    """The pair c, s; 0 and 0 at the origin, where their derivative is NaN."""
    h = length(x, y)
    zero = h == 0
    safe = jnp.where(zero, 1, h)
    origin = jnp.sqrt(jnp.where(zero, x * x + y * y, 1))  # 0, whose derivative is NaN
    return jnp.where(zero, origin, x / safe), jnp.where(zero, origin, y / safe)


def _direction_jvp(primals: Pair, tangents: Tangents) -> tuple[Pair, Pair]:
    t_x, t_y = tangents
    cosine, sine = direction(*primals)
    u, v = _inverse(*primals)
    t_cosine = tangent_of(cosine, (sine * v, t_x), (-sine * u, t_y))
    t_sine = tangent_of(sine, (-cosine * v, t_x), (cosine * u, t_y))
    return (cosine, sine), (t_cosine, t_sine)


direction.defjvp(_direction_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _inverse(x: jax.Array, y: jax.Array) -> Pair:
    """The pair u, v; NaN at the origin."""
    h = length(x, y)
    inverse = 1 / h  # XLA makes x / (h * h) of x / h / h, which overflows
    return x / h * inverse, y / h * inverse


def _inverse_jvp(primals: Pair, tangents: Tangents) -> tuple[Pair, Pair]:
    t_x, t_y = tangents
    u, v = _inverse(*primals)
    along, across = (u - v) * (u + v), 2 * u * v
    t_u = tangent_of(u, (-along, t_x), (-across, t_y))
    return (u, v), (t_u, tangent_of(v, (-across, t_x), (along, t_y)))


_inverse.defjvp(_inverse_jvp, symbolic_zeros=True)


@jax.custom_jvp
def atan2(y: jax.Array, x: jax.Array) -> jax.Array:
    """The angle of the point (x, y)."""
    return jnp.atan2(y, x)


def _atan2_jvp(primals: Pair, tangents: Tangents) -> tuple[jax.Array, jax.Array]:
    (y, x), (t_y, t_x) = primals, tangents
    value, (u, v) = atan2(y, x), _inverse(x, y)
    return value, tangent_of(value, (u, t_y), (-v, t_x))


atan2.defjvp(_atan2_jvp, symbolic_zeros=True)


LOWERINGS: dict[str, Lowering] = {"atan2": atan2, "hypot": hypot}
