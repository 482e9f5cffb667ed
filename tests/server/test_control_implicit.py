"""Solutions of equations: derivatives by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from calculus import check
from running import Array, close, differences, run
from sketch import Sketch, Value, op, several, total, type_of

rng = np.random.default_rng(13)
A = rng.standard_normal((3, 3)) + 3 * np.eye(3)
S = A + A.T
X = rng.standard_normal(3)
VECTOR, MATRIX, SCALAR = type_of(X), type_of(A), type_of(0.0)


def add_solve(sketch: Sketch, symmetric: bool, transposed: bool) -> int:
    """Solves (A + diag sin x)·y = x² by solvers of which no derivative is right."""

    def matrix(x: Value) -> Value:
        return (S if symmetric else A) + op("diag", op("sin", x))

    product = sketch.add([MATRIX, VECTOR], lambda m, v: op("matmul", m, v))

    def spoilt(m: Value) -> Value:
        # Its derivative is zero, so one that went through it would show.
        return op("stop_gradient", m)

    solve = sketch.add(
        [MATRIX, VECTOR], lambda m, b: op("stop_gradient", op("linalg.solve", spoilt(m), b))
    )
    back = sketch.add(
        [MATRIX, VECTOR],
        lambda m, b: op("linalg.solve", op("matrix_transpose", spoilt(m)), b),
    )
    functions = [product, solve, *([back] if transposed else [])]

    def write(x: Value) -> Value:
        m = matrix(x)
        return op(
            "linear_solve",
            *[m] * len(functions),
            x * x,
            functions=functions,
            captures=(1,) * len(functions),
            symmetric=symmetric,
        )

    return sketch.add([VECTOR], write)


@pytest.mark.parametrize(
    ("symmetric", "transposed"), [(False, True), (True, False), (True, True), (False, False)]
)
def test_linear_solve(symmetric: bool, transposed: bool) -> None:
    """Derivatives are the system's; in reverse if the transposed one can be solved."""
    both = symmetric or transposed
    check(
        lambda s: add_solve(s, symmetric, transposed),
        lambda x: np.linalg.solve((S if symmetric else A) + np.diag(np.sin(x)), x * x),
        X,
        X + 1,
        directions=["forward", "reverse"] if both else ["forward"],
    )


def cosine(sketch: Sketch) -> int:
    """The solution of y = cos(y·x)/2, a contraction for small x."""
    f = sketch.add([VECTOR, VECTOR], lambda x, y: op("cos", x * y) / 2.0)
    return sketch.add(
        [VECTOR],
        lambda x: op(
            "fixed_point",
            x,
            x * 0.1,
            functions=[f],
            captures=(1,),
            tolerance=1e-15,
            max_iterations=500,
        ),
    )


def cosine_reference(x: Array) -> Array:
    y = np.zeros_like(x)
    for _ in range(300):
        y = np.cos(x * y) / 2
    return y


def test_fixed_point() -> None:
    """Both directions, both orders, and from a first guess that depends on x."""
    check(cosine, cosine_reference, 0.5 * X, X, np.zeros(3))


def test_fixed_point_in_a_loop() -> None:
    """Each step solves; the inner derivative is taken forward, the outer either way."""

    def add(sketch: Sketch) -> int:
        f = cosine(sketch)
        return sketch.add([VECTOR], lambda x: op("scan", x, functions=[f], num_carry=1, length=2))

    check(add, lambda x: cosine_reference(cosine_reference(x)), X, inner=["forward"])


def two_leaves(sketch: Sketch) -> int:
    """The root of (u − x·w − 1, w³ + w − Σu·x), a vector and a scalar."""

    def residual(x: Value, u: Value, w: Value) -> list[Value]:
        return [u - x * w - 1.0, w**3 + w - total(u * x, 0)]

    f = sketch.add([VECTOR, VECTOR, SCALAR], residual)

    def write(x: Value) -> Value:
        u, w = several(
            "root",
            x,
            x * 0.0 + 1.0,
            0.5,
            functions=[f],
            outputs=2,
            captures=(1,),
            tolerance=1e-13,
            max_iterations=50,
        )
        return op("concat", u, op("expand_dims", w, axis=(0,)), axis=0)

    return sketch.add([VECTOR], write)


def two_leaves_reference(x: Array) -> Array:
    low, high = -10.0, 10.0
    for _ in range(200):
        w = (low + high) / 2
        value = w**3 + w - (x * w + 1) @ x
        low, high = (w, high) if value < 0 else (low, w)
    return np.concatenate([x * w + 1, [w]])


