"""What calls, choices and loops of functions give."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from conformance.differentiator import Attrs, Callee, Differentiator, Run
from conformance.dual_numbers import Number, linear, plain


def _call(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    return callees[0](*inputs)


def _slice(x: Number, row: int) -> Number:
    return linear(lambda a: a[row], x)


def _stack(parts: Sequence[Sequence[Number]]) -> list[Number]:
    """Stacks the results of several runs on axis 0."""
    return [linear(lambda *a: np.stack(a), *results) for results in zip(*parts, strict=True)]


def _vmap(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    flags = attrs["mapped"]
    (size,) = {plain(x).shape[0] for x, flag in zip(inputs, flags, strict=True) if flag}
    pairs = list(zip(inputs, flags, strict=True))
    return _stack(
        [callees[0](*(_slice(x, i) if flag else x for x, flag in pairs)) for i in range(size)]
    )


def _divide(
    callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> tuple[list[Run], list[Number]]:
    """Returns the functions with their captured values filled in, and the other operands."""
    counts = attrs.get("captures") or (0,) * len(callees)
    closed: list[Run] = []
    first = 0
    for f, count in zip(callees, counts, strict=True):
        captured = inputs[first : first + count]
        closed.append(lambda *xs, f=f, captured=captured: f(*captured, *xs))
        first += count
    return closed, list(inputs[first:])


def _cond(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (on_true, on_false), (predicate, *operands) = _divide(callees, inputs, attrs)
    return (on_true if plain(predicate) else on_false)(*operands)


def _switch(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    branches, (index, *operands) = _divide(callees, inputs, attrs)
    return branches[min(max(int(plain(index)), 0), len(branches) - 1)](*operands)


def _while_loop(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (condition, body), state = _divide(callees, inputs, attrs)
    trips = 0
    while plain(condition(*state)[0]) and trips < (attrs.get("max_iterations", 0) or np.inf):
        state = body(*state)
        trips += 1
    return state


def _fori_loop(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (body,), state = _divide(callees, inputs, attrs)
    for index in range(attrs["lower"], attrs["upper"]):
        state = body(np.int64(index), *state)
    return state


def _scan(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (body,), own = _divide(callees, inputs, attrs)
    carry, sequences = own[: attrs["num_carry"]], own[attrs["num_carry"] :]
    steps = range(attrs["length"])
    outputs = []
    for step in reversed(steps) if attrs.get("reverse") else steps:
        results = body(*carry, *(_slice(x, step) for x in sequences))
        carry = results[: len(carry)]
        outputs.append(results[len(carry) :])
    return [*carry, *_stack(outputs[::-1] if attrs.get("reverse") else outputs)]


def _map(
    run: Differentiator, callees: Sequence[Callee], inputs: Sequence[Number], attrs: Attrs
) -> list[Number]:
    (f,), own = _divide(callees, inputs, attrs)
    return _stack([f(*(_slice(x, i) for x in own)) for i in range(plain(own[0]).shape[0])])


CONTROL: dict[str, Callable[..., list[Number]]] = {
    "call": _call,
    "checkpoint": _call,
    "vmap": _vmap,
    "cond": _cond,
    "switch": _switch,
    "while_loop": _while_loop,
    "fori_loop": _fori_loop,
    "scan": _scan,
    "map": _map,
}
"""Called with (interpreter, functions, operands, attributes)."""
