"""Loops of a given number of trips, and what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradwire.ir import Function, Program
from programs import COUNT, SCALAR, chain, function, node, program, vector

_HALF = function([SCALAR], node("tanh", [0], 1), results=[1])


def _while(trips: int) -> Program:
    less = function([SCALAR], node("isfinite", [0], 1), results=[1])
    loop = node("while_loop", [0], 1, functions=[0, 1], max_iterations=trips)
    return program(less, _HALF, function([SCALAR], loop, results=[1]))


def _fori(trips: int) -> Program:
    body = function([COUNT, SCALAR], node("tanh", [1], 2), results=[2])
    loop = node("fori_loop", [0], 1, functions=[0], lower=-5, upper=trips - 5)
    return program(body, function([SCALAR], loop, results=[1]))


def _scan(trips: int) -> Program:
    loop = node("scan", [0], 1, functions=[0], num_carry=1, length=trips)
    return program(_HALF, function([SCALAR], loop, results=[1]))


def _map(trips: int) -> Program:
    loop = node("map", [0], 1, functions=[0], batch_size=2)
    return program(_HALF, function([vector(2 * trips - 1)], loop, results=[1]))


def _implicit(op: str) -> Callable[[int], Program]:
    def make(trips: int) -> Program:
        solve = node(op, [0], 1, functions=[0], tolerance=1e-3, max_iterations=trips)
        return program(_HALF, function([SCALAR], solve, results=[1]))

    return make


LOOPS: Mapping[str, Callable[[int], Program]] = {
    "while_loop": _while,
    "fori_loop": _fori,
    "scan": _scan,
    "map": _map,
    "fixed_point": _implicit("fixed_point"),
    "root": _implicit("root"),
}


def tree(extra: int) -> Program:
    """Four levels of a tree, up and down: 8 copies of 12 nodes, one more, and ``extra``."""
    first = node("add", [0, 1], 2)
    more = [node("sin", [i], i + 1) for i in range(2, 13)]
    combine = function([SCALAR, SCALAR], first, *more, results=[13])
    scan = node("associative_scan", [0], 1, functions=[0])
    rest = [node("sin", [i], i + 1) for i in range(1, extra + 1)]
    return program(combine, function([vector(16)], scan, *rest, results=[extra + 1]))


def swept(width: int, *, operator: str = "grad", checkpoint: bool = False) -> Program:
    """A derivative of a sum after a thousand steps over tensors of ``width`` elements."""
    state = vector(width)
    table: list[Function] = [chain("tanh", 1, state)]
    if checkpoint:
        table.append(function([state], node("checkpoint", [0], 1, functions=[0]), results=[1]))
    scan = node("scan", [0], 1, functions=[len(table) - 1], num_carry=1, length=1000)
    add = node("sum", [1], 2, axis=(0,))
    table.append(function([state], scan, add, results=[2]))
    extras = [0] if operator == "jvp" else []
    derivative = node(operator, [0, *extras], 1, 2, functions=[len(table) - 1])
    return program(*table, function([state], derivative, results=[2]))
