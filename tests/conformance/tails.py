"""What values and derivatives are far from 1: mpmath's, by differences in many digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np

from gradwire.tensors import Array

DIGITS = 1300
"""Of mpmath's numbers. A second difference of 1e300 at x = 1e-300 loses 1,240 of them."""

STEP = mpmath.mpf(10) ** -20
"""Of the differences, relative to min(|x|, 1); their error is its square."""

Exact = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Tail:
    """One elementwise op and what it computes.

    Attributes:
        op: The op's name.
        exact: The same of mpmath's numbers.
        inside: Tells the points where it is compared; finite ones where the
            function is smooth and neither it nor a derivative has a root.
        attrs: The op's attributes.
        near: Points beside the grid's, such as those beside a pole.
        large: The largest magnitude compared in float64.
    """

    op: str
    exact: Exact
    inside: Callable[..., bool] = lambda *x: True
    attrs: Mapping[str, Any] = field(default_factory=dict)
    near: Sequence[float] = ()
    large: float = 1e300

    @property
    def id(self) -> str:
        """The name in test reports."""
        return "-".join([self.op, *(f"{k}={v}" for k, v in self.attrs.items())])


def _softplus(x: Any) -> Any:
    if x < -2000:
        return mpmath.mpf(0)
    return x if x > 2000 else mpmath.log1p(mpmath.exp(x))


def _exp(x: Any) -> Any:
    """Below every number but 0 for x < -2000, and without a run of a million digits."""
    return mpmath.mpf(0) if x < -2000 else mpmath.exp(min(x, mpmath.mpf(10**4)))


def _expit(x: Any) -> Any:
    return 1 / (1 + _exp(-x)) if x > -2000 else mpmath.mpf(0)


def _tanh(x: Any) -> Any:
    return mpmath.sign(x) if abs(x) > 2000 else mpmath.tanh(x)


def _gelu(x: Any) -> Any:
    if abs(x) > 60:
        return x if x > 0 else mpmath.mpf(0)
    return x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def _gelu_tanh(x: Any) -> Any:
    inner = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(0.044715) * x**3)
    return x * _expit(2 * inner)


def _elu(alpha: float, scale: float = 1.0) -> Exact:
    return lambda x: scale * (x if x > 0 else alpha * mpmath.expm1(max(x, mpmath.mpf(-5000))))


SELU = (1.6732632423543772, 1.0507009873554805)
LN2 = mpmath.mpf(2)


def _logaddexp(x: Any, y: Any) -> Any:
    return max(x, y) + _softplus(-abs(x - y))


def _sinc(x: Any) -> Any:
    return mpmath.sinpi(x) / (mpmath.pi * x)


def _positive(x: float) -> bool:
    return x > 0


def _moderate(bound: float) -> Callable[[float], bool]:
    return lambda x: abs(x) < bound


