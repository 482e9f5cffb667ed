"""What values and derivatives are far from 1: mpmath's, by differences in many digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np

from gradwire.tensors import Array

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
    """

    op: str
    exact: Exact
    inside: Callable[..., bool] = lambda *x: True
    attrs: Mapping[str, Any] = field(default_factory=dict)
    near: Sequence[float] = ()

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


COMPLEX = (
    Tail("acos", mpmath.acos),
    Tail("acosh", mpmath.acosh),
    Tail("asin", mpmath.asin),
    Tail("asinh", mpmath.asinh),
    Tail("atan", mpmath.atan),
    Tail("atanh", mpmath.atanh),
    Tail("cos", mpmath.cos, _moderate(600)),
    Tail("cosh", mpmath.cosh, _moderate(600)),
    Tail("exp", mpmath.exp, _moderate(600)),
    Tail("expm1", mpmath.expm1, _moderate(600)),
    Tail("log", mpmath.log),
    Tail("log10", mpmath.log10),
    Tail("log1p", mpmath.log1p),
    Tail("reciprocal", lambda z: 1 / z),
    Tail("rsqrt", lambda z: 1 / mpmath.sqrt(z)),
    Tail("sin", mpmath.sin, _moderate(600)),
    Tail("sinh", mpmath.sinh, _moderate(600)),
    Tail("sqrt", mpmath.sqrt),
    Tail("tan", mpmath.tan, _moderate(600)),
    Tail("tanh", mpmath.tanh, _moderate(600)),
)
"""Those of one complex number."""


class Exactly:
    """Values and derivatives of a function of mpmath's numbers at points of double precision."""

    def __init__(self, exact: Exact, points: Sequence[Array]) -> None:
        """Takes the coordinates of the points, an array for each operand."""
        self._exact = exact
        self._points = [
            [mpmath.mpmathify(x.item()) for x in row] for row in zip(*points, strict=True)
        ]
        self._dtype = np.complex128 if np.iscomplexobj(points[0]) else np.float64

    def _at(self, point: Sequence[Any], shifts: Mapping[int, int]) -> Any:
        return self._exact(*(x + shifts.get(i, 0) * _step(x) for i, x in enumerate(point)))

    def _rounded(self, of_point: Callable[[Sequence[Any]], Any]) -> Array:
        values = []
        for point in self._points:
            # A second difference of 1e300 at 1e-300 loses 1,240 digits, one of
            # tanh(350) has lost 350.
            size = max(abs(mpmath.log10(abs(x))) for x in point)
            with mpmath.workdps(420 + int(3 * size)):
                values.append(self._dtype(of_point(point)))
        return np.array(values)

    def value(self) -> Array:
        """Returns the function."""
        return self._rounded(lambda point: self._at(point, {}))

    def first(self, i: int) -> Array:
        """Returns the derivative by operand i."""

        def slope(point: Sequence[Any]) -> Any:
            return (self._at(point, {i: 1}) - self._at(point, {i: -1})) / (2 * _step(point[i]))

        return self._rounded(slope)

    def second(self, i: int, j: int) -> Array:
        """Returns the derivative by operands i and j."""

        def curvature(point: Sequence[Any]) -> Any:
            if i == j:
                ends = self._at(point, {i: 1}) + self._at(point, {i: -1})
                return (ends - 2 * self._at(point, {})) / _step(point[i]) ** 2
            corners = sum(a * b * self._at(point, {i: a, j: b}) for a in (1, -1) for b in (1, -1))
            return corners / (4 * _step(point[i]) * _step(point[j]))

        return self._rounded(curvature)


def _step(x: Any) -> Any:
    return STEP * min(abs(x), mpmath.mpf(1))
