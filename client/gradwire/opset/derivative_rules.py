"""Type rules of the operators, their bounds and their choices. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradwire.opset.core import UINT32, Call, require
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
    checked_layout,
    chunked,
    divide,
    jacobian_dtype,
    jacobian_types,
    layout_mode,
    num_reverse,
)
from gradwire.opset.rules import checked
from gradwire.opset.samples import (
    check_flags,
    divide_batch,
    parameter_mode,
    parameter_passes,
    sample_mode,
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


def _check_scalar(layout: Layout) -> TensorType:
    require(
        len(layout.values) == 1 and layout.values[0].shape == (),
        lambda: (
            f"the function must have one scalar result beside aux; "
            f"got {', '.join(map(str, layout.values))}"
        ),
    )
    return layout.values[0]


def infer_grad(call: Call) -> Types:
    """Returns the value, a gradient for each leaf, aux."""
    layout = checked_layout(call)
    value = _check_scalar(layout)
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
    layout_mode(layout, call.attrs)
    return [*layout.values, *jacobian_types(layout), *layout.aux]


def jacobian_sweeps(call: Call) -> tuple[str, ...]:
    """Returns the direction of the sweeps."""
    return (layout_mode(divide(call.functions[0], call.attrs), call.attrs),)


def jacobian_copies(call: Call) -> int:
    """Returns one copy for each sweep that is alive."""
    layout = divide(call.functions[0], call.attrs)
    mode = layout_mode(layout, call.attrs)
    count = layout.num_inputs if mode == FORWARD else num_reverse(layout.leaves, layout.values)
    return chunked(count, call.attrs["chunk"])


def jacobian_choices(call: Call) -> Mapping[str, str]:
    """Returns the mode, where it is left open."""
    if call.attrs["mode"] != AUTO:
        return {}
    layout = divide(call.functions[0], call.attrs)
    return {"mode": layout_mode(layout, call.attrs)}


def infer_batched_jacobian(call: Call) -> Types:
    """Returns values, blocks and full Jacobians for each value and leaf, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    batched = divide_batch(layout, call.attrs)
    if batched.leaves:
        sample_mode(batched, call.attrs)
    if batched.parameters:
        parameter_mode(batched, call.attrs)
    jacobians = [
        checked(jacobian_dtype(value, leaf), value.shape + (leaf.shape[1:] if flag else leaf.shape))
        for value in layout.values
        for leaf, flag in zip(layout.leaves, batched.mapped, strict=True)
    ]
    return [*layout.values, *jacobians, *layout.aux]


def batched_jacobian_sweeps(call: Call) -> tuple[str, ...]:
    """Returns the direction of the sweeps; reverse if either kind of leaves needs that."""
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    modes = [sample_mode(batched, call.attrs)] if batched.leaves else []
    modes += [parameter_mode(batched, call.attrs)] if batched.parameters else []
    return (REVERSE if REVERSE in modes else FORWARD,)


def batched_jacobian_copies(call: Call) -> int:
    """Returns one copy for each sweep that is alive; a sweep serves all samples."""
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    chunk = call.attrs["chunk"]
    copies = [1]
    if batched.leaves:
        forward = sum(leaf.size for leaf in batched.leaves)
        reverse = num_reverse(batched.leaves, batched.values)
        mode = sample_mode(batched, call.attrs)
        copies.append(chunked(forward if mode == FORWARD else reverse, chunk))
    if batched.parameters:
        forward, reverse = parameter_passes(batched)
        mode = parameter_mode(batched, call.attrs)
        copies.append(chunked(forward if mode == FORWARD else reverse, chunk))
    return max(copies)


def batched_jacobian_choices(call: Call) -> Mapping[str, str]:
    """Returns the modes for blocks and for parameters, where they are left open."""
    if call.attrs["mode"] != AUTO:
        return {}
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    choices = {}
    if batched.leaves:
        choices["mode"] = sample_mode(batched, call.attrs)
    if batched.parameters:
        choices["parameter_mode"] = parameter_mode(batched, call.attrs)
    return choices


# --- second order --------------------------------------------------------------------

_ANY_MODE: Mapping[str, Any] = {"mode": AUTO, "holomorphic": False}


def hessian_mode(layout: Layout) -> str:
    """Returns the direction of a Hessian's inner sweeps; the outer ones are forward."""
    return layout_mode(layout, _ANY_MODE)


def hessian_sweeps(call: Call) -> tuple[str, ...]:
    """Returns forward over the inner direction."""
    return FORWARD, hessian_mode(divide(call.functions[0], call.attrs))


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
    inner = (
        layout.num_inputs
        if hessian_mode(layout) == FORWARD
        else num_reverse(layout.leaves, layout.values)
    )
    return max(1, inner) * chunked(layout.num_inputs, call.attrs["chunk"])


