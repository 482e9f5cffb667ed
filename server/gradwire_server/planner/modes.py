"""Chooses forward or reverse sweeps where a program leaves the direction open.

The direction with fewer sweeps is taken, forward if both have as many, among those
that the types and the function allow. If the function allows neither, the one chosen is
refused when the derivatives of the settled program are checked; the error names the op
that prevents it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradwire.opset.core import Call
from gradwire.opset.derivative_rules import inner_modes
from gradwire.opset.differentiation import (
    AUTO,
    Layout,
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
    allowed = [mode for mode in offered if mode not in closed] or offered[:1]
    return min(allowed, key=count)  # the first, forward, of equals


def _over_all_leaves(
    name: str, offered: Callable[[Layout, Mapping[str, Any]], Sequence[str]]
) -> Chooser:
    """Returns the chooser of an operator whose sweeps are over all its leaves or values.

    Args:
        name: The attribute that says their direction.
        offered: Returns the directions among which it may be chosen.
    """

    def choose(call: Call, closed: Closed) -> Mapping[str, str]:
        if call.attrs[name] != AUTO:
            return {}
        layout = divide(call.functions[0], call.attrs)
        return {
            name: _best(
                offered(layout, call.attrs),
                closed,
                lambda mode: num_sweeps(layout.leaves, layout.values, mode),
            )
        }

    return choose


def _batched_jacobian(call: Call, closed: Closed) -> Mapping[str, str]:
    if call.attrs["mode"] != AUTO:
        return {}
    batched = divide_batch(divide(call.functions[0], call.attrs), call.attrs)
    chosen = {}
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


def _estimate(call: Call, closed: Closed) -> Mapping[str, str]:
    """With a product for each input, unit vectors give the exact answer at the same cost."""
    exact = can_be_exact(divide(call.functions[0], call.attrs), call.attrs)
    return {"method": "exact" if exact else call.attrs["method"]}


CHOOSERS: Mapping[str, Chooser] = {
    "batched_jacobian": _batched_jacobian,
    "diagonal_estimate": _estimate,
    "hessian": _over_all_leaves("inner_mode", inner_modes),
    "jacobian": _over_all_leaves("mode", layout_modes),
    "trace_estimate": _estimate,
}
