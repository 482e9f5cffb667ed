"""Derivatives that an op doesn't have are refused, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradwire.errors import UnsupportedError
from gradwire.opset import OPS, OpDef
from gradwire.opset.core import Derivatives
from programs import VECTOR as V
from sketch import Sketch, Value, op, several, total, type_of


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an op that has first derivatives only."""
    sin = OPS["sin"]
    monkeypatch.setitem(OPS, "once", OpDef("once", "sin", sin.infer, derivatives=Derivatives.FIRST))
    return "once"


def program(write: Callable[..., Any], *operators: str) -> Sketch:
    """A scalar function of x under one operator after the other."""
    sketch = Sketch()
    last = sketch.add([V], write)
    for name in operators:

        def apply(x: Value, name: str = name, last: int = last) -> Value:
            derivative = several(name, x, functions=[last], outputs=2)[1]
            return total(derivative, *{"hessian": (0, 1), "laplacian": ()}.get(name, (0,)))

        last = sketch.add([V], apply)
    return sketch


def nextafter(x: Value) -> Value:
    return total(op("nextafter", op("sin", x), 1.0), 0)


@pytest.mark.parametrize("name", ["grad", "hessian", "laplacian", "hessian_diagonal"])
def test_an_op_without_derivative_is_refused(name: str) -> None:
    """The error names function, node and op, and what to do."""
    with pytest.raises(UnsupportedError) as error:
        program(nextafter, name).typed()
    assert (error.value.function, error.value.node) == (0, 1)
    assert "(nextafter): the op has no derivative" in error.value.message
    assert "stop_gradient" in error.value.message


@pytest.mark.parametrize(
    "write",
    [
        lambda x: total(op("nextafter", op("stop_gradient", x), 1.0) * x, 0),
        lambda x: total(op("nextafter", op("floor", x), 1.0) * x, 0),
        lambda x: total(op("nextafter", np.ones(3), op("ceil", x)) * x, 0),
        lambda x: total(
            op(
                "nextafter",
                op("astype", op("astype", x, dtype=np.dtype(np.int32)), dtype=np.dtype(np.float64)),
                1.0,
            )
            * x,
            0,
        ),
    ],
)
def test_an_op_that_no_derivative_reaches_is_taken(write: Callable[[Value], Value]) -> None:
    """Stopped, piecewise constant and discrete inputs carry no derivative."""
    program(write, "grad", "grad").typed()


def test_values_alone_are_taken() -> None:
    """Without an operator around it any op will do."""
    program(nextafter).typed()


def test_other_arguments_are_taken() -> None:
    """What depends on arguments outside wrt, or on captures, isn't differentiated."""
    for attrs in ({"wrt": (1,)}, {"num_captures": 1}):
        sketch = Sketch()
        f = sketch.add([V, V], lambda x, y: total(op("nextafter", x, 1.0) * y, 0))
        g = sketch.add(
            [V, V],
            lambda x, y, f=f, attrs=attrs: several("grad", x, y, functions=[f], outputs=2, **attrs)[
                1
            ],
        )
        sketch.typed()
        # ... but an outer operator may reach it.
        sketch.add([V, V], lambda x, y, g=g: several("jacobian", x, y, functions=[g], outputs=2))
        with pytest.raises(UnsupportedError):
            sketch.typed()


def test_first_derivatives_only(once: str) -> None:
    """An op with first derivatives is taken under one order, refused under two, nested or not."""

    def write(x: Value) -> Value:
        return total(op(once, x), 0)

    program(write, "grad").typed()
    for operators in (["grad", "grad"], ["hessian"], ["laplacian"]):
        with pytest.raises(UnsupportedError, match=r"nodes\[0\].*first derivative only; .*order 2"):
            program(write, *operators).typed()


def test_linear_operands_are_no_further_order(once: str) -> None:
    """∂(J·t)/∂t and ∂(uᵀJ)/∂u differentiate the function once, ∂(J·t)/∂x twice."""
    for name in ("jvp", "vjp"):
        for wrt, taken in (((1,), True), ((0,), False), ((0, 1), False)):
            sketch = Sketch()
            f = sketch.add([V], lambda x: op(once, x))
            g = sketch.add(
                [V, V],
                lambda x, t, f=f, name=name: several(name, x, t, functions=[f], outputs=2)[1],
            )
            sketch.add(
                [V, V],
                lambda x, t, g=g, wrt=wrt: several(
                    "jacobian", x, t, functions=[g], outputs=1 + len(wrt), wrt=wrt
                ),
            )
            if taken:
                sketch.typed()
            else:
                with pytest.raises(UnsupportedError):
                    sketch.typed()


def test_mixed_arguments_add_their_orders(once: str) -> None:
    """f(xy) with ∂x inside and ∂y outside is a second derivative of f."""
    for mixed in (True, False):
        sketch = Sketch()
        f = sketch.add(
            [V, V],
            lambda x, y, mixed=mixed: total(op(once, x * y) if mixed else op(once, x) * y, 0),
        )
        g = sketch.add([V, V], lambda x, y, f=f: several("grad", x, y, functions=[f], outputs=2)[1])
        sketch.add(
            [V, V],
            lambda x, y, g=g: several("jacobian", x, y, functions=[g], outputs=2, wrt=(1,)),
        )
        if mixed:
            with pytest.raises(UnsupportedError):
                sketch.typed()
        else:
            sketch.typed()


@pytest.mark.parametrize("wrapper", ["call", "checkpoint", "vmap"])
def test_through_functions(wrapper: str) -> None:
    """Activity goes through functions that are called, argument by argument."""
    attrs = {"mapped": (1, 1)} if wrapper == "vmap" else {}
    scalar = type_of(0.0)
    inner = [scalar, scalar] if wrapper == "vmap" else [V, V]
    for wrt, taken in (((0,), False), ((1,), True)):
        sketch = Sketch()
        f = sketch.add(inner, lambda x, y: op("nextafter", x, 1.0) * y)
        g = sketch.add(
            [V, V],
            lambda x, y, f=f: total(op(wrapper, x, y, functions=[f], **attrs), 0),
        )
        sketch.add(
            [V, V],
            lambda x, y, g=g, wrt=wrt: several("grad", x, y, functions=[g], outputs=2, wrt=wrt),
        )
        if taken:
            sketch.typed()
        else:
            with pytest.raises(UnsupportedError) as error:
                sketch.typed()
            assert (error.value.function, error.value.node) == (0, 0)


@pytest.mark.parametrize(
    ("output", "wrt", "taken"),
    [
        ("value", 0, False),
        ("value", 1, True),
        ("product", 0, False),
        ("product", 1, False),
        ("aux", 0, False),
        ("aux", 1, True),
    ],
)
def test_outputs_of_operators_carry_on(output: str, wrt: int, taken: bool) -> None:
    """Value and aux of a jvp depend on its leaf, the product on leaf and tangent."""
    sketch = Sketch()
    f = sketch.add([V], lambda x: [op("sin", x), x * 2.0])

    def write(x: Value, t: Value) -> Value:
        value, product, aux = several("jvp", x, t, functions=[f], outputs=3, num_aux=1)
        chosen = {"value": value, "product": product, "aux": aux}[output]
        return op("nextafter", chosen, 1.0)

    g = sketch.add([V, V], write)
    sketch.add([V, V], lambda x, t: several("jacobian", x, t, functions=[g], outputs=2, wrt=(wrt,)))
    if taken:
        sketch.typed()
    else:
        with pytest.raises(UnsupportedError) as error:
            sketch.typed()
        assert (error.value.function, error.value.node) == (1, 1)
