"""What all operators ask of their function and of `argnums`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradwire as gw
from gradwire.trace.program import trace_program
from tracing import X


@pytest.mark.parametrize(
    ("operator", "arguments", "remedy"),
    [
        (gw.trace_estimate, {"seed": 0}, 'operator="hessian"'),
        (gw.diagonal_estimate, {"seed": 0}, 'operator="hessian"'),
        (gw.jacobian_trace, {}, "gw.laplacian"),
    ],
)
def test_what_needs_a_square_jacobian_says_so(operator: Any, arguments: Any, remedy: str) -> None:
    """In the caller's words, with both types, and with what serves a scalar function."""
    name = operator.__name__
    rule = f"gw.{name} needs a function whose result has the shapes and dtypes of its argument; got"
    with pytest.raises(TypeError) as scalar:
        trace_program(operator(np.sum), (X,), arguments)
    assert str(scalar.value) == (
        f"{rule} (float64[]) for (float64[4]). For a scalar function write {remedy}"
    )
    with pytest.raises(TypeError) as several:
        trace_program(operator(lambda x: (x, x)), (X,), arguments)
    assert str(several.value) == f"{rule} (float64[4], float64[4]) for (float64[4])"


@pytest.mark.parametrize("argnums", ["x", 0.0, None, (0, 1.5), (0, None)])
@pytest.mark.parametrize("operator", [gw.grad, gw.jacobian, gw.laplacian, gw.jacobian_trace])
def test_argnums_of_another_kind_are_named(operator: Any, argnums: Any) -> None:
    """They are refused with the rule and what came."""
    with pytest.raises(TypeError) as caught:
        trace_program(operator(lambda x, y: x * y, argnums), (1.0, 2.0), {})
    assert str(caught.value) == (
        f"`argnums` must be an integer or a tuple of integers; got {argnums!r}"
    )


@pytest.mark.parametrize("argnums", [(0, 0), (1, 0, -1)])
def test_argnums_name_an_argument_once(argnums: Any) -> None:
    """Twice, from whichever end it is counted, is refused."""
    with pytest.raises(TypeError) as caught:
        trace_program(gw.grad(lambda x, y: x * y, argnums), (1.0, 2.0), {})
    assert str(caught.value) == f"`argnums` must name each argument once; got {argnums!r}"


def test_argnums_may_be_numpys_integers() -> None:
    """One is as an int, and several are as a tuple."""
    one = trace_program(gw.grad(lambda x, y: x * y, np.int64(-1)), (1.0, 2.0), {})  # type: ignore[arg-type]
    assert len(one.results) == 1
    many = trace_program(gw.grad(lambda x, y: x * y, np.array([0, 1])), (1.0, 2.0), {})  # type: ignore[arg-type]
    assert len(many.results) == 2
