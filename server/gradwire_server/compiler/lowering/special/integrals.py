"""Functions that are integrals of a density, with derivatives of every order; and fractions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from gradwire_server.compiler.lowering.elementwise.widths import Function


def continued_fraction(
    first: jax.Array,
    coefficients: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    count: jax.Array,
) -> jax.Array:
    """Returns b0 + a1/(b1 + a2/(b2 + ...)) by the modified method of Lentz."""
    tiny = float(np.finfo(first.dtype).tiny) ** 0.5

    def away(value: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(value) < tiny, tiny, value)

    def step(carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
        n, value, c, d = carry
        numerator, denominator = coefficients((n + 1).astype(first.dtype))
        next_d = 1 / away(denominator + numerator * d)
        next_c = away(denominator + numerator / c)
        going = n < count
        return (
            n + 1,
            jnp.where(going, value * (next_c * next_d), value),
            jnp.where(going, next_c, c),
            jnp.where(going, next_d, d),
        )

    start = (jnp.zeros((), jnp.int32), away(first), away(first), jnp.zeros_like(first))
    result: jax.Array = lax.while_loop(lambda c: jnp.any(c[0] < count), step, start)[1]
    return result


def partial_derivative(function: Function, place: int) -> Function:
    """Returns the partial derivative of an elementwise function."""

    def derivative(*operands: jax.Array) -> jax.Array:
        def moved(value: jax.Array) -> jax.Array:
            return function(*operands[:place], value, *operands[place + 1 :])

        x = operands[place]
        result: jax.Array = jax.jvp(moved, (x,), (jnp.ones_like(x),))[1]
        return result

    return derivative


def integral(value: Function, density: Function) -> Function:
    """Makes value(parameters ..., x) differentiable, the integral of a density up to x.

    Args:
        value: The function, differentiable by its parameters in forward mode.
        density: Its derivative by x.
    """

    @jax.custom_jvp
    def function(*operands: jax.Array) -> jax.Array:
        return value(*operands)

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, Any]:
        out = function(*primals)
        t_out = jnp.zeros_like(out)
        if not isinstance(tangents[-1], SymbolicZero):
            t_out += density(*primals) * tangents[-1]
        for place, tangent in enumerate(tangents[:-1]):
            if not isinstance(tangent, SymbolicZero):
                by_parameter = partial_derivative(value, place)
                mixed = partial_derivative(density, place)
                t_out += integral(by_parameter, mixed)(*primals) * tangent
        return out, t_out

    function.defjvp(rule, symbolic_zeros=True)
    return function