def hessian_choices(call: Call) -> Mapping[str, str]:
    """Returns the mode of the inner sweeps."""
    return {"inner_mode": hessian_mode(divide(call.functions[0], call.attrs))}


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
    value = _check_scalar(layout)
    check_extras(call, layout, layout.leaves, "tangents")
    return [value, *layout.leaves, *layout.aux]


def input_copies(call: Call) -> int:
    """Returns one copy for each input element whose direction is alive."""
    layout = divide(call.functions[0], call.attrs)
    return chunked(layout.num_inputs, call.attrs["chunk"])


# --- traces and diagonals ------------------------------------------------------------


def _check_square(layout: Layout) -> None:
    require(
        layout.leaves == layout.values,
        lambda: (
            f"results must pair up with the leaves of `wrt` and have their types; got "
            f"({', '.join(map(str, layout.values))}) for ({', '.join(map(str, layout.leaves))})"
        ),
    )


def _check_one_dtype(layout: Layout) -> None:
    require(
        len({leaf.dtype for leaf in layout.leaves}) == 1,
        lambda: f"a trace needs leaves of one dtype; got {', '.join(map(str, layout.leaves))}",
    )


def infer_jacobian_trace(call: Call) -> Types:
    """Returns values, the trace, aux."""
    layout = checked_layout(call)
    check_extras(call, layout, (), "more")
    check_chunk(call.attrs)
    check_real(layout, "a Jacobian's trace")
    _check_square(layout)
    _check_one_dtype(layout)
    return [*layout.values, TensorType(layout.leaves[0].dtype, ()), *layout.aux]


def estimate_is_exact(layout: Layout, attrs: Mapping[str, Any]) -> bool:
    """Says whether an estimate has as many products as inputs, so that unit vectors do."""
    return not attrs["probes"] and attrs["num_samples"] >= layout.num_inputs


def num_matvecs(call: Call) -> int:
    """Returns how many products an estimate takes."""
    layout = divide(call.functions[0], call.attrs)
    exact = estimate_is_exact(layout, call.attrs)
    return layout.num_inputs if exact else int(call.attrs["num_samples"])


def _checked_estimate(call: Call) -> Layout:
    layout = checked_layout(call)
    samples = call.attrs["num_samples"]
    require(samples >= 1, lambda: f"`num_samples` must be 1 or more; got {samples}")
    check_real(layout, "a stochastic estimate")
    if call.attrs["operator"] == "hessian":
        _check_scalar(layout)
    else:
        _check_square(layout)
    if call.attrs["probes"]:
        probes = [checked(leaf.dtype, (samples, *leaf.shape)) for leaf in layout.leaves]
        check_extras(call, layout, probes, "probes")
    else:
        check_extras(call, layout, [TensorType(UINT32, ())], "seed")
    return layout


def infer_trace_estimate(call: Call) -> Types:
    """Returns values, the estimate, its standard error, aux."""
    layout = _checked_estimate(call)
    if call.attrs["operator"] == "jacobian":
        _check_one_dtype(layout)
    scalar = TensorType(layout.values[0].dtype, ())
    return [*layout.values, scalar, scalar, *layout.aux]


def infer_diagonal_estimate(call: Call) -> Types:
    """Returns values, estimates and standard errors for each leaf, aux."""
    layout = _checked_estimate(call)
    return [*layout.values, *layout.leaves, *layout.leaves, *layout.aux]


def trace_sweeps(call: Call) -> tuple[str, ...]:
    """Returns the directions in which a trace is estimated."""
    return (FORWARD, FORWARD) if call.attrs["operator"] == "hessian" else (FORWARD,)


def diagonal_sweeps(call: Call) -> tuple[str, ...]:
    """Returns the directions in which a diagonal is estimated, or computed."""
    if call.attrs["operator"] != "hessian":
        return (FORWARD,)
    exact = estimate_is_exact(divide(call.functions[0], call.attrs), call.attrs)
    return FORWARD, FORWARD if exact else REVERSE


def estimate_copies(call: Call) -> int:
    """Returns one copy for each product."""
    return max(1, num_matvecs(call))


def estimate_choices(call: Call) -> Mapping[str, str]:
    """Returns the method: ``exact`` when there are enough products for all unit vectors."""
    exact = estimate_is_exact(divide(call.functions[0], call.attrs), call.attrs)
    return {"method": "exact" if exact else str(call.attrs["method"])}
