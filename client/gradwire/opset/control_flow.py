"""How facts flow through control ops: from operands to parameters, and to results.

One description serves every analysis: what it follows (a batch axis, the
differentiations that reach a value) is a fact about each value, and two facts
about one value are joined. Needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gradwire.opset.core import MIXED, Axes, Call, CalleeAxes, CalleeFacts, Facts, Lattice

T = TypeVar("T")


def divide_operands(
    operands: Sequence[T], attrs: Mapping[str, Any], num_functions: int
) -> tuple[list[list[T]], list[T]]:
    """Returns the captured operands of each function, and the op's own operands."""
    counts = attrs["captures"] or (0,) * num_functions
    captured, first = [], 0
    for count in counts:
        captured.append(list(operands[first : first + count]))
        first += count
    return captured, list(operands[first:])


def _divide(call: Call, facts: Facts) -> tuple[list[list[Any]], list[Any]]:
    return divide_operands(facts, call.attrs, len(call.functions))


def branches(call: Call, facts: Facts, callees: Sequence[CalleeFacts], lattice: Lattice) -> Facts:
    """Any of the functions may run; the value that chooses has no effect on the facts."""
    captured, (_, *operands) = _divide(call, facts)
    results = [f([*mine, *operands]) for f, mine in zip(callees, captured, strict=True)]
    joined = results[0]
    for other in results[1:]:
        joined = _join(joined, other, lattice)
    return joined


def while_loop(call: Call, facts: Facts, callees: Sequence[CalleeFacts], lattice: Lattice) -> Facts:
    """The body runs on its own results; the condition has no effect on the facts."""
    (of_condition, of_body), state = _divide(call, facts)
    state = _repeat(lambda values: callees[1]([*of_body, *values]), state, lattice)
    callees[0]([*of_condition, *state])
    return state


def fori_loop(call: Call, facts: Facts, callees: Sequence[CalleeFacts], lattice: Lattice) -> Facts:
    """The body takes the index, which has no facts, and its own results."""
    (captured,), state = _divide(call, facts)
    index = lattice.nothing
    return _repeat(lambda values: callees[0]([*captured, index, *values]), state, lattice)


def scan(call: Call, facts: Facts, callees: Sequence[CalleeFacts], lattice: Lattice) -> Facts:
    """The body takes the carry that it returned, and a slice of each sequence."""
    (captured,), own = _divide(call, facts)
    split = call.attrs["num_carry"]
    carry, slices = own[:split], own[split:]

    def body(values: Facts) -> Facts:
        return callees[0]([*captured, *values, *slices])

    carry = _repeat(lambda values: body(values)[:split], carry, lattice)
    return [*carry, *body(carry)[split:]]


def mapped(call: Call, facts: Facts, callees: Sequence[CalleeFacts], lattice: Lattice) -> Facts:
    """The function takes a slice of each operand."""
    (captured,), own = _divide(call, facts)
    return callees[0]([*captured, *own])


def associative_scan(
    call: Call, facts: Facts, callees: Sequence[CalleeFacts], lattice: Lattice
) -> Facts:
    """The function takes two elements, each given or its own result."""
    (captured,), elements = _divide(call, facts)
    return _repeat(lambda values: callees[0]([*captured, *values, *values]), elements, lattice)


def _repeat(step: Callable[[Facts], Facts], state: Facts, lattice: Lattice) -> list[Any]:
    """Joins a step's results to its operands, until nothing is added.

    It ends, since joining only ever adds, and there are finitely many facts.
    """
    while True:
        joined = _join(state, step(state), lattice)
        if joined == list(state):
            return joined
        state = joined


def _join(one: Facts, other: Facts, lattice: Lattice) -> list[Any]:
    return [lattice.join(a, b) for a, b in zip(one, other, strict=True)]


# --- batch axes ----------------------------------------------------------------------


def join_axes(one: int | None, other: int | None) -> int | None:
    """Joins where two values that may be one have their batch axis."""
    if one is None or one == other:
        return other
    return one if other is None else MIXED


AXES = Lattice(None, join_axes)


def branches_batch(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """A choice made from the whole batch couples values, but no derivative."""
    return branches(call, axes, callees, AXES)


def while_batch(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """If one run of the body keeps samples apart, so do many, however many."""
    return while_loop(call, axes, callees, AXES)


def fori_batch(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As for ``while_loop``."""
    return fori_loop(call, axes, callees, AXES)


def scan_batch(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As for ``while_loop``, unless the steps are the samples."""
    split = sum(call.attrs["captures"]) + call.attrs["num_carry"]
    results = scan(call, [*axes[:split], *map(_of_slice, axes[split:])], callees, AXES)
    split = call.attrs["num_carry"]
    return [*results[:split], *map(_of_stack, results[split:])]


def map_batch(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As ``vmap``: the rows may be the samples, or hold a row of each."""
    split = sum(call.attrs["captures"])
    if 0 in axes[split:]:
        apart = all(axis is None for axis in axes[:split]) and set(axes[split:]) <= {0, None}
        return [0 if apart else MIXED] * len(call.functions[0].results)
    results = mapped(call, [*axes[:split], *map(_of_slice, axes[split:])], callees, AXES)
    return [*map(_of_stack, results)]


def associative_batch(call: Call, axes: Axes, callees: Sequence[CalleeAxes]) -> Axes:
    """As for ``while_loop``, unless the elements are the samples."""
    split = sum(call.attrs["captures"])
    elements = [*axes[:split], *map(_of_slice, axes[split:])]
    return [*map(_of_stack, associative_scan(call, elements, callees, AXES))]


def _of_slice(axis: int | None) -> int | None:
    """Returns where the batch axis of a stack is in one slice of its axis 0."""
    if axis is None or axis == MIXED:
        return axis
    return MIXED if axis == 0 else axis - 1


def _of_stack(axis: int | None) -> int | None:
    return axis if axis is None or axis == MIXED else axis + 1
