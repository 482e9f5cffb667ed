"""x log y and the like, right at their ends; they work in the dtype of their operands."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special

from gradwire_server.compiler.lowering.elementwise.division import divide
from gradwire_server.compiler.lowering.elementwise.widths import Function
from gradwire_server.compiler.lowering.special.log1pmx import minus_log1p

# x/y and its derivatives come from `divide`: a square of y on the way would
# overflow or underflow.


def _with_quotient(function: Function, log: Function, base: Function) -> Function:
    """Makes a function x log(…) whose derivatives are log(…) and the quotient of x and ``base``.

    JAX gives 0 for x = 0 even where y is NaN; SciPy gives NaN.
    """

    @jax.custom_jvp
    def ruled(x: jax.Array, y: jax.Array) -> jax.Array:
        return function(x, y) + jnp.where(jnp.isnan(y), y, 0)

    @ruled.defjvp
    def rule(
        primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]
    ) -> tuple[jax.Array, Any]:
        (x, y), (t_x, t_y) = primals, tangents
        return ruled(x, y), log(y) * t_x + divide(x, base(y)) * t_y

    del rule
    return ruled


_xlogy = _with_quotient(special.xlogy, jnp.log, lambda y: y)
_xlog1py = _with_quotient(special.xlog1py, jnp.log1p, lambda y: 1 + y)


def xlogy(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns x log y, 0 for x = 0."""
    return _xlogy(*jnp.broadcast_arrays(x, y))


def xlog1py(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns x log(1 + y), 0 for x = 0."""
    return _xlog1py(*jnp.broadcast_arrays(x, y))


@jax.custom_jvp
def entr(x: jax.Array) -> jax.Array:
    """Returns -x log x, 0 at 0 and -inf below, where there is no derivative: NaN."""
    inside = jnp.where(x < 0, 1, x)
    return jnp.where(x < 0, -jnp.inf, -special.xlogy(inside, inside))


@entr.defjvp
def _entr_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (t_x,) = primals, tangents
    return entr(x), (-jnp.log(x) - 1) * t_x


def _log_ratio(x: jax.Array, y: jax.Array) -> jax.Array:
    """log(x/y) for x, y > 0: near 1 by log1p, far from it as a difference."""
    difference = (x - y) / y
    near = jnp.abs(difference) < 0.5
    return jnp.where(near, jnp.log1p(jnp.where(near, difference, 0)), jnp.log(x) - jnp.log(y))


def _inside(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns whether x, y > 0, and operands of which this is so."""
    inside = (x > 0) & (y > 0)
    return inside, jnp.where(inside, x, 1), jnp.where(inside, y, 1)


def _outside(x: jax.Array, y: jax.Array, end: jax.Array) -> jax.Array:
    """The value for operands that are not both above 0."""
    value = jnp.where((x == 0) & (y >= 0), end, jnp.inf)
    return jnp.where(jnp.isnan(x) | jnp.isnan(y), jnp.nan, value)


def _defined(x: jax.Array, y: jax.Array) -> jax.Array:
    """1, or NaN for a derivative where the value is infinite or none."""
    return jnp.where((x >= 0) & (y >= 0), 1, jnp.nan)


@jax.custom_jvp
def rel_entr(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns x log(x/y); 0 for x = 0 <= y, inf elsewhere outside of x, y > 0."""
    inside, x_in, y_in = _inside(x, y)
    value = x_in * _log_ratio(x_in, y_in)
    return jnp.where(inside, value, _outside(x, y, jnp.zeros_like(y)))


@rel_entr.defjvp
def _rel_entr_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x, y), (t_x, t_y) = primals, tangents
    by_x, by_y = _slope(x, y) + 1, -divide(x, y) * _defined(x, y)
    return rel_entr(x, y), by_x * t_x + by_y * t_y


@jax.custom_jvp
def kl_div(x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns x log(x/y) - x + y; y for x = 0 <= y, inf elsewhere outside of x, y > 0.

    With μ = y/x - 1 that is x (μ - log(1+μ)), which does not cancel near y = x.
    """
    inside, x_in, y_in = _inside(x, y)
    near = jnp.abs(y_in - x_in) < 0.4 * x_in
    mu = jnp.where(near, (y_in - x_in) / x_in, 0)
    value = x_in * minus_log1p(mu, 1 + mu)
    far = x_in * _log_ratio(x_in, y_in) + (y_in - x_in)
    return jnp.where(inside, jnp.where(near, value, far), _outside(x, y, y))


@kl_div.defjvp
def _kl_div_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x, y), (t_x, t_y) = primals, tangents
    by_y = _less_quotient(x, y) * _defined(x, y)
    return kl_div(x, y), _slope(x, y) * t_x + by_y * t_y


@jax.custom_jvp
def _less_quotient(x: jax.Array, y: jax.Array) -> jax.Array:
    """1 - x/y, which has its own digits near x = y and the quotient's derivatives."""
    return (y - x) / y


@_less_quotient.defjvp
def _less_quotient_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    tangent: jax.Array = jax.jvp(divide, primals, tangents)[1]
    return _less_quotient(*primals), -tangent


def _slope(x: jax.Array, y: jax.Array) -> jax.Array:
    """log(x/y), -inf at x = 0 < y and NaN outside of the domain."""
    inside, x_in, y_in = _inside(x, y)
    return jnp.where(inside, _log_ratio(x_in, y_in), (jnp.log(x) - jnp.log(y)) * _defined(x, y))
