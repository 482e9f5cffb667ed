"""Functions whose derivative is what their own rule says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from calculus import check
from running import Array, close, run
from sketch import Sketch, Value, op, several, total, type_of

rng = np.random.default_rng(14)
X = rng.standard_normal(3)
VECTOR, SCALAR = type_of(X), type_of(0.0)
COUNT = type_of(np.int64(0))
FLOAT64 = np.dtype("float64")


def add_jvp(sketch: Sketch, f: int, write: Callable[..., Any], types: Sequence[Any]) -> None:
    """Adds a rule, after the function that it is for."""
    sketch.functions[f] = replace(sketch.functions[f], custom_jvp=sketch.add(types, write))


def add_vjp(
    sketch: Sketch, f: int, forward: Callable[..., Any], backward: Callable[..., Any], kept: Any
) -> None:
    """Adds two rules; ``kept`` are the types of residuals and cotangents."""
    types = [param.type for param in sketch.functions[f].params]
    rules = sketch.add(types, forward), sketch.add(kept, backward)
    sketch.functions[f] = replace(sketch.functions[f], custom_vjp=rules)


def sine(sketch: Sketch) -> int:
    """The sine, whose nodes can't be differentiated, with a rule that uses the function."""
    f = sketch.add([VECTOR], lambda x: op("stop_gradient", op("sin", op("nextafter", x, x))))

    def rule(x: Value, t: Value) -> list[Value]:
        return [
            op("call", x, functions=[f]),
            op("call", x + np.pi / 2, functions=[f]) * t,  # the cosine
        ]

    add_jvp(sketch, f, rule, [VECTOR, VECTOR])
    return f


def wrapped(sketch: Sketch, f: int, wrapper: str) -> int:
    """Puts a function into a call, a checkpoint, a vmap, a scan or a cond."""
    if wrapper == "vmap":
        rows = type_of(np.zeros((2, 3)))
        g = sketch.add([rows], lambda x: op("vmap", x, functions=[f], mapped=(1,)))
        return sketch.add(
            [VECTOR],
            lambda x: op(
                "reshape", op("call", op("stack", x, x * 2.0, axis=0), functions=[g]), shape=(6,)
            ),
        )
    attrs: dict[str, Any] = {"functions": [f]}
    if wrapper == "scan":
        g = sketch.add([VECTOR], lambda x: op("call", x, functions=[f]))
        attrs = {"functions": [g], "num_carry": 1, "length": 2}
    if wrapper == "cond":
        return sketch.add(
            [VECTOR],
            lambda x: op("cond", op("greater", total(x, 0), -9.0), x, functions=[f, f]),
        )
    return sketch.add([VECTOR], lambda x: op(wrapper, x, **attrs))


def sine_of(wrapper: str) -> Callable[[Array], Array]:
    def reference(x: Array) -> Array:
        if wrapper == "vmap":
            return np.sin(np.concatenate([x, 2 * x]))
        return np.sin(np.sin(x)) if wrapper == "scan" else np.sin(x)

    return reference


WRAPPERS = ["call", "checkpoint", "vmap", "scan", "cond"]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_jvp_rule_that_calls_its_own_function(wrapper: str) -> None:
    """Right in both modes and orders, in other functions and under vmap."""
    inner = ["forward"] if wrapper == "scan" else None  # the rest is refused
    check(lambda s: wrapped(s, sine(s), wrapper), sine_of(wrapper), X, 0.5 * X, inner=inner)


def test_derivatives_of_every_order() -> None:
    """The fifth derivative of the sine is the cosine: the rule is differentiated four times."""
    sketch = Sketch()
    last = sine(sketch)
    for _ in range(5):
        last = sketch.add(
            [VECTOR],
            lambda x, last=last: several("jvp", x, np.ones(3), functions=[last], outputs=2)[1],
        )
    close(run(sketch, X), [np.cos(X)])


def test_two_functions_whose_rules_use_each_other() -> None:
    """The sine's rule calls the cosine, and the cosine's the sine."""

    def add(sketch: Sketch) -> int:
        f, g = (
            sketch.add([VECTOR], lambda x, n=name: op("stop_gradient", op(n, x)))
            for name in ("sin", "cos")
        )
        for one, other, sign in ((f, g, 1.0), (g, f, -1.0)):

            def rule(x: Value, t: Value, one=one, other=other, sign=sign):  # type: ignore[no-untyped-def]
                value = op("call", x, functions=[one])
                return [value, op("call", x, functions=[other]) * t * sign]

            add_jvp(sketch, one, rule, [VECTOR, VECTOR])
        return f

    check(add, np.sin, X)


def test_a_rule_may_be_wrong() -> None:
    """The result is what the rule says, even if that is wrong: in each direction."""
    sketch = Sketch()
    f = sketch.add([VECTOR], lambda x: op("sin", x))
    add_jvp(sketch, f, lambda x, t: [op("sin", x), t * 7.0], [VECTOR, VECTOR])
    sketch.add(
        [VECTOR],
        lambda x: [
            several("jacobian", x, functions=[f], outputs=2, mode=mode)[1]
            for mode in ("forward", "reverse")
        ],
    )
    for jacobian in run(sketch, X):
        close(jacobian, 7 * np.eye(3))


