"""Type rules of traces, and of estimates of traces and diagonals. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradwire.opset.core import UINT32, Call, require
from gradwire.opset.differentiation import (
    FORWARD,
    REVERSE,
    Layout,
    check_chunk,
    check_extras,
    check_real,
    check_scalar,
    checked_layout,
    divide,
)
from gradwire.opset.rules import checked
from gradwire.tensors import TensorType

Types = Sequence[TensorType]


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


def can_be_exact(layout: Layout, attrs: Mapping[str, Any]) -> bool:
    """Says whether the products are enough to take one with each unit vector: that is exact."""
    return not attrs["probes"] and attrs["num_samples"] >= layout.num_inputs


def num_matvecs(call: Call) -> int:
    """Returns how many products an estimate takes."""
    layout = divide(call.functions[0], call.attrs)
    exact = can_be_exact(layout, call.attrs)
    return layout.num_inputs if exact else int(call.attrs["num_samples"])


def _checked_estimate(call: Call) -> Layout:
    layout = checked_layout(call)
    samples = call.attrs["num_samples"]
    require(samples >= 1, lambda: f"`num_samples` must be 1 or more; got {samples}")
    check_real(layout, "a stochastic estimate")
    require(
        call.attrs["method"] != "exact" or can_be_exact(layout, call.attrs),
        lambda: (
            f"`method` exact needs a seed and `num_samples` of {layout.num_inputs} or more; "
            f"got {'probes' if call.attrs['probes'] else samples}"
        ),
    )
    if call.attrs["operator"] == "hessian":
        check_scalar(layout)
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
    exact = can_be_exact(divide(call.functions[0], call.attrs), call.attrs)
    return FORWARD, FORWARD if exact else REVERSE


def estimate_copies(call: Call) -> int:
    """Returns one copy for each product."""
    return max(1, num_matvecs(call))
