"""Random functions of a batch: what is proved to keep samples apart does so in fact."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire.ir.independence import prove_independent
from programs import vector
from running import run
from sketch import Sketch, Value, op, several, total

SIZE = 4
"""Samples, and features of one: equal, so that axes can be taken for each other."""

X, ROW = vector(SIZE, SIZE), vector(SIZE)


def write_random(rng: np.random.Generator, sketch: Sketch, callees: list[int], rows: int) -> int:
    """Adds a function of two (4, 4) arrays to one, made of two to five random nodes."""
    w = rng.standard_normal((SIZE, SIZE))

    def grow(values: list[Value]) -> Value:
        # The newest value is taken most of the time, so that few nodes are dead.
        x = values[-1] if rng.random() < 0.7 else values[int(rng.integers(len(values)))]
        y = values[int(rng.integers(len(values)))]
        axis = int(rng.integers(2))
        flags = ((1, 1), (1, 0), (0, 1))[int(rng.integers(3))]
        callee = callees[int(rng.integers(len(callees)))] if callees else None
        wrt = (int(rng.integers(2)),)
        makers = [
            lambda: op("sin", x),
            lambda: x * y,
            lambda: op("matmul", x, w),
            lambda: op("matmul", w, x) if rng.random() < 0.3 else x + y,
            lambda: op("matrix_transpose", x),
            lambda: x * op("mean", y, axis=(axis,), keepdims=True),
            lambda: op("flip", x, axis=(axis,)),
            lambda: op("cumulative_sum", x, axis=axis),
            lambda: x * op("stop_gradient", op("flip", y, axis=(axis,))),
            lambda: op(
                "vmap",
                x if flags[0] else total(x, axis),
                y if flags[1] else total(y, axis),
                functions=[rows],
                mapped=flags,
            ),
        ]
        if callee is not None:
            f = [callee]
            makers += [
                lambda: op("call", x, y, functions=f),
                lambda: several("jvp", x, y, y, functions=f, outputs=2, wrt=wrt)[1],
                lambda: several("jvp", x, y, x, functions=f, outputs=2, wrt=wrt)[1],
                lambda: several("vjp", x, y, y, functions=f, outputs=2, wrt=wrt)[1],
                lambda: several("vjp", x, y, w, functions=f, outputs=2, wrt=wrt)[1],
                lambda: total(several("jacobian", x, y, functions=f, outputs=2, wrt=wrt)[1], 2, 3),
                lambda: total(several("jacobian", x, y, functions=f, outputs=2, wrt=wrt)[1], 0, 1),
                lambda: several("laplacian", x, y, functions=f, outputs=2, wrt=wrt)[1],
            ]
        return makers[int(rng.integers(len(makers)))]()

    def write(x: Value, y: Value) -> Value:
        values = [x, y]
        for _ in range(int(rng.integers(2, 6))):
            values.append(grow(values))
        return values[-1]

    return sketch.add([X, X], write)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_proved_holds(seed: int) -> None:
    """Wherever the proof succeeds, the whole Jacobian has zeros off its blocks."""
    rng = np.random.default_rng(seed)
    sketch = Sketch()
    w = rng.standard_normal((SIZE, SIZE))
    rows = sketch.add([ROW, ROW], lambda x, y: op("sin", x) * op("matmul", w, y))
    callees: list[int] = []
    tried = [write_random(rng, sketch, callees, rows) for _ in range(4)]
    callees += tried
    tried += [write_random(rng, sketch, callees, rows) for _ in range(40)]
    typed = sketch.typed()
    functions, infos = typed.program.functions, typed.infos
    cases = [
        (index, wrt)
        for index in tried
        for wrt in ((0,), (1,))
        if prove_independent(functions, infos, index, [0 if i in wrt else None for i in range(2)])
        is None
    ]
    assert len(cases) > 10, "the proofs must not all fail"
    assert len(cases) < 2 * len(tried), "nor all succeed"

    def entry(x: Value, y: Value) -> list[Value]:
        return [
            several("jacobian", x, y, functions=[index], outputs=2, wrt=wrt)[1]
            for index, wrt in cases
        ]

    sketch.add([X, X], entry)
    points = rng.standard_normal((2, SIZE, SIZE))
    alive = 0
    for (index, wrt), jacobian in zip(cases, run(sketch, *points), strict=True):
        blocks = np.einsum("bibj->bij", jacobian)
        alive += bool(np.abs(blocks).max() > 0)
        off = jacobian * (1 - np.eye(SIZE))[:, None, :, None]
        assert np.abs(off).max() <= 1e-9 * max(1, np.abs(blocks).max()), (index, wrt)
    assert alive > 5, "most Jacobians must not vanish"
