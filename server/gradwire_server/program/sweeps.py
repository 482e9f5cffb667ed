"""The sweeps of differentiation that reach a value, and where they are refused."""

from __future__ import annotations

from collections.abc import Sequence

from gradwire.errors import UnsupportedError
from gradwire.ir.program import Function, Node
from gradwire.opset.differentiation import REVERSE

Reach = int
"""A set of sweeps, as bits: bit k stands for the k-th from outside."""

Sweeps = tuple[str | int, ...]
"""The direction of each sweep around a value, the outermost first.

A number says that the reverse sweep of that number goes backwards through what
is linear in a tangent already: this is no further order, but not every op can
be transposed.
"""


def union_of(reaches: Sequence[Reach]) -> Reach:
    """Returns what reaches any of several values."""
    union = 0
    for reach in reaches:
        union |= reach
    return union


def innermost_of(reach: Reach, sweeps: Sweeps) -> int | None:
    """Returns the innermost differentiation that reaches a value, if any does."""
    bits = [bit for bit, sweep in enumerate(sweeps) if isinstance(sweep, str) and reach >> bit & 1]
    return bits[-1] if bits else None


def reverse_of(reach: Reach, sweeps: Sweeps) -> int | None:
    """Returns the innermost sweep that goes backwards through a value, if any does."""
    found = _sweeps_of(reach, sweeps)
    return max((bit for bit in found if sweeps[bit] == REVERSE), default=None)


def order_of(reach: Reach, sweeps: Sweeps) -> int:
    """Returns how often a value is differentiated."""
    return sum(isinstance(sweep, str) for bit, sweep in enumerate(sweeps) if reach >> bit & 1)


def _sweeps_of(reach: Reach, sweeps: Sweeps) -> set[int]:
    return {
        bit if isinstance(sweep, str) else sweep
        for bit, sweep in enumerate(sweeps)
        if reach >> bit & 1
    }


def is_lost(reach: Reach, around: Sweeps) -> bool:
    """Says whether JAX loses a custom rule, and differentiates the function's nodes.

    It does so within a loop, when it makes a reverse sweep that is itself
    differentiated: the part of the loop that doesn't depend on tangents is
    traced again, without rules (``lax.scan`` in JAX 0.10).
    """
    found = sorted(_sweeps_of(reach, around))
    return any(around[bit] == REVERSE for bit in found[1:])


def lost_rule(where: str, what: str, function: int, node: int | None) -> UnsupportedError:
    """Makes the error for that."""
    return UnsupportedError(
        f"`{where}`: {what} must not be in a loop where a reverse sweep is differentiated again; "
        f"got such a loop. Take the inner derivative in forward mode",
        field=where,
        function=function,
        node=node,
    )


def no_forward(function: Function, index: int) -> UnsupportedError:
    """Makes the error for a rule that is for reverse mode alone."""
    where = f"functions[{index}].custom_vjp"
    return UnsupportedError(
        f"`{where}` must not be differentiated in forward mode; got a forward sweep through "
        f"{function.name[:80] or 'the function'}: use custom_jvp, which serves both modes",
        field=where,
        function=index,
    )


def refusal(node: Node, reason: str, function: int, position: int) -> UnsupportedError:
    """Makes the error of a node."""
    where = f"functions[{function}].nodes[{position}]"
    return UnsupportedError(
        f"`{where}` ({node.op}): {reason}", field=where, function=function, node=position
    )
