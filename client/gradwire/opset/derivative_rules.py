"""Type rules of the operators, and their bounds. Needs NumPy only.

Where an attribute leaves a direction open, a bound is that of the least costly one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradwire.opset.core import Call, require
from gradwire.opset.differentiation import (
    AUTO,
    FORWARD,
    REVERSE,
    Layout,
    check_chunk,
    check_extras,
    check_holomorphic,
    check_operands,
    check_real,
    check_scalar,
    checked_layout,
    chunked,
    divide,
    jacobian_dtype,
    jacobian_types,
    layout_modes,
    least_copies,
    num_sweeps,
)
from gradwire.opset.rules import checked
from gradwire.opset.samples import (
    check_flags,
    divide_batch,
    parameter_modes,
    parameter_sweeps,
    sample_modes,
    sample_sweeps,
    sample_type,
    shared_length,
)
from gradwire.tensors import TensorType, is_complex

Types = Sequence[TensorType]


# --- functions without derivatives ---------------------------------------------------


def infer_call(call: Call) -> Types:
    """Returns the results of the function."""
    (signature,) = call.functions
    require(
        len(call.inputs) == len(signature.params),
        lambda: f"`inputs` must hold {len(signature.params)} ids; got {len(call.inputs)}",
    )
    check_operands(call.inputs, signature.params, 0)
    return signature.results


def infer_vmap(call: Call) -> Types:
    """Returns the results with the mapped axis in front."""
    (signature,) = call.functions
    flags = check_flags(call.attrs["mapped"], len(call.inputs))
    pairs = list(zip(call.inputs, flags, strict=True))
    size = shared_length([operand for operand, flag in pairs if flag])
    samples = [sample_type(operand) if flag else operand for operand, flag in pairs]
    require(
        tuple(samples) == signature.params,
        lambda: (
            f"without their mapped axes `inputs` must be "
            f"({', '.join(map(str, signature.params))}); got ({', '.join(map(str, samples))})"
        ),
    )
    return [checked(result.dtype, (size, *result.shape)) for result in signature.results]


def vmap_copies(call: Call) -> int:
    """Returns one copy for each row."""
    flags = check_flags(call.attrs["mapped"], len(call.inputs))
    return max(1, next(t.shape[0] for t, flag in zip(call.inputs, flags, strict=True) if flag))


# --- first order ---------------------------------------------------------------------


def infer_jvp(call: Call) -> Types:
    """Returns values, their tangents, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, layout.leaves, "tangents")
    return [*layout.values, *layout.values, *layout.aux]


def infer_vjp(call: Call) -> Types:
    """Returns values, a cotangent for each leaf, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, layout.values, "cotangents")
    return [*layout.values, *layout.leaves, *layout.aux]


def infer_grad(call: Call) -> Types:
    """Returns the value, a gradient for each leaf, aux."""
    layout = checked_layout(call)
    value = check_scalar(layout)
    check_extras(call, layout, (), "more")
    if call.attrs["holomorphic"]:
        check_holomorphic(layout.leaves, layout.values)
    else:
        require(
            not is_complex(value.dtype),
            lambda: f"the result must be real unless `holomorphic` is true; got {value}",
        )
    return [value, *layout.leaves, *layout.aux]


def infer_jacobian(call: Call) -> Types:
    """Returns values, ``(*out, *in)`` for each value and leaf, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    layout_modes(layout, call.attrs)
    return [*layout.values, *jacobian_types(layout), *layout.aux]


def jacobian_sweeps(call: Call) -> tuple[str, ...]:
    """Returns the direction of the sweeps."""
    return (call.attrs["mode"],)


def jacobian_copies(call: Call) -> int:
    """Returns one copy for each sweep that is alive."""
    layout = divide(call.functions[0], call.attrs)
    modes = layout_modes(layout, call.attrs)
    counts = [num_sweeps(layout.leaves, layout.values, mode) for mode in modes]
    return least_copies(counts, call.attrs["chunk"])


