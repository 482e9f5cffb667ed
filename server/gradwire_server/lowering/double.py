"""Derivatives that are taken in double precision, whatever the operand's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def differentiated_in_double(function: Callable[[jax.Array], Any]) -> Callable[[jax.Array], Any]:
    """Returns a function of one array that is differentiated in double precision.

    Its value and its derivative then both come from the function of the wider
    operand, so that signs and phases which it is free to choose agree. Where
    nobody differentiates it, it runs in the operand's own precision.
    """

    @jax.custom_jvp
    def single(x: jax.Array) -> Any:
        return function(x)

    @single.defjvp
    def rule(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[Any, Any]:
        (x,), (t_x,) = primals, tangents
        wide = jnp.result_type(x.dtype, jnp.float64)
        dtypes = jax.tree.map(lambda output: output.dtype, jax.eval_shape(function, x))
        value, t_value = jax.jvp(function, (x.astype(wide),), (t_x.astype(wide),))
        narrow = lambda output, dtype: output.astype(dtype)  # noqa: E731 - used twice
        return jax.tree.map(narrow, value, dtypes), jax.tree.map(narrow, t_value, dtypes)

    def run(x: jax.Array) -> Any:
        return function(x) if x.real.dtype == jnp.float64 else single(x)

    return run
