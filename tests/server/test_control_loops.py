"""Loops against the same loops in NumPy: values, both orders, both directions, under vmap."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from calculus import check
from programs import COUNT, SCALAR, VECTOR
from running import Array, close, run
from sketch import Sketch, Value, op, several, total, type_of

rng = np.random.default_rng(11)
W = rng.standard_normal((3, 3)) / 2
X = rng.standard_normal(3)
POINTS = [X, np.array([0.1, 0.2, -0.1]), np.array([3.0, -2.0, 1.0])]
MANY = 20


def add_while(sketch: Sketch, max_iterations: int) -> int:
    """Doubles sin-like steps of x while |x|² < 4, with W captured by the body, 4 by the test."""
    condition = sketch.add(
        [SCALAR, VECTOR, COUNT], lambda bound, x, i: op("less", total(x * x, 0), bound)
    )
    body = sketch.add(
        [type_of(W), VECTOR, COUNT],
        lambda w, x, i: [x * 1.5 + 0.3 * op("sin", op("matmul", w, x)), i + np.int64(1)],
    )

    def write(x: Value) -> list[Value]:
        operands = (4.0, W, x, np.int64(0))
        state = several(
            "while_loop",
            *operands,
            functions=[condition, body],
            outputs=2,
            captures=(1, 1),
            max_iterations=max_iterations,
        )
        return [op("multiply", state[0], op("astype", state[1], dtype=np.dtype("float64")))]

    return sketch.add([VECTOR], write)


def while_reference(x: Array, bound: int = 10**9) -> Array:
    count = 0
    while x @ x < 4.0 and count < bound:
        x = x * 1.5 + 0.3 * np.sin(W @ x)
        count += 1
    return x * count


@pytest.mark.parametrize("bound", [MANY, 3, 1])
def test_while_with_a_bound(bound: int) -> None:
    """In both directions; it ends at the bound, at once, or somewhere between."""
    trips = [while_reference(p, bound) for p in POINTS]
    assert not trips[2].any()
    assert trips[1].any()
    check(lambda s: add_while(s, bound), lambda x: while_reference(x, bound), *POINTS)


def test_while_without_a_bound() -> None:
    """Forward mode goes through it, at second order too."""
    check(lambda s: add_while(s, 0), while_reference, *POINTS, directions=["forward"])


def test_a_sample_that_has_ended_makes_no_nan() -> None:
    """Its body is never run where the condition forbids, whatever other samples do."""
    sketch = Sketch()
    condition = sketch.add([SCALAR], lambda x: op("greater", x, 1.0))
    body = sketch.add([SCALAR], lambda x: op("sqrt", x - 1.0))
    f = sketch.add(
        [SCALAR],
        lambda x: op("while_loop", x, functions=[condition, body], max_iterations=5),
    )
    g = sketch.add([SCALAR], lambda x: several("grad", x, functions=[f], outputs=2))
    rows = np.array([1.5, 1.9, 2.5, 17.0])
    loss = sketch.add(
        [type_of(rows)], lambda x: total(op("vmap", x, functions=[f], mapped=(1,)), 0)
    )

    def entry(x: Value) -> list[Value]:
        each = several("vmap", x, functions=[g], outputs=2, mapped=(1,))
        return [*each, several("grad", x, functions=[loss], outputs=2)[1]]

    sketch.add([type_of(rows)], entry)
    values, gradients, of_sum = run(sketch, rows)

    def reference(x: float) -> tuple[float, float]:
        slope = 1.0
        while x > 1:
            slope, x = slope * 0.5 / np.sqrt(x - 1), np.sqrt(x - 1)
        return x, slope

    close(values, [reference(x)[0] for x in rows])
    close(gradients, [reference(x)[1] for x in rows])
    close(of_sum, gradients)


@pytest.mark.parametrize(("lower", "upper"), [(-2, 2), (3, 4), (5, 2)])
def test_fori(lower: int, upper: int) -> None:
    """The state goes x ← x + 0.3 sin(0.3 i·x + W x) for each index; none if there is none."""
    sketch_types = [type_of(W), COUNT, VECTOR]

    def add(sketch: Sketch) -> int:
        def body(w: Value, i: Value, x: Value) -> Value:
            index = op("astype", i, dtype=np.dtype("float64"))
            return x + 0.3 * op("sin", 0.3 * index * x + op("matmul", w, x))

        f = sketch.add(sketch_types, body)
        return sketch.add(
            [VECTOR],
            lambda x: several(
                "fori_loop",
                W,
                x,
                functions=[f],
                outputs=1,
                captures=(1,),
                lower=lower,
                upper=upper,
            ),
        )

    def reference(x: Array) -> Array:
        for i in range(lower, upper):
            x = x + 0.3 * np.sin(0.3 * i * x + W @ x)
        return x

    check(add, reference, *POINTS[:2])


def test_the_index_is_exact_far_from_zero() -> None:
    """Indices near 2**62 come as they are, in 64 bits."""
    sketch = Sketch()
    f = sketch.add([COUNT, COUNT], lambda i, last: i)
    first = 2**62 + 1
    sketch.add([COUNT], lambda x: op("fori_loop", x, functions=[f], lower=first, upper=first + 3))
    assert run(sketch, np.int64(0))[0] == first + 2


@pytest.mark.parametrize(("length", "reverse"), [(0, False), (1, True), (4, False), (4, True)])
def test_scan(length: int, reverse: bool) -> None:
    """A recurrence over a sequence, with what each step returns."""
    weights = rng.standard_normal((length, 3))

    def add(sketch: Sketch) -> int:
        body = sketch.add(
            [type_of(W), VECTOR, VECTOR],
            lambda w, h, v: [op("tanh", op("matmul", w, h) + v), total(h * v, 0)],
        )

        def write(x: Value) -> Value:
            carry, products = several(
                "scan",
                W,
                x,
                weights * x,
                functions=[body],
                outputs=2,
                captures=(1,),
                num_carry=1,
                length=length,
                reverse=reverse,
            )
            return op("concat", carry, products, axis=0)

        return sketch.add([VECTOR], write)

    def reference(x: Array) -> Array:
        h, products = x, np.zeros(length)
        for i in reversed(range(length)) if reverse else range(length):
            v = weights[i] * x
            products[i] = h @ v
            h = np.tanh(W @ h + v)
        return np.concatenate([h, products])

    check(add, reference, *POINTS[:2])


def test_scan_without_sequences_and_without_carry() -> None:
    """A carry alone counts on `length`; sequences alone make a map."""
    sketch = Sketch()
    double = sketch.add([SCALAR], lambda x: [x * 2.0, x])
    square = sketch.add([SCALAR], lambda x: x * x)

    def entry(x: Value, y: Value) -> list[Value]:
        carried = several("scan", x, functions=[double], outputs=2, num_carry=1, length=3)
        return [*carried, op("scan", y, functions=[square], num_carry=0, length=2)]

    sketch.add([SCALAR, type_of(np.zeros(2))], entry)
    carry, stack, squares = run(sketch, 3.0, np.array([2.0, 5.0]))
    close(carry, 24.0)
    close(stack, [3.0, 6.0, 12.0])
    close(squares, [4.0, 25.0])


@pytest.mark.parametrize(("length", "batch_size"), [(0, 0), (0, 2), (1, 0), (5, 1), (5, 2), (5, 9)])
def test_map(length: int, batch_size: int) -> None:
    """Row by row or in batches, the last of which may be smaller."""
    weights = rng.standard_normal((length, 3))

    def add(sketch: Sketch) -> int:
        f = sketch.add([VECTOR, VECTOR], lambda x, v: total(op("sin", x * v), 0))
        return sketch.add(
            [VECTOR],
            lambda x: op(
                "map", x, weights * x, functions=[f], captures=(1,), batch_size=batch_size
            ),
        )

    check(add, lambda x: np.sin(x * weights * x).sum(1), X, second=batch_size == 2)


@pytest.mark.parametrize(
    ("length", "reverse"), [(0, False), (1, True), (2, True), (6, False), (6, True)]
)
def test_associative_scan(length: int, reverse: bool) -> None:
    """Composition of affine maps, which isn't commutative, with a captured factor."""
    scales, shifts = rng.standard_normal((2, length, 3))

    def add(sketch: Sketch) -> int:
        def compose(c: Value, a: Value, b: Value, a2: Value, b2: Value) -> list[Value]:
            return [a * a2, a2 * b + b2 * c]

        f = sketch.add([SCALAR, *[VECTOR] * 4], compose)

        def write(x: Value) -> Any:
            operands = (1.0, scales * x, shifts * op("sin", x))
            found = several(
                "associative_scan",
                *operands,
                functions=[f],
                outputs=2,
                captures=(1,),
                reverse=reverse,
            )
            return op("concat", *found, axis=0)

        return sketch.add([VECTOR], write)

    def reference(x: Array) -> Array:
        a, b = scales * x, shifts * np.sin(x)
        order = list(range(length))[:: -1 if reverse else 1]
        for before, here in pairwise(order):
            b[here] = a[here] * b[before] + b[here]
            a[here] = a[before] * a[here]
        return np.concatenate([a, b])

    check(add, reference, *POINTS[:2], second=length == 2, tolerance=1e-6)
