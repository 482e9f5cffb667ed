"""Checks a function of a program, with derivatives, against a NumPy function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from running import Array, close, differences, run
from sketch import Sketch, Value, op, several, type_of


def check(
    add: Callable[[Sketch], int],
    reference: Callable[[Array], Array],
    *points: Array,
    directions: Sequence[str] = ("forward", "reverse"),
    second: bool = True,
    inner: Sequence[str] | None = None,
    step: float = 1e-3,
    tolerance: float = 1e-7,
) -> None:
    """Compares value and Jacobian at the first point, and second derivatives at all, under vmap.

    Args:
        add: Adds a function of one float64 array to one to a sketch.
        reference: The same function, in NumPy alone.
        points: Where to compare.
        directions: Those in which derivatives are taken; second derivatives
            in each of them over each.
        second: Whether second derivatives are taken.
        inner: The directions that are differentiated again; all if None.
        step: The step of the differences.
        tolerance: That of first derivatives; of second ones a thousand times it.
    """
    sketch = Sketch()
    f = add(sketch)
    point = type_of(points[0])
    jacobians = [sketch.add([point], _jacobian(f, direction)) for direction in directions]
    hessians = [
        sketch.add([point], _jacobian(g, outer))
        for g, direction in zip(jacobians, directions, strict=True)
        for outer in directions
        if second and (inner is None or direction in inner)
    ]
    wanted = [f, *jacobians, *hessians]

    def entry(x: Value, rows: Value) -> list[Value]:
        single = [op("call", x, functions=[g]) for g in [f, *jacobians]]
        return single + [op("vmap", rows, functions=[g], mapped=(1,)) for g in wanted]

    rows = np.stack(points)
    sketch.add([point, type_of(rows)], entry)
    outputs = run(sketch, points[0], rows)

    def first(x: Array) -> Array:
        return differences(reference, x, step)

    close(outputs[0], reference(points[0]), 1e-12)
    stacked = outputs[1 + len(jacobians) :]
    for row, x in enumerate(points):
        close(stacked[0][row], reference(x), 1e-12)
        for position in range(1, 1 + len(jacobians)):
            close(stacked[position][row], first(x), tolerance)
            if row == 0:
                close(outputs[position], first(x), tolerance)
        for position in range(1 + len(jacobians), len(wanted)):
            hessian = differences(first, x, step)
            close(stacked[position][row], hessian, 1e3 * tolerance)


def _jacobian(f: int, direction: str) -> Callable[[Value], Value]:
    return lambda x: several("jacobian", x, functions=[f], outputs=2, mode=direction)[1]
