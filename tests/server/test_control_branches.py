"""Choices, against `if` in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from calculus import check
from programs import COUNT, SCALAR, VECTOR
from running import Array, close, run
from sketch import Sketch, Value, op, several, total, type_of

rng = np.random.default_rng(12)
A, B = rng.standard_normal((2, 3))
X = rng.standard_normal(3)


def test_cond() -> None:
    """Each branch has its own captures; the one taken is differentiated, row by row."""

    def add(sketch: Sketch) -> int:
        true = sketch.add([VECTOR, SCALAR, VECTOR], lambda a, c, x: op("sin", a * x) * c)
        false = sketch.add([VECTOR, VECTOR], lambda b, x: b * x * x)

        def write(x: Value) -> Value:
            positive = op("greater", total(x, 0), 0.0)
            return op("cond", A, 2.0, B, positive, x, functions=[true, false], captures=(2, 1))

        return sketch.add([VECTOR], write)

    def reference(x: Array) -> Array:
        return np.sin(A * x) * 2.0 if x.sum() > 0 else B * x * x

    check(add, reference, np.abs(X), -np.abs(X), X)


def test_cond_of_captures_alone() -> None:
    """The branches need no operands; equal weak types don't matter."""
    sketch = Sketch()
    first = sketch.add([SCALAR], lambda x: [x, x * 2.0])
    second = sketch.add([SCALAR], lambda x: [x * 3.0, x])
    sketch.add(
        [type_of(True), SCALAR],
        lambda p, x: several(
            "cond", x, x, p, functions=[first, second], outputs=2, captures=(1, 1)
        ),
    )
    close(run(sketch, True, 5.0), [5.0, 10.0])
    close(run(sketch, False, 5.0), [15.0, 5.0])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_switch(count: int) -> None:
    """The index counts out the function, and is clamped into their range."""
    sketch = Sketch()
    functions = [
        sketch.add([SCALAR, VECTOR], lambda c, x, k=k: total(x**k, 0) * c) for k in range(count)
    ]
    index = type_of(np.int32(0))
    scales = np.arange(1.0, count + 1)

    def choose(i: Value, x: Value) -> Value:
        return op("switch", *scales, i, x, functions=functions, captures=(1,) * count)

    f = sketch.add([index, VECTOR], choose)
    g = sketch.add(
        [index, VECTOR], lambda i, x: several("grad", i, x, functions=[f], outputs=2, wrt=(1,))
    )
    indices = np.arange(-2, count + 3, dtype=np.int32)
    sketch.add(
        [type_of(indices), VECTOR],
        lambda i, x: several("vmap", i, x, functions=[g], outputs=2, mapped=(1, 0)),
    )
    values, gradients = run(sketch, indices, X)
    for row, i in enumerate(indices):
        k = min(max(i, 0), count - 1)
        close(values[row], (k + 1) * (X**k).sum())
        close(gradients[row], (k + 1) * k * X ** max(k - 1, 0))


def test_a_branch_that_is_not_taken_makes_no_nan() -> None:
    """At one point only one branch runs, backwards too."""
    sketch = Sketch()
    true = sketch.add([SCALAR], lambda x: op("sqrt", x))
    false = sketch.add([SCALAR], lambda x: x * 0.0)
    f = sketch.add(
        [SCALAR], lambda x: op("cond", op("greater", x, 0.0), x, functions=[true, false])
    )
    sketch.add([SCALAR], lambda x: several("grad", x, functions=[f], outputs=2))
    close(run(sketch, -1.0), [0.0, 0.0])
    close(run(sketch, 4.0), [2.0, 0.25])


def test_control_ops_nest() -> None:
    """A cond in a scan in a fori loop, with what the innermost captures lifted through."""

    def add(sketch: Sketch) -> int:
        true = sketch.add([SCALAR, SCALAR], lambda a, x: op("sin", a * x))
        false = sketch.add([SCALAR, SCALAR], lambda a, x: x + a)

        def step(a: Value, h: Value, v: Value) -> Value:
            chosen = op("cond", a, a, op("less", h, v), h, functions=[true, false], captures=(1, 1))
            return chosen * v

        body = sketch.add([SCALAR, SCALAR, SCALAR], step)
        loop = sketch.add(
            [SCALAR, VECTOR, COUNT, SCALAR],
            lambda a, xs, i, h: op(
                "scan", a, h, xs, functions=[body], captures=(1,), num_carry=1, length=3
            ),
        )
        return sketch.add(
            [VECTOR],
            lambda x: op(
                "fori_loop",
                op("sum", x, axis=(0,)),
                x,
                1.0,
                functions=[loop],
                captures=(2,),
                lower=0,
                upper=2,
            ),
        )

    def reference(x: Array) -> Array:
        a, h = x.sum(), 1.0
        for _ in range(2):
            for v in x:
                h = (np.sin(a * h) if h < v else h + a) * v
        return np.asarray(h)

    check(add, reference, np.array([0.5, 1.5, -0.7]), np.array([1.3, -0.4, 0.2]), tolerance=1e-6)
