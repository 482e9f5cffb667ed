"""Derivatives where finite differences can't tell: at kinks, ties, poles and zeros."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conformance.harness import Case, lowered

HALF, INF, NAN = 0.5, np.inf, np.nan
Operands = Sequence[Any]


def summed(op: str, operands: Operands, attrs: Mapping[str, Any]) -> Callable[..., jax.Array]:
    """Returns the sum of the op's one output, as a function of float64 operands."""
    inputs = [np.asarray(x, np.float64) for x in operands]
    case = Case(op, lambda r, d: inputs, lambda: None, ("float64",))
    function = lowered(case, inputs, attrs)
    return lambda *xs: jnp.sum(function(*xs)[0])


FIRST: tuple[tuple[str, Mapping[str, Any], Operands, Operands], ...] = (
    # op, attributes, operands, the gradient of the result's sum
    ("abs", {}, [0.0], [1.0]),
    ("abs", {}, [-0.0], [1.0]),
    ("atan2", {}, [0.0, 0.0], [NAN, NAN]),
    ("cbrt", {}, [0.0], [INF]),
    ("clip", {}, [1.0, 1.0, 2.0], [HALF, HALF, 0.0]),
    ("clip", {}, [2.0, 1.0, 2.0], [HALF, 0.0, HALF]),
    ("clip", {}, [3.0, 1.0, 2.0], [0.0, 0.0, 1.0]),
    ("copysign", {}, [2.0, -1.0], [-1.0, 0.0]),
    ("copysign", {}, [0.0, 1.0], [1.0, 0.0]),
    ("copysign", {}, [0.0, -1.0], [-1.0, 0.0]),
    ("cumulative_max", {"axis": 0}, [[1.0, 1.0]], [[1.5, HALF]]),
    ("cumulative_min", {"axis": 0}, [[1.0, 1.0]], [[1.5, HALF]]),
    ("heaviside", {}, [0.0, 3.0], [0.0, 1.0]),
    ("hypot", {}, [0.0, 0.0], [0.0, 0.0]),
    ("log", {}, [0.0], [INF]),
    ("logaddexp", {}, [1.0, 1.0], [HALF, HALF]),
    ("logaddexp", {}, [-INF, 1.0], [0.0, 1.0]),
    ("logsumexp", {"axis": (0,)}, [[2.0, 2.0]], [[HALF, HALF]]),
    ("logsumexp", {"axis": (0,)}, [[-INF, 2.0]], [[0.0, 1.0]]),
    ("max", {"axis": (0,)}, [[1.0, 3.0, 3.0]], [[0.0, HALF, HALF]]),
    ("max", {"axis": (0,)}, [[1.0, NAN, 3.0]], [[NAN, NAN, NAN]]),
    ("max", {"axis": (0,)}, [[INF, 1.0, INF]], [[HALF, 0.0, HALF]]),
    ("maximum", {}, [1.0, 1.0], [HALF, HALF]),
    ("min", {"axis": (0,)}, [[NAN, NAN]], [[NAN, NAN]]),
    ("min", {"axis": (0,)}, [[1.0, 1.0, 3.0]], [[HALF, HALF, 0.0]]),
    ("minimum", {}, [1.0, 1.0], [HALF, HALF]),
    ("pow", {}, [0.0, 0.0], [0.0, 0.0]),
    ("pow", {}, [0.0, 1.0], [1.0, 0.0]),
    ("pow", {}, [0.0, 2.0], [0.0, 0.0]),
    ("pow", {}, [-2.0, 3.0], [12.0, NAN]),
    ("reciprocal", {}, [0.0], [-INF]),
    ("reduce_precision", {"exponent_bits": 5, "mantissa_bits": 2}, [1.1], [1.0]),
    ("sign", {}, [0.0], [0.0]),
    ("sqrt", {}, [0.0], [INF]),
    ("std", {"axis": (0,)}, [[0.3, 0.3, 0.3]], [[0.0, 0.0, 0.0]]),
    ("var", {"axis": (0,)}, [[0.3, 0.3, 0.3]], [[0.0, 0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,)}, [[0.0, 0.0]], [[0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,), "ord": 1.0}, [[0.0, 0.0]], [[0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,), "ord": INF}, [[0.0, 0.0]], [[0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,), "ord": 0.5}, [[0.0, 0.0]], [[0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,), "ord": -1.0}, [[0.0, 0.0]], [[0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,), "ord": -3.5}, [[0.0, 2.0]], [[0.0, 0.0]]),
    ("linalg.vector_norm", {"axis": (0,), "ord": -INF}, [[0.0, 2.0]], [[0.0, 0.0]]),
    ("nn.elu", {"alpha": 0.7}, [0.0], [0.7]),
    ("nn.leaky_relu", {}, [0.0], [1.0]),
    (
        "nn.max_pool",
        {"window": (2,), "strides": (2,), "padding": (0, 0)},
        [[3.0, 3.0, 1.0, 1.0]],
        [[1.0, 0.0, 1.0, 0.0]],
    ),
    ("nn.relu", {}, [0.0], [0.0]),
    ("nn.relu", {}, [-0.0], [0.0]),
    ("special.betainc", {}, [2.0, 3.0, 0.0], [0.0, 0.0, 0.0]),
    ("special.betainc", {}, [2.0, 1.0, 1.0], [0.0, 0.0, 2.0]),
    ("special.gammainc", {}, [1.0, 0.0], [0.0, 1.0]),
    ("special.gammainc", {}, [2.0, INF], [0.0, 0.0]),
    ("special.gammaincc", {}, [1.0, 0.0], [0.0, -1.0]),
    ("special.i0e", {}, [0.0], [-1.0]),
    ("special.i1e", {}, [0.0], [HALF]),
    ("special.logit", {}, [0.0], [INF]),
    ("special.xlogy", {}, [0.0, 2.0], [np.log(2.0), 0.0]),
    ("special.xlog1py", {}, [0.0, 1.0], [np.log(2.0), 0.0]),
)

