"""Turns a function of a checked program into a JAX function. It must not depend on single ops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradwire.ir import TypedProgram
from gradwire.tensors import Array, TensorType
from gradwire_server.compiler.lowering.core import JaxFunction, Lowering, unfolded
from gradwire_server.compiler.lowering.custom_rules import with_jvp, with_vjp
from gradwire_server.compiler.lowering.linalg.spectral_pattern import find_spectral_sums

_FOLDED_ELEMENTS = 256
"""Results of up to so many elements that need constants only may be computed by the compiler."""


class LoweringMismatchError(AssertionError):
    """JAX returned another type than the table's: a bug in one of them."""


def lower_function(
    typed: TypedProgram, index: int, lowerings: Mapping[str, Lowering]
) -> JaxFunction:
    """Returns the function at ``index`` as a JAX function of its parameters."""
    function = typed.program.functions[index]
    info = typed.infos[index]
    sums = find_spectral_sums(function, info)

    def run(*arguments: jax.Array) -> list[jax.Array]:
        values: dict[int, Any] = {
            param.id: argument for param, argument in zip(function.params, arguments, strict=True)
        }
        values |= {constant.id: _constant(constant.value) for constant in function.constants}
        for position, (node, call) in enumerate(zip(function.nodes, info.calls, strict=True)):
            if position in sums:
                outputs: Any = sums[position](values, lowerings)
            else:
                callees = [lower_function(typed, callee, lowerings) for callee in node.functions]
                operands = [values[name] for name in node.inputs]
                outputs = lowerings[node.op](*callees, *operands, **call.attrs)
            if not isinstance(outputs, tuple | list):
                outputs = (outputs,)
            wanted = [info.types[name] for name in node.outputs]
            _check_types(f"functions[{index}].nodes[{position}] ({node.op})", outputs, wanted)
            values |= zip(node.outputs, outputs, strict=True)
        return [values[name] for name in function.results]

    def lower(other: int) -> JaxFunction:
        return lower_function(typed, other, lowerings)

    if function.custom_jvp is not None:
        rule = partial(lower, function.custom_jvp)
        return JaxFunction(info.signature, with_jvp(run, info.signature, rule))
    if function.custom_vjp is not None:
        forward, backward = (partial(lower, rule) for rule in function.custom_vjp)
        ruled = with_vjp(run, info.signature, forward, backward)
        return JaxFunction(info.signature, ruled)
    return JaxFunction(info.signature, run)


def _constant(value: Array) -> jax.Array:
    x = jnp.asarray(value)
    return unfolded(x) if x.size > _FOLDED_ELEMENTS else x


def _check_types(where: str, outputs: Sequence[Any], wanted: Sequence[TensorType]) -> None:
    got = [(jnp.result_type(x), jnp.shape(x)) for x in outputs]
    if got != [(t.dtype, t.shape) for t in wanted]:
        raise LoweringMismatchError(f"{where}: the table says {wanted}, JAX gave {got}")
