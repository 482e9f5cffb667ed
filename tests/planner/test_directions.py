"""Which way functions with control ops can be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradwire.errors import UnsupportedError
from gradwire.opset import OPS
from programs import vector
from sketch import Sketch, Value, op, several, total, type_of

V = vector(3)


def under(write: Callable[..., Any], name: str, outputs: int = 2, **attrs: Any) -> Sketch:
    """One operator around a function of a vector that may use a while loop."""
    sketch = Sketch()
    going = sketch.add([V], lambda x: op("less", total(x, 0), 9.0))
    body = sketch.add([V], lambda x: x * 2.0)
    f = sketch.add([V], lambda x: write(x, [going, body]))
    sketch.add([V], lambda x: several(name, x, functions=[f], outputs=outputs, **attrs))
    return sketch


def unbounded(x: Value, functions: list[int]) -> Value:
    return op("while_loop", x, functions=functions)


@pytest.mark.parametrize(
    ("name", "attrs", "around"),
    [
        ("jacobian", {"mode": "reverse"}, False),
        ("grad", {}, True),
        ("hvp", {}, True),
        ("vjp", {}, False),
    ],
)
def test_a_loop_without_bound_has_no_reverse_mode(name: str, attrs: Any, around: bool) -> None:
    """The error names function and node, and says to give `max_iterations`."""
    sketch = Sketch()
    going = sketch.add([V], lambda x: op("less", total(x, 0), 9.0))
    body = sketch.add([V], lambda x: x * 2.0)
    f = sketch.add(
        [V],
        lambda x: total(unbounded(x, [going, body]), 0) if around else unbounded(x, [going, body]),
    )
    extras = 1 if name in ("hvp", "vjp") else 0
    sketch.add([V], lambda x: several(name, *[x] * (1 + extras), functions=[f], outputs=2, **attrs))
    with pytest.raises(UnsupportedError, match="give `max_iterations`") as caught:
        sketch.typed()
    assert caught.value.field == "functions[2].nodes[0]"
    assert (caught.value.function, caught.value.node) == (2, 0)


def test_auto_takes_the_direction_that_there_is() -> None:
    """Forward for a loop without bound, even where reverse would take fewer sweeps."""
    for name in ("jacobian", "hessian"):
        (choice,) = under(lambda x, f: total(unbounded(x, f), 0), name).planned().choices
        assert choice.value == "forward"
    bounded = under(
        lambda x, f: total(op("while_loop", x, functions=f, max_iterations=3), 0), "jacobian"
    )
    (choice,) = bounded.planned().choices
    assert choice.value == "reverse"


def test_a_loop_that_no_derivative_goes_through_closes_no_direction() -> None:
    """Stopped, or of something else, it leaves `auto` and reverse mode as they are."""
    for write in (
        lambda x, f: total(unbounded(op("stop_gradient", x), f) * x, 0),
        lambda x, f: total(op("floor", unbounded(op("floor", x), f)) * x, 0),
    ):
        (choice,) = under(write, "jacobian").planned().choices
        assert choice.value == "reverse"
        under(write, "grad").typed()


def test_a_forward_product_cannot_be_transposed_through_it() -> None:
    """∂(J·t)/∂t in reverse mode goes through the loop backwards, and in forward mode not."""
    for mode in ("forward", "reverse"):
        sketch = Sketch()
        going = sketch.add([V], lambda x: op("less", total(x, 0), 9.0))
        body = sketch.add([V], lambda x: x * 2.0)
        f = sketch.add([V], lambda x, fs=(going, body): unbounded(x, [*fs]))
        g = sketch.add([V, V], lambda x, t, f=f: several("jvp", x, t, functions=[f], outputs=2)[1])
        sketch.add(
            [V, V],
            lambda x, t, g=g, mode=mode: several(
                "jacobian", x, t, functions=[g], outputs=2, wrt=(1,), mode=mode
            ),
        )
        if mode == "forward":
            sketch.typed()
        else:
            with pytest.raises(UnsupportedError, match="max_iterations"):
                sketch.typed()


def test_a_linear_solve_needs_the_transposed_system_in_reverse() -> None:
    """Neither symmetric nor with a third function it is for forward mode alone."""
    for symmetric in (False, True):
        sketch = under(
            lambda x, f, symmetric=symmetric: total(
                op("linear_solve", x, functions=[f[1], f[1]], symmetric=symmetric), 0
            ),
            "grad",
        )
        if symmetric:
            sketch.typed()
        else:
            with pytest.raises(UnsupportedError, match="solves the transposed system") as caught:
                sketch.typed()
            assert (caught.value.function, caught.value.node) == (2, 0)


@pytest.mark.parametrize("name", ["root", "fixed_point"])
def test_a_solver_in_a_loop(name: str) -> None:
    """The one use that would be computed by other means than its equation is refused."""
    for mode, taken in (("forward", True), ("reverse", False)):
        sketch = Sketch()
        f = sketch.add([V, V], lambda p, x: op("tanh", x * p))
        solved = sketch.add(
            [V],
            lambda p, f=f: op(
                name, p, p, functions=[f], captures=(1,), tolerance=0.1, max_iterations=9
            ),
        )
        looped = sketch.add(
            [V], lambda x, s=solved: op("scan", x, functions=[s], num_carry=1, length=2)
        )
        last = looped
        for direction in (mode, "reverse"):
            sketch.typed()
            last = sketch.add(
                [V],
                lambda x, f=last, mode=direction: several(
                    "jacobian", x, functions=[f], outputs=2, mode=mode
                )[1],
            )
        if taken:
            sketch.typed()
        else:
            with pytest.raises(UnsupportedError, match="must not be in a loop") as caught:
                sketch.typed()
            assert (caught.value.function, caught.value.node) == (1, 0)


@pytest.mark.parametrize(
    "name",
    [
        "linalg.sqrtm",
        "linalg.logm",
        "linalg.pinv",
        "special.gammainc",
        "special.betainc",
    ],
)
def test_an_op_with_a_rule_of_its_own_in_a_loop(name: str) -> None:
    """The same holds for ops whose derivatives JAX has from a rule; outside loops all is well."""
    square = type_of(np.eye(2))
    for looped, taken in ((False, True), (True, False)):
        sketch = Sketch()
        f = sketch.add([square], lambda x: op(name, *[x] * OPS[name].arity[0]))
        attrs: Any = {"num_carry": 1, "length": 2} if looped else {}
        last = sketch.add(
            [square], lambda x, f=f, a=attrs: op("scan" if a else "call", x, functions=[f], **a)
        )
        for _ in range(2):
            sketch.typed()
            last = sketch.add(
                [square],
                lambda x, f=last: several("jacobian", x, functions=[f], outputs=2, mode="reverse")[
                    1
                ],
            )
        if taken:
            sketch.typed()
        else:
            with pytest.raises(UnsupportedError, match="must not be in a loop"):
                sketch.typed()
