"""Batch-axis rules of the operators: which outputs keep samples apart. Needs NumPy only.

A function keeps samples apart in a result whose batch axis is k if row b of
the result (counted along k) reads row b alone of every parameter that has a
batch axis. Then ∂result[b]/∂parameter[c] = 0 for b ≠ c, at every value of the
parameters, and ∂result[b]/∂anything reads row b alone as well. Every rule
below follows from these two sentences; everything else is ``MIXED``.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.opset.core import MIXED, Axes, Call, CalleeAxes
from gradwire.opset.differentiation import Layout, divide
from gradwire.opset.samples import check_flags

Axis = int | None


def call(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """A call: the answer of the function."""
    return callees[0](axes)


def vmap(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """A map: over the batch itself, or over another axis.

    If the mapped axis of an operand is its batch axis, copy b reads row b, which
    is sufficient if no operand has its batch on another axis.
    """
    flags = check_flags(call.attrs["mapped"], len(call.inputs))
    num_results = len(call.functions[0].results)
    pairs = list(zip(axes, flags, strict=True))
    if any(flag and axis == 0 for axis, flag in pairs):
        alone = all(axis is None or (flag and axis == 0) for axis, flag in pairs)
        return [0 if alone else MIXED] * num_results
    inner = [
        axis if axis is None or axis == MIXED or not flag else axis - 1 for axis, flag in pairs
    ]
    return [axis if axis is None or axis == MIXED else axis + 1 for axis in callees[0](inner)]


def jvp(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """Row b of J·t is Σ ∂f[b]/∂x[b] t[b]: a tangent must have its leaf's batch axis."""
    layout, params, tangents = _divide(call, axes)
    joined = list(params)
    for position, tangent in zip(layout.positions, tangents, strict=True):
        joined[position] = _join(joined[position], tangent)
    values, aux = _split(layout, callees[0](params))
    derivatives, _ = _split(layout, callees[0](joined))
    return [*values, *derivatives, *aux]


def vjp(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """Row b of uᵀJ is u[b] ∂f[b]/∂x[b] for a leaf with a batch axis.

    A leaf without one sums over all rows, unless the function would keep samples
    apart if the leaf had a batch axis: then rows of the leaf affect only the
    same rows of the results.
    """
    layout, params, cotangents = _divide(call, axes)
    return _pull(call, layout, params, cotangents, callees[0])


def grad(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As ``vjp`` with a constant cotangent."""
    layout, params, _ = _divide(call, axes)
    return _pull(call, layout, params, [None], callees[0])


def jacobian(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """Row b of ∂ᵏf/∂xᵏ, counted along f's axis, reads row b alone."""
    layout, params, _ = _divide(call, axes)
    values, aux = _split(layout, callees[0](params))
    per_value = len(layout.leaves)
    return [*values, *(axis for axis in values for _ in range(per_value)), *aux]


def hessian(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As ``jacobian``."""
    layout, params, _ = _divide(call, axes)
    values, aux = _split(layout, callees[0](params))
    per_value = len(layout.leaves) ** 2
    return [*values, *(axis for axis in values for _ in range(per_value)), *aux]


def laplacian(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As ``jacobian``; the Laplacian is a sum over derivatives of one row."""
    layout, params, _ = _divide(call, axes)
    values, aux = _split(layout, callees[0](params))
    per_value = len(layout.leaves) if call.attrs["with_grad"] else 0
    gradients = [axis for axis in values for _ in range(per_value)]
    return [*values, *gradients, *values, *aux]


def hvp(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """A scalar has no rows: the products are ``MIXED`` as soon as it reads a batch."""
    layout, params, tangents = _divide(call, axes)
    joined = list(params)
    for position, tangent in zip(layout.positions, tangents, strict=True):
        joined[position] = _join(joined[position], tangent)
    values, aux = _split(layout, callees[0](params))
    (scalar,), _ = _split(layout, callees[0](joined))
    product = None if scalar is None else MIXED
    return [*values, *(product for _ in layout.leaves), *aux]


def trace(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """A trace sums over every row."""
    layout, params, _ = _divide(call, axes)
    values, aux = _split(layout, callees[0](params))
    return [*values, _none_or_mixed(values), *aux]


def trace_estimate(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As ``trace``, for the estimate and its error."""
    layout, params, extras = _divide(call, axes)
    values, aux = _split(layout, callees[0](params))
    total = _none_or_mixed([*values, *extras])
    return [*values, total, total, *aux]


def diagonal_estimate(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """Row b of v ⊙ Jv reads row b of f; for a Hessian's diagonal nothing is proved."""
    layout, params, extras = _divide(call, axes)
    values, aux = _split(layout, callees[0](params))
    if call.attrs["operator"] == "hessian" or any(axis is not None for axis in extras):
        total = _none_or_mixed([*values, *extras])
        diagonal: list[Axis] = [total for _ in layout.leaves]
    else:
        diagonal = values
    return [*values, *diagonal, *diagonal, *aux]


def _divide(call: Call, axes: Axes) -> tuple[Layout, list[Axis], list[Axis]]:
    layout = divide(call.functions[0], call.attrs)
    split = len(layout.params)
    return layout, list(axes[:split]), list(axes[split:])


def _split(layout: Layout, results: Axes) -> tuple[list[Axis], list[Axis]]:
    split = len(layout.values)
    return list(results[:split]), list(results[split:])


def _join(first: Axis, second: Axis) -> Axis:
    if first is None or first == second:
        return second
    return first if second is None else MIXED


def _none_or_mixed(axes: Sequence[Axis]) -> Axis:
    return None if all(axis is None for axis in axes) else MIXED


def _pull(
    call: Call, layout: Layout, params: list[Axis], cotangents: Sequence[Axis], f: CalleeAxes
) -> Axes:
    values, aux = _split(layout, f(params))
    gradients = []
    for position in layout.positions:
        axis = params[position]
        if axis is None and _none_or_mixed([*values, *cotangents]) is not None:
            axis = _aligned_axis(call, layout, params, position, cotangents, f)
        elif axis is not None and not _agree(values, cotangents):
            axis = MIXED
        gradients.append(axis)
    return [*values, *gradients, *aux]


def _aligned_axis(
    call: Call,
    layout: Layout,
    params: list[Axis],
    position: int,
    cotangents: Sequence[Axis],
    f: CalleeAxes,
) -> Axis:
    """Returns the axis that would be a leaf's batch axis, for a leaf without one."""
    lengths = {
        operand.shape[where]
        for operand, where in zip(call.inputs, [*params, *cotangents], strict=False)
        if where is not None and where != MIXED
    }
    for axis, length in enumerate(layout.params[position].shape):
        if length not in lengths:
            continue
        supposed: list[Axis] = [*params]
        supposed[position] = axis
        values, _ = _split(layout, f(supposed))
        if _agree(values, cotangents):
            return axis
    return MIXED


def _agree(values: Sequence[Axis], cotangents: Sequence[Axis]) -> bool:
    """Says whether no cotangent has another batch axis than its value, if that has one."""
    return all(
        value is None or (value != MIXED and cotangent in (None, value))
        for value, cotangent in zip(values, cotangents, strict=True)
    )