def test_root() -> None:
    """Newton's root against bisection, with derivatives of first and second order."""
    check(two_leaves, two_leaves_reference, 0.4 * X, -0.3 * X, step=1e-2, tolerance=1e-6)


def test_third_order_of_a_root() -> None:
    """For y³ = x: 1/3 x^(−2/3), −2/9 x^(−5/3), 10/27 x^(−8/3)."""
    sketch = Sketch()
    f = sketch.add([SCALAR, SCALAR], lambda x, y: y**3 - x)
    last = sketch.add(
        [SCALAR],
        lambda x: op(
            "root", x, 1.0, functions=[f], captures=(1,), tolerance=1e-14, max_iterations=60
        ),
    )
    functions = [last]
    for _ in range(3):
        last = sketch.add(
            [SCALAR], lambda x, last=last: several("grad", x, functions=[last], outputs=2)[1]
        )
        functions.append(last)
    sketch.add([SCALAR], lambda x: [op("call", x, functions=[g]) for g in functions])
    x = 2.7
    close(
        run(sketch, x),
        [x ** (1 / 3), x ** (-2 / 3) / 3, -2 / 9 * x ** (-5 / 3), 10 / 27 * x ** (-8 / 3)],
        1e-9,
    )


def scalar_iteration(name: str, write: Callable[..., Any], start: float, **attrs: Any) -> Array:
    sketch = Sketch()
    f = sketch.add([type_of(start)], write)
    sketch.add([type_of(start)], lambda x: op(name, x, functions=[f], **attrs))
    return run(sketch, start)[0]


def test_iterations_end_at_their_bound() -> None:
    """So many steps are enough if the tolerance is the residual then; one less gives NaN."""
    for count in (2, 7):
        for name, write, residual in (
            ("fixed_point", lambda x: x * 0.5, 0.5 ** (count + 1)),
            ("root", lambda x: x * x, 0.25**count),  # a double root: each step halves x
        ):
            got = scalar_iteration(name, write, 1.0, tolerance=residual, max_iterations=count)
            close(got, 0.5**count)
            got = scalar_iteration(name, write, 1.0, tolerance=residual, max_iterations=count - 1)
            assert np.isnan(got)


def test_small_steps_that_lead_far_are_no_solution() -> None:
    """A drift without end, and a contraction that has hardly begun: their steps are small."""
    attrs = {"tolerance": 1e-5, "max_iterations": 1000}
    assert np.isnan(scalar_iteration("fixed_point", lambda x: x + 1.0, 1e9, **attrs))
    a, b = np.float32(0.9999), np.float32(3e-4)
    assert np.isnan(scalar_iteration("fixed_point", lambda x: x * a + b, np.float32(2), **attrs))