SECOND: tuple[tuple[str, Mapping[str, Any], Operands, int, float], ...] = (
    # op, attributes, operands, the operand, the second derivative by it
    ("abs", {}, [0.0], 0, 0.0),
    ("hypot", {}, [0.0, 0.0], 0, NAN),
    ("hypot", {}, [0.0, 2.0], 0, 0.5),
    ("hypot", {}, [-3.0, 3.0], 0, 0.5 / np.sqrt(18.0)),
    ("integer_pow", {"exponent": 2}, [0.0], 0, 2.0),
    ("logaddexp", {}, [1.0, 1.0], 0, 0.25),
    ("maximum", {}, [1.0, 1.0], 0, 0.0),
    ("pow", {}, [0.0, 1.0], 0, 0.0),
    ("pow", {}, [0.0, 2.0], 0, 2.0),
    ("pow", {}, [-2.0, 3.0], 0, -12.0),
    ("square", {}, [0.0], 0, 2.0),
    ("nn.gelu", {}, [0.0], 0, 2 / np.sqrt(2 * np.pi)),
    ("nn.relu", {}, [0.0], 0, 0.0),
    ("nn.softplus", {}, [0.0], 0, 0.25),
    ("special.betaln", {}, [1.0, 1.0], 0, 1.0),  # ψ'(1) - ψ'(2)
    ("special.erf", {}, [0.0], 0, 0.0),
    ("special.i0", {}, [0.0], 0, 0.5),
    ("special.i1", {}, [1e-7], 0, 0.75 * 5e-8),  # i1''(x) = 3x/8 + O(x³)
    ("special.i1e", {}, [0.0], 0, -1.0),  # of x/2 (1 - |x|), to the right
    ("special.sinc", {}, [0.0], 0, -(np.pi**2) / 3),
    ("special.sinc", {}, [1e-8], 0, -(np.pi**2) / 3),
)


def _name(row: tuple[Any, ...]) -> str:
    return f"{row[0]}{row[2]}"


SLOW = ("special.betainc", "special.gammainc", "special.gammaincc")
"""To compile; for the long tests."""


def _rows(table: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [
        pytest.param(*row, id=_name(row), marks=pytest.mark.long if row[0] in SLOW else [])
        for row in table
    ]


@pytest.mark.parametrize(("op", "attrs", "operands", "want"), _rows(FIRST))
def test_first_derivative(
    op: str, attrs: Mapping[str, Any], operands: Operands, want: Operands
) -> None:
    """The convention that the table documents, forward and in reverse."""
    function = summed(op, operands, attrs)
    point = [jnp.asarray(x, jnp.float64) for x in operands]
    for transform in (jax.jacfwd, jax.grad):
        for place, expected in enumerate(want):
            got = jax.jit(transform(function, place))(*point)
            np.testing.assert_allclose(got, expected, 1e-14, err_msg=transform.__name__)


@pytest.mark.parametrize(
    ("op", "attrs", "operands", "place", "want"), SECOND, ids=map(_name, SECOND)
)
def test_second_derivative(
    op: str, attrs: Mapping[str, Any], operands: Operands, place: int, want: float
) -> None:
    """The value at a point where the function is smooth but its formula branches."""
    function = summed(op, operands, attrs)
    point = [jnp.asarray(x, jnp.float64) for x in operands]
    for second in (jax.jacfwd, jax.grad):
        got = jax.jit(second(jax.grad(function, place), place))(*point)
        np.testing.assert_allclose(got, want, 1e-7, 1e-13, err_msg=second.__name__)


def test_fourth_derivative_of_i0_at_zero() -> None:
    """i0 is even and entire: its fourth derivative at 0 is 3/8, though |x| is in its formula."""
    function: Any = summed("special.i0", [0.0], {})
    for _ in range(4):
        function = jax.grad(function)
    np.testing.assert_allclose(function(jnp.float64(0)), 3 / 8, 1e-12)


def test_complex_modulus_at_zero() -> None:
    """|z| and sign(z) have the derivative 0 at 0, not NaN."""
    inputs = [np.zeros((), np.complex128)]
    for op in ("abs", "sign"):
        function = lowered(Case(op, lambda r, d: inputs, abs, ("complex128",)), inputs, {})
        _, (tangent,) = jax.jvp(function, (jnp.asarray(inputs[0]),), (jnp.asarray(1 + 2j),))
        assert tangent == 0


def test_masked_query_of_attention_has_zero_derivative() -> None:
    """A query without keys gives 0 and no NaN in any gradient."""
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(3, 1, 2)) for _ in range(3)] + [np.zeros((1, 3, 3), bool)]
    case = Case("nn.dot_product_attention", lambda r, d: inputs, abs, ("float64",))
    function = lowered(case, inputs, {"scale": 1.0})
    value, pull = jax.vjp(lambda *x: function(*x, inputs[3])[0], *map(jnp.asarray, inputs[:3]))
    for x in (value, *pull(jnp.ones_like(value))):
        np.testing.assert_array_equal(x, 0)