UNARY = (
    Tail("acos", mpmath.acos, _moderate(1), near=(1 - 1e-12, -1 + 1e-12)),
    Tail("acosh", mpmath.acosh, lambda x: x > 1, near=(1 + 1e-12, 1 + 1e-6)),
    Tail("asin", mpmath.asin, _moderate(1), near=(1 - 1e-12, -1 + 1e-12)),
    Tail("asinh", mpmath.asinh),
    Tail("atan", mpmath.atan),
    Tail("atanh", mpmath.atanh, _moderate(1), near=(1 - 1e-12, -1 + 1e-12)),
    Tail("cbrt", lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x))),
    Tail("cosh", mpmath.cosh, _moderate(710)),
    Tail("exp", _exp, _moderate(1e6)),
    Tail("exp2", lambda x: _exp(x * mpmath.log(2)), _moderate(1e6)),
    Tail("expm1", lambda x: mpmath.expm1(max(x, mpmath.mpf(-5000))), lambda x: x < 709),
    Tail("log", mpmath.log, _positive, near=(1 + 1e-9, 1 - 1e-9)),
    Tail("log10", mpmath.log10, _positive),
    Tail("log1p", mpmath.log1p, lambda x: x > -1, near=(-1 + 1e-12,)),
    Tail("log2", lambda x: mpmath.log(x) / mpmath.log(2), _positive),
    Tail("reciprocal", lambda x: 1 / x),
    Tail("rsqrt", lambda x: 1 / mpmath.sqrt(x), _positive),
    Tail("sinh", mpmath.sinh, _moderate(710)),
    Tail("sqrt", mpmath.sqrt, _positive),
    Tail("square", lambda x: x * x),
    Tail("tan", mpmath.tan, _moderate(1.5)),
    Tail("tanh", _tanh),
    Tail("nn.elu", _elu(0.75), attrs={"alpha": 0.75}),
    Tail("nn.gelu", _gelu, attrs={"approximate": False}),
    Tail("nn.gelu", _gelu_tanh, attrs={"approximate": True}),
    Tail("nn.leaky_relu", lambda x: x if x > 0 else x * mpmath.mpf(0.01)),
    Tail("nn.log_sigmoid", lambda x: -_softplus(-x)),
    Tail("nn.mish", lambda x: x * _tanh(_softplus(x))),
    Tail("nn.selu", _elu(*SELU)),
    Tail("nn.silu", lambda x: x * _expit(x)),
    Tail("nn.softplus", _softplus),
    Tail("special.expit", _expit),
    Tail(
        "special.logit",
        lambda x: mpmath.log(x) - mpmath.log(1 - x),
        lambda x: 0 < x < 1,
        near=(1 - 1e-12, 0.5 + 1e-10, 0.5 - 1e-10),
    ),
    Tail("special.sinc", _sinc, _moderate(1e15), near=(0.499, 0.501, 123456.25, -1e9 - 0.125)),
)
"""The ops of one operand whose derivatives a careless formula loses."""

BINARY = (
    Tail("atan2", mpmath.atan2, lambda y, x: abs(abs(y) - abs(x)) > 1e-3 * abs(x)),
    Tail("divide", lambda x, y: x / y),
    Tail("hypot", mpmath.hypot),
    Tail("logaddexp", _logaddexp, lambda x, y: abs(x - y) < 1e5),
    Tail("multiply", lambda x, y: x * y),
    Tail(
        "pow", lambda x, y: mpmath.exp(y * mpmath.log(x)), lambda x, y: x > 0 and 0.1 < abs(y) < 50
    ),
)
"""Those of two."""


class Exactly:
    """Values and derivatives of a function of mpmath's numbers at points of float64."""

    def __init__(self, exact: Exact, points: Sequence[Array]) -> None:
        """Takes the coordinates of the points, an array for each operand."""
        self._exact = exact
        self._points = [[mpmath.mpf(float(x)) for x in row] for row in zip(*points, strict=True)]

    def _at(self, point: Sequence[Any], shifts: Mapping[int, int]) -> Any:
        moved = [
            x + shifts.get(i, 0) * STEP * min(abs(x), mpmath.mpf(1)) for i, x in enumerate(point)
        ]
        return self._exact(*moved)

    def _rounded(self, of_point: Callable[[Sequence[Any]], Any]) -> Array:
        with mpmath.workdps(DIGITS):
            return np.array([float(of_point(point)) for point in self._points])

    def value(self) -> Array:
        """Returns the function."""
        return self._rounded(lambda point: self._at(point, {}))

    def first(self, i: int) -> Array:
        """Returns the derivative by operand i."""

        def slope(point: Sequence[Any]) -> Any:
            step = STEP * min(abs(point[i]), mpmath.mpf(1))
            return (self._at(point, {i: 1}) - self._at(point, {i: -1})) / (2 * step)

        return self._rounded(slope)

    def second(self, i: int, j: int) -> Array:
        """Returns the derivative by operands i and j."""

        def curvature(point: Sequence[Any]) -> Any:
            steps = [STEP * min(abs(x), mpmath.mpf(1)) for x in point]
            if i == j:
                ends = self._at(point, {i: 1}) + self._at(point, {i: -1})
                return (ends - 2 * self._at(point, {})) / steps[i] ** 2
            corners = sum(a * b * self._at(point, {i: a, j: b}) for a in (1, -1) for b in (1, -1))
            return corners / (4 * steps[i] * steps[j])

        return self._rounded(curvature)