def test_a_guess_within_the_tolerance_is_the_answer() -> None:
    """No step is taken."""
    for name in ("fixed_point", "root"):
        write = (lambda x: x + 0.1) if name == "fixed_point" else (lambda x: x * 0.0 + 0.1)
        close(scalar_iteration(name, write, 3.0, tolerance=0.2, max_iterations=9), 3.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_floor_of_rounding_is_a_solution(dtype: Any) -> None:
    """Even with a tolerance out of reach: Ax + b = x, and (x² − 2)·10⁶ = 0 with its slope."""
    turn = (0.9 * np.linalg.qr(rng.standard_normal((40, 40)))[0]).astype(dtype)
    shift = (1e6 * rng.standard_normal(40)).astype(dtype)
    sketch = Sketch()
    attrs: dict[str, Any] = {"tolerance": 0.0, "max_iterations": 400}
    many, one = type_of(shift), type_of(dtype(1))
    affine = sketch.add([type_of(turn), many, many], lambda a, b, x: op("matmul", a, x) + b)
    square = sketch.add([one, one], lambda c, x: (x * x - c) * dtype(1e6))
    root = sketch.add(
        [one], lambda c: op("root", c, dtype(1.7), functions=[square], captures=(1,), **attrs)
    )
    sketch.add(
        [type_of(turn), many, one],
        lambda a, b, c: [
            op("fixed_point", a, b, b, functions=[affine], captures=(2,), **attrs),
            *several("grad", c, functions=[root], outputs=2),
        ],
    )
    fixed, value, slope = run(sketch, turn, shift, dtype(2))
    wanted = np.linalg.solve(np.eye(40) - turn.astype(float), shift.astype(float))
    rounding = float(np.finfo(dtype).eps)
    residual = turn @ fixed + shift - fixed
    assert np.max(np.abs(residual)) > 64 * rounding
    close(fixed / 1e6, wanted / 1e6, 100 * rounding)
    close(value, np.sqrt(2), 10 * rounding)
    close(slope, 0.5 / np.sqrt(2), 10 * rounding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_double_roots(dtype: Any) -> None:
    """Newton's steps only halve the error, and converge all the same, at 0 and elsewhere."""
    rounding = float(np.finfo(dtype).eps)
    for write, answer in (
        (lambda x: x * x, 0),
        (lambda x: x * x * dtype(1e6), 0),
        (lambda x: (x * x - (x + x) + dtype(1)) * dtype(1e6), 1),
    ):
        attrs = {"tolerance": 64 * rounding, "max_iterations": 100}
        got = scalar_iteration("root", write, dtype(1.7), **attrs)
        assert got.dtype == dtype
        close(got, answer, 30 * rounding**0.5)


def lost(c: Value, u: Value, v: Value) -> list[Value]:
    """A large part that is solved, and a small one that oscillates for c = 1."""
    return [u * 0.5 + 5e9, op("cos", v) * (1.0 - c) + c * (3.0 - v)]


def test_no_solution_is_nan_with_its_derivatives() -> None:
    """Each row of a vmap for itself: values, and derivatives of both orders and modes."""
    sketch = Sketch()
    f = sketch.add([SCALAR, SCALAR, SCALAR], lost)
    solved = sketch.add(
        [SCALAR],
        lambda c: several(
            "fixed_point",
            c,
            1.0,
            0.5,
            functions=[f],
            outputs=2,
            captures=(1,),
            tolerance=1e-13,
            max_iterations=300,
        )[1],
    )
    wanted = [solved]
    for mode in ("forward", "reverse"):
        first = sketch.add(
            [SCALAR],
            lambda c, mode=mode: several("jacobian", c, functions=[solved], outputs=2, mode=mode)[
                1
            ],
        )
        second = sketch.add(
            [SCALAR],
            lambda c, first=first: several(
                "jacobian", c, functions=[first], outputs=2, mode="forward"
            )[1],
        )
        wanted += [first, second]
    rows = np.array([0.0, 1.0])
    sketch.add(
        [type_of(rows)],
        lambda x: [op("vmap", x, functions=[g], mapped=(1,)) for g in wanted],
    )
    value, *derivatives = run(sketch, rows)
    y = 0.7390851332151607  # y = cos y, and then y' = (3 - y - cos y) / (1 + sin y)
    close(value[0], y, 1e-12)
    close(derivatives[0][0], (3 - 2 * y) / (1 + np.sin(y)), 1e-9)
    for output in (value, *derivatives):
        assert np.isfinite(output[0])
        assert np.isnan(output[1])


def test_an_iteration_that_makes_nan_ends() -> None:
    """Not-a-number is never within the tolerance, yet the steps end."""
    got = scalar_iteration(
        "fixed_point", lambda x: op("log", x), 0.5, tolerance=1e-9, max_iterations=10**6
    )
    assert np.isnan(got)


def test_single_precision() -> None:
    """The solution has the guess's dtype."""
    sketch = Sketch()
    two = np.float32(2)
    f = sketch.add([type_of(two), type_of(two)], lambda c, x: x * x - c)
    root = sketch.add(
        [type_of(two)],
        lambda c: op("root", c, c, functions=[f], captures=(1,), tolerance=1e-6, max_iterations=30),
    )
    sketch.add([type_of(two)], lambda c: several("grad", c, functions=[root], outputs=2))
    value, gradient = run(sketch, two)
    assert value.dtype == gradient.dtype == np.float32
    close(value, np.sqrt(2), 1e-6)
    close(gradient, 0.5 / np.sqrt(2), 1e-6)


def test_a_root_within_a_loss() -> None:
    """The gradient of a loss over roots of many problems, against differences."""
    sketch = Sketch()
    f = cosine(sketch)
    rows = 0.5 * rng.standard_normal((4, 3))
    loss = sketch.add(
        [type_of(rows)],
        lambda x: op("sum", op("vmap", x, functions=[f], mapped=(1,)) ** 2, axis=(0, 1)),
    )
    sketch.add([type_of(rows)], lambda x: several("grad", x, functions=[loss], outputs=2))
    value, gradient = run(sketch, rows)

    def closed(x: Array) -> Array:
        return (cosine_reference(x) ** 2).sum()

    close(value, closed(rows))
    close(gradient, differences(closed, rows, 1e-3), 1e-8)
