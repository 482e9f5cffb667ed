"""Derivatives that are taken in double precision, whatever the operands'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def _widened(x: jax.Array) -> jax.Array:
    return x.astype(jnp.complex128 if jnp.iscomplexobj(x) else jnp.float64)


def differentiated_in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function of inexact arrays that is differentiated in double precision.

    Its value and its derivative then both come from the function of the wider
    operands, so that signs and phases which it is free to choose agree. Where
    it isn't differentiated, it runs in the operands' own precision.
    """

    @jax.custom_jvp
    def single(*operands: jax.Array) -> Any:
        return function(*operands)

    @single.defjvp
    def rule(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[Any, Any]:
        shapes = jax.eval_shape(function, *primals)
        wide = tuple(map(_widened, primals)), tuple(map(_widened, tangents))
        value, t_value = jax.jvp(function, *wide)

        def narrowed(outputs: Any) -> Any:
            return jax.tree.map(lambda x, shape: x.astype(shape.dtype), outputs, shapes)

        return narrowed(value), narrowed(t_value)

    def run(*operands: jax.Array) -> Any:
        is_double = all(x.real.dtype == jnp.float64 for x in operands)
        return function(*operands) if is_double else single(*operands)

    return run
