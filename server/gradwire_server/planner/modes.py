"""Chooses forward or reverse sweeps where a program leaves the direction open.

The direction with fewer sweeps is taken, forward if both have as many, among those
that the types and the function allow. If the function allows neither, the one chosen is
refused when the derivatives of the settled program are checked; the error names the op
that prevents it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gradwire.opset.core import Call
from gradwire.opset.derivative_rules import inner_modes
from gradwire.opset.differentiation import (
    AUTO,
    FORWARD,
    REVERSE,
    divide,
    layout_modes,
    num_sweeps,
)
from gradwire.opset.samples import (
    divide_batch,
    parameter_modes,
    parameter_sweeps,
    sample_modes,
    sample_sweeps,
)
from gradwire.opset.trace_rules import can_be_exact

Closed = frozenset[str]
"""The directions in which the differentiated leaves of a node can't be differentiated."""

Chooser = Callable[[Call, Closed], Mapping[str, str]]
"""Returns a value for each attribute that a node leaves open."""


def _best(offered: Sequence[str], closed: Closed, count: Callable[[str], int]) -> str:
    if FORWARD in offered and REVERSE in closed:
        return FORWARD
    if FORWARD in closed and REVERSE in offered:
        return REVERSE
    return min(offered, key=count)  # the first, forward, of equals


def _jacobian(call: Call, closed: Closed) -> Mapping[str, str]:
    if call.attrs["mode"] != AUTO:
        return {}
    layout = divide(call.functions[0], call.attrs)
    offered = layout_modes(layout, call.attrs)
    mode = _best(offered, closed, lambda mode: num_sweeps(layout.leaves, layout.values, mode))
    return {"mode": mode}


def _batched_jacobian(call: Call, closed: Closed) -> Mapping[str, str]:
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    chosen = {}
    if call.attrs["mode"] != AUTO:
        return {}
    if batched.leaves:
        chosen["mode"] = _best(
            sample_modes(batched, call.attrs), closed, lambda mode: sample_sweeps(batched, mode)
        )
    if batched.parameters and call.attrs["parameter_mode"] == AUTO:
        chosen["parameter_mode"] = _best(
            parameter_modes(batched, call.attrs),
            closed,
            lambda mode: parameter_sweeps(batched, mode),
        )
    return chosen


def _hessian(call: Call, closed: Closed) -> Mapping[str, str]:
    if call.attrs["inner_mode"] != AUTO:
        return {}
    layout = divide(call.functions[0], call.attrs)
    offered = inner_modes(layout, call.attrs)
    mode = _best(offered, closed, lambda mode: num_sweeps(layout.leaves, layout.values, mode))
    return {"inner_mode": mode}


def _estimate(call: Call, closed: Closed) -> Mapping[str, str]:
    """With a product for each input, unit vectors give the exact answer at the same cost."""
    exact = can_be_exact(divide(call.functions[0], call.attrs), call.attrs)
    return {"method": "exact" if exact else call.attrs["method"]}


CHOOSERS: Mapping[str, Chooser] = {
    "batched_jacobian": _batched_jacobian,
    "diagonal_estimate": _estimate,
    "hessian": _hessian,
    "jacobian": _jacobian,
    "trace_estimate": _estimate,
}