def infer_batched_jacobian(call: Call) -> Types:
    """Returns values, blocks and full Jacobians for each value and leaf, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    batched = divide_batch(layout, call.attrs)
    if batched.leaves:
        sample_modes(batched, call.attrs)
    if batched.parameters:
        parameter_modes(batched, call.attrs)
    jacobians = [
        checked(jacobian_dtype(value, leaf), value.shape + (leaf.shape[1:] if flag else leaf.shape))
        for value in layout.values
        for leaf, flag in zip(layout.leaves, batched.mapped, strict=True)
    ]
    return [*layout.values, *jacobians, *layout.aux]


def batched_jacobian_sweeps(call: Call) -> tuple[str, ...]:
    """Returns the direction of the sweeps; reverse if either kind of leaves requires it."""
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    offered = [sample_modes(batched, call.attrs)] if batched.leaves else []
    offered += [parameter_modes(batched, call.attrs)] if batched.parameters else []
    modes = [AUTO if len(words) > 1 else words[0] for words in offered]
    return (next(mode for mode in (REVERSE, AUTO, FORWARD) if mode in modes),)


def batched_jacobian_copies(call: Call) -> int:
    """Returns one copy for each sweep that is alive; a sweep is for all samples."""
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    chunk = call.attrs["chunk"]
    copies = [1]
    if batched.leaves:
        modes = sample_modes(batched, call.attrs)
        copies.append(least_copies([sample_sweeps(batched, mode) for mode in modes], chunk))
    if batched.parameters:
        modes = parameter_modes(batched, call.attrs)
        copies.append(least_copies([parameter_sweeps(batched, mode) for mode in modes], chunk))
    return max(copies)


# --- second order --------------------------------------------------------------------


def inner_modes(layout: Layout, attrs: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the directions offered for a Hessian's inner sweeps; the outer ones are forward."""
    return layout_modes(layout, {"mode": attrs["inner_mode"], "holomorphic": False})


def hessian_sweeps(call: Call) -> tuple[str, ...]:
    """Returns forward over the inner direction."""
    return FORWARD, call.attrs["inner_mode"]


def infer_hessian(call: Call) -> Types:
    """Returns values, ``(*out, *in, *in)`` for each value and two leaves, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    check_real(layout, "a Hessian", values=False)
    hessians = [
        checked(value.dtype, value.shape + row.shape + column.shape)
        for value in layout.values
        for row in layout.leaves
        for column in layout.leaves
    ]
    return [*layout.values, *hessians, *layout.aux]


def hessian_copies(call: Call) -> int:
    """Returns one copy for each outer and inner sweep that are alive."""
    layout = divide(call.functions[0], call.attrs)
    modes = inner_modes(layout, call.attrs)
    inner = min(num_sweeps(layout.leaves, layout.values, mode) for mode in modes)
    return max(1, inner) * chunked(layout.num_inputs, call.attrs["chunk"])


def infer_hessian_diagonal(call: Call) -> Types:
    """Returns values, ``(*out, *in)`` for each value and leaf, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    check_real(layout, "a Hessian diagonal", values=False)
    return [*layout.values, *jacobian_types(layout), *layout.aux]


def infer_laplacian(call: Call) -> Types:
    """Returns values, gradients if asked for, Laplacians, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    check_real(layout, "a Laplacian", values=False)
    gradients = jacobian_types(layout) if call.attrs["with_grad"] else []
    return [*layout.values, *gradients, *layout.values, *layout.aux]


def infer_hvp(call: Call) -> Types:
    """Returns the value, a product for each leaf, aux."""
    layout = checked_layout(call)
    check_real(layout, "a Hessian-vector product")
    value = check_scalar(layout)
    check_extras(call, layout, layout.leaves, "tangents")
    return [value, *layout.leaves, *layout.aux]


def input_copies(call: Call) -> int:
    """Returns one copy for each input element whose direction is alive."""
    layout = divide(call.functions[0], call.attrs)
    return chunked(layout.num_inputs, call.attrs["chunk"])