def cube(sketch: Sketch, *, recursive: bool = True) -> int:
    """Cubes by a rule for reverse mode, with residuals of two kinds; it may use itself."""
    f = sketch.add([VECTOR], lambda x: op("stop_gradient", x**3))

    def forward(x: Value) -> list[Value]:
        return [
            op("call", x, functions=[f]) if recursive else x**3,
            x,
            op("astype", x * 0.0 + 3.0, dtype=np.dtype("int32")),
        ]

    def backward(x: Value, three: Value, ct: Value) -> Value:
        return ct * op("astype", three, dtype=FLOAT64) * x * x

    add_vjp(sketch, f, forward, backward, [VECTOR, type_of(np.zeros(3, "int32")), VECTOR])
    return f


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_vjp_rules(wrapper: str) -> None:
    """Right in reverse mode, its rules differentiated again, and in any other function."""

    def reference(x: Array) -> Array:
        if wrapper == "vmap":
            return np.concatenate([x, 2 * x]) ** 3
        return x**9 if wrapper == "scan" else x**3

    check(lambda s: wrapped(s, cube(s), wrapper), reference, X, 0.5 * X, directions=["reverse"])


def test_forward_over_reverse_through_vjp_rules() -> None:
    """The reverse sweep uses the rules, and the forward one differentiates them."""
    sketch = Sketch()
    f = cube(sketch, recursive=False)
    loss = sketch.add([VECTOR], lambda x: total(op("call", x, functions=[f]), 0))

    def entry(x: Value, t: Value) -> list[Value]:
        return [
            several("hessian", x, functions=[loss], outputs=2)[1],
            several("hvp", x, t, functions=[loss], outputs=2)[1],
            several("jacobian", x, functions=[f], outputs=2)[1],
        ]

    sketch.add([VECTOR, VECTOR], entry)
    t = rng.standard_normal(3)
    hessian, product, jacobian = run(sketch, X, t)
    close(hessian, np.diag(6 * X))
    close(product, 6 * X * t)
    close(jacobian, np.diag(3 * X**2))  # `auto` takes the direction that there is


@pytest.mark.parametrize("kind", ["jvp", "vjp"])
def test_integers_have_no_tangents(kind: str) -> None:
    """Integer parameters and results stand among the others without one."""
    sketch = Sketch()

    def write(n: Value, x: Value) -> list[Value]:
        return [n + np.int64(1), x * op("astype", n, dtype=FLOAT64), n]

    f = sketch.add([COUNT, VECTOR], write)
    if kind == "jvp":
        add_jvp(
            sketch,
            f,
            lambda n, x, t: [*write(n, x), t * op("astype", n, dtype=FLOAT64) * 2.0],
            [COUNT, VECTOR, VECTOR],
        )
    else:
        add_vjp(
            sketch,
            f,
            lambda n, x: [*write(n, x), n],
            lambda n, ct: ct * op("astype", n, dtype=FLOAT64) * 2.0,
            [COUNT, VECTOR],
        )

    def loss(n: Value, x: Value) -> list[Value]:
        up, scaled, same = several("call", n, x, functions=[f], outputs=3)
        return [total(scaled, 0), up, same]

    g = sketch.add([COUNT, VECTOR], loss)

    def gradient(n: Value, x: Value) -> list[Value]:
        return several("grad", n, x, functions=[g], outputs=4, wrt=(1,), num_aux=2)

    h = sketch.add([COUNT, VECTOR], gradient)
    counts = np.array([2, 5])
    sketch.add(
        [type_of(counts), VECTOR],
        lambda n, x: several("vmap", n, x, functions=[h], outputs=4, mapped=(1, 0)),
    )
    value, slope, up, same = run(sketch, counts, X)
    close(value, counts * X.sum())
    close(slope, 2.0 * counts[:, None] * np.ones((2, 3)))
    close(up, counts + 1)
    close(same, counts)


def test_parameters_that_nobody_moves() -> None:
    """The rule gets a zero tangent for an argument that isn't differentiated."""
    sketch = Sketch()
    f = sketch.add([SCALAR, SCALAR], lambda x, y: x * y)
    add_jvp(sketch, f, lambda x, y, tx, ty: [x * y, tx * y + 100.0 * x * ty], [SCALAR] * 4)
    sketch.add(
        [SCALAR, SCALAR],
        lambda x, y: [
            several("grad", x, y, functions=[f], outputs=2, wrt=(wrt,))[1] for wrt in (0, 1)
        ],
    )
    close(run(sketch, 2.0, 3.0), [3.0, 200.0])


def test_a_rule_linear_in_its_tangent_by_another_ruled_function() -> None:
    """A ruled function that is applied to a tangent is transposed as it stands."""
    sketch = Sketch()
    double = sketch.add([VECTOR], lambda x: x * 2.0)
    add_jvp(
        sketch,
        double,
        lambda x, t: [op("call", x, functions=[double]), op("call", t, functions=[double])],
        [VECTOR, VECTOR],
    )
    sketch.add(
        [VECTOR],
        lambda x: [
            several("jacobian", x, functions=[double], outputs=2, mode=mode)[1]
            for mode in ("forward", "reverse")
        ],
    )
    for jacobian in run(sketch, X):
        close(jacobian, 2 * np.eye(3))


def test_eagerly_and_compiled() -> None:
    """The same numbers either way."""
    sketch = Sketch()
    f, g = sine(sketch), cube(sketch)
    loss = sketch.add(
        [VECTOR],
        lambda x: total(op("call", op("call", x, functions=[f]), functions=[g]), 0),
    )
    sketch.add([VECTOR], lambda x: several("grad", x, functions=[loss], outputs=2))
    for jit in (False, True):
        value, gradient = run(sketch, X, jit=jit)
        close(value, (np.sin(X) ** 3).sum())
        close(gradient, 3 * np.sin(X) ** 2 * np.cos(X))
