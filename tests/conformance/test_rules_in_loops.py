"""Rules of ours that JAX drops in a loop leave a formula behind that must be right, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import Case, lowered
from haste import UNOPTIMISED

REAL: tuple[tuple[str, Mapping[str, Any], Sequence[Any]], ...] = (
    ("atan2", {}, [[1.0, -2.0, 0.5], [1.0, 3.0, 0.0]]),
    ("divide", {}, [[1.0, -2.0, 0.0], [1.0, 3.0, 2.0]]),
    ("logaddexp", {}, [[1.0, -2.0, 0.5], [1.0, 3.0, -1.0]]),
    ("nn.gelu", {"approximate": True}, [[0.0, -2.0, 0.5]]),
    ("nn.log_softmax", {"axis": (0,)}, [[1.0, 2.0, 0.5]]),
    ("nn.log_softmax", {"axis": (0,)}, [[1.0, 1.0, 0.5]]),
    ("nn.mish", {}, [[0.0, -2.0, 0.5]]),
    ("nn.softmax", {"axis": (0,)}, [[1.0, 1.0, 0.5]]),
    ("nn.softplus", {}, [[0.0, -2.0, 0.5]]),
    ("special.expit", {}, [[0.0, -2.0, 0.5]]),
    ("special.sinc", {}, [[0.0, 0.5, 1.3]]),
    ("tanh", {}, [[0.0, -2.0, 0.5]]),
)

AXES = [0.3, -0.3, 0.4j, complex(0.2, -0.0), complex(-0.0, 0.4), 1.5 + 0.2j, -1.5 - 0.7j]
"""Complex points: on the axes, where parts are signed zeros, off the branch cuts, and others."""

COMPLEX = (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "expm1"),
    *("log", "log1p", "reciprocal", "rsqrt", "sign", "sin", "sinh", "sqrt", "tan", "tanh"),
)
ON_A_CUT = {
    "acosh": np.imag(AXES) == 0,
    **dict.fromkeys(("log", "rsqrt", "sqrt"), (np.imag(AXES) == 0) & (np.real(AXES) < 0)),
}


def twice_reversed(function: Callable[[Any], Any], looped: bool) -> Callable[[Any], Any]:
    """Returns the second derivative of sin(f(x) / 2), twice in reverse, in a loop or not."""

    def step(x: Any) -> Any:
        return jnp.sin(function(x) / 2)

    def run(x: Any) -> Any:
        return (
            jax.lax.scan(lambda c, _: (step(c), None), x, None, length=1)[0] if looped else step(x)
        )

    def total(x: Any) -> Any:
        result = run(x)
        return jnp.sum(0.7 * jnp.real(result) + 0.3 * jnp.imag(result))

    def slope(x: Any) -> Any:
        return jnp.sum(jnp.real(jax.grad(total)(x) * jnp.arange(1, x.size + 1).astype(x.dtype)))

    return jax.grad(slope)


def assert_alike(functions: Mapping[str, Callable[[Any], Any]], points: Mapping[str, Any]) -> None:
    """Compares each function's second derivative in a loop with the one outside."""

    def run(points: Mapping[str, Any]) -> Any:
        return {
            name: [twice_reversed(f, looped)(points[name]) for looped in (True, False)]
            for name, f in functions.items()
        }

    for name, (inside, outside) in jax.jit(run, compiler_options=UNOPTIMISED)(points).items():
        assert np.isfinite(outside).all(), name
        np.testing.assert_allclose(inside, outside, 1e-9, 1e-12, err_msg=name)


def by_first(op: str, attrs: Mapping[str, Any], operands: Sequence[Any]) -> Callable[[Any], Any]:
    """Returns the op as a function of its first operand."""
    case = Case(op, lambda r, d: operands, abs, (str(operands[0].dtype),))
    function = lowered(case, operands, attrs)
    return lambda x: function(x, *operands[1:])[0]


def test_real_functions() -> None:
    """A second derivative in reverse through a scan is the one outside, at ties and 0 too."""
    functions, points = {}, {}
    for number, (op, attrs, values) in enumerate(REAL):
        operands = [np.array(x) for x in values]
        functions[f"{op} {number}"] = by_first(op, attrs, operands)
        points[f"{op} {number}"] = operands[0]
    assert_alike(functions, points)


@pytest.mark.long
def test_complex_functions() -> None:
    """So is a complex function's, on both axes: not on its branch cut, where one side is taken."""
    points = {op: np.array(AXES)[~ON_A_CUT.get(op, np.zeros(len(AXES), bool))] for op in COMPLEX}
    assert_alike({op: by_first(op, {}, [z]) for op, z in points.items()}, points)
