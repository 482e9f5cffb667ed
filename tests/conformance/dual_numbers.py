"""Dual numbers over NumPy arrays: derivatives of every order, without JAX.

A dual number x + εt with ε² = 0 carries a value and its derivative along one
direction. Both parts may be dual numbers of another ε, of a lower level: so
derivatives nest, and a program under two derivative operators is run on duals
of duals. The rules below are written down from calculus; each is given for one
level, in terms of the same functions, which are then applied to the levels
below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

Number = Any
"""An array, or a dual number whose parts are numbers."""


class Dual:
    """x + εt, where the level says which ε."""

    __slots__ = ("level", "primal", "tangent")

    def __init__(self, level: int, primal: Number, tangent: Number) -> None:
        self.level = level
        self.primal = primal
        self.tangent = tangent

    @property
    def shape(self) -> tuple[int, ...]:
        return plain(self).shape

    # NumPy's operators give way to these.
    __array_ufunc__ = None

    def __add__(self, other: Number) -> Number:
        return linear(np.add, self, other)

    def __sub__(self, other: Number) -> Number:
        return linear(np.subtract, self, other)

    def __rsub__(self, other: Number) -> Number:
        return linear(np.subtract, other, self)

    def __mul__(self, other: Number) -> Number:
        return multilinear(np.multiply, self, other)

    def __truediv__(self, other: Number) -> Number:
        return self * reciprocal(other)

    def __rtruediv__(self, other: Number) -> Number:
        return other * reciprocal(self)

    def __matmul__(self, other: Number) -> Number:
        return multilinear(np.matmul, self, other)

    def __rmatmul__(self, other: Number) -> Number:
        return multilinear(np.matmul, other, self)

    def __neg__(self) -> Number:
        return linear(np.negative, self)

    __radd__ = __add__
    __rmul__ = __mul__


def plain(x: Number) -> Any:
    """The value without any ε."""
    while isinstance(x, Dual):
        x = x.primal
    return np.asarray(x)


def _top(xs: Sequence[Number]) -> int:
    return max((x.level for x in xs if isinstance(x, Dual)), default=0)


def primal_of(level: int, x: Number) -> Number:
    """The part without the ε of a level, which must be the highest in x."""
    return x.primal if isinstance(x, Dual) and x.level == level else x


def tangent_of(level: int, x: Number) -> Number:
    """The part with the ε of a level, which must be the highest in x."""
    if isinstance(x, Dual) and x.level == level:
        return x.tangent
    return np.zeros_like(plain(x))


def linear(f: Callable[..., Any], *xs: Number) -> Number:
    """Applies an array function that is linear in all its arguments together."""
    level = _top(xs)
    if not level:
        return f(*map(np.asarray, xs))
    return Dual(
        level,
        linear(f, *(primal_of(level, x) for x in xs)),
        linear(f, *(tangent_of(level, x) for x in xs)),
    )


def multilinear(f: Callable[..., Any], *xs: Number) -> Number:
    """Applies an array function that is linear in each of its arguments."""
    level = _top(xs)
    if not level:
        return f(*map(np.asarray, xs))
    primals = [primal_of(level, x) for x in xs]
    out = multilinear(f, *primals)
    tangent: Number = np.zeros_like(plain(out))
    for place, x in enumerate(xs):
        if isinstance(x, Dual) and x.level == level:
            factors = [*primals[:place], x.tangent, *primals[place + 1 :]]
            tangent = tangent + multilinear(f, *factors)
    return Dual(level, out, tangent)


def smooth(f: Callable[..., Any], *partials: Callable[..., Number] | None) -> Callable[..., Number]:
    """Makes an elementwise function; partials take the result and the arguments."""

    def apply(*xs: Number) -> Number:
        level = _top(xs)
        if not level:
            return f(*map(np.asarray, xs))
        primals = [primal_of(level, x) for x in xs]
        out = apply(*primals)
        tangent: Number = np.zeros_like(plain(out))
        for partial, x in zip(partials, xs, strict=True):
            if isinstance(x, Dual) and x.level == level:
                assert partial is not None, f"no derivative of {f} by this argument"
                tangent = tangent + partial(out, *primals) * x.tangent
        return Dual(level, out, tangent)

    return apply


# --- elementwise ---------------------------------------------------------------------

add = lambda x, y: linear(np.add, x, y)  # noqa: E731
multiply = lambda x, y: multilinear(np.multiply, x, y)  # noqa: E731
reciprocal = smooth(lambda x: 1.0 / x, lambda y, x: -(y * y))
exp = smooth(np.exp, lambda y, x: y)
expm1 = smooth(np.expm1, lambda y, x: y + 1.0)
log = smooth(np.log, lambda y, x: reciprocal(x))
log1p = smooth(np.log1p, lambda y, x: reciprocal(1.0 + x))
sin = smooth(np.sin, lambda y, x: cos(x))
cos = smooth(np.cos, lambda y, x: -sin(x))
tan = smooth(np.tan, lambda y, x: 1.0 + y * y)
sinh = smooth(np.sinh, lambda y, x: cosh(x))
cosh = smooth(np.cosh, lambda y, x: sinh(x))
tanh = smooth(np.tanh, lambda y, x: 1.0 - y * y)
sqrt = smooth(np.sqrt, lambda y, x: 0.5 * reciprocal(y))
rsqrt = smooth(lambda x: x**-0.5, lambda y, x: -0.5 * y * reciprocal(x))
cbrt = smooth(np.cbrt, lambda y, x: y * reciprocal(x) * (1 / 3))
asin = smooth(np.arcsin, lambda y, x: rsqrt(1.0 - x * x))
acos = smooth(np.arccos, lambda y, x: -rsqrt(1.0 - x * x))
atan = smooth(np.arctan, lambda y, x: reciprocal(1.0 + x * x))
asinh = smooth(np.arcsinh, lambda y, x: rsqrt(1.0 + x * x))
acosh = smooth(np.arccosh, lambda y, x: rsqrt(x * x - 1.0))
atanh = smooth(np.arctanh, lambda y, x: reciprocal(1.0 - x * x))
pow_ = smooth(np.power, lambda z, x, y: y * pow_(x, y - 1.0), lambda z, x, y: z * log(x))
atan2 = smooth(
    np.arctan2,
    lambda z, y, x: x * reciprocal(x * x + y * y),
    lambda z, y, x: -(y * reciprocal(x * x + y * y)),
)
hypot = smooth(np.hypot, lambda z, x, y: x * reciprocal(z), lambda z, x, y: y * reciprocal(z))
expit = smooth(special.expit, lambda y, x: y * (1.0 - y))
softplus = smooth(lambda x: np.logaddexp(x, 0.0), lambda y, x: expit(x))
erf = smooth(special.erf, lambda y, x: 2 / np.sqrt(np.pi) * exp(-(x * x)))
erfinv = smooth(special.erfinv, lambda y, x: np.sqrt(np.pi) / 2 * exp(y * y))
ndtr = smooth(special.ndtr, lambda y, x: _density(x))
ndtri = smooth(special.ndtri, lambda y, x: reciprocal(_density(y)))
log_ndtr = smooth(special.log_ndtr, lambda y, x: (2 * np.pi) ** -0.5 * exp(-0.5 * (x * x) - y))
digamma = smooth(special.digamma, lambda y, x: polygamma(1, x))
gammaln = smooth(special.gammaln, lambda y, x: digamma(x))
i0 = smooth(special.i0, lambda y, x: i1(x))
i1 = smooth(special.i1, lambda y, x: i0(x) - y * reciprocal(x))
gammainc = smooth(
    special.gammainc, None, lambda y, a, x: exp((a - 1.0) * log(x) - x - special.gammaln(a))
)


def polygamma(n: int, x: Number) -> Number:
    """The n-th derivative of digamma."""
    return smooth(lambda x: special.polygamma(n, x), lambda y, x: polygamma(n + 1, x))(x)


def integer_pow(x: Number, n: int) -> Number:
    """A fixed power of x."""

    def derivative(y: Number, x: Number) -> Number:
        return n * integer_pow(x, n - 1) if n else np.zeros_like(plain(x))

    return smooth(lambda x: np.asarray(x) ** float(n), derivative)(x)


def _density(x: Number) -> Number:
    return (2 * np.pi) ** -0.5 * exp(-0.5 * (x * x))


def where(condition: Number, x: Number, y: Number) -> Number:
    """Returns x where the condition holds, y elsewhere."""
    mask = plain(condition)
    return linear(lambda a, b: np.where(mask, a, b), x, y)


def select_shared(first: Number, second: Number, prefers: Callable[[Any, Any], Any]) -> Number:
    """One of two elements; equal ones share the derivative in halves."""
    x, y = plain(first), plain(second)
    weight = np.where(x == y, 0.5, np.where(prefers(x, y), 1.0, 0.0))
    return linear(lambda a, b: weight * a + (1.0 - weight) * b, first, second)


def maximum(x: Number, y: Number) -> Number:
    """The larger of two."""
    return select_shared(x, y, np.greater)


def minimum(x: Number, y: Number) -> Number:
    """The smaller of two."""
    return select_shared(x, y, np.less)


def absolute(x: Number) -> Number:
    """|x|, whose derivative at 0 is the one to the right."""
    return x * np.where(plain(x) < 0, -1.0, 1.0)


# --- reductions ----------------------------------------------------------------------


def total(x: Number, axis: tuple[int, ...], keepdims: bool = False) -> Number:
    """The sum over axes."""
    return linear(lambda a: np.sum(a, axis=axis, keepdims=keepdims), x)


def mean(x: Number, axis: tuple[int, ...], keepdims: bool = False) -> Number:
    """The mean over axes."""
    return linear(lambda a: np.mean(a, axis=axis, keepdims=keepdims), x)


def extreme(x: Number, axis: tuple[int, ...], keepdims: bool, reduce: Any) -> Number:
    """The largest or smallest element; equal ones share the derivative equally."""
    values = plain(x)
    chosen = values == reduce(values, axis=axis, keepdims=True)
    weight = chosen / np.sum(chosen, axis=axis, keepdims=True)
    return total(weight * x, axis, keepdims)


def rows(x: Number, axis: int) -> list[Number]:
    """The entries of an axis, which stays with length 1."""
    count = plain(x).shape[axis]
    return [linear(lambda a, i=i: np.take(a, [i], axis=axis), x) for i in range(count)]


def running(combine: Callable[..., Number], x: Number, axis: int) -> Number:
    """Running totals along an axis, one after the other."""
    parts: list[Number] = []
    for row in rows(x, axis):
        parts.append(combine(parts[-1], row) if parts else row)
    return linear(lambda *a: np.concatenate(a, axis), *parts)


def product(x: Number, axis: tuple[int, ...], keepdims: bool) -> Number:
    """The product over axes, factor by factor."""
    for one in axis:
        out: Number = np.ones(())
        for row in rows(x, one):
            out = out * row
        x = out
    return x if keepdims else linear(lambda a: np.squeeze(a, axis), x)


def logsumexp(x: Number, axis: tuple[int, ...], keepdims: bool = False) -> Number:
    """log(sum(exp(x))), shifted by the largest element as a constant."""
    shift = np.max(plain(x), axis=axis, keepdims=True)
    out = log(total(exp(x - shift), axis, keepdims=True)) + shift
    return out if keepdims else linear(lambda a: np.squeeze(a, axis), out)


def variance(x: Number, axis: tuple[int, ...], keepdims: bool, correction: float) -> Number:
    """The mean squared distance from the mean."""
    count = np.prod([plain(x).shape[one] for one in axis])
    centred = x - mean(x, axis, keepdims=True)
    return total(centred * centred, axis, keepdims) * (1.0 / (count - correction))


# --- linear algebra ------------------------------------------------------------------


def transpose(x: Number) -> Number:
    """Swaps the last two axes."""
    return linear(lambda a: np.swapaxes(a, -1, -2), x)


def inverse(x: Number) -> Number:
    """d(A⁻¹) = −A⁻¹ dA A⁻¹."""
    if not isinstance(x, Dual):
        return np.linalg.inv(x)
    out = inverse(x.primal)
    return Dual(x.level, out, -(out @ x.tangent @ out))


def solve(a: Number, b: Number) -> Number:
    """The inverse times b, a vector or matrices."""
    return inverse(a) @ b


def determinant(x: Number) -> Number:
    """Determinants: d det A = det A · tr(A⁻¹ dA)."""
    if not isinstance(x, Dual):
        return np.linalg.det(x)
    out = determinant(x.primal)
    return Dual(x.level, out, out * trace(inverse(x.primal) @ x.tangent))


def trace(x: Number) -> Number:
    """The sum of the diagonal."""
    return linear(lambda a: np.trace(a, axis1=-2, axis2=-1), x)


def cholesky(x: Number) -> Number:
    """Lower triangular L with L Lᵀ = A, of whose triangles the lower is read.

    dL = L Φ(L⁻¹ dA L⁻ᵀ). Φ takes the lower triangle and half the diagonal.
    """
    if not isinstance(x, Dual):
        return np.linalg.cholesky(x)
    out = cholesky(x.primal)
    within = inverse(out)
    low = linear(np.tril, x.tangent)
    below = linear(lambda a: np.tril(a, -1), x.tangent)
    change = within @ (low + transpose(below)) @ transpose(within)
    half = np.tri(out.shape[-1]) - 0.5 * np.eye(out.shape[-1])
    return Dual(x.level, out, out @ (half * change))


def expm(x: Number) -> Number:
    """The exponential series of x/2⁸, squared eight times."""
    scaled, identity = x * 2.0**-8, np.eye(x.shape[-1])
    out: Number = identity
    for k in range(14, 0, -1):
        out = identity + (scaled @ out) * (1.0 / k)
    for _ in range(8):
        out = out @ out
    return out
