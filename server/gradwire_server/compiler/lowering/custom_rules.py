"""Gives a function the derivative of its custom rules. It must not depend on single ops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from gradwire.opset.core import Signature
from gradwire.tensors import TensorType, is_inexact

Run = Callable[..., list[jax.Array]]
Arrays = list[jax.Array]


def with_jvp(run: Run, signature: Signature, rule: Callable[[], Run]) -> Run:
    """Returns the function with a rule for both modes.

    Args:
        run: Computes the results.
        signature: Its types.
        rule: Makes the rule; only called to differentiate, since the rule may
            use this same function.
    """
    params, results = signature.params, signature.results
    function = jax.custom_jvp(_exactly(run, results))

    def differentiate(
        primals: Sequence[jax.Array], tangents: Sequence[jax.Array]
    ) -> tuple[Arrays, Arrays]:
        found = rule()(*primals, *_moving(tangents, params))
        values, moved = found[: len(results)], iter(found[len(results) :])
        t_values = [next(moved) if is_inexact(t.dtype) else _zero(t) for t in results]
        return _strong(values, results), _strong(t_values, results)

    function.defjvp(differentiate)
    ruled: Run = function
    return ruled


def with_vjp(
    run: Run, signature: Signature, forward: Callable[[], Run], backward: Callable[[], Run]
) -> Run:
    """Returns the function with a rule for reverse mode alone, made as in ``with_jvp``."""
    params, results = signature.params, signature.results
    function = jax.custom_vjp(_exactly(run, results))

    def start(*primals: jax.Array) -> tuple[Arrays, Arrays]:
        found = forward()(*primals)
        return _strong(found[: len(results)], results), found[len(results) :]

    def finish(residuals: Arrays, cotangents: Arrays) -> tuple[Any, ...]:
        moved = iter(backward()(*residuals, *_moving(cotangents, results)))
        # None stands for the zero of a value that can't be differentiated.
        return tuple(next(moved) if is_inexact(t.dtype) else None for t in params)

    function.defvjp(start, finish)
    ruled: Run = function
    return ruled


def _moving(values: Sequence[jax.Array], types: Sequence[TensorType]) -> list[jax.Array]:
    """Returns the tangents or cotangents without those of values that can't be differentiated."""
    return [value for value, t in zip(values, types, strict=True) if is_inexact(t.dtype)]


def _zero(tensor_type: TensorType) -> Any:
    """Returns the tangent of an integer: JAX has a separate dtype for it."""
    return np.zeros(tensor_type.shape, jax.dtypes.float0)


def _exactly(run: Run, results: Sequence[TensorType]) -> Run:
    return lambda *arguments: _strong(run(*arguments), results)


def _strong(values: Arrays, types: Sequence[TensorType]) -> Arrays:
    """Returns values whose types are no weaker than the table's, as a rule's must match."""
    return [
        value if value.dtype == jax.dtypes.float0 else lax.convert_element_type(value, t.dtype)
        for value, t in zip(values, types, strict=True)
    ]
